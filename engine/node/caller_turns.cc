#include "engine/node/caller_turns.h"

#include <boost/asio/post.hpp>
#include <utility>

namespace ringwire::node {

struct CallerTurns::State : std::enable_shared_from_this<CallerTurns::State> {
  explicit State(boost::asio::io_context& loop) : manager(loop) {}

  struct User {
    std::deque<Serve> waiting;
    std::uint32_t at_work = 0;
    bool queued = false;  ///< stands in `order`
  };

  void queue(UserId id, User& user) {
    if (user.queued || user.waiting.empty() || user.at_work >= kMostAtWork) return;
    user.queued = true;
    order.push_back(id);
    if (std::exchange(round_asked, true)) return;
    boost::asio::post(manager, [weak = weak_from_this()] {
      if (const auto self = weak.lock()) self->round();
    });
  }

  void round() {
    for (int count = 0; count < kRequestsPerRound && !order.empty(); ++count) {
      const UserId id = order.front();
      order.pop_front();
      User& user = users[id];
      user.queued = false;
      const Serve serve = std::move(user.waiting.front());
      user.waiting.pop_front();
      serve();  // may ask again, for itself
      settle(id);
    }
    round_asked = false;
    if (order.empty()) return;
    round_asked = true;
    boost::asio::post(manager, [weak = weak_from_this()] {
      if (const auto self = weak.lock()) self->round();
    });
  }

  void settle(UserId id) {
    const auto found = users.find(id);
    if (found == users.end()) return;
    queue(id, found->second);
    if (found->second.waiting.empty() && found->second.at_work == 0) users.erase(found);
  }

  boost::asio::io_context& manager;
  std::map<UserId, User> users;  ///< those that have something here
  std::deque<UserId> order;      ///< each at most once
  bool round_asked = false;
  std::uint64_t waited = 0;
};

CallerTurns::CallerTurns(boost::asio::io_context& manager)
    : state_(std::make_shared<State>(manager)) {}

CallerTurns::~CallerTurns() = default;

void CallerTurns::ask(UserId user, Serve serve) {
  State::User& of_user = state_->users[user];
  of_user.waiting.push_back(std::move(serve));
  if (of_user.at_work >= kMostAtWork) ++state_->waited;
  state_->queue(user, of_user);
}

CallerTurns::AtWork CallerTurns::start_work(UserId user) {
  ++state_->users[user].at_work;
  // The state itself is what is held; who lets go of it last only counts.
  return {nullptr, [weak = std::weak_ptr(state_), user](void*) {
            const auto state = weak.lock();
            if (state == nullptr) return;
            --state->users[user].at_work;
            state->settle(user);
          }};
}

std::uint64_t CallerTurns::waited() const { return state_->waited; }

}  // namespace ringwire::node
