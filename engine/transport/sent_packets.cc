#include "engine/transport/sent_packets.h"

#include <algorithm>

#include "base/check.h"
#include "base/mutant.h"

namespace ringwire::transport {

SentPackets::SentPackets(const ZeroedMemory& memory)
    : packets_(kSentPackets, memory), items_(kSentItems, memory) {}

SentPacket& SentPackets::add(TimeNs now, std::uint32_t bytes) {
  RW_DCHECK(!full());
  SentPacket& packet = packets_[next_ % kSentPackets];
  packet = SentPacket{};
  packet.number = next_;
  packet.sent_at = now;
  packet.bytes = bytes;
  packet.first_item = packet_items_;
  forget_lost(next_);
  set(outstanding_, next_);
  bytes_in_flight_ += bytes;
  ++next_;
  return packet;
}

void SentPackets::on_sent_mixed(TimeNs now, std::uint32_t bytes) {
  SentPacket& packet = add(now, bytes);
  packet.item_count = static_cast<std::uint16_t>(next_item_ - packet_items_);
  packet_items_ = next_item_;
}

void SentPackets::on_sent_bulk(TimeNs now, std::uint32_t bytes, std::uint32_t message,
                               std::uint64_t fragment) {
  SentPacket& packet = add(now, bytes);
  packet.bulk = true;
  packet.message = message;
  packet.fragment = fragment;
}

void SentPackets::on_sent_silent(TimeNs now) {
  add(now, 0);
  resolve(next_ - 1);
}

std::uint64_t SentPackets::find_open(std::uint64_t from, std::uint64_t to) const {
  // Without a loss nothing before the oldest is open, and an acknowledgement repeats thousands of
  // numbers that have long been known.
  if (lost_count_ == 0) from = std::max(from, oldest_ + (RW_MUTANT(20) ? 1 : 0));
  if (next_ > kSentPackets) from = std::max(from, next_ - kSentPackets);
  to = std::min(to, next_ - 1);
  while (from <= to) {
    const std::size_t index = from / 64 % outstanding_.size();
    const std::uint64_t word = (outstanding_[index] | lost_[index]) >> (from % 64);
    if (word != 0) {
      const std::uint64_t found = from + static_cast<std::uint64_t>(std::countr_zero(word));
      return found <= to ? found : 0;
    }
    from = (from / 64 + 1) * 64;
  }
  return 0;
}

void SentPackets::resolve(std::uint64_t number) {
  reset(outstanding_, number);
  if (!RW_MUTANT(19) || !test(lost_, number)) bytes_in_flight_ -= packet(number).bytes;
  while (oldest_ < next_ && !test(outstanding_, oldest_)) {
    // Whole words of resolved packets are passed at once.
    if (oldest_ % 64 == 0 && outstanding_[oldest_ / 64 % outstanding_.size()] == 0 &&
        next_ - oldest_ >= 64) {
      oldest_ += 64;
      continue;
    }
    ++oldest_;
  }
  oldest_item_ = oldest_ < next_ ? packet(oldest_).first_item : packet_items_;
}

void SentPackets::resolve_acked(std::uint64_t number) { resolve(number); }

void SentPackets::resolve_lost(std::uint64_t number, bool timed_out) {
  packets_[number % kSentPackets].timed_out = timed_out;
  lost_count_ += test(lost_, number) ? 0U : 1U;
  set(lost_, number);
  resolve(number);
}

}  // namespace ringwire::transport
