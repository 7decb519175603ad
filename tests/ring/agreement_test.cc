#include "ring/agreement.h"

#include <gtest/gtest.h>

#include <functional>
#include <vector>

#include "tests/ring/agreement_nodes.h"

namespace ringwire::ring {
namespace {

// M-10: a commit is the votes of a majority.
TEST(Agreement, commits_what_a_majority_votes_for) {
  Nodes nodes(3);
  const Decree wish = decree(2, nodes.founders);
  ASSERT_TRUE(nodes.at(1).propose(0, wish).ok());
  nodes.run(only({1, 2}));
  EXPECT_EQ(nodes.at(1).epoch(), 2U);
  EXPECT_EQ(nodes.at(2).decree(), wish);
  EXPECT_EQ(nodes.at(3).epoch(), 1U);
  EXPECT_EQ(nodes.at(1).take_ending(), ProposalEnding::kCommitted);
  EXPECT_EQ(nodes.at(1).take_ending(), std::nullopt);
}

TEST(Agreement, a_minority_commits_nothing) {
  Nodes nodes(4);
  ASSERT_TRUE(nodes.at(1).propose(0, decree(2, nodes.founders)).ok());
  for (int i = 0; i < 10; ++i) {
    nodes.run(only({1, 2}));
    nodes.wait(400 * kMs);
  }
  EXPECT_EQ(nodes.at(1).epoch(), 1U);
  EXPECT_EQ(nodes.at(1).take_ending(), std::nullopt);
}

TEST(Agreement, one_voter_is_its_own_majority) {
  Nodes nodes(1);
  ASSERT_TRUE(nodes.at(1).propose(0, decree(2, nodes.founders)).ok());
  nodes.run();
  EXPECT_EQ(nodes.at(1).epoch(), 2U);
}

// M-13: what it writes can be read again, whatever its peers have named.
TEST(Agreement, begins_no_round_behind_the_last) {
  Nodes nodes(3);
  Message prepare{.kind = MessageKind::kPrepare,
                  .cluster = kCluster,
                  .from = id(2),
                  .to = id(1),
                  .epoch = 2,
                  .ballot = {.round = kMaxRound - 1, .proposer = id(2)},
                  .other = {},
                  .decree = {}};
  EXPECT_EQ(nodes.at(1).on_message(0, prepare), Intake::kTaken);
  nodes.at(1).prepare(0);
  ASSERT_TRUE(nodes.at(1).propose(0, decree(2, nodes.founders)).ok());
  nodes.run();
  EXPECT_EQ(nodes.disk(1).promised, prepare.ballot);
  EXPECT_EQ(nodes.at(1).next_deadline_ns(), kNeverNs);
}

TEST(Agreement, begins_no_round_for_an_epoch_behind_the_last) {
  Nodes nodes(2);
  const Message learn{.kind = MessageKind::kLearn,
                      .cluster = kCluster,
                      .from = id(2),
                      .to = id(1),
                      .epoch = kMaxEpoch - 1,
                      .ballot = {},
                      .other = {},
                      .decree = decree(2, nodes.founders)};
  EXPECT_EQ(nodes.at(1).on_message(0, learn), Intake::kTaken);
  nodes.flush();
  nodes.at(1).prepare(0);
  nodes.flush();
  EXPECT_TRUE(nodes.wire.empty());
  EXPECT_EQ(nodes.disk(1).epoch, kMaxEpoch - 1);
}

// M-12: with promises in advance a commit is one round trip: accept there, accepted back.
TEST(Agreement, a_prepared_proposer_needs_one_round_trip) {
  Nodes nodes(3);
  nodes.at(1).prepare(0);
  nodes.run();
  ASSERT_TRUE(nodes.at(1).is_prepared());
  for (int tag = 2; tag < 5; ++tag) {
    ASSERT_TRUE(nodes.at(1).propose(nodes.now, decree(tag, nodes.founders)).ok());
    nodes.flush();
    ASSERT_EQ(nodes.wire.size(), 2U);
    EXPECT_EQ(nodes.wire[0].kind, MessageKind::kAccept);
    nodes.run();
    EXPECT_EQ(nodes.at(1).epoch(), static_cast<std::uint64_t>(tag));
    EXPECT_TRUE(nodes.at(1).is_prepared());
    EXPECT_EQ(nodes.at(1).take_ending(), ProposalEnding::kCommitted);
  }
}

// M-11: majorities of the voters of e and of e + 1.
TEST(Agreement, new_voters_must_agree_too) {
  Nodes nodes(3, 2);
  const Decree wish = decree(2, {id(1), id(4), id(5)});
  ASSERT_TRUE(nodes.at(1).propose(0, wish).ok());
  nodes.run(only({1, 2, 3}));
  EXPECT_EQ(nodes.at(1).epoch(), 1U);
  EXPECT_FALSE(nodes.at(2).has_open_vote()) << "a vote before the new voters are in reach";
  nodes.wait(400 * kMs);
  nodes.run(only({1, 4, 5}));
  EXPECT_EQ(nodes.at(1).epoch(), 1U) << "the new voters alone";
  nodes.settle(2);
  EXPECT_EQ(nodes.at(5).decree(), wish);
}

TEST(Agreement, old_voters_must_agree_too) {
  Nodes nodes(3, 2);
  nodes.at(1).prepare(0);
  nodes.run();
  ASSERT_TRUE(nodes.at(1).propose(0, decree(2, {id(1), id(4), id(5)})).ok());
  nodes.run([](const Message& message) {
    return message.kind != MessageKind::kAccept || message.to >= id(4);
  });
  EXPECT_EQ(nodes.at(1).epoch(), 1U);
  EXPECT_TRUE(nodes.at(4).has_open_vote());
}

// M-10: what may have been chosen is finished by whoever comes next.
TEST(Agreement, an_unfinished_decree_is_finished_by_another_proposer) {
  Nodes nodes(3);
  const Decree first = decree(2, nodes.founders);
  ASSERT_TRUE(nodes.at(1).propose(0, first).ok());
  nodes.run(without(MessageKind::kAccepted));  // voted for everywhere, but nobody knows
  nodes.nodes.erase(id(1));
  ASSERT_TRUE(nodes.at(2).propose(0, decree(3, nodes.founders)).ok());
  nodes.settle(2);
  EXPECT_EQ(nodes.at(3).decree(), first);
  EXPECT_EQ(nodes.at(2).take_ending(), ProposalEnding::kSuperseded);
}

TEST(Agreement, prepare_alone_finishes_an_open_vote) {
  Nodes nodes(3);
  const Decree first = decree(2, nodes.founders);
  ASSERT_TRUE(nodes.at(1).propose(0, first).ok());
  nodes.run(without(MessageKind::kAccepted));
  nodes.nodes.erase(id(1));
  ASSERT_TRUE(nodes.at(3).has_open_vote());
  nodes.at(3).prepare(0);
  nodes.settle(2);
  EXPECT_EQ(nodes.at(2).decree(), first);
  EXPECT_FALSE(nodes.at(3).has_open_vote());
}

TEST(Agreement, a_newer_ballot_silences_an_older_one) {
  Nodes nodes(3);
  ASSERT_TRUE(nodes.at(1).propose(0, decree(2, nodes.founders)).ok());
  nodes.run(without(MessageKind::kAccept));
  ASSERT_TRUE(nodes.at(2).propose(0, decree(3, nodes.founders)).ok());
  nodes.run(only({2, 3}));
  EXPECT_EQ(nodes.at(3).decree(), decree(3, nodes.founders));
  nodes.settle(2);
  EXPECT_EQ(nodes.at(1).decree(), decree(3, nodes.founders));
  EXPECT_EQ(nodes.at(1).take_ending(), ProposalEnding::kSuperseded);
}

// M-18
TEST(Agreement, two_proposers_at_once_end_with_one_decree) {
  Nodes nodes(5);
  for (std::uint64_t i = 1; i <= 5; ++i)
    ASSERT_TRUE(nodes.at(i).propose(0, decree(static_cast<int>(i + 1), nodes.founders)).ok());
  nodes.settle(2);
  int committed = 0;
  for (std::uint64_t i = 1; i <= 5; ++i) {
    EXPECT_EQ(nodes.at(i).decree(), nodes.at(1).decree());
    committed += nodes.at(i).take_ending() == ProposalEnding::kCommitted ? 1 : 0;
  }
  EXPECT_EQ(committed, 1);
}

// M-13: nothing leaves before the record that it rests on is durable.
TEST(Agreement, says_nothing_before_it_is_durable) {
  Nodes nodes(3);
  nodes.disk_works[id(1)] = false;
  ASSERT_TRUE(nodes.at(1).propose(0, decree(2, nodes.founders)).ok());
  nodes.flush();
  EXPECT_TRUE(nodes.wire.empty()) << "a ballot leaves only after our own promise";
  nodes.disk_works[id(1)] = true;
  nodes.disk_works[id(2)] = false;
  nodes.nodes.erase(id(3));
  nodes.run();
  EXPECT_EQ(nodes.at(1).epoch(), 1U);
  const auto record = nodes.at(2).take_record();
  ASSERT_TRUE(record.has_value());
  EXPECT_FALSE(nodes.at(2).take_record().has_value()) << "one write at a time";
  EXPECT_TRUE(nodes.at(2).take_messages().empty());
  nodes.at(2).on_write_failed();
  const auto again = nodes.at(2).take_record();
  ASSERT_TRUE(again.has_value());
  nodes.at(2).on_durable(0, again->version);
  const auto messages = nodes.at(2).take_messages();
  ASSERT_EQ(messages.size(), 1U);
  EXPECT_EQ(messages[0].kind, MessageKind::kPromise);
}

// M-13: our own vote is no better than another's.
TEST(Agreement, a_vote_of_its_own_counts_once_durable) {
  Nodes nodes(3);
  ASSERT_TRUE(nodes.at(1).propose(0, decree(2, nodes.founders)).ok());
  nodes.run(without(MessageKind::kAccept));
  nodes.disk_works[id(1)] = false;
  nodes.wait(400 * kMs);
  nodes.run(only({1, 2}));
  EXPECT_EQ(nodes.disk(2).accepted_decree, decree(2, nodes.founders));
  EXPECT_EQ(nodes.disk(2).epoch, 1U);
  EXPECT_EQ(nodes.at(1).epoch(), 1U);
}

// M-15: and is acted on only then.
TEST(Agreement, a_committed_view_is_shown_once_durable) {
  Nodes nodes(3);
  ASSERT_TRUE(nodes.at(1).propose(0, decree(2, nodes.founders)).ok());
  nodes.run(without(MessageKind::kLearn));
  nodes.disk_works[id(3)] = false;
  nodes.at(3).on_message(0, {.kind = MessageKind::kLearn,
                             .cluster = kCluster,
                             .from = id(1),
                             .to = id(3),
                             .epoch = 2,
                             .ballot = {},
                             .other = {},
                             .decree = decree(2, nodes.founders)});
  EXPECT_EQ(nodes.at(3).epoch(), 1U);
  EXPECT_EQ(nodes.at(3).propose(0, decree(3, nodes.founders)).error(), ProposeError::kBehind);
  EXPECT_FALSE(nodes.at(3).may_grant_under(1)) << "it knows better already";
  EXPECT_FALSE(nodes.at(3).may_grant_under(2));
  nodes.disk_works[id(3)] = true;
  nodes.flush();
  EXPECT_EQ(nodes.at(3).epoch(), 2U);
  EXPECT_TRUE(nodes.at(3).may_grant_under(2));
}

// M-33: between its vote and the end of that epoch a voter grants nothing; a guest never does.
TEST(Agreement, grants_no_leases_with_an_open_vote) {
  Nodes nodes(3, 1);
  EXPECT_TRUE(nodes.at(2).may_grant_under(1));
  EXPECT_FALSE(nodes.at(2).may_grant_under(2));
  ASSERT_TRUE(nodes.at(1).propose(0, decree(2, nodes.founders)).ok());
  nodes.run(without(MessageKind::kAccepted));
  EXPECT_FALSE(nodes.at(2).may_grant_under(1));
  nodes.at(1).on_peer_epoch(0, id(4), 0);
  nodes.run();
  EXPECT_FALSE(nodes.at(4).may_grant_under(1));
}

// M-14: votes survive kill -9.
TEST(Agreement, a_restarted_voter_keeps_its_promise_and_its_vote) {
  Nodes nodes(3);
  const Decree first = decree(2, nodes.founders);
  ASSERT_TRUE(nodes.at(1).propose(0, first).ok());
  nodes.run(without(MessageKind::kAccepted));
  const Ballot voted = nodes.disk(2).accepted;
  nodes.restart(2);
  EXPECT_TRUE(nodes.at(2).has_open_vote());
  EXPECT_EQ(nodes.at(2).epoch(), 1U);
  nodes.at(2).on_message(nodes.now, {.kind = MessageKind::kPrepare,
                                     .cluster = kCluster,
                                     .from = id(3),
                                     .to = id(2),
                                     .epoch = 2,
                                     .ballot = {.round = voted.round, .proposer = id(3)},
                                     .other = {},
                                     .decree = {}});
  nodes.flush();
  ASSERT_FALSE(nodes.wire.empty());
  EXPECT_EQ(nodes.wire.back().other, voted);
  EXPECT_EQ(nodes.wire.back().decree, first);
}

TEST(Agreement, a_restarted_proposer_never_uses_a_ballot_again) {
  Nodes nodes(3);
  ASSERT_TRUE(nodes.at(1).propose(0, decree(2, nodes.founders)).ok());
  nodes.flush();
  const Ballot first = nodes.wire.front().ballot;
  nodes.wire.clear();
  nodes.restart(1);
  ASSERT_TRUE(nodes.at(1).propose(0, decree(3, nodes.founders)).ok());
  nodes.flush();
  EXPECT_GT(nodes.wire.front().ballot, first);
}

TEST(Agreement, repeated_and_late_messages_change_nothing) {
  Nodes nodes(3);
  std::vector<Message> all;
  for (int tag = 2; tag < 5; ++tag) {
    ASSERT_TRUE(nodes.at(1).propose(0, decree(tag, nodes.founders)).ok());
    nodes.run([&](const Message& message) {
      all.push_back(message);
      return true;
    });
    ASSERT_EQ(nodes.at(1).take_ending(), ProposalEnding::kCommitted);
  }
  const Record before = nodes.disk(2);
  for (const Message& message : all) nodes.nodes.at(message.to)->agreement.on_message(0, message);
  nodes.run();
  EXPECT_EQ(nodes.disk(2), before);
  EXPECT_EQ(nodes.at(1).conflicts_count(), 0U);
}

TEST(Agreement, a_promise_that_is_repeated_counts_once) {
  Nodes nodes(5);
  ASSERT_TRUE(nodes.at(1).propose(0, decree(2, nodes.founders)).ok());
  nodes.run([&](const Message& message) {
    if (message.kind != MessageKind::kPromise) return message.to == id(2);
    nodes.at(1).on_message(0, message);
    nodes.at(1).on_message(0, message);
    return false;
  });
  nodes.run();
  EXPECT_FALSE(nodes.at(2).has_open_vote());
}

// M-16: whoever is behind is told, in one message, however many epochs it missed.
TEST(Agreement, a_node_that_is_behind_catches_up) {
  Nodes nodes(3, 1);
  for (int tag = 2; tag < 6; ++tag) {
    ASSERT_TRUE(nodes.at(1).propose(0, decree(tag, nodes.founders)).ok());
    nodes.run(only({1, 2}));
    ASSERT_EQ(nodes.at(1).take_ending(), ProposalEnding::kCommitted);
  }
  nodes.at(3).on_peer_epoch(0, id(2), 5);  // asks
  nodes.at(2).on_peer_epoch(0, id(4), 0);  // tells
  nodes.run();
  EXPECT_EQ(nodes.at(3).epoch(), 5U);
  EXPECT_EQ(nodes.at(4).epoch(), 5U);
}

TEST(Agreement, a_proposer_that_is_behind_is_told_and_superseded) {
  Nodes nodes(3);
  ASSERT_TRUE(nodes.at(1).propose(0, decree(2, nodes.founders)).ok());
  nodes.run(only({1, 2}));
  ASSERT_TRUE(nodes.at(3).propose(0, decree(3, nodes.founders)).ok());
  nodes.run();
  EXPECT_EQ(nodes.at(3).epoch(), 2U);
  EXPECT_EQ(nodes.at(3).take_ending(), ProposalEnding::kSuperseded);
}

struct Refused {
  const char* what;
  std::function<void(Message&)> change;
  Intake verdict;
};

// M-17: strangers, and members that may not do that.
TEST(Agreement, refuses_what_is_not_for_it) {
  const Refused table[] = {
      {"as it should be", [](Message&) {}, Intake::kTaken},
      {"another cluster",
       [](Message& m) {
         m.cluster = {78, 78};
       },
       Intake::kOtherCluster},
      {"an earlier identity of this node", [](Message& m) { m.to = id(9); }, Intake::kNotForUs},
      {"from itself", [](Message& m) { m.from = m.to; }, Intake::kNotForUs},
      {"another's ballot", [](Message& m) { m.ballot.proposer = id(3); }, Intake::kNotVoter},
      {"not a voter", [](Message& m) { m.from = m.ballot.proposer = id(4); }, Intake::kNotVoter},
  };
  for (const MessageKind kind : {MessageKind::kPrepare, MessageKind::kAccept}) {
    for (const Refused& row : table) {
      Nodes nodes(3, 1);
      Message message{.kind = kind,
                      .cluster = kCluster,
                      .from = id(2),
                      .to = id(1),
                      .epoch = 2,
                      .ballot = {.round = 1, .proposer = id(2)},
                      .other = {},
                      .decree = decree(2, nodes.founders)};
      row.change(message);
      EXPECT_EQ(nodes.at(1).on_message(0, message), row.verdict) << row.what;
      nodes.flush();
      EXPECT_EQ(nodes.wire.empty(), row.verdict != Intake::kTaken) << row.what;
      EXPECT_EQ(nodes.disk(1).promised.empty(), row.verdict != Intake::kTaken) << row.what;
    }
  }
}

TEST(Agreement, refuses_proposals_that_cannot_be) {
  Nodes nodes(3, 1);
  const Decree wish = decree(2, nodes.founders);
  EXPECT_EQ(nodes.at(4).propose(0, wish).error(), ProposeError::kNotVoter);
  EXPECT_EQ(nodes.at(1).propose(0, decree(2, {})).error(), ProposeError::kBadDecree);
  EXPECT_EQ(nodes.at(1).propose(0, decree(2, {id(2), id(1)})).error(), ProposeError::kBadDecree);
  ASSERT_TRUE(nodes.at(1).propose(0, wish).ok());
  EXPECT_EQ(nodes.at(1).propose(0, wish).error(), ProposeError::kBusy);

  Nodes late(1);
  Record record = late.disk(1);
  record.epoch = kMaxEpoch - 1;
  late.start(record);
  EXPECT_EQ(late.at(1).propose(0, wish).error(), ProposeError::kLastEpoch);
}

TEST(Agreement, sees_a_contradiction) {
  Nodes nodes(3);
  Message learn{.kind = MessageKind::kLearn,
                .cluster = kCluster,
                .from = id(2),
                .to = id(1),
                .epoch = 1,
                .ballot = {},
                .other = {},
                .decree = decree(9, nodes.founders)};
  EXPECT_EQ(nodes.at(1).on_message(0, learn), Intake::kConflict);
  Message accept = learn;
  accept.kind = MessageKind::kAccept;
  accept.epoch = 2;
  accept.ballot = {.round = 1, .proposer = id(2)};
  EXPECT_EQ(nodes.at(1).on_message(0, accept), Intake::kTaken);
  accept.decree = decree(8, nodes.founders);
  EXPECT_EQ(nodes.at(1).on_message(0, accept), Intake::kConflict);
  EXPECT_EQ(nodes.at(1).conflicts_count(), 2U);
}

// M-31: a voter that granted a lease does not vote to end the holder's service before it ran out.
TEST(Agreement, votes_for_a_loser_only_after_his_lease) {
  Nodes nodes(3);
  ASSERT_TRUE(nodes.nodes.at(id(2))->grants.try_grant(0, id(3)));
  ASSERT_TRUE(nodes.at(1).propose(0, decree(2, nodes.founders, {id(3)})).ok());
  nodes.run(only({1, 2}));
  nodes.wait(kGrantNs - 1);
  nodes.run(only({1, 2}));
  EXPECT_EQ(nodes.at(1).epoch(), 1U);
  EXPECT_FALSE(nodes.nodes.at(id(2))->grants.try_grant(nodes.now, id(3))) << "not renewed";
  nodes.wait(400 * kMs);
  nodes.run(only({1, 2}));
  EXPECT_EQ(nodes.at(1).epoch(), 2U);
}

// M-34: what other voters granted, or was granted in epochs that it missed, a voter does not know.
TEST(Agreement, waits_for_unknown_leases_after_other_voters_or_missed_epochs) {
  const auto may_take_away = [](Nodes& nodes, std::uint64_t voter, TimeNs now) {
    return nodes.nodes.at(id(voter))->grants.try_take_away(now, {id(9)});
  };
  Nodes nodes(3, 1);
  ASSERT_TRUE(nodes.at(1).propose(0, decree(2, nodes.founders)).ok());
  nodes.run(only({1, 2}));
  EXPECT_TRUE(may_take_away(nodes, 2, 0)) << "the same voters, the next epoch";
  ASSERT_EQ(nodes.at(1).take_ending(), ProposalEnding::kCommitted);
  ASSERT_TRUE(nodes.at(1).propose(0, decree(3, nodes.founders)).ok());
  nodes.run(only({1, 2}));
  nodes.at(1).on_peer_epoch(0, id(3), 1);
  nodes.run();
  ASSERT_EQ(nodes.at(3).epoch(), 3U);
  EXPECT_FALSE(may_take_away(nodes, 3, kGrantNs - 1)) << "it missed epoch 2";
  EXPECT_TRUE(may_take_away(nodes, 3, kGrantNs));
  EXPECT_TRUE(may_take_away(nodes, 2, kGrantNs - 1));
  ASSERT_EQ(nodes.at(1).take_ending(), ProposalEnding::kCommitted);
  ASSERT_TRUE(nodes.at(1).propose(0, decree(4, {id(1), id(2), id(4)})).ok());
  nodes.settle(4);
  EXPECT_FALSE(may_take_away(nodes, 2, nodes.now + kGrantNs - 1)) << "other voters";
  EXPECT_TRUE(may_take_away(nodes, 2, nodes.now + kGrantNs));
}

TEST(Agreement, a_cancelled_wish_is_not_pursued) {
  Nodes nodes(3);
  ASSERT_TRUE(nodes.at(1).propose(0, decree(2, nodes.founders)).ok());
  nodes.at(1).cancel();
  EXPECT_EQ(nodes.at(1).next_deadline_ns(), kNeverNs);
  nodes.run();
  EXPECT_EQ(nodes.at(1).epoch(), 1U);
  EXPECT_TRUE(nodes.at(1).propose(0, decree(3, nodes.founders)).ok());
  nodes.settle(2);
  EXPECT_EQ(nodes.at(2).decree(), decree(3, nodes.founders));
}

// M-19: nothing is written for ever, and a peer asks for ever.
TEST(Agreement, holds_a_bounded_number_of_messages) {
  Nodes nodes(3);
  nodes.disk_works[id(1)] = false;
  for (std::uint64_t round = 1; round <= 1'000; ++round)
    nodes.at(1).on_message(0, {.kind = MessageKind::kPrepare,
                               .cluster = kCluster,
                               .from = id(2),
                               .to = id(1),
                               .epoch = 2,
                               .ballot = {.round = round, .proposer = id(2)},
                               .other = {},
                               .decree = {}});
  EXPECT_EQ(nodes.at(1).dropped_count(), 1'000U - kMaxHeldMessages);
  nodes.disk_works[id(1)] = true;
  nodes.flush();
  EXPECT_EQ(nodes.wire.size(), kMaxHeldMessages);
}

}  // namespace
}  // namespace ringwire::ring
