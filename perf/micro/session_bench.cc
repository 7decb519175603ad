// Two sessions on one thread, packets handed over in memory: the protocol's own work at both ends
// together, without a network.
#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "engine/transport/session.h"

namespace ringwire::transport {
namespace {

constexpr std::uint32_t kPacketBytes = 8'944;  // what a socket port asks for

class Pair {
 public:
  explicit Pair(std::size_t largest_bytes) : packet_(kPacketBytes), extent_(largest_bytes) {
    SessionConfig config;
    config.max_packet_bytes = kPacketBytes;
    config.peer_receive_queue_bytes = 4 << 20;
    config.local_connection_id = 1;
    config.remote_connection_id = 2;
    left_ = std::make_unique<Session>(config, 0);
    std::swap(config.local_connection_id, config.remote_connection_id);
    right_ = std::make_unique<Session>(config, 0);
  }

  bool send(std::span<const std::byte> payload) {
    static constexpr std::byte kKey[8] = {};
    OutgoingMessage message;
    message.header.id = {{1, 2}, 3, ++sequence_};
    message.header.level = Level::kProcessed;
    message.header.payload_bytes = payload.size();
    message.header.key = kKey;
    message.payload = payload.data();
    MessageNumber number{};
    return left_->send(message, number) == SendVerdict::kTaken;
  }

  /// One turn of both ends: packets each way, then what is due.
  void turn() {
    now_ += 20 * kMicrosecondNs;
    exchange(*left_, *right_);
    exchange(*right_, *left_);
    for (Session* session : {left_.get(), right_.get()}) {
      if (session->next_deadline_ns() > now_) continue;
      session->on_timer(now_, events_);
      handle(*session);
    }
  }

  [[nodiscard]] std::int64_t done() const { return done_; }

 private:
  void exchange(Session& from, Session& to) {
    for (int count = 0; count < 64; ++count) {
      const std::size_t bytes = from.poll_transmit(now_, packet_);
      if (bytes == 0) return;
      to.on_packet(now_, std::span(packet_).first(bytes), events_);
      handle(to);
    }
  }

  void handle(Session& session) {
    for (const Event& event : events_.all()) {
      if (event.kind == EventKind::kOpen) session.accept(event.number, extent_.data());
      if (event.kind == EventKind::kMessage || event.kind == EventKind::kComplete) {
        session.settle(event.number, Ending::kDone, Reason::kNone);
        session.release(event.number);
      }
      if (event.kind == EventKind::kResult) ++done_;
    }
  }

  std::vector<std::byte> packet_;
  std::vector<std::byte> extent_;
  std::unique_ptr<Session> left_, right_;
  EventBatch events_;
  TimeNs now_ = 0;
  std::uint64_t sequence_ = 0;
  std::int64_t done_ = 0;
};

/// `window` messages of `bytes` are under way; each counts when its sender has its result.
void session_messages(benchmark::State& state) {
  const std::vector<std::byte> payload(static_cast<std::size_t>(state.range(0)), std::byte{1});
  const std::int64_t window = state.range(1);
  Pair pair(payload.size());
  std::int64_t sent = 0;
  std::int64_t counted = 0;
  for (auto _ : state) {
    while (pair.done() == counted) {
      while (sent - pair.done() < window && pair.send(payload)) ++sent;
      pair.turn();
    }
    ++counted;
  }
  state.SetItemsProcessed(state.iterations());
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(session_messages)
    ->ArgNames({"bytes", "window"})
    ->Args({64, 1})
    ->Args({64, 256})
    ->Args({1 << 20, 1})
    ->Args({1 << 20, 4});

}  // namespace
}  // namespace ringwire::transport
