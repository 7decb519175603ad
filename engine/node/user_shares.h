// How much of one countable thing each user has and may have. Some of it is kept for users that are
// known beforehand, each its own part; the rest is for whoever comes first. So one user's programs
// cannot take what another's need to begin with (docs/operations.md, "Quotas"). Knows not what it
// counts. Ring manager only; cold.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <vector>

namespace ringwire::node {

using UserId = std::uint32_t;

/// What is kept for each of `users` when they share `whole`: their even part of `kept`.
[[nodiscard]] std::map<UserId, std::uint64_t> even_parts(std::span<const UserId> users,
                                                         std::uint64_t kept);

class UserShares {
 public:
  struct Options {
    std::uint64_t capacity = 0;
    /// By user; the sum is at most the capacity. Others have only what nobody has a right to.
    std::map<UserId, std::uint64_t> kept;
  };

  UserShares() = default;
  explicit UserShares(Options options);

  /// Whether try_take would take it.
  [[nodiscard]] bool has_room(UserId user, std::uint64_t amount) const;
  /// False, and nothing taken, when it would touch what is kept for others.
  [[nodiscard]] bool try_take(UserId user, std::uint64_t amount);
  /// Taken although it may be too much: others go without what it has beyond its right.
  void force_take(UserId user, std::uint64_t amount);
  /// Not more than it has.
  void give_back(UserId user, std::uint64_t amount);

  [[nodiscard]] std::uint64_t used(UserId user) const;
  [[nodiscard]] std::uint64_t capacity() const { return options_.capacity; }
  /// What it could take if nobody had anything.
  [[nodiscard]] std::uint64_t most(UserId user) const { return common_ + part(user); }

 private:
  [[nodiscard]] std::uint64_t part(UserId user) const;
  /// Of `amount` that a user has, what is beyond its own part.
  [[nodiscard]] std::uint64_t beyond(UserId user, std::uint64_t amount) const;

  Options options_;
  std::uint64_t common_ = 0;       ///< what is kept for nobody
  std::uint64_t common_used_ = 0;  ///< more than that only by force
  std::map<UserId, std::uint64_t> used_;
};

}  // namespace ringwire::node
