#include "tests/sim/options.h"

#include <algorithm>
#include <cstdio>

#include "base/random.h"

namespace ringwire::sim {
namespace {

const char* name_of(FaultKind kind) {
  switch (kind) {
    case FaultKind::kLoss:
      return "loss";
    case FaultKind::kDuplicate:
      return "duplicates";
    case FaultKind::kReorder:
      return "reordering";
    case FaultKind::kCorrupt:
      return "corruption";
    case FaultKind::kBurst:
      return "burst of loss";
    case FaultKind::kCutOneWay:
      return "cut one way";
    case FaultKind::kIsolate:
      return "isolation";
    case FaultKind::kSplit:
      return "split";
    case FaultKind::kMtu:
      return "smaller MTU";
    case FaultKind::kControlReset:
      return "control reset";
    case FaultKind::kCrash:
      return "engine crash";
    case FaultKind::kDrain:
      return "engine drain";
    case FaultKind::kPause:
      return "engine pause";
    case FaultKind::kSlow:
      return "slow engine";
    case FaultKind::kProgramCrash:
      return "program crash";
    case FaultKind::kProgramStop:
      return "program stop";
    case FaultKind::kAway:
      return "consumers away";
    case FaultKind::kClientStop:
      return "client stop";
    case FaultKind::kClientCrash:
      return "client crash";
  }
  return "";
}

/// Durations from 1/100 of `most` to it, small ones as frequent as large ones.
DurationNs draw_duration(Random& random, DurationNs most) {
  const double scale = random.unit() * random.unit();
  return std::max<DurationNs>(static_cast<DurationNs>(static_cast<double>(most) * scale),
                              most / 100);
}

class Drawer {
 public:
  Drawer(Random& random, WorldOptions& options) : random_(random), options_(options) {}

  void ambient(double chance, FaultKind kind, double most) {
    if (!random_.chance(chance)) return;
    options_.faults.push_back(
        {kind, 0, options_.safety_ns, 0, 0, most * random_.unit() * random_.unit()});
  }
  /// Up to `most_count` events of a kind, with the given chance that there are any.
  void some(double chance, FaultKind kind, std::uint32_t most_count, DurationNs most_ns) {
    if (!random_.chance(chance)) return;
    const std::uint64_t count = random_.between(1, most_count);
    for (std::uint64_t at = 0; at < count; ++at) one(kind, most_ns);
  }

