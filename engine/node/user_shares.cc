#include "engine/node/user_shares.h"

#include <utility>

#include "base/check.h"

namespace ringwire::node {

std::map<UserId, std::uint64_t> even_parts(std::span<const UserId> users, std::uint64_t kept) {
  std::map<UserId, std::uint64_t> parts;
  for (const UserId user : users) parts[user] = 0;  // one that is named twice counts once
  for (auto& [user, part] : parts) part = kept / parts.size();
  return parts;
}

UserShares::UserShares(Options options) : options_(std::move(options)) {
  std::uint64_t kept = 0;
  for (const auto& [user, part] : options_.kept) kept += part;
  RW_CHECK(kept <= options_.capacity);
  common_ = options_.capacity - kept;
}

bool UserShares::has_room(UserId user, std::uint64_t amount) const {
  const std::uint64_t has = used(user);
  if (has > options_.capacity || amount > options_.capacity - has) return false;
  const std::uint64_t more = beyond(user, has + amount) - beyond(user, has);
  return more == 0 || (common_used_ <= common_ && more <= common_ - common_used_);
}

bool UserShares::try_take(UserId user, std::uint64_t amount) {
  if (!has_room(user, amount)) return false;
  force_take(user, amount);
  return true;
}

void UserShares::force_take(UserId user, std::uint64_t amount) {
  const std::uint64_t has = used(user);
  common_used_ += beyond(user, has + amount) - beyond(user, has);
  used_[user] = has + amount;
}

void UserShares::give_back(UserId user, std::uint64_t amount) {
  const std::uint64_t has = used(user);
  RW_CHECK(amount <= has);
  common_used_ -= beyond(user, has) - beyond(user, has - amount);
  if (has == amount)
    used_.erase(user);  // users come and go: only those that have something are remembered
  else
    used_[user] = has - amount;
}

std::uint64_t UserShares::used(UserId user) const {
  const auto found = used_.find(user);
  return found == used_.end() ? 0 : found->second;
}

std::uint64_t UserShares::beyond(UserId user, std::uint64_t amount) const {
  const std::uint64_t own = part(user);
  return amount > own ? amount - own : 0;
}

std::uint64_t UserShares::part(UserId user) const {
  const auto found = options_.kept.find(user);
  return found == options_.kept.end() ? 0 : found->second;
}

}  // namespace ringwire::node
