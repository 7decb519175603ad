#include "engine/worker/crossing.h"

#include "base/check.h"

namespace ringwire::worker {

PacketBox::PacketBox()
    : slots_(std::make_unique<std::byte[]>(std::size_t{kCrossingPackets} * kCrossingPacketBytes)) {
  for (std::uint32_t slot = 0; slot < kCrossingPackets; ++slot) RW_CHECK(free_.push(slot));
}

std::span<std::byte> PacketBox::claim() {
  if (claimed_ == kNoSlot && !free_.pop(claimed_)) return {};
  return {slots_.get() + std::size_t{claimed_} * kCrossingPacketBytes, kCrossingPacketBytes};
}

void PacketBox::publish(std::uint32_t packet_bytes) {
  RW_CHECK(claimed_ != kNoSlot);
  RW_CHECK(packet_bytes != 0);
  RW_CHECK(packet_bytes <= kCrossingPacketBytes);
  packet_bytes_[claimed_] = packet_bytes;
  RW_CHECK(filled_.push(claimed_));
  claimed_ = kNoSlot;
}

std::span<const std::byte> PacketBox::front() {
  if (filled_.read_available() == 0) return {};
  const std::uint32_t slot = filled_.front();
  return {slots_.get() + std::size_t{slot} * kCrossingPacketBytes, packet_bytes_[slot]};
}

void PacketBox::pop() {
  std::uint32_t slot = kNoSlot;
  RW_CHECK(filled_.pop(slot));
  RW_CHECK(free_.push(slot));
}

Crossing::Crossing(std::uint32_t worker_count)
    : worker_count_(worker_count), sleepers_(std::make_unique<SleepFlag[]>(worker_count)) {
  boxes_.resize(std::size_t{worker_count} * worker_count);
  for (std::uint32_t from = 0; from < worker_count; ++from)
    for (std::uint32_t to = 0; to < worker_count; ++to)
      if (from != to) boxes_[from * worker_count + to] = std::make_unique<PacketBox>();
}

PacketBox& Crossing::box(std::uint32_t from, std::uint32_t to) {
  RW_CHECK(from != to);
  return *boxes_[from * worker_count_ + to];
}

std::uint64_t Crossing::memory_bytes(std::uint32_t worker_count) {
  const std::uint64_t box_bytes =
      sizeof(PacketBox) + std::uint64_t{kCrossingPackets} * kCrossingPacketBytes;
  return worker_count < 2 ? 0 : (worker_count - 1) * box_bytes;
}

}  // namespace ringwire::worker
