#include "engine/worker/quarantine.h"

#include <algorithm>

namespace ringwire::worker {

void Quarantine::lend(ChannelIndex channel, std::uint64_t token) {
  auto& readers = lent_[token].readers;
  // Stopped a second time with the same message: one release is still owed for each delivery.
  readers.push_back(channel);
}

bool Quarantine::keep(std::uint64_t token, const HeldMemory& memory) {
  const auto at = lent_.find(token);
  if (at == lent_.end()) return false;
  at->second.kept.push_back(memory);
  return true;
}

bool Quarantine::come_back(ChannelIndex channel, std::uint64_t token) {
  const auto at = lent_.find(token);
  if (at == lent_.end()) return false;
  auto& readers = at->second.readers;
  const auto reader = std::find(readers.begin(), readers.end(), channel);
  if (reader == readers.end()) return false;
  readers.erase(reader);
  free_if_unread(at);
  return true;
}

void Quarantine::forget(ChannelIndex channel) {
  for (auto at = lent_.begin(); at != lent_.end();) {
    const auto here = at++;
    std::erase(here->second.readers, channel);
    free_if_unread(here);
  }
}

void Quarantine::free_if_unread(std::unordered_map<std::uint64_t, Lent>::iterator at) {
  if (!at->second.readers.empty()) return;
  const std::vector<HeldMemory> kept = std::move(at->second.kept);
  lent_.erase(at);
  for (const HeldMemory& memory : kept) give_back_(memory);
}

}  // namespace ringwire::worker
