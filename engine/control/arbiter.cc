#include "engine/control/arbiter.h"

#include <algorithm>

#include "base/mutant.h"

namespace ringwire::control {

using Kind = Decision::Kind;

std::vector<Decision> Arbiter::on_hello(TimeNs now, ConnectionNumber connection,
                                        std::string_view node_name, const Id128& incarnation) {
  const auto refuse = [&](RefuseReason reason) {
    return std::vector<Decision>{{Kind::kRefuse, connection, reason}};
  };
  if (is_draining_) return refuse(RefuseReason::kDraining);
  const auto at = names_.find(node_name);
  if (at == names_.end()) {
    if (names_.size() >= max_nodes_) return refuse(RefuseReason::kTooManyNodes);
    names_[std::string(node_name)].used.push_back({connection, incarnation});
    return {{Kind::kAccept, connection}};
  }
  Name& name = at->second;
  const bool is_chooser = own_incarnation_ < incarnation;
  const RefuseReason reason = reason_against(name, incarnation);
  if (reason == RefuseReason::kDuplicateConnection && !is_chooser && !name.waiting) {
    name.used.push_back({connection, incarnation});
    return {{Kind::kAccept, connection}};
  }
  if (name.waiting) return refuse(reason);
  name.waiting = Waiting{connection, incarnation, now + kChallengeNs};
  std::vector<Decision> decisions;
  for (const Used& used : name.used) decisions.push_back({Kind::kChallenge, used.connection});
  return decisions;
}

std::vector<Decision> Arbiter::on_established(ConnectionNumber connection) {
  std::vector<Decision> decisions;
  const auto at = find_used(connection);
  if (at == names_.end()) return decisions;
  // The chooser moved on to another connection, so it has given the older one up.
  std::erase_if(at->second.used, [&](const Used& used) {
    if (used.connection == connection || !used.is_established || RW_MUTANT(120)) return false;
    decisions.push_back({Kind::kClose, used.connection});
    return true;
  });
  for (Used& used : at->second.used)
    if (used.connection == connection) used.is_established = true;
  return decisions;
}

std::vector<Decision> Arbiter::on_challenge_answered(ConnectionNumber connection) {
  const auto at = find_used(connection);
  if (at == names_.end() || !at->second.waiting) return {};
  const Waiting waiting = *at->second.waiting;
  at->second.waiting.reset();
  return {{Kind::kRefuse, waiting.connection, reason_against(at->second, waiting.incarnation)}};
}

std::vector<Decision> Arbiter::on_ended(ConnectionNumber connection) {
  for (auto at = names_.begin(); at != names_.end(); ++at) {
    Name& name = at->second;
    if (name.waiting && name.waiting->connection == connection) {
      name.waiting.reset();
      return {};
    }
    if (std::erase_if(name.used, [&](const Used& used) { return used.connection == connection; }) ==
        0)
      continue;
    if (!name.used.empty()) return {};
    if (name.waiting) return {promote(name)};
    names_.erase(at);
    return {};
  }
  return {};
}

std::vector<Decision> Arbiter::on_timer(TimeNs now) {
  std::vector<Decision> decisions;
  for (auto& [text, name] : names_) {
    if (!name.waiting || name.waiting->deadline > now) continue;
    for (const Used& used : name.used) decisions.push_back({Kind::kClose, used.connection});
    name.used.clear();
    decisions.push_back(promote(name));
  }
  return decisions;
}

TimeNs Arbiter::next_deadline_ns() const {
  TimeNs deadline = kNeverNs;
  for (const auto& [text, name] : names_)
    if (name.waiting) deadline = std::min(deadline, name.waiting->deadline);
  return deadline;
}

Arbiter::Names::iterator Arbiter::find_used(ConnectionNumber connection) {
  return std::find_if(names_.begin(), names_.end(), [&](const auto& entry) {
    return std::any_of(entry.second.used.begin(), entry.second.used.end(),
                       [&](const Used& used) { return used.connection == connection; });
  });
}

Decision Arbiter::promote(Name& name) {
  const Waiting waiting = *name.waiting;
  name.waiting.reset();
  name.used.push_back({waiting.connection, waiting.incarnation});
  return {Kind::kAccept, waiting.connection};
}

RefuseReason Arbiter::reason_against(const Name& name, const Id128& incarnation) {
  return name.used.front().incarnation == incarnation ? RefuseReason::kDuplicateConnection
                                                      : RefuseReason::kNameInUse;
}

}  // namespace ringwire::control
