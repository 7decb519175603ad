// Sessions under attack: a peer that seals its packets well and lies in them, and a session whose
// host answers every event, with extents of exactly the announced length, so that the sanitizer
// build sees every byte written outside. Tests only; one thread.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "engine/transport/limits.h"
#include "engine/wire/frame.h"
#include "engine/wire/items.h"
#include "engine/wire/message_codec.h"
#include "tests/engine/transport/pair_world.h"

namespace ringwire::transport {

using wire::FrameKind;
using wire::ItemType;

inline constexpr std::uint64_t kId = 55;
inline constexpr std::uint32_t kSlots = 1'024;

inline SessionConfig small_config() {
  SessionConfig config;
  config.local_connection_id = kId;
  config.remote_connection_id = kId + 1;
  config.message_slots = kSlots;
  return config;
}

/// Builds packets for the attacked session: one fresh number each.
class Attacker {
 public:
  std::vector<std::byte> seal(FrameKind kind, std::span<const std::byte> body) {
    std::vector<std::byte> frame(body.size() + wire::kFrameOverheadBytes);
    std::ranges::copy(body, frame.begin() + wire::kFrameHeaderBytes);
    wire::encode_frame_header({kind, kId, ++number_}, frame);
    wire::seal_clear(frame);
    return frame;
  }
  std::vector<std::byte> bulk(std::uint32_t number, std::uint64_t fragment, std::size_t bytes) {
    std::vector<std::byte> body(wire::kBulkHeaderBytes + bytes, std::byte{0xbb});
    store_le<std::uint32_t>(body.data(), number);
    store_le<std::uint64_t>(body.data() + 4, fragment);
    return seal(FrameKind::kBulk, body);
  }
  template <typename Write>
  std::vector<std::byte> mixed(Write write) {
    std::byte body[1'164];
    ByteWriter writer(body);
    write(writer);
    return seal(FrameKind::kMixed, writer.written());
  }
  /// A message or open item; announced and size as told, a payload only for kMessage.
  std::vector<std::byte> message(ItemType type, std::uint32_t number, std::uint64_t payload_bytes,
                                 std::uint16_t flags = 0) {
    return mixed([&](ByteWriter& writer) {
      wire::MessageHeader header;
      header.id.sequence = 1;
      header.payload_bytes = payload_bytes;
      header.flags = flags;
      wire::encode_message(writer, type, number, header, {{}, {1, true}, {}});
      if (type == ItemType::kMessage)
        for (std::uint64_t at = 0; at < payload_bytes; ++at) writer.u8(1);
    });
  }

 private:
  std::uint64_t number_ = 0;
};

/// A session whose host plays along with everything.
class Victim {
 public:
  Victim() : session_(small_config(), 0), packet_(1'200) {}

  bool feed(std::span<const std::byte> packet) {
    now_ += 10 * kMicrosecondNs;
    const bool taken = session_.on_packet(now_, packet, events_);
    handle();
    if (session_.next_deadline_ns() <= now_) {
      session_.on_timer(now_, events_);
      handle();
    }
    while (session_.poll_transmit(now_, packet_) > 0) {
    }
    return taken;
  }

  void send_something() {
    OutgoingMessage message;
    message.header.id.sequence = ++sequence_;
    message.payload = payload_.data();
    message.header.payload_bytes = sequence_ % 7 == 0 ? payload_.size() : sequence_ % 500;
    MessageNumber number{};
    if (session_.send(message, number) == SendVerdict::kTaken && sequence_ % 5 == 0)
      session_.withdraw(number);
    while (session_.poll_transmit(now_, packet_) > 0) {
    }
  }

  Session& session() { return session_; }
  std::size_t opened() const { return extents_.size(); }
  std::size_t whole = 0;

 private:
  void handle() {
    for (const Event& event : events_.all()) {
      switch (event.kind) {
        case EventKind::kMessage: {
          std::uint64_t sum = 0;
          for (const std::byte at : event.payload) sum += static_cast<std::uint64_t>(at);
          for (const std::byte at : event.header.key) sum += static_cast<std::uint64_t>(at);
          for (const char at : event.header.service) sum += static_cast<std::uint64_t>(at);
          sum_ += sum;
          ++whole;
          finish(event.number);
          break;
        }
        case EventKind::kOpen:
          if (event.header.payload_bytes > 1'000'000) {
            session_.refuse(event.number, Reason::kTooLarge);
          } else {
            auto& extent = extents_[static_cast<std::uint32_t>(event.number)];
            extent = std::make_unique<std::byte[]>(event.header.payload_bytes);
            session_.accept(event.number, extent.get());
          }
          break;
        case EventKind::kComplete:
          ++whole;
          finish(event.number);
          break;
        case EventKind::kWithdrawn:
          finish(event.number);
          break;
        case EventKind::kRun: {
          // Every second message of it is kept.
          const std::uint32_t some = wire::run_mask(event.run.count) & 0x5555'5555;
          session_.settle_run(event.number, some, Ending::kUnknown, Reason::kRefused);
          session_.release_run(event.number, some);
          break;
        }
        case EventKind::kRunWithdrawn:
          session_.settle_run(event.number, event.mask, Ending::kFailed, Reason::kCancelled);
          session_.release_run(event.number, event.mask);
          break;
        case EventKind::kNeverCame:
        case EventKind::kRunResult:
        case EventKind::kResult:
        case EventKind::kSent:
        case EventKind::kCredit:
        case EventKind::kClosed:
          break;
      }
    }
  }
  void finish(MessageNumber number) {
    // Every third one is kept, so that slots are in all states.
    if (static_cast<std::uint32_t>(number) % 3 == 0) return;
    session_.settle(number, Ending::kDone, Reason::kNone);
    session_.release(number);
    extents_.erase(static_cast<std::uint32_t>(number));
  }

  Session session_;
  EventBatch events_;
  std::vector<std::byte> packet_;
  std::vector<std::byte> payload_ = std::vector<std::byte>(100'000);
  std::map<std::uint32_t, std::unique_ptr<std::byte[]>> extents_;
  TimeNs now_ = 0;
  std::uint64_t sequence_ = 0;
  std::uint64_t sum_ = 0;
};

}  // namespace ringwire::transport
