// How fast two sessions talk within one thread: packets are handed over in memory, so that the
// figures are those of the protocol's own work on one core, both ends together. Not a test.
#include <cstdio>
#include <cstring>
#include <ctime>
#include <memory>
#include <vector>

#include "engine/transport/session.h"

namespace {

using namespace ringwire;
using namespace ringwire::transport;

struct Pair {
  explicit Pair(std::uint32_t packet_bytes) : packet(packet_bytes) {
    SessionConfig config;
    config.max_packet_bytes = packet_bytes;
    config.peer_receive_queue_bytes = 4 << 20;
    config.local_connection_id = 1;
    config.remote_connection_id = 2;
    left = std::make_unique<Session>(config, 0);
    std::swap(config.local_connection_id, config.remote_connection_id);
    right = std::make_unique<Session>(config, 0);
  }

  // One turn: up to 64 packets each way, then the events.
  void turn() {
    now += 20 * kMicrosecondNs;
    exchange(*left, *right);
    exchange(*right, *left);
    for (Session* session : {left.get(), right.get()})
      if (session->next_deadline_ns() <= now) {
        session->on_timer(now, events);
        handle(*session);
      }
  }

  void exchange(Session& from, Session& to) {
    for (int count = 0; count < 64; ++count) {
      const std::size_t bytes = from.poll_transmit(now, packet);
      if (bytes == 0) return;
      to.on_packet(now, std::span(packet).first(bytes), events);
      handle(to);
    }
  }

  void handle(Session& session) {
    for (const Event& event : events.all()) {
      if (event.kind == EventKind::kOpen) {
        session.accept(event.number, extent.data());
      } else if (event.kind == EventKind::kMessage || event.kind == EventKind::kComplete) {
        session.settle(event.number, Ending::kDone, Reason::kNone);
        session.release(event.number);
        ++received;
      } else if (event.kind == EventKind::kResult) {
        ++done;
      }
    }
  }

  std::unique_ptr<Session> left;
  std::unique_ptr<Session> right;
  EventBatch events;
  std::vector<std::byte> packet;
  std::vector<std::byte> extent = std::vector<std::byte>(4 << 20);
  TimeNs now = 0;
  std::uint64_t received = 0;
  std::uint64_t done = 0;
};

// Processor time of this process, so that a busy machine does not count against the protocol.
double cpu_seconds() {
  timespec at{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &at);
  return static_cast<double>(at.tv_sec) + static_cast<double>(at.tv_nsec) * 1e-9;
}

void run(const char* what, std::uint32_t packet_bytes, std::size_t payload_bytes,
         std::uint64_t count) {
  Pair pair(packet_bytes);
  const std::vector<std::byte> payload(payload_bytes, std::byte{1});
  OutgoingMessage message;
  message.header.id.attachment = {1, 2};
  message.header.key = std::span(payload).first(8);
  message.header.payload_bytes = payload_bytes;
  message.payload = payload.data();
  std::uint64_t sent = 0;
  const double start = cpu_seconds();
  while (pair.done < count) {
    MessageNumber number{};
    while (sent < count) {
      message.header.id.sequence = sent + 1;
      if (pair.left->send(message, number) != SendVerdict::kTaken) break;
      ++sent;
    }
    pair.turn();
  }
  const double seconds = cpu_seconds() - start;
  const SessionCounters& counters = pair.left->counters();
  std::printf("%-28s %10.0f messages/s %8.3f GB/s  packets %lu, lost %lu, probes %lu\n", what,
              static_cast<double>(count) / seconds,
              static_cast<double>(count * payload_bytes) / seconds / 1e9, counters.packets_sent,
              counters.packets_lost, counters.probes_sent);
}

}  // namespace

// Any argument: the small messages only.
int main(int count, char**) {
  run("64 B, 1,200 B frames", 1'200, 64, 5'000'000);
  run("64 B, 8,952 B frames", 8'952, 64, 5'000'000);
  if (count > 1) return 0;
  run("16 KB, 8,952 B frames", 8'952, 16'384, 200'000);
  run("1 MB, 1,200 B frames", 1'200, 1'000'000, 4'000);
  run("1 MB, 8,952 B frames", 8'952, 1'000'000, 8'000);
  return 0;
}
