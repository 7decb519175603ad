#include "ring/router.h"

#include <algorithm>

namespace ringwire::ring {
namespace {

bool excluded(const RouteContext& context, MemberIndex member) {
  return context.self_rule == SelfRule::kExclude && context.self == member;
}

bool add(const RouteContext& context, MemberIndex member, std::span<RouteTarget> targets,
         std::size_t& count) {
  if (excluded(context, member)) return true;
  if (count == targets.size()) return false;
  targets[count++] = RouteTarget{member, usable(context, member)};
  return true;
}

}  // namespace

bool usable(const RouteContext& context, MemberIndex member) {
  RW_DCHECK(context.health.size() == context.view.members.size());
  const MemberHealth& health = context.health[member];
  return context.view.members[member].state == MemberState::kServing &&
         health.liveness == Liveness::kUp && health.service == NodeService::kServing;
}

std::optional<MemberIndex> route_slot(const RouteContext& context, std::uint32_t slot) {
  for (const MemberIndex member : context.view.replicas_of(slot))
    if (!excluded(context, member) && usable(context, member)) return member;
  return std::nullopt;
}

std::size_t route_broadcast(const RouteContext& context, std::span<RouteTarget> targets) {
  std::size_t count = 0;
  for (std::size_t index = 0; index < context.view.members.size(); ++index)
    if (!add(context, static_cast<MemberIndex>(index), targets, count)) break;
  return count;
}

std::size_t route_replicas(const RouteContext& context, std::uint32_t slot,
                           std::span<RouteTarget> targets) {
  std::size_t count = 0;
  for (const MemberIndex member : context.view.replicas_of(slot))
    if (!add(context, member, targets, count)) break;
  return count;
}

std::optional<MemberIndex> Router::route_random(const RouteContext& context,
                                                std::span<const MemberIndex> tried) {
  const auto members_count = static_cast<std::uint32_t>(context.view.members.size());
  if (members_count == 0) return std::nullopt;
  if (cursor_ >= members_count) cursor_ %= members_count;  // only after a view shrank
  std::uint32_t index = cursor_;
  for (std::uint32_t looked = 0; looked < members_count; ++looked) {
    const auto member = static_cast<MemberIndex>(index);
    if (++index == members_count) index = 0;
    if (excluded(context, member) || !usable(context, member)) continue;
    if (std::find(tried.begin(), tried.end(), member) != tried.end()) continue;
    cursor_ = index;
    return member;
  }
  return std::nullopt;
}

}  // namespace ringwire::ring
