// Names of services and their numbers, the same at all workers; "" is 0. A number is never taken
// back: an engine sees few names, and messages on their way hold the number. Ring manager only.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/node/user_shares.h"
#include "engine/node/workers.h"
#include "engine/worker/commands.h"

namespace ringwire::node {

class Services {
 public:
  /// Tells the workers of "". `users`: those that may attach.
  Services(Workers& workers, std::span<const UserId> users)
      : workers_(workers),
        shares_({worker::kMaxServices - 1, even_parts(users, worker::kMaxServices / 2)}) {
    put("");
  }

  /// The number of a name, new or known; nothing when worker::kMaxServices are known already, or
  /// the rest is kept for other users.
  std::optional<std::uint16_t> add(std::string_view name, UserId user) {
    for (std::size_t number = 0; number < names_.size(); ++number)
      if (names_[number] == name) return static_cast<std::uint16_t>(number);
    if (!shares_.try_take(user, 1)) return std::nullopt;
    return put(name);
  }
  [[nodiscard]] std::size_t count() const { return names_.size(); }
  [[nodiscard]] const std::string& name(std::uint16_t number) const { return names_[number]; }

 private:
  std::uint16_t put(std::string_view name) {
    const auto number = static_cast<std::uint16_t>(names_.size());
    names_.emplace_back(name);
    workers_.send_all(worker::AddService{number, names_.back()});
    return number;
  }

  Workers& workers_;
  std::vector<std::string> names_;
  UserShares shares_;
};

}  // namespace ringwire::node
