// What stopped programs may still be reading. A program that is stopped (SIGSTOP, a debugger) for
// longer than `hold` keeps its messages no longer: they go to others. When it runs again it goes on
// reading where it was, so the memory of those messages is not used again before it has released
// them, late, or is gone. Worker; cold but for empty().
#pragma once

#include <cstdint>
#include <functional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "engine/worker/commands.h"
#include "engine/worker/index_pool.h"
#include "ipc/extent_pool.h"

namespace ringwire::worker {

/// Where a message's payload is.
struct HeldMemory {
  DomainIndex domain = 0;  ///< whose pool the extent is of
  ipc::Extent extent;
  std::uint32_t lender = kNone;  ///< else the OutMessage whose program lent it
};

class Quarantine {
 public:
  using GiveBack = std::function<void(const HeldMemory&)>;
  /// `give_back`: called with memory that nobody reads any more.
  explicit Quarantine(GiveBack give_back) : give_back_(std::move(give_back)) {}

  /// The program of `channel` may read the message of this delivery token until it comes back.
  void lend(ChannelIndex channel, std::uint64_t token);
  /// The message needs this memory no more. True: it stays here as long as somebody may read it.
  bool keep(std::uint64_t token, const HeldMemory& memory);
  /// A release: true if it is a late one, of what was lent.
  bool come_back(ChannelIndex channel, std::uint64_t token);
  /// The program is gone.
  void forget(ChannelIndex channel);
  [[nodiscard]] bool empty() const { return lent_.empty(); }

 private:
  struct Lent {
    std::vector<ChannelIndex> readers;
    std::vector<HeldMemory> kept;
  };
  void free_if_unread(std::unordered_map<std::uint64_t, Lent>::iterator at);

  GiveBack give_back_;
  std::unordered_map<std::uint64_t, Lent> lent_;  // by token
};

}  // namespace ringwire::worker
