// Whose request at the attach socket is served next: a few of all callers, then the ring manager
// looks after everything else; among the callers one request per user in turn, among a user's
// callers one each in turn. A caller whose request went to another thread has no turn until that is
// done, and a user none while it has kMostAtWork such requests. So a flood of requests costs its
// own user time, others at most one request of each user per request of theirs, and heartbeats at
// most one round (docs/operations.md, "Quotas"). Ring manager only; cold.
#pragma once

#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>

#include "engine/node/user_shares.h"

namespace ringwire::node {

class CallerTurns {
 public:
  /// Requests served before the loop sees to the rest: about 0.3 ms of the dearer ones.
  static constexpr int kRequestsPerRound = 16;
  /// Requests of one user on other threads: enough to keep the one such thread busy.
  static constexpr std::uint32_t kMostAtWork = 4;

  /// Serves one request of a caller, if it is still there. It asks for its next turn itself.
  using Serve = std::function<void()>;
  /// A request at work on another thread: until its last copy is gone.
  using AtWork = std::shared_ptr<void>;

  explicit CallerTurns(boost::asio::io_context& manager);
  ~CallerTurns();
  CallerTurns(const CallerTurns&) = delete;
  CallerTurns& operator=(const CallerTurns&) = delete;

  /// A caller of this user has something to say: `serve` is called once, from the loop.
  void ask(UserId user, Serve serve);
  [[nodiscard]] AtWork start_work(UserId user);

  /// Requests that found their user with too much at work, and waited.
  [[nodiscard]] std::uint64_t waited() const;

 private:
  struct State;
  std::shared_ptr<State> state_;  ///< work that outlives this object finds it gone
};

}  // namespace ringwire::node
