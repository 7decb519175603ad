#include "perf/load/scenes.h"

#include <algorithm>
#include <cstring>

#include "base/bytes.h"
#include "base/check.h"
#include "perf/load/dpdk_floor.h"
#include "perf/load/layers.h"
#include "perf/load/trap.h"
#include "perf/load/udp_floor.h"

namespace ringwire::load {
namespace {

constexpr std::size_t kMostSamples = 4'000'000;
/// Small messages under way at once: as many as a channel's queue holds, several round trips'
/// worth.
constexpr std::uint64_t kSmallInFlight = ipc::kDefaultSubmissionEntries;
constexpr std::uint64_t kCallsInFlight = 256;

ipc::Submission small_message(LoadNode& node) {
  ipc::Submission message = node.message();
  message.payload_bytes = kSmallBytes;
  std::memset(message.inline_bytes, 0x5a, kSmallBytes);
  store_le<std::uint64_t>(message.inline_bytes, message.sequence);
  return message;
}

// ---- a call and its answer ----------------------------------------------------------------------

Figures call(Stage& stage) {
  LoadNode& node = stage.node;
  stage.meeting.meet();
  RoundTrips trips(stage);
  const std::uint64_t allocated = allocations_count();
  ipc::Delivery delivery;
  std::uint64_t sequence = 0;
  const TimeNs deadline = Meeting::deadline();
  do {
    ipc::Submission message = small_message(node);
    message.flags = ipc::kSubmitCall;
    sequence = message.sequence;
    RW_CHECK(node.submit(message));
    do {
      node.turn();
      stage.meeting.check(deadline);
    } while (!node.receive(delivery));
    RW_CHECK(load_le<std::uint64_t>(delivery.inline_bytes + delivery.key_bytes) == sequence);
    node.release(delivery);
  } while (trips.next());
  Figures figures = trips.figures(allocations_count() - allocated);
  figures["packets_a_trip"] = trips.packets_a_trip();
  node.settle();
  stage.meeting.stop();
  stage.meeting.meet([&] { node.turn(); });
  return figures;
}

/// Many under way at once; counted as their answers come.
Figures many_calls(Stage& stage) {
  LoadNode& node = stage.node;
  stage.meeting.meet();
  Arrivals arrivals;
  ipc::Delivery delivery;
  ipc::Submission message = small_message(node);
  message.flags = ipc::kSubmitCall;
  const std::uint64_t allocated = allocations_count();
  const TimeNs end = node::clock_now_ns() + stage.scene_ns;
  for (TimeNs now = node::clock_now_ns(); now < end; now = node::clock_now_ns()) {
    while (node.in_flight() < kCallsInFlight) {
      message.sequence = node.next_sequence();
      store_le<std::uint64_t>(message.inline_bytes, message.sequence);
      if (!node.submit(message)) break;
    }
    node.turn(now);
    std::uint64_t count = 0;
    for (; node.receive(delivery); ++count) node.release(delivery);
    if (count != 0) arrivals.add(now, count, count * kSmallBytes);
  }
  const std::uint64_t allocated_now = allocations_count() - allocated;
  node.settle();
  stage.meeting.stop();
  stage.meeting.meet([&] { node.turn(); });
  RW_CHECK(node.failed() == 0);
  arrivals.tell(stage.meeting);
  Figures figures = Arrivals::told(stage.meeting);
  figures["allocations"] = static_cast<double>(allocated_now);
  return figures;
}

Figures answer(Stage& stage) {
  LoadNode& node = stage.node;
  stage.meeting.meet();
  ipc::Delivery delivery;
  const std::uint64_t allocated = allocations_count();
  while (!stage.meeting.stopped()) {
    node.turn();
    while (node.receive(delivery)) {
      ipc::Submission reply = node.message();
      reply.target = static_cast<std::uint8_t>(ipc::TargetKind::kOrigin);
      reply.flags = ipc::kSubmitReply;
      reply.level = static_cast<std::uint8_t>(Level::kAccepted);
      reply.payload_bytes = delivery.payload_bytes;
      std::memcpy(reply.inline_bytes, &delivery.origin, sizeof delivery.origin);
      std::memcpy(reply.inline_bytes + sizeof delivery.origin,
                  delivery.inline_bytes + delivery.key_bytes, kSmallBytes);
      RW_CHECK(node.submit(reply));
      node.release(delivery, ipc::kReleaseReplied);
    }
  }
  const std::uint64_t allocated_now = allocations_count() - allocated;
  node.settle();
  stage.meeting.meet([&] { node.turn(); });
  return {{"allocations", static_cast<double>(allocated_now)}};
}

Figures round_trip(Stage& stage) { return stage.meeting.is_a() ? call(stage) : answer(stage); }
Figures calls(Stage& stage) { return stage.meeting.is_a() ? many_calls(stage) : answer(stage); }

// ---- one way ------------------------------------------------------------------------------------

Figures send_small(Stage& stage, std::size_t per_turn, Level level) {
  LoadNode& node = stage.node;
  stage.meeting.meet();
  ipc::Delivery delivery;
  const std::uint64_t packets_before = stage.port.counters().tx_packets;
  const std::uint64_t allocated = allocations_count();
  std::uint64_t sent = 0;
  ipc::Submission message = small_message(node);
  message.level = static_cast<std::uint8_t>(level);
  const TimeNs end = node::clock_now_ns() + stage.scene_ns;
  for (TimeNs now = node::clock_now_ns(); now < end; now = node::clock_now_ns()) {
    for (std::size_t at = 0; at < per_turn && node.in_flight() < kSmallInFlight; ++at) {
      message.sequence = node.next_sequence();
      store_le<std::uint64_t>(message.inline_bytes, message.sequence);
      if (!node.submit(message)) break;
      ++sent;
    }
    node.turn(now);
    RW_CHECK(!node.receive(delivery));
  }
  const std::uint64_t packets = stage.port.counters().tx_packets - packets_before;
  const std::uint64_t allocated_now = allocations_count() - allocated;
  node.settle();
  stage.meeting.stop();
  stage.meeting.meet([&] { node.turn(); });
  Figures figures = Arrivals::told(stage.meeting);
  figures["messages_per_packet"] = static_cast<double>(sent) / static_cast<double>(packets);
  figures["allocations"] = static_cast<double>(allocated_now);
  RW_CHECK(node.failed() == 0);
  return figures;
}

/// Takes all that comes; the program looks at the first and last bytes of what it gets.
Figures take(Stage& stage) {
  LoadNode& node = stage.node;
  stage.meeting.meet([&] { node.turn(); });
  Arrivals arrivals;
  ipc::Delivery delivery;
  const std::uint64_t allocated = allocations_count();
  while (!stage.meeting.stopped()) {
    const TimeNs now = node::clock_now_ns();
    node.turn(now);
    std::uint64_t count = 0;
    std::uint64_t bytes = 0;
    while (node.receive(delivery)) {
      const std::byte* payload = node.payload_of(delivery);
      const auto number = load_le<std::uint64_t>(payload);
      if (delivery.payload_bytes > kSmallBytes)
        RW_CHECK(load_le<std::uint64_t>(payload + delivery.payload_bytes - 8) == number);
      ++count;
      bytes += delivery.payload_bytes;
      node.release(delivery);
    }
    if (count != 0) arrivals.add(now, count, bytes);
  }
  const std::uint64_t allocated_now = allocations_count() - allocated;
  node.settle();
  arrivals.tell(stage.meeting);
  stage.meeting.meet([&] { node.turn(); });
  return {{"allocations", static_cast<double>(allocated_now)}};
}

Figures single(Stage& stage) {
  return stage.meeting.is_a() ? send_small(stage, 1, Level::kNone) : take(stage);
}
Figures single_processed(Stage& stage) {
  return stage.meeting.is_a() ? send_small(stage, 1, Level::kProcessed) : take(stage);
}
Figures coalesced(Stage& stage) {
  return stage.meeting.is_a() ? send_small(stage, 128, Level::kNone) : take(stage);
}
Figures coalesced_processed(Stage& stage) {
  return stage.meeting.is_a() ? send_small(stage, 128, Level::kProcessed) : take(stage);
}

Figures send_large(Stage& stage, std::uint64_t bytes, std::size_t window) {
  LoadNode& node = stage.node;
  const auto buffers = node.buffers(bytes, window);
  stage.meeting.meet([&] { node.turn(); });
  ipc::Delivery delivery;
  std::size_t next = 0;
  const std::uint64_t allocated = allocations_count();
  const TimeNs end = node::clock_now_ns() + stage.scene_ns;
  for (TimeNs now = node::clock_now_ns(); now < end; now = node::clock_now_ns()) {
    // Outcomes come in order here, so that the oldest buffer is the free one.
    while (node.in_flight() < window) {
      ipc::Submission message = node.message();
      message.payload_bytes = bytes;
      message.extent_file = buffers[next].file;
      store_le<std::uint64_t>(buffers[next].data, message.sequence);
      store_le<std::uint64_t>(buffers[next].data + bytes - 8, message.sequence);
      if (!node.submit(message)) break;
      next = (next + 1) % window;
    }
    node.turn(now);
    RW_CHECK(!node.receive(delivery));
  }
  const std::uint64_t allocated_now = allocations_count() - allocated;
  node.settle();
  stage.meeting.stop();
  stage.meeting.meet([&] { node.turn(); });
  RW_CHECK(node.failed() == 0);
  Figures figures = Arrivals::told(stage.meeting);
  figures["allocations"] = static_cast<double>(allocated_now);
  return figures;
}

template <std::uint64_t kBytes, std::size_t kWindow>
Figures large(Stage& stage) {
  return stage.meeting.is_a() ? send_large(stage, kBytes, kWindow) : take(stage);
}

}  // namespace

// ---- what scenes are made of --------------------------------------------------------------------

namespace {

/// Of the scene that runs: one memory for all, or a heap that is cut up would have to grow for it
/// again.
std::vector<std::uint32_t>& samples() {
  static std::vector<std::uint32_t> all = [] {
    std::vector<std::uint32_t> empty;
    empty.reserve(kMostSamples);
    return empty;
  }();
  all.clear();
  return all;
}

}  // namespace

RoundTrips::RoundTrips(const Stage& stage)
    : port_(stage.port), packets_before_(stage.port.counters().tx_packets), times_ns_(samples()) {
  last_ns_ = node::clock_now_ns();
  count_from_ns_ = last_ns_ + stage.scene_ns / 50;
  end_ns_ = last_ns_ + stage.scene_ns;
}

bool RoundTrips::next() {
  const TimeNs now = node::clock_now_ns();
  if (now >= count_from_ns_ && times_ns_.size() < kMostSamples)
    times_ns_.push_back(static_cast<std::uint32_t>(now - last_ns_));
  last_ns_ = now;
  ++trips_;
  return now < end_ns_;
}

double RoundTrips::packets_a_trip() const {
  return static_cast<double>(port_.counters().tx_packets - packets_before_) /
         static_cast<double>(trips_);
}

Figures RoundTrips::figures(std::uint64_t allocations) {
  RW_CHECK(!times_ns_.empty());
  std::sort(times_ns_.begin(), times_ns_.end());
  const auto at = [&](double part) {
    return static_cast<double>(
        times_ns_[static_cast<std::size_t>(part * static_cast<double>(times_ns_.size() - 1))]);
  };
  return {{"p50_ns", at(0.5)},
          {"p99_ns", at(0.99)},
          {"max_ns", at(1)},
          {"count", static_cast<double>(times_ns_.size())},
          {"allocations", static_cast<double>(allocations)}};
}

void Arrivals::add(TimeNs now, std::uint64_t count, std::uint64_t bytes) {
  // What came with the first look came in no time that could be measured.
  if (first_ns_ == 0) {
    first_ns_ = now;
    return;
  }
  last_ns_ = now;
  count_ += count;
  bytes_ += bytes;
}

void Arrivals::tell(Meeting& meeting) const {
  const double seconds = static_cast<double>(std::max<DurationNs>(last_ns_ - first_ns_, 1)) * 1e-9;
  meeting.figures()[0] = static_cast<double>(count_) / seconds;
  meeting.figures()[1] = static_cast<double>(bytes_) / seconds;
}

Figures Arrivals::told(Meeting& meeting) {
  return {{"messages_per_s", meeting.figures()[0]}, {"bytes_per_s", meeting.figures()[1]}};
}

std::vector<Scene> scenes(bool is_dpdk) {
  std::vector<Scene> all;
  if (is_dpdk) {
    all = {{"floor_ping", "bare device, 64 B round trip", dpdk_ping, "p50_ns", ""},
           {"floor_frames", "bare device, 64 B frames", dpdk_frames, "messages_per_s", ""},
           {"floor_1mb", "bare copy in, CRC, copy out, 4 x 1 MB", dpdk_copy_1mb, "bytes_per_s", ""},
           {"floor_64mb", "the same, 2 x 64 MB", dpdk_copy_64mb, "bytes_per_s", ""}};
  } else {
    all = {
        {"floor_ping", "bare UDP, 64 B round trip", udp_ping, "p50_ns", ""},
        {"floor_1mb", "bare UDP, 9 KB datagrams, CRC, 4 x 1 MB", udp_copy_1mb, "bytes_per_s", ""},
        {"floor_64mb", "the same, 2 x 64 MB", udp_copy_64mb, "bytes_per_s", ""}};
  }
  const std::vector<Scene> engine = {
      {"port_ping", "port, 64 B round trip", port_ping, "p50_ns", "floor_ping"},
      {"session_ping", "session, 64 B round trip", session_ping, "p50_ns", "floor_ping"},
      {"engine_ping", "engine, 64 B call and answer", round_trip, "p50_ns", "floor_ping"},
      {"calls", "engine, 64 B calls, 256 under way", calls, "messages_per_s", ""},
      {"single", "engine, 64 B, one a turn, level none", single, "messages_per_s", ""},
      {"single_processed", "the same, level processed", single_processed, "messages_per_s", ""},
      {"coalesced", "engine, 64 B, coalesced, level none", coalesced, "messages_per_s", ""},
      {"coalesced_processed", "the same, level processed", coalesced_processed, "messages_per_s",
       ""},
      {"large_1mb_alone", "engine, 1 MB, one at a time", large<kMegabyte, 1>, "bytes_per_s",
       "floor_1mb"},
      {"large_1mb", "engine, 1 MB, four at a time", large<kMegabyte, 4>, "bytes_per_s",
       "floor_1mb"},
      {"large_64mb", "engine, 64 MB, two at a time", large<64 * kMegabyte, 2>, "bytes_per_s",
       "floor_64mb"},
  };
  all.insert(all.end(), engine.begin(), engine.end());
  return all;
}

}  // namespace ringwire::load