 private:
  void one(FaultKind kind, DurationNs most_ns) {
    const std::uint32_t slaves = options_.local_clients ? 0 : options_.clients;
    const std::uint32_t nodes = options_.servers + slaves;
    FaultEvent event;
    event.kind = kind;
    event.at_ns =
        static_cast<TimeNs>(random_.below(static_cast<std::uint64_t>(options_.safety_ns * 9 / 10)));
    event.duration_ns = draw_duration(random_, most_ns);
    event.a = static_cast<std::uint32_t>(random_.below(nodes));
    event.b = static_cast<std::uint32_t>(random_.below(nodes));
    switch (kind) {
      case FaultKind::kSplit:
        event.a = static_cast<std::uint32_t>(random_.below(1ULL << nodes));
        break;
      case FaultKind::kMtu:
        event.amount = static_cast<double>(random_.between(1'300, 9'000));
        break;
      case FaultKind::kSlow:
        event.amount = static_cast<double>(random_.between(10, 2'000));
        break;
      case FaultKind::kProgramCrash:
      case FaultKind::kProgramStop:
      case FaultKind::kAway:
        event.a = static_cast<std::uint32_t>(random_.below(options_.servers));
        break;
      case FaultKind::kClientStop:
      case FaultKind::kClientCrash:
        event.a = static_cast<std::uint32_t>(random_.below(options_.clients));
        break;
      default:
        break;
    }
    options_.faults.push_back(event);
  }

  Random& random_;
  WorldOptions& options_;
};

void draw_traffic(Random& random, WorldOptions& options) {
  options.messages = static_cast<std::uint32_t>(random.between(40, 200));
  options.window = static_cast<std::uint32_t>(random.between(1, 60));
  options.keys = static_cast<std::uint32_t>(random.between(1, 20));
  options.services = random.chance(0.3) ? static_cast<std::uint32_t>(random.between(2, 4)) : 1;
  options.consumers = static_cast<std::uint32_t>(random.between(1, 3));
  if (random.chance(0.5)) options.pause_ns = draw_duration(random, 20 * kMillisecondNs);
  if (random.chance(0.4)) options.small_bytes = random.between(32, 20'000);
  options.large_chance = random.chance(0.4) ? random.unit() * 0.12 : 0;
  options.large_bytes = random.between(1'000, 600'000);
  if (random.chance(0.04)) {  // few, but larger than one grant
    options.large_bytes = 6'000'000;
    options.messages = 20;
    options.large_chance = 0.3;
  } else if (random.chance(0.03)) {  // many announced ones
    options.large_bytes = 90'000;
    options.large_chance = 1;
    options.messages = 160;
  }
  if (random.chance(0.2)) options.long_key_chance = random.unit() * 0.5;
  options.call_chance = random.chance(0.5) ? random.unit() : 0;
  if (random.chance(0.2)) options.broadcast_chance = random.unit() * 0.3;
  if (random.chance(0.2)) options.replicas_chance = random.unit() * 0.3;
  if (random.chance(0.2)) options.node_chance = random.unit() * 0.3;
  if (random.chance(0.3)) options.accepted_chance = random.unit() * 0.5;
  if (random.chance(0.2)) options.none_chance = random.unit() * 0.3;
  if (random.chance(0.15)) options.unordered_chance = random.unit();
  if (random.chance(0.3)) options.deadline_chance = random.unit() * 0.4;
  if (random.chance(0.3)) options.cancel_chance = random.unit() * 0.3;
  if (random.chance(0.2)) options.retry_chance = random.unit() * 0.3;
  if (random.chance(0.1)) options.refuse_chance = random.unit() * 0.2;
  if (random.chance(0.1)) options.sequence_jump_chance = 0.02;
  if (random.chance(0.15)) {
    options.poison_chance = random.unit() * 0.1;
    options.max_deliveries = static_cast<std::uint32_t>(random.between(2, 6));
  }
  if (random.chance(0.3)) options.work_ns = draw_duration(random, 20 * kMillisecondNs);
}

}  // namespace

std::string text_of(const FaultEvent& event) {
  char text[160];
  std::snprintf(text, sizeof text, "at %.3f ms for %.3f ms: %s, a %u b %u amount %.4g",
                static_cast<double>(event.at_ns) / 1e6,
                static_cast<double>(event.duration_ns) / 1e6, name_of(event.kind), event.a, event.b,
                event.amount);
  return text;
}

std::string text_of(const WorldOptions& options) {
  char text[1'000];
  std::snprintf(
      text, sizeof text,
      "%u servers of %u workers, %u clients%s, %u secondaries, %u messages, window %u, %u keys, "
      "%u services, %u consumers; small %llu large %llu (%.2f) calls %.2f broadcast %.2f replicas "
      "%.2f node %.2f accepted %.2f none %.2f deadline %.2f cancel %.2f poison %.2f retry %.2f "
      "refuse %.2f; out %u in %u slots %u deliveries %u packet %u memory %llu grace %.0f ms; delay "
      "%.0f us jitter %.0f us rate %.0f MB/s queue %llu receive %llu; safety %.0f ms, %zu faults, "
      "barren %d",
      options.servers, options.workers, options.clients, options.local_clients ? " (local)" : "",
      options.secondaries, options.messages, options.window, options.keys, options.services,
      options.consumers, static_cast<unsigned long long>(options.small_bytes),
      static_cast<unsigned long long>(options.large_bytes), options.large_chance,
      options.call_chance, options.broadcast_chance, options.replicas_chance, options.node_chance,
      options.accepted_chance, options.none_chance, options.deadline_chance, options.cancel_chance,
      options.poison_chance, options.retry_chance, options.refuse_chance, options.out_messages,
      options.in_messages, options.message_slots, options.max_deliveries, options.max_packet_bytes,
      static_cast<unsigned long long>(options.memory_bytes),
      static_cast<double>(options.program_grace_ns) / 1e6,
      static_cast<double>(options.delay_ns) / 1e3, static_cast<double>(options.jitter_ns) / 1e3,
      static_cast<double>(options.bytes_per_s) / 1e6,
      static_cast<unsigned long long>(options.queue_bytes),
      static_cast<unsigned long long>(options.receive_queue_bytes),
      static_cast<double>(options.safety_ns) / 1e6, options.faults.size(), options.barren_node);
  return text;
}

bool WorldOptions::lacks(FaultKind kind) const {
  return std::none_of(faults.begin(), faults.end(),
                      [kind](const FaultEvent& event) { return event.kind == kind; });
}

WorldOptions draw_options(std::uint64_t seed) {
  Random random(seed);
  WorldOptions options;
  options.seed = seed;
  options.servers = static_cast<std::uint32_t>(random.between(1, 4));
  options.clients = static_cast<std::uint32_t>(random.between(1, 2));
  options.local_clients = random.chance(0.35);
  if (random.chance(0.3)) options.workers = static_cast<std::uint32_t>(random.between(2, 3));
  options.secondaries = static_cast<std::uint32_t>(random.below(options.servers));
  draw_traffic(random, options);

  if (random.chance(0.2)) options.out_messages = static_cast<std::uint32_t>(random.between(16, 64));
  if (random.chance(0.2)) options.in_messages = static_cast<std::uint32_t>(random.between(16, 64));
  if (random.chance(0.5)) options.message_slots = 128;
  if (random.chance(0.3)) options.max_packet_bytes = 1'200;
  // Room for one of the largest, at least.
  if (random.chance(0.2)) options.memory_bytes = (6u << 20) + 2 * options.large_bytes;
  if (random.chance(0.3)) options.program_grace_ns = draw_duration(random, 500 * kMillisecondNs);
  options.delay_ns = static_cast<DurationNs>(random.between(5, 400)) * kMicrosecondNs;
  if (random.chance(0.1)) options.delay_ns *= 20;
  options.jitter_ns = static_cast<DurationNs>(random.below(100)) * kMicrosecondNs;
  if (random.chance(0.2)) options.bytes_per_s = random.between(12'500'000, 1'250'000'000);
  if (random.chance(0.2)) options.queue_bytes = random.between(32'768, 1u << 20);
  if (random.chance(0.2)) options.receive_queue_bytes = random.between(65'536, 512 * 1024);
  options.skewed_clocks = random.chance(0.5);
  if (random.chance(0.15) && options.secondaries > 0) {
    options.barren_node = static_cast<std::int32_t>(random.below(options.servers));
    options.node_chance = 0;  // who asks for that very node waits for ever
    // What such a node has accepted stays there, with its credit.
    options.accepted_chance = options.none_chance = 0;
  }

  options.safety_ns = static_cast<DurationNs>(random.between(30, 600)) * kMillisecondNs;
  if (random.chance(0.2)) options.safety_ns = 3 * kSecondNs;
  Drawer draw(random, options);
  draw.ambient(0.5, FaultKind::kLoss, 0.3);
  draw.ambient(0.35, FaultKind::kDuplicate, 0.5);
  draw.ambient(0.4, FaultKind::kReorder, 0.3);
  draw.ambient(0.2, FaultKind::kCorrupt, 0.05);
  draw.some(0.2, FaultKind::kBurst, 12, 5 * kMillisecondNs);
  draw.some(0.15, FaultKind::kCutOneWay, 3, 600 * kMillisecondNs);
  draw.some(0.12, FaultKind::kIsolate, 3, 600 * kMillisecondNs);
  draw.some(0.08, FaultKind::kSplit, 2, 600 * kMillisecondNs);
  draw.some(0.08, FaultKind::kMtu, 2, 400 * kMillisecondNs);
  draw.some(0.15, FaultKind::kControlReset, 4, kMillisecondNs);
  draw.some(0.2, FaultKind::kCrash, 5, 200 * kMillisecondNs);
  draw.some(0.12, FaultKind::kDrain, 3, 100 * kMillisecondNs);
  draw.some(0.2, FaultKind::kPause, 6, 300 * kMillisecondNs);
  draw.some(0.04, FaultKind::kPause, 1, 30 * kSecondNs);
  draw.some(0.12, FaultKind::kSlow, 4, 200 * kMillisecondNs);
  draw.some(0.2, FaultKind::kProgramCrash, 8, 20 * kMillisecondNs);
  draw.some(0.2, FaultKind::kProgramStop, 6, 300 * kMillisecondNs);
  draw.some(0.12, FaultKind::kAway, 4, 800 * kMillisecondNs);
  draw.some(0.12, FaultKind::kClientStop, 4, 300 * kMillisecondNs);
  draw.some(0.05, FaultKind::kClientCrash, 1, kMillisecondNs);
  if (random.chance(0.2)) options.late_chance = random.unit() * 0.5;
  if (random.chance(0.2)) options.commit_ns_per_mib = draw_duration(random, 2 * kSecondNs);
  return options;
}

}  // namespace ringwire::sim
