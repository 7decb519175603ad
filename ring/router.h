// Which member gets a message: a pure choice from a view, what this node sees of each member, and
// what was tried already. Hot; no allocation; one Router per worker (its only state is the
// round-robin cursor).
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "ring/detector.h"
#include "ring/view.h"

namespace ringwire::ring {

/// What a node says of itself.
enum class NodeService : std::uint8_t { kServing, kSuspended };

/// What this node sees of one member; indexed like View::members. Our own entry is kUp.
struct MemberHealth {
  Liveness liveness = Liveness::kDead;
  NodeService service = NodeService::kServing;
};

enum class SelfRule : std::uint8_t { kInclude, kExclude };

struct RouteContext {
  const View& view;
  std::span<const MemberHealth> health;  ///< one per member
  std::optional<MemberIndex> self;       ///< empty on a slave
  SelfRule self_rule = SelfRule::kInclude;
};

/// One target of a multi-target send. One that is not usable ends as failed(down) at once.
struct RouteTarget {
  MemberIndex member = 0;
  bool usable = false;
};

/// True when messages may be sent to this member now.
[[nodiscard]] bool usable(const RouteContext& context, MemberIndex member);

/// The first replica of the slot that is usable, or none. Empty for a random cluster.
[[nodiscard]] std::optional<MemberIndex> route_slot(const RouteContext& context,
                                                    std::uint32_t slot);

/// All members. Returns how many were written to `targets`; room for kMaxMembers is always enough.
std::size_t route_broadcast(const RouteContext& context, std::span<RouteTarget> targets);

/// All replicas of the slot, the owner first. Returns how many were written.
std::size_t route_replicas(const RouteContext& context, std::uint32_t slot,
                           std::span<RouteTarget> targets);

class Router {
 public:
  /// `seed` sets the first member, so that the workers of a cluster do not march in step.
  explicit Router(std::uint32_t seed = 0) : cursor_(seed) {}

  /// The next usable member in turn that is not among `tried`; none when there is no such member.
  /// O(members x tried).
  [[nodiscard]] std::optional<MemberIndex> route_random(const RouteContext& context,
                                                        std::span<const MemberIndex> tried);

 private:
  std::uint32_t cursor_;
};

}  // namespace ringwire::ring
