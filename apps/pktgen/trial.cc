#include "apps/pktgen/trial.h"

#include <algorithm>
#include <array>
#include <span>

#include "engine/node/clock.h"

namespace ringwire::pktgen {
namespace {

/// Below this the search gives up: nothing comes back, or next to nothing.
constexpr double kLeastPerSecond = 100;

void take(Wire& wire, Tally& tally) {
  std::array<port::RxPacket, port::kBurstPackets> packets;
  for (auto& port : wire.ports()) {
    const std::size_t count = port->rx_burst(packets);
    if (count == 0) continue;
    // When they are here: the time that the turn began at leaves out what was sent in between.
    const TimeNs now = node::clock_now_ns();
    for (const port::RxPacket& packet : std::span(packets).first(count))
      tally.on_packet(now, packet.bytes);
  }
}

}  // namespace

Trial run_trial(Wire& wire, Generator& generator, const SearchOptions& options,
                double packets_per_s, const std::function<bool()>& stopped) {
  Trial trial;
  trial.offered_per_s = packets_per_s;
  Tally tally;
  const TimeNs begin = node::clock_now_ns();
  tally.reset(begin);
  generator.start(begin, packets_per_s);
  const std::uint64_t sent_before = generator.sent();
  TimeNs now = begin;
  for (; now - begin < options.trial_ns && !stopped(); now = node::clock_now_ns()) {
    generator.poll(now);
    take(wire, tally);
  }
  const double seconds = static_cast<double>(now - begin) * 1e-9;
  for (const TimeNs end = now + options.straggle_ns; now < end; now = node::clock_now_ns())
    take(wire, tally);
  trial.sent = generator.sent() - sent_before;
  trial.received = tally.packets();
  trial.sent_per_s = static_cast<double>(trial.sent) / seconds;
  trial.received_per_s = static_cast<double>(trial.received) / seconds;
  trial.latency = tally.latency();
  return trial;
}

Trial search_throughput(const SearchOptions& options,
                        const std::function<Trial(double packets_per_s)>& trial) {
  const auto passes = [&](const Trial& one) {
    // A generator that cannot keep up with the rate has not offered it.
    return one.received != 0 && one.loss() <= options.loss_bound &&
           (one.offered_per_s == 0 || one.sent_per_s >= 0.98 * one.offered_per_s);
  };
  Trial most = trial(0);
  if (passes(most)) return most;
  double fails = most.sent_per_s;
  double passed = 0;
  Trial best;
  // What came back of too much is a good first guess.
  double next = std::min(most.received_per_s, fails / 2);
  while (next >= kLeastPerSecond && fails - passed > options.precision * fails) {
    Trial one = trial(next);
    if (passes(one)) {
      passed = next;
      best = std::move(one);
    } else {
      fails = next;
    }
    next = (passed + fails) / 2;
  }
  return best;
}

}  // namespace ringwire::pktgen
