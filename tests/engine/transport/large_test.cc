// A message of more than 4 GiB, through frames of 64 KB. Payload and extent are address ranges in
// which one small memory file is mapped over and over, all but the part beyond 4 GiB, so that the
// test needs a few MB of memory and touches every offset. Where 32 bits were not enough, the far
// part would be read or written in the wrong place.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "engine/transport/session.h"
#include "tests/engine/transport/pair_world.h"

namespace ringwire::transport {
namespace {

constexpr std::size_t kNearBytes = std::size_t{4} << 30;
constexpr std::size_t kFarBytes = 1 << 20;
constexpr std::size_t kTotalBytes = kNearBytes + kFarBytes - 7;
constexpr std::size_t kTileBytes = 257 * 4'096;  // 4 GiB is no multiple of it

class Tiled {
 public:
  Tiled() {
    base_ = static_cast<std::byte*>(mmap(nullptr, kNearBytes + kFarBytes, PROT_NONE,
                                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    const int file = memfd_create("tile", 0);
    ok_ = base_ != MAP_FAILED && file >= 0 && ftruncate(file, kTileBytes) == 0;
    for (std::size_t at = 0; ok_ && at < kNearBytes; at += kTileBytes)
      ok_ = place(at, std::min(kTileBytes, kNearBytes - at), MAP_SHARED, file);
    ok_ = ok_ && place(kNearBytes, kFarBytes, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    close(file);
  }
  ~Tiled() { munmap(base_, kNearBytes + kFarBytes); }
  Tiled(const Tiled&) = delete;
  Tiled& operator=(const Tiled&) = delete;

  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] std::byte* data() const { return base_; }
  [[nodiscard]] std::span<std::byte> tile() const { return {base_, kTileBytes}; }
  [[nodiscard]] std::span<std::byte> far() const {
    return {base_ + kNearBytes, kTotalBytes - kNearBytes};
  }

 private:
  bool place(std::size_t at, std::size_t bytes, int flags, int file) {
    return mmap(base_ + at, bytes, PROT_READ | PROT_WRITE, flags | MAP_FIXED, file, 0) !=
           MAP_FAILED;
  }

  std::byte* base_ = nullptr;
  bool ok_ = false;
};

// W-13, W-14
TEST(LargeMessage, of_more_than_4_GiB_arrives_intact) {
  const Tiled payload;
  const Tiled extent;
  ASSERT_TRUE(payload.ok() && extent.ok());
  std::ranges::copy(pattern(1, kTileBytes), payload.tile().begin());
  std::ranges::copy(pattern(2, payload.far().size()), payload.far().begin());

  SessionConfig config;
  config.max_packet_bytes = 65'000;
  config.peer_receive_queue_bytes = 2 << 20;
  config.local_connection_id = 1;
  config.remote_connection_id = 2;
  Session sender(config, 0);
  std::swap(config.local_connection_id, config.remote_connection_id);
  Session receiver(config, 0);
  OutgoingMessage message;
  message.header.payload_bytes = kTotalBytes;
  message.payload = payload.data();
  MessageNumber number{};
  ASSERT_EQ(sender.send(message, number), SendVerdict::kTaken);

  bool complete = false;
  bool done = false;
  EventBatch events;
  std::vector<std::byte> packet(config.max_packet_bytes);
  TimeNs now = 0;
  for (int turn = 0; turn < 1'000'000 && !done; ++turn) {
    now += 20 * kMicrosecondNs;
    while (const std::size_t bytes = sender.poll_transmit(now, packet)) {
      receiver.on_packet(now, std::span(packet).first(bytes), events);
      for (const Event& event : events.all()) {
        if (event.kind == EventKind::kOpen) {
          EXPECT_EQ(event.header.payload_bytes, kTotalBytes);
          receiver.accept(event.number, extent.data());
        } else if (event.kind == EventKind::kComplete) {
          complete = true;
          receiver.settle(event.number, Ending::kDone, Reason::kNone);
          receiver.release(event.number);
        }
      }
    }
    while (const std::size_t bytes = receiver.poll_transmit(now, packet)) {
      sender.on_packet(now, std::span(packet).first(bytes), events);
      for (const Event& event : events.all()) done |= event.kind == EventKind::kResult;
    }
  }
  EXPECT_TRUE(complete);
  EXPECT_TRUE(done);
  EXPECT_TRUE(std::ranges::equal(extent.tile(), payload.tile()));
  EXPECT_TRUE(std::ranges::equal(extent.far(), payload.far()));
}

}  // namespace
}  // namespace ringwire::transport
