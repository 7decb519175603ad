#include "engine/control/arbiter.h"

#include <gtest/gtest.h>

namespace ringwire::control {
namespace {

using Kind = Decision::Kind;
using Decisions = std::vector<Decision>;

constexpr Id128 kOwn{10, 0};
constexpr Id128 kBigger{20, 0};  // towards it we are the chooser
constexpr Id128 kSmaller{5, 0};  // towards it we are not
constexpr Id128 kOther{30, 0};

Decisions accept(ConnectionNumber connection) { return {{Kind::kAccept, connection}}; }
Decisions refuse(ConnectionNumber connection, RefuseReason reason) {
  return {{Kind::kRefuse, connection, reason}};
}
Decisions challenge(ConnectionNumber connection) { return {{Kind::kChallenge, connection}}; }

TEST(Arbiter, accepts_the_first_connection_of_each_name) {
  Arbiter arbiter(kOwn);
  EXPECT_EQ(arbiter.on_hello(0, 1, "b", kBigger), accept(1));
  EXPECT_EQ(arbiter.on_hello(0, 2, "c", kSmaller), accept(2));
  EXPECT_EQ(arbiter.nodes_count(), 2U);
  EXPECT_EQ(arbiter.next_deadline_ns(), kNeverNs);
}

TEST(Arbiter, the_chooser_keeps_a_connection_that_answers) {
  Arbiter arbiter(kOwn);
  EXPECT_EQ(arbiter.on_hello(0, 1, "b", kBigger), accept(1));
  EXPECT_EQ(arbiter.on_hello(5, 2, "b", kBigger), challenge(1));
  EXPECT_EQ(arbiter.next_deadline_ns(), 5 + kChallengeNs);
  EXPECT_EQ(arbiter.on_challenge_answered(1), refuse(2, RefuseReason::kDuplicateConnection));
  EXPECT_EQ(arbiter.on_timer(kNeverNs), Decisions{});
}

TEST(Arbiter, a_connection_that_does_not_answer_is_superseded) {
  Arbiter arbiter(kOwn);
  (void)arbiter.on_hello(0, 1, "b", kBigger);
  (void)arbiter.on_hello(0, 2, "b", kBigger);
  EXPECT_EQ(arbiter.on_timer(kChallengeNs - 1), Decisions{});
  EXPECT_EQ(arbiter.on_timer(kChallengeNs), (Decisions{{Kind::kClose, 1}, {Kind::kAccept, 2}}));
  EXPECT_EQ(arbiter.on_ended(1), Decisions{});
  EXPECT_EQ(arbiter.on_challenge_answered(1), Decisions{});  // too late
  EXPECT_EQ(arbiter.nodes_count(), 1U);
}

TEST(Arbiter, a_second_engine_of_one_name_gets_in_only_past_a_dead_one) {
  for (const Id128 old_one : {kBigger, kSmaller}) {
    Arbiter arbiter(kOwn);
    (void)arbiter.on_hello(0, 1, "b", old_one);
    EXPECT_EQ(arbiter.on_hello(0, 2, "b", kOther), challenge(1));
    EXPECT_EQ(arbiter.on_challenge_answered(1), refuse(2, RefuseReason::kNameInUse));
    EXPECT_EQ(arbiter.on_hello(1, 3, "b", kOther), challenge(1));
    EXPECT_EQ(arbiter.on_hello(2, 4, "b", kOther), refuse(4, RefuseReason::kNameInUse));
    EXPECT_EQ(arbiter.on_ended(1), accept(3));  // it died meanwhile
    EXPECT_EQ(arbiter.on_timer(kNeverNs), Decisions{});
  }
}

TEST(Arbiter, who_is_not_the_chooser_accepts_both_and_follows) {
  Arbiter arbiter(kOwn);
  EXPECT_EQ(arbiter.on_hello(0, 1, "b", kSmaller), accept(1));
  EXPECT_EQ(arbiter.on_hello(0, 2, "b", kSmaller), accept(2));
  EXPECT_EQ(arbiter.on_established(1), Decisions{});
  EXPECT_EQ(arbiter.on_established(2), (Decisions{{Kind::kClose, 1}}));
  EXPECT_EQ(arbiter.on_ended(2), Decisions{});
  EXPECT_EQ(arbiter.nodes_count(), 0U);
}

TEST(Arbiter, a_waiting_newcomer_that_gives_up_leaves_no_trace) {
  Arbiter arbiter(kOwn);
  (void)arbiter.on_hello(0, 1, "b", kBigger);
  (void)arbiter.on_hello(0, 2, "b", kOther);
  EXPECT_EQ(arbiter.on_ended(2), Decisions{});
  EXPECT_EQ(arbiter.next_deadline_ns(), kNeverNs);
  EXPECT_EQ(arbiter.on_challenge_answered(1), Decisions{});
  EXPECT_EQ(arbiter.on_ended(1), Decisions{});
  EXPECT_EQ(arbiter.on_hello(0, 3, "b", kOther), accept(3));
}

TEST(Arbiter, refuses_more_nodes_than_its_limit_and_everybody_when_draining) {
  Arbiter arbiter(kOwn, 2);
  (void)arbiter.on_hello(0, 1, "b", kBigger);
  (void)arbiter.on_hello(0, 2, "c", kBigger);
  EXPECT_EQ(arbiter.on_hello(0, 3, "d", kBigger), refuse(3, RefuseReason::kTooManyNodes));
  EXPECT_EQ(arbiter.on_ended(2), Decisions{});
  EXPECT_EQ(arbiter.on_hello(0, 4, "d", kBigger), accept(4));
  arbiter.drain();
  EXPECT_EQ(arbiter.on_ended(4), Decisions{});
  EXPECT_EQ(arbiter.on_hello(0, 5, "e", kBigger), refuse(5, RefuseReason::kDraining));
}

TEST(Arbiter, unknown_connections_change_nothing) {
  Arbiter arbiter(kOwn);
  EXPECT_EQ(arbiter.on_established(9), Decisions{});
  EXPECT_EQ(arbiter.on_ended(9), Decisions{});
  EXPECT_EQ(arbiter.on_challenge_answered(9), Decisions{});
}

}  // namespace
}  // namespace ringwire::control
