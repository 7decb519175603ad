#include "tests/sim/world.h"

#include <algorithm>
#include <map>
#include <utility>

#include "engine/transport/limits.h"
#include "ipc/extent_pool.h"
#include "ring/placement.h"
#include "tests/sim/program.h"

namespace ringwire::sim {
namespace {

/// Once the world has healed, something must end within this time, and all within the other. The
/// longest waits by design are those of the kernel's TCP (10 s) and of idle large memory (3 s).
constexpr DurationNs kQuietLimitNs = 25 * kSecondNs;
constexpr DurationNs kWholeLimitNs = 200 * kSecondNs;
constexpr DurationNs kSettleLimitNs = 20 * kSecondNs;
constexpr DurationNs kSampleNs = 20 * kMillisecondNs;
/// Steps without time going on: somebody is always due.
constexpr std::uint64_t kMaxIdleSteps = 100'000;

std::shared_ptr<const ring::View> view_of(const WorldOptions& options) {
  static std::map<std::pair<std::uint32_t, std::uint32_t>, std::shared_ptr<const ring::View>> known;
  auto& view = known[{options.servers, options.secondaries}];
  if (view) return view;
  std::vector<ring::Member> members;
  ring::PlacementInput input;
  input.epoch = 1;
  input.secondaries = options.secondaries;
  for (std::uint32_t at = 0; at < options.servers; ++at) {
    ring::Member member;
    member.name = node_name(at);
    member.node_index = at;
    members.push_back(member);
  }
  input.members = members;
  auto built = ring::build_view(input);
  RW_CHECK(built.ok());
  view = std::make_shared<const ring::View>(std::move(built).value());
  return view;
}

}  // namespace

World::World(const WorldOptions& options)
    : options_(options),
      oracle_(options_),
      network_({.seed = options.seed, .flights_count = 16'384}),
      control_(options.servers + (options.local_clients ? 0 : options.clients)),
      stage_{options_,         Random(options.seed * 0x9e3779b97f4a7c15ULL + 7),
             kSecondNs,        network_,
             control_,         oracle_,
             view_of(options), {}},
      start_(stage_.now),
      sample_at_(stage_.now + kSampleNs) {
  stage_.trace("%s", text_of(options_).c_str());
  network_.advance(stage_.now);
  control_.set_delay(options.delay_ns);
  begin_faults();
  const std::uint32_t nodes = options.servers + (options.local_clients ? 0 : options.clients);
  for (std::uint32_t node = 0; node < nodes; ++node)
    stage_.nodes.push_back(std::make_unique<Node>(stage_, node, node < options.servers));
  drain_until_.resize(nodes, 0);
  drain_pause_.resize(nodes, 0);
  set_paths();
  for (auto& node : stage_.nodes) node->start();
  for (std::uint32_t client = 0; client < options.clients; ++client) {
    const std::uint32_t node =
        options.local_clients ? client % options.servers : options.servers + client;
    programs_.push_back(
        std::make_unique<Program>(stage_, *stage_.nodes[node], Program::Role::kClient));
    clients_.push_back(programs_.back().get());
  }
  for (std::uint32_t node = 0; node < options.servers; ++node)
    for (std::uint32_t at = 0; at < options.consumers; ++at)
      programs_.push_back(
          std::make_unique<Program>(stage_, *stage_.nodes[node], Program::Role::kServer));
}

World::~World() = default;

// ---- time ---------------------------------------------------------------------------------------

TimeNs World::next_ns() const {
  TimeNs next = std::min(network_.next_event_ns(), control_.next_event_ns());
  for (const auto& node : stage_.nodes) next = std::min(next, node->next_ns());
  for (const auto& program : programs_) next = std::min(next, program->next_ns());
  if (next_fault_ < faults_.size()) next = std::min(next, start_ + faults_[next_fault_].at_ns);
  for (const Pending& pending : pending_) next = std::min(next, pending.at);
  return next;
}

void World::step() {
  const TimeNs next = std::max(next_ns(), stage_.now);
  idle_steps_ = next == stage_.now ? idle_steps_ + 1 : 0;
  if (idle_steps_ > kMaxIdleSteps) return oracle_.violation("somebody never sleeps");
  stage_.now = next;
  network_.advance(stage_.now);
  for (auto& node : stage_.nodes)
    if (node->alive) node->look_at_ports();
  deliver_control();
  do_faults();
  for (auto& node : stage_.nodes)
    if (!node->alive && node->restart_at <= stage_.now) start_engine(node->index);
  for (auto& node : stage_.nodes) node->run();
  run_programs();
  watch_drains();
  sample();
}

void World::deliver_control() {
  ControlNet::Arrival arrival;
  while (control_.poll(stage_.now, arrival)) stage_.nodes[arrival.node]->on_control(arrival);
}

void World::run_programs() {
  for (auto& program : programs_)
    if (!program->late()) program->step();
}

bool World::all_ended() const {
  for (const Program* client : clients_)
    if (!client->finished_sending()) return false;
  return oracle_.open() == 0;
}

// ---- the run ------------------------------------------------------------------------------------

Verdict World::run() {
  std::uint64_t before = 0;
  TimeNs progress_at = stage_.now;
  while (oracle_.violations().empty() && !all_ended()) {
    if (stage_.faults_on && stage_.now - start_ >= options_.safety_ns) {
      heal();
      progress_at = stage_.now;
    }
    step();
    const std::uint64_t ended = oracle_.totals().sent - oracle_.open() + oracle_.totals().delivered;
    if (ended != before || stage_.faults_on) progress_at = stage_.now;
    before = ended;
    if (stage_.now - progress_at > kQuietLimitNs ||
        stage_.now - start_ - options_.safety_ns > kWholeLimitNs) {
      for (const std::string& line : oracle_.open_messages())
        stage_.trace("open: %s", line.c_str());
      oracle_.violation("no progress: " + std::to_string(oracle_.open()) + " messages are open, " +
                        unsettled());
    }
  }
  if (oracle_.violations().empty()) settle_down();
  return verdict();
}

Verdict World::run_for(DurationNs duration_ns) {
  const TimeNs end = stage_.now + duration_ns;
  while (oracle_.violations().empty() && stage_.now < end) step();
  return verdict();
}

Verdict World::verdict() const {
  Verdict verdict;
  verdict.violations = oracle_.violations();
  for (std::string& text : verdict.violations)
    text = "at " + std::to_string((stage_.now - start_) / 1000) + " us: " + text;
  verdict.trace_hash = stage_.hash;
  verdict.totals = oracle_.totals();
  verdict.ended_at_ns = stage_.now - start_;
  for (const auto& node : stage_.nodes) verdict.turns += node->turns();
  verdict.packets = network_.counters().sent;
  return verdict;
}

// ---- what must hold all the time ----------------------------------------------------------------

void World::sample() {
  if (sampling_) {
    // The answers came with the turns of this step, but for engines that stand still.
    sampling_ = false;
    for (const auto& node : stage_.nodes) {
      if (!node->alive) continue;
      if (node->memory_bytes() > memory_bound())
        oracle_.violation("memory is over its bound at node " + std::to_string(node->index));
      for (const auto& snapshot : node->snapshots())
        if (snapshot) check_snapshot(node->index, *snapshot);
    }
  }
  if (stage_.now < sample_at_) return;
  sample_at_ = stage_.now + kSampleNs;
  // Where nothing happened since, there is nothing to look at.
  const std::uint64_t happened = oracle_.totals().sent + oracle_.totals().delivered;
  if (happened == sampled_) return;
  sampled_ = happened;
  sampling_ = true;
  for (auto& node : stage_.nodes)
    if (node->alive) node->ask_snapshots();
}

/// What a node may hold for received messages: large ones within their budget; of small ones what
/// the credit of all sessions allows, in extents of up to four times what is charged for.
std::uint64_t World::memory_bound() const {
  const std::uint64_t sessions = stage_.nodes.size() * options_.workers * options_.workers;
  const std::uint64_t credit = sessions * options_.services * transport::kMaxWindowBytes * 4;
  const std::uint64_t class_files =
      (options_.workers * ipc::kExtentClassBytes.size() + 8) * ipc::kClassFileBytes;
  return options_.memory_bytes + class_files + credit;
}

void World::check_snapshot(std::uint32_t node, const worker::WorkerSnapshot& snapshot) {
  const worker::WorkerCounters& counters = snapshot.counters;
  if (counters.taken != counters.done + counters.failed + counters.unknown + counters.in_flight_now)
    oracle_.violation("taken is not done + failed + unknown + in flight at node " +
                      std::to_string(node));
  for (const worker::SessionSnapshot& session : snapshot.sessions)
    if (session.bytes_in_flight > options_.receive_queue_bytes)
      oracle_.violation("more is in flight than the peer's receive queue holds, at node " +
                        std::to_string(node));
}

// ---- the end ------------------------------------------------------------------------------------

void World::settle_down() {
  if (stage_.faults_on) heal();
  sample_at_ = kNeverNs;  // here we ask ourselves
  const TimeNs limit = stage_.now + kSettleLimitNs;
  while (oracle_.violations().empty()) {
    const TimeNs until = stage_.now + kSampleNs;
    while (stage_.now < until && oracle_.violations().empty() && next_ns() <= until) step();
    stage_.now = std::max(stage_.now, until);
    for (auto& node : stage_.nodes)
      if (node->alive) node->ask_snapshots();
    step();
    if (unsettled().empty()) break;
    if (stage_.now > limit) return oracle_.violation("it does not come to rest: " + unsettled());
  }
  if (!oracle_.violations().empty()) return;
  oracle_.at_end(stage_.engines_died);
  if (options_.only_loss) check_repeats();
  if (options_.nothing_repeats)
    for (const auto& node : stage_.nodes)
      for (const auto& snapshot : node->snapshots())
        if (snapshot->counters.retried != 0)
          oracle_.violation("node " + std::to_string(node->index) + " made " +
                            std::to_string(snapshot->counters.retried) + " attempts too many");
  if (!options_.holds_may_expire) check_holds();
  check_idle();
}

/// A message that waits for an elder gets it, or its sender calls it back and sends it anew: that a
/// hold ends by its time is for receivers that have forgotten.
void World::check_holds() {
  for (const auto& node : stage_.nodes)
    for (const auto& snapshot : node->snapshots())
      if (snapshot && snapshot->counters.held_too_long != 0)
        oracle_.violation("node " + std::to_string(node->index) +
                          " waited in vain for the elder of " +
                          std::to_string(snapshot->counters.held_too_long) + " messages");
}

std::string World::unsettled() const {
  std::string text;
  const auto count = [&text](const char* what, std::uint32_t node, std::uint64_t value) {
    if (value != 0)
      text += "node " + std::to_string(node) + " " + what + " " + std::to_string(value) + "; ";
  };
  for (const auto& program : programs_) {
    if (program->dead()) continue;
    count("held by programs", program->node().index, program->held_count());
    count("outgoing of programs", program->node().index, program->outgoing_count());
  }
  for (const auto& node : stage_.nodes) {
    count("is down", node->index, node->alive ? 0 : 1);
    if (!node->alive) continue;
    count("closing channels", node->index, node->channels_going());
    const bool barren = options_.barren_node == static_cast<std::int32_t>(node->index);
    for (const auto& snapshot : node->snapshots()) {
      if (!snapshot) {
        count("unanswered snapshots", node->index, 1);
        continue;
      }
      count("in flight", node->index, snapshot->counters.in_flight_now);
      count("part received", node->index, snapshot->counters.receiving_now);
      count("held for a predecessor", node->index, snapshot->counters.held_now);
      if (!barren) {
        count("unprocessed", node->index, snapshot->counters.unprocessed_now);
        count("extents taken", node->index, snapshot->extents_taken);
      }
      for (const worker::SessionSnapshot& session : snapshot->sessions) {
        count("open in a session", node->index, session.open_messages);
        count("bytes in flight", node->index, session.bytes_in_flight);
      }
    }
  }
  return text;
}

/// Where packets are lost at random and nothing else befalls them, little more than those is sent
/// again: half as much for what time-outs take for lost.
void World::check_repeats() {
  std::uint64_t taken_for_lost = 0;
  for (const auto& node : stage_.nodes)
    for (const auto& snapshot : node->snapshots())
      for (const worker::SessionSnapshot& session : snapshot->sessions)
        taken_for_lost += session.counters.packets_lost;
  const std::uint64_t lost = network_.counters().lost;
  if (taken_for_lost > lost + lost / 2 + 64)
    oracle_.violation(std::to_string(taken_for_lost) + " packets were sent again, but only " +
                      std::to_string(lost) + " lost");
}

/// At rest nothing is sent but the control connections' heartbeats, and nobody is awake.
void World::check_idle() {
  const auto pass = [this](DurationNs duration_ns) {
    const TimeNs end = stage_.now + duration_ns;
    while (stage_.now < end && oracle_.violations().empty()) step();
  };
  pass(200 * kMillisecondNs);
  const std::uint64_t packets = network_.counters().sent;
  pass(500 * kMillisecondNs);
  if (network_.counters().sent != packets)
    oracle_.violation("idle sessions send " + std::to_string(network_.counters().sent - packets) +
                      " packets in half a second");
  for (const auto& node : stage_.nodes)
    for (const auto& other : stage_.nodes)
      if (node->alive && node->manager().connections_with(other->index) > 1)
        oracle_.violation("node " + std::to_string(node->index) +
                          " keeps several control connections with node " +
                          std::to_string(other->index));
}

}  // namespace ringwire::sim
