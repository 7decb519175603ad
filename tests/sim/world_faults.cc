#include <algorithm>

#include "tests/sim/program.h"
#include "tests/sim/world.h"

namespace ringwire::sim {
namespace {

/// A draining engine that is not done by then is killed (as systemd would).
constexpr DurationNs kDrainLimitNs = kSecondNs;

bool is_ambient(FaultKind kind) {
  return kind == FaultKind::kLoss || kind == FaultKind::kDuplicate || kind == FaultKind::kReorder ||
         kind == FaultKind::kCorrupt;
}

bool is_of_paths(FaultKind kind) { return kind <= FaultKind::kMtu; }

/// Whether the event stands between two nodes, in this direction.
bool concerns(const FaultEvent& event, std::uint32_t from, std::uint32_t to) {
  switch (event.kind) {
    case FaultKind::kBurst:
    case FaultKind::kCutOneWay:
      return event.a == from && event.b == to;
    case FaultKind::kIsolate:
      return event.a == from || event.a == to;
    case FaultKind::kSplit:
      return (event.a >> from & 1) != (event.a >> to & 1);
    case FaultKind::kMtu:
      return (event.a == from && event.b == to) || (event.a == to && event.b == from);
    default:
      return is_ambient(event.kind);
  }
}

}  // namespace

void World::begin_faults() {
  faults_ = options_.faults;
  std::stable_sort(
      faults_.begin(), faults_.end(),
      [](const FaultEvent& left, const FaultEvent& right) { return left.at_ns < right.at_ns; });
  while (next_fault_ < faults_.size() && is_ambient(faults_[next_fault_].kind) &&
         faults_[next_fault_].at_ns == 0) {
    active_.push_back({faults_[next_fault_], start_ + faults_[next_fault_].duration_ns});
    ++next_fault_;
  }
}

port::SimPath World::path_between(std::uint32_t from, std::uint32_t to) const {
  port::SimPath path;
  path.delay_ns = options_.delay_ns;
  path.jitter_ns = options_.jitter_ns;
  path.bytes_per_s = options_.bytes_per_s;
  path.queue_bytes = options_.queue_bytes;
  for (const ActiveFault& active : active_) {
    if (!concerns(active.event, from, to)) continue;
    switch (active.event.kind) {
      case FaultKind::kLoss:
        path.loss = std::max(path.loss, active.event.amount);
        break;
      case FaultKind::kDuplicate:
        path.duplicate = active.event.amount;
        break;
      case FaultKind::kReorder:
        path.reorder = active.event.amount;
        break;
      case FaultKind::kCorrupt:
        path.corrupt = active.event.amount;
        break;
      case FaultKind::kBurst:
        path.loss = 1;
        break;
      case FaultKind::kMtu:
        path.mtu_bytes = static_cast<std::uint32_t>(active.event.amount);
        break;
      default:
        path.direction = port::Direction::kCut;
        break;
    }
  }
  return path;
}

void World::set_paths() {
  const auto nodes = static_cast<std::uint32_t>(stage_.nodes.size());
  for (std::uint32_t from = 0; from < nodes; ++from)
    for (std::uint32_t to = 0; to < nodes; ++to) {
      if (from == to) continue;
      const port::SimPath path = path_between(from, to);
      for (std::uint32_t left = 0; left < options_.workers; ++left)
        for (std::uint32_t right = 0; right < options_.workers; ++right)
          network_.set_path(endpoint_of(from, left), endpoint_of(to, right), path);
    }
}

void World::do_faults() {
  if (!stage_.faults_on) return;
  while (next_fault_ < faults_.size() && start_ + faults_[next_fault_].at_ns <= stage_.now)
    begin(faults_[next_fault_++]);
  for (std::size_t at = 0; at < pending_.size();) {
    if (pending_[at].at > stage_.now) {
      ++at;
      continue;
    }
    const Pending pending = pending_[at];
    pending_.erase(pending_.begin() + static_cast<std::ptrdiff_t>(at));
    end_fault(pending);
  }
}

Program* World::some_server(std::uint32_t node) {
  std::vector<Program*> found;
  for (const auto& program : programs_)
    if (program->is_server() && !program->dead() && program->node().index == node)
      found.push_back(program.get());
  return found.empty() ? nullptr : found[stage_.random.below(found.size())];
}

void World::begin(const FaultEvent& event) {
  stage_.trace("fault %s", text_of(event).c_str());
  const TimeNs until = stage_.now + event.duration_ns;
  pending_.push_back({until, event.kind, event.a});
  if (is_of_paths(event.kind)) {
    active_.push_back({event, until});
    set_paths();
    if (event.kind == FaultKind::kCutOneWay || event.kind == FaultKind::kIsolate ||
        event.kind == FaultKind::kSplit)
      for (std::uint32_t from = 0; from < stage_.nodes.size(); ++from)
        for (std::uint32_t to = 0; to < stage_.nodes.size(); ++to)
          if (from != to && concerns(event, from, to)) control_.cut(from, to, until);
    return;
  }
  switch (event.kind) {
    case FaultKind::kControlReset:
      control_.reset_between(event.a, event.b, stage_.now);
      break;
    case FaultKind::kCrash:
      if (!stage_.nodes[event.a]->alive) break;
      stage_.engines_died = true;
      stage_.nodes[event.a]->crash();
      stage_.nodes[event.a]->restart_at = until;
      break;
    case FaultKind::kDrain:
      if (!stage_.nodes[event.a]->alive || stage_.nodes[event.a]->draining()) break;
      stage_.engines_died = true;
      stage_.nodes[event.a]->begin_drain();
      drain_until_[event.a] = stage_.now + kDrainLimitNs;
      drain_pause_[event.a] = event.duration_ns;
      break;
    case FaultKind::kPause:
      stage_.nodes[event.a]->pause_until(until);
      break;
    case FaultKind::kSlow:
      stage_.nodes[event.a]->set_slowness(event.amount);
      break;
    case FaultKind::kProgramCrash:
      if (Program* program = some_server(event.a)) program->die();
      break;
    case FaultKind::kProgramStop:
      if (Program* program = some_server(event.a)) program->stop_until(until);
      break;
    case FaultKind::kAway:
      for (auto& program : programs_)
        if (program->is_server() && program->node().index == event.a) program->leave();
      break;
    case FaultKind::kClientStop:
      clients_[event.a]->stop_until(until);
      break;
    case FaultKind::kClientCrash:
      clients_[event.a]->die();
      break;
    default:
      break;
  }
}

void World::end_fault(const Pending& pending) {
  if (is_of_paths(pending.kind)) {
    std::erase_if(active_, [&](const ActiveFault& active) { return active.until <= stage_.now; });
    set_paths();
  }
  if (pending.kind == FaultKind::kSlow) stage_.nodes[pending.node]->set_slowness(1);
  if (pending.kind == FaultKind::kProgramCrash)
    programs_.push_back(
        std::make_unique<Program>(stage_, *stage_.nodes[pending.node], Program::Role::kServer));
  if (pending.kind == FaultKind::kAway)
    for (auto& program : programs_)
      if (program->is_server() && !program->dead() && program->node().index == pending.node)
        program->come_back();
}

void World::heal() {
  stage_.trace("the world heals");
  if (options_.ends_before_heal && !all_ended())
    oracle_.violation(std::to_string(oracle_.open()) + " messages wait although there was a way");
  stage_.faults_on = false;
  next_fault_ = faults_.size();
  active_.clear();
  set_paths();
  control_.heal();
  for (const Pending& pending : pending_) end_fault(pending);
  pending_.clear();
  for (auto& node : stage_.nodes) {
    node->resume();
    node->set_slowness(1);
    if (!node->alive) node->restart_at = stage_.now;
  }
  for (auto& program : programs_) program->go_on();
  if (!options_.stuck_service) return;
  for (const Message& message : oracle_.of(0))
    if (!message.ended) return oracle_.violation("a stuck group holds up a healthy one");
  if (!clients_[0]->finished_sending()) oracle_.violation("a stuck group holds up a healthy one");
}

void World::start_engine(std::uint32_t node) {
  stage_.trace("engine %u starts", node);
  stage_.nodes[node]->start();
}

void World::watch_drains() {
  for (std::uint32_t at = 0; at < stage_.nodes.size(); ++at) {
    Node& node = *stage_.nodes[at];
    if (drain_until_[at] == 0 || (!node.drained() && stage_.now < drain_until_[at])) continue;
    if (node.alive) {
      if (node.drained()) {
        if (drain_until_[at] != kNeverNs) {  // one more turn: what does it say it still has?
          drain_until_[at] = kNeverNs;
          node.ask_snapshots();
          continue;
        }
        bool all = true;
        for (const auto& snapshot : node.snapshots()) {
          all = all && snapshot != nullptr;
          if (snapshot && snapshot->counters.in_flight_now != 0)
            oracle_.violation("an engine called itself drained with messages in flight");
        }
        if (!all) continue;
      }
      node.crash();
      node.restart_at = stage_.now + drain_pause_[at];
    }
    drain_until_[at] = 0;
  }
}

}  // namespace ringwire::sim
