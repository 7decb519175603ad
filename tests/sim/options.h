// What a world is made of, and what is done to it: drawn from a seed, or written by hand for a
// directed world. Faults are a list of events with times, so that a failing world can be run again
// with some of them left out (minimise.h). Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/time.h"

namespace ringwire::sim {

enum class FaultKind : std::uint8_t {
  kLoss,          ///< from the start: each packet is lost with probability `amount`
  kDuplicate,     ///< ... comes twice
  kReorder,       ///< ... is late
  kCorrupt,       ///< ... has a byte changed
  kBurst,         ///< all packets from node a to node b are lost for a moment
  kCutOneWay,     ///< nothing, packets or control, from a to b
  kIsolate,       ///< nothing to or from a
  kSplit,         ///< nodes with a bit in `a` and those without do not reach each other
  kMtu,           ///< packets above `amount` bytes vanish between a and b
  kControlReset,  ///< the control connection of a and b is reset
  kCrash,         ///< engine a dies with all it knew and starts again after the duration
  kDrain,         ///< engine a is told to end, ends when it has drained, starts again
  kPause,         ///< all threads of engine a stand still
  kSlow,          ///< engine a's turns come `amount` times less often
  kProgramCrash,  ///< a server program of node a dies; another comes after the duration
  kProgramStop,   ///< a server program of node a stands still
  kAway,          ///< all server programs of node a stop serving for a while
  kClientStop,    ///< sending program a stands still
  kClientCrash,   ///< sending program a dies for good
};

struct FaultEvent {
  FaultKind kind{};
  TimeNs at_ns = 0;  ///< after the start of the world
  DurationNs duration_ns = 0;
  std::uint32_t a = 0;
  std::uint32_t b = 0;
  double amount = 0;
};

[[nodiscard]] std::string text_of(const FaultEvent& event);

struct WorldOptions {
  std::uint64_t seed = 1;
  std::uint32_t servers = 3;
  std::uint32_t workers = 1;      ///< of a server node; slaves have one
  std::uint32_t clients = 1;      ///< sending programs; each has a slave node of its own ...
  bool local_clients = false;     ///< ... or sits on server node 0, 1, ...
  std::uint32_t secondaries = 1;  ///< replicas behind the owner
  std::uint32_t messages = 300;   ///< per client
  std::uint32_t window = 32;      ///< messages that a client has open at once
  std::uint32_t keys = 12;
  std::uint32_t services = 1;
  std::uint32_t consumers = 2;  ///< server programs per server node
  DurationNs pause_ns = 0;      ///< between two messages of a client, at most

  std::uint64_t small_bytes = 32;  ///< at most, of messages that are not large
  std::uint64_t large_bytes = 300'000;
  double large_chance = 0.05;
  double long_key_chance = 0;
  double call_chance = 0.2;
  double broadcast_chance = 0;
  double replicas_chance = 0;
  double node_chance = 0;
  double accepted_chance = 0;
  double none_chance = 0;
  double unordered_chance = 0;
  double deadline_chance = 0;
  double cancel_chance = 0;
  double poison_chance = 0;
  double retry_chance = 0;                    ///< per delivery, while faults are on
  double refuse_chance = 0;                   ///< per delivery
  std::uint64_t sequence_jump_most = 40'000;  ///< numbers that are skipped at once
  double sequence_jump_chance = 0;            ///< the client skips thousands of sequence numbers
  std::uint32_t sequence_lap = 0;             ///< it uses so many of each 16,384; 0: all
  DurationNs work_ns = 500 * kMicrosecondNs;  ///< a delivery is held for so long, at most
  bool nested_calls = false;  ///< who gets a call of service 0 calls service 1 elsewhere first
  bool service_per_client = false;  ///< client n sends to service n only
  bool stuck_service = false;       ///< consumers of service 1 stand still until the world heals
  bool only_loss = false;           ///< no other fault: what is sent again is compared with it
  bool ends_before_heal = false;    ///< the faults in it leave a way for everything
  bool nothing_repeats = false;     ///< every message is done at its first attempt
  bool holds_may_expire = false;    ///< so many channels that a node forgets the elders of messages
  bool nobody_ails = false;         ///< its faults are too small for anybody to be suspected
  double late_chance = 0;  ///< per turn: a program acts late, perhaps as its engine falls asleep
  std::int32_t barren_node = -1;  ///< nobody ever serves there

  // limits of each engine
  std::uint32_t out_messages = 1'024;
  std::uint32_t in_messages = 2'048;
  std::uint32_t message_slots = 256;
  std::uint32_t duplicate_windows = 64;
  std::uint32_t max_deliveries = 1'000;
  std::uint32_t max_packet_bytes = 8'944;
  std::uint64_t memory_bytes = 64u << 20;  ///< for received messages, per node
  DurationNs commit_ns_per_mib = 0;        ///< until a large extent can be used, one after another
  DurationNs program_grace_ns = 2 * kSecondNs;
  DurationNs heartbeat_ns = 100 * kMillisecondNs;

  // the network
  DurationNs delay_ns = 50 * kMicrosecondNs;
  DurationNs jitter_ns = 0;
  std::uint64_t bytes_per_s = 1'250'000'000;
  std::uint64_t queue_bytes = 1u << 20;
  std::uint64_t receive_queue_bytes = 512 * 1024;
  bool skewed_clocks = false;

  DurationNs safety_ns = 3 * kSecondNs;  ///< from then on the world heals
  std::vector<FaultEvent> faults;
  bool trace = false;

  /// No fault of this kind is in the list.
  [[nodiscard]] bool lacks(FaultKind kind) const;
};

/// What differs from world to world, for a trace.
[[nodiscard]] std::string text_of(const WorldOptions& options);

/// The world of a seed: which faults exist and how fierce they are.
[[nodiscard]] WorldOptions draw_options(std::uint64_t seed);

}  // namespace ringwire::sim
