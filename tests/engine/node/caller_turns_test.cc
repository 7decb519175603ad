#include "engine/node/caller_turns.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <string>
#include <vector>

namespace ringwire::node {
namespace {

constexpr UserId kOne = 1;
constexpr UserId kTwo = 2;

class CallerTurnsTest : public testing::Test {
 public:
  void ask(UserId user, const std::string& name) {
    turns_.ask(user, [this, name] { served_.push_back(name); });
  }
  void ask_often(UserId user, const std::string& name, int count) {
    for (int at = 0; at < count; ++at) ask(user, name);
  }
  [[nodiscard]] std::size_t place_of(const std::string& name) const {
    return static_cast<std::size_t>(std::find(served_.begin(), served_.end(), name) -
                                    served_.begin());
  }

  boost::asio::io_context loop_{1};
  CallerTurns turns_{loop_};
  std::vector<std::string> served_;
};

TEST_F(CallerTurnsTest, a_user_waits_for_one_request_of_a_flood_of_another) {
  ask_often(kOne, "flood", 1'000);
  ask(kTwo, "calm");
  loop_.run();
  EXPECT_EQ(served_.size(), 1'001u);
  EXPECT_EQ(place_of("calm"), 1u);
}

TEST_F(CallerTurnsTest, callers_of_a_user_are_served_in_the_order_of_asking) {
  for (const char* name : {"a", "b", "c"}) ask(kOne, name);
  loop_.run();
  EXPECT_EQ(served_, (std::vector<std::string>{"a", "b", "c"}));
}

TEST_F(CallerTurnsTest, the_loop_sees_to_the_rest_after_each_round) {
  ask_often(kOne, "flood", 1'000);
  boost::asio::post(loop_, [this] { served_.emplace_back("heartbeat"); });
  loop_.run();
  EXPECT_EQ(place_of("heartbeat"), std::size_t{CallerTurns::kRequestsPerRound});
}

TEST_F(CallerTurnsTest, who_asks_again_when_served_leaves_room_for_the_rest) {
  int left = 1'000;
  CallerTurns::Serve again = [&] {
    served_.emplace_back("again");
    if (--left > 0) turns_.ask(kOne, again);
  };
  turns_.ask(kOne, again);
  boost::asio::post(loop_, [this] { served_.emplace_back("heartbeat"); });
  loop_.run();
  EXPECT_EQ(served_.size(), 1'001u);
  EXPECT_EQ(place_of("heartbeat"), std::size_t{CallerTurns::kRequestsPerRound});
}

TEST_F(CallerTurnsTest, a_user_with_too_much_at_work_waits_and_others_do_not) {
  std::vector<CallerTurns::AtWork> work;
  for (std::uint32_t count = 0; count < CallerTurns::kMostAtWork; ++count)
    work.push_back(turns_.start_work(kOne));
  ask(kOne, "waits");
  ask(kTwo, "goes on");
  loop_.run();
  EXPECT_EQ(served_, (std::vector<std::string>{"goes on"}));
  EXPECT_EQ(turns_.waited(), 1u);
  work.pop_back();
  loop_.restart();
  loop_.run();
  EXPECT_EQ(served_.back(), "waits");
}

TEST(CallerTurns, work_may_outlive_the_turns) {
  boost::asio::io_context loop{1};
  CallerTurns::AtWork work;
  {
    CallerTurns turns(loop);
    work = turns.start_work(kOne);
    EXPECT_EQ(work.use_count(), 1);
  }
  work.reset();
  EXPECT_EQ(work.use_count(), 0);
}

}  // namespace
}  // namespace ringwire::node
