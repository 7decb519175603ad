// Sessions in pairs, in virtual time: what every message is owed, whatever the network does.
#include "engine/transport/session.h"

#include <gtest/gtest.h>

#include "engine/transport/limits.h"
#include "engine/wire/frame.h"
#include "engine/wire/items.h"
#include "tests/engine/transport/pair_world.h"

namespace ringwire::transport {
namespace {

std::size_t random_bytes(Random& random) {
  switch (random.below(5)) {
    case 0:
      return random.below(10);
    case 1:
      return random.below(1'500);
    case 2:
      return random.below(20'000);
    case 3:
      return random.between(60'000, 70'000);
    default:
      return random.below(100);
  }
}

void plan_mixture(PairWorld& world, std::size_t side, int count) {
  Random& random = world.random();
  for (int index = 0; index < count; ++index) {
    Plan plan;
    plan.bytes = random_bytes(random);
    plan.service = random.chance(0.5) ? "" : random.chance(0.5) ? "orders" : "audit";
    plan.level = static_cast<Level>(random.below(3));
    plan.key_bytes = random.chance(0.05) ? 1'000 : random.below(30);
    if (random.chance(0.2)) plan.flags = wire::kReply;
    world.plan(side, plan);
  }
}

void expect_all_done(PairWorld& world, std::size_t side) {
  const PairWorld::End& end = world.end(side);
  ASSERT_EQ(end.outcomes.size(), end.plans.size());
  for (const auto& [cookie, outcome] : end.outcomes) {
    const bool none = end.plans[cookie].level == Level::kNone;
    EXPECT_EQ(outcome.kind, none ? EventKind::kSent : EventKind::kResult);
    EXPECT_EQ(outcome.ending, Ending::kDone);
  }
  EXPECT_EQ(world.end(1 - side).arrived.size(), end.plans.size());
}

void run_to_the_end(PairWorld& world, DurationNs limit_ns = 60 * kSecondNs) {
  ASSERT_TRUE(world.run([&] { return world.all_ended(0) && world.all_ended(1); }, limit_ns));
  expect_all_done(world, 0);
  expect_all_done(world, 1);
}

SessionConfig jumbo() {
  SessionConfig config;
  config.max_packet_bytes = 8'952;
  config.peer_receive_queue_bytes = 208 * 1024;
  return config;
}

// W-11, W-16
TEST(Session, delivers_messages_of_all_sizes_once_and_intact) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    PairWorld world(seed, {}, seed % 2 == 0 ? jumbo() : SessionConfig{});
    plan_mixture(world, 0, 200);
    plan_mixture(world, 1, 200);
    run_to_the_end(world);
    if (::testing::Test::HasFailure()) FAIL() << "seed " << seed;
    // What went ahead of its grant and found no memory yet (W-14).
    EXPECT_EQ(world.session(0).counters().packets_lost,
              world.session(1).counters().dropped_early_fragment);
  }
}

// W-22, W-23, W-52
TEST(Session, delivers_everything_through_loss_duplication_reordering_and_corruption) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    LinkConfig link;
    link.loss = 0.3;
    link.duplicate = 0.5;
    link.corrupt = 0.01;
    link.jitter_ns = 200 * kMicrosecondNs;
    PairWorld world(seed, link, seed % 2 == 0 ? jumbo() : SessionConfig{});
    world.end(1).host.settle_early = seed % 3 == 0;
    plan_mixture(world, 0, 150);
    plan_mixture(world, 1, 150);
    run_to_the_end(world);
    if (::testing::Test::HasFailure()) FAIL() << "seed " << seed;
    EXPECT_GT(world.session(0).counters().packets_lost, 0U);
    EXPECT_GT(world.session(0).counters().dropped_duplicate_packet, 0U);
  }
}

// W-14, W-24
TEST(Session, announced_messages_survive_loss_too) {
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    LinkConfig link;
    link.loss = 0.1;
    link.jitter_ns = 100 * kMicrosecondNs;
    PairWorld world(seed, link, jumbo());
    for (int index = 0; index < 6; ++index)
      world.plan(0, {3'000'000 + world.random().below(9'999)});
    world.plan(0, {kUnscheduledBytes});
    world.plan(0, {kUnscheduledBytes + 1});
    run_to_the_end(world);
  }
}

// W-40 to W-44
TEST(Session, gives_all_credit_and_all_slots_back) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    LinkConfig link;
    link.loss = 0.1;
    link.duplicate = 0.2;
    PairWorld world(seed, link);
    plan_mixture(world, 0, 300);
    run_to_the_end(world);
    ASSERT_TRUE(world.run_for(kSecondNs));  // the last releases arrive
    // Each service can use at least its first window at once, without hearing from the peer.
    for (const char* service : {"", "orders", "audit"})
      for (std::uint32_t count = 0; count < kInitialWindowMessages; ++count) {
        world.plan(0, {10, service});
        EXPECT_EQ(world.send(0, world.end(0).plans.size() - 1), SendVerdict::kTaken);
      }
  }
}

// W-43
TEST(Session, a_busy_service_gets_a_larger_window) {
  PairWorld world(1);
  for (int index = 0; index < 5'000; ++index) world.plan(0, {16});
  run_to_the_end(world);
  ASSERT_TRUE(world.run_for(kSecondNs));
  std::uint32_t taken = 0;
  for (;; ++taken) {
    world.plan(0, {10});
    if (world.send(0, world.end(0).plans.size() - 1) != SendVerdict::kTaken) break;
  }
  EXPECT_EQ(taken, 1'024U);  // a quarter of the slots
}

// W-41
TEST(Session, a_stuck_service_blocks_only_itself) {
  PairWorld world(1);
  world.end(1).host.stuck_services = {"stuck"};
  for (std::uint32_t index = 0; index < kInitialWindowMessages; ++index)
    world.plan(0, {16, "stuck"});
  ASSERT_TRUE(world.run([&] { return world.end(1).held.size() == kInitialWindowMessages; }));
  world.plan(0, {16, "stuck"});
  EXPECT_EQ(world.send(0, kInitialWindowMessages), SendVerdict::kNoCredit);
  world.end(0).next_plan = world.end(0).plans.size();
  for (int index = 0; index < 2'000; ++index) world.plan(0, {16, "well"});
  ASSERT_TRUE(world.run([&] { return world.end(0).outcomes.size() == 2'000; }));
  // And when it gets well, its refused sender is woken.
  world.end(0).credit_events = 0;
  world.end(1).session->settle(world.end(1).held[0], Ending::kDone, Reason::kNone);
  world.end(1).session->release(world.end(1).held[0]);
  ASSERT_TRUE(world.run([&] { return world.end(0).credit_events > 0; }));
  EXPECT_EQ(world.send(0, kInitialWindowMessages), SendVerdict::kTaken);
}

// W-44
TEST(Session, replies_need_no_credit_and_end_at_their_quarter_of_the_slots) {
  SessionConfig config;
  config.message_slots = 128;
  PairWorld world(1, {}, config);
  for (std::size_t index = 0; index < 33; ++index)
    world.plan(0, {16, "", Level::kProcessed, wire::kReply});
  world.end(0).next_plan = 33;
  for (std::size_t index = 0; index < 32; ++index)
    EXPECT_EQ(world.send(0, index), SendVerdict::kTaken);
  EXPECT_EQ(world.send(0, 32), SendVerdict::kNoSlot);
  ASSERT_TRUE(world.run([&] { return world.end(0).credit_events > 0; }));
  EXPECT_EQ(world.send(0, 32), SendVerdict::kTaken);
}

// W-52
TEST(Session, resumes_at_once_after_the_peer_stood_still_for_five_seconds) {
  PairWorld world(3, {}, jumbo());
  for (int index = 0; index < 40; ++index) world.plan(0, {1'000'000});
  ASSERT_TRUE(world.run([&] { return world.end(1).arrived.size() >= 5; }));
  world.pause(1);
  ASSERT_TRUE(world.run_for(5 * kSecondNs));
  EXPECT_FALSE(world.session(0).closed());
  EXPECT_LT(world.session(0).unanswered_since_ns(), world.now() - 4 * kSecondNs);
  const std::size_t before = world.end(1).arrived.size();
  world.resume(1, 208 * 1024);
  ASSERT_TRUE(
      world.run([&] { return world.end(1).arrived.size() > before + 5; }, 50 * kMillisecondNs));
  run_to_the_end(world);
  EXPECT_EQ(world.session(0).unanswered_since_ns(), kNeverNs);
}

// W-50
TEST(Session, random_loss_does_not_collapse_the_rate) {
  LinkConfig link;
  link.bytes_per_s = 500'000'000;
  TimeNs elapsed[2];
  for (int lossy = 0; lossy < 2; ++lossy) {
    link.loss = lossy == 0 ? 0 : 0.01;
    PairWorld world(5, link, jumbo());
    for (int index = 0; index < 30; ++index) world.plan(0, {1'000'000});
    const TimeNs start = world.now();
    run_to_the_end(world);
    elapsed[lossy] = world.now() - start;
  }
  EXPECT_LT(elapsed[1], 2 * elapsed[0]);
}

// W-50
TEST(Session, never_has_more_in_flight_than_the_peer_can_hold) {
  PairWorld world(6, {}, jumbo());
  for (int index = 0; index < 10; ++index) world.plan(0, {500'000});
  std::uint64_t most = 0;
  ASSERT_TRUE(world.run([&] {
    most = std::max(most, world.session(0).bytes_in_flight());
    return world.all_ended(0);
  }));
  EXPECT_LE(most, jumbo().peer_receive_queue_bytes);
  EXPECT_GT(most, jumbo().peer_receive_queue_bytes / 2);
}

// W-22
TEST(Session, learns_to_wait_for_reordered_packets) {
  LinkConfig link;
  link.jitter_ns = 300 * kMicrosecondNs;
  PairWorld world(5, link);
  for (int index = 0; index < 20; ++index) world.plan(0, {1'000'000});
  run_to_the_end(world);
  const SessionCounters& counters = world.session(0).counters();
  EXPECT_GT(counters.packets_spurious, 0U);
  EXPECT_LT(counters.packets_spurious, counters.packets_sent / 50);
}

// W-45
TEST(Session, a_small_message_does_not_wait_behind_a_large_one) {
  LinkConfig link;
  link.bytes_per_s = 100'000'000;
  PairWorld world(7, link, jumbo());
  world.plan(0, {20'000'000});
  ASSERT_TRUE(world.run_for(50 * kMillisecondNs));
  world.plan(0, {64});
  const TimeNs start = world.now();
  ASSERT_TRUE(world.run([&] { return world.end(0).outcomes.contains(1); }));
  EXPECT_FALSE(world.end(0).outcomes.contains(0));
  EXPECT_LT(world.now() - start, 10 * kMillisecondNs);  // virtual: one window of the link
}

// W-18
TEST(Session, withdrawing_before_anything_was_sent_ends_at_once) {
  PairWorld world(8);
  world.plan(0, {64});
  world.end(0).next_plan = 1;
  ASSERT_EQ(world.send(0, 0), SendVerdict::kTaken);
  world.session(0).withdraw(world.end(0).numbers[0]);
  EXPECT_LE(world.session(0).next_deadline_ns(), world.now());
  ASSERT_TRUE(world.run([&] { return world.all_ended(0); }));
  EXPECT_EQ(world.end(0).outcomes[0].ending, Ending::kFailed);
  EXPECT_EQ(world.end(0).outcomes[0].reason, Reason::kCancelled);
  EXPECT_TRUE(world.end(1).arrived.empty());
}

// W-18
TEST(Session, withdrawing_what_never_arrived_fails_it_provably) {
  PairWorld world(9);
  world.plan(0, {64});
  world.tap = [](std::size_t from, std::span<const std::byte>) { return from != 0; };
  ASSERT_TRUE(world.run_for(kMicrosecondNs));
  world.session(0).withdraw(world.end(0).numbers[0]);
  std::ranges::fill(world.end(0).payloads[0], std::byte{0});  // must never be read again
  std::ranges::fill(world.end(0).keys[0], std::byte{0});
  world.tap = nullptr;
  ASSERT_TRUE(world.run([&] { return world.all_ended(0); }));
  EXPECT_EQ(world.end(0).outcomes[0].ending, Ending::kFailed);
  EXPECT_EQ(world.end(0).outcomes[0].reason, Reason::kCancelled);
  EXPECT_TRUE(world.end(1).arrived.empty());
  // W-28: those that name it hear of it.
  ASSERT_EQ(world.end(1).never_came.size(), 1U);
  EXPECT_EQ(world.end(1).never_came[0].first, (MessageId{{7, 9}, 1, 1}));
  EXPECT_EQ(world.end(1).never_came[0].second, 0U);
}

// W-18
TEST(Session, withdrawing_a_message_half_way_tells_the_receiver) {
  PairWorld world(10, {}, jumbo());
  world.plan(0, {20'000'000});
  ASSERT_TRUE(world.run([&] { return world.session(1).counters().packets_received > 200; }));
  world.session(0).withdraw(world.end(0).numbers[0]);
  std::ranges::fill(world.end(0).payloads[0], std::byte{0});
  ASSERT_TRUE(world.run([&] { return world.end(1).withdrawn == 1; }));
  const auto number = static_cast<MessageNumber>(world.end(1).extents.begin()->first);
  world.session(1).settle(number, Ending::kFailed, Reason::kCancelled);
  world.session(1).release(number);
  ASSERT_TRUE(world.run([&] { return world.all_ended(0); }));
  EXPECT_EQ(world.end(0).outcomes[0].ending, Ending::kFailed);
  EXPECT_EQ(world.end(0).outcomes[0].reason, Reason::kCancelled);
  EXPECT_TRUE(world.end(1).arrived.empty());
}

// W-28
TEST(Session, repeats_a_withdrawal_that_is_lost_until_its_result_comes) {
  PairWorld world(11);
  world.plan(0, {64});
  int dropped = 0;
  world.tap = [&](std::size_t from, std::span<const std::byte>) {
    return from != 0 || ++dropped > 5;
  };
  ASSERT_TRUE(world.run_for(kMicrosecondNs));
  world.session(0).withdraw(world.end(0).numbers[0]);
  ASSERT_TRUE(world.run([&] { return world.all_ended(0); }));
  EXPECT_GT(dropped, 5);
  EXPECT_EQ(world.end(0).outcomes[0].reason, Reason::kCancelled);
}

// W-15
TEST(Session, a_refused_message_fails_with_the_reason) {
  PairWorld world(11);
  world.end(1).refuse_with = Reason::kNoMemory;
  world.plan(0, {10'000});
  world.plan(0, {10'000'000});
  ASSERT_TRUE(world.run([&] { return world.all_ended(0); }));
  for (std::uint32_t cookie : {0U, 1U}) {
    EXPECT_EQ(world.end(0).outcomes[cookie].ending, Ending::kFailed);
    EXPECT_EQ(world.end(0).outcomes[cookie].reason, Reason::kNoMemory);
  }
}

// W-17
TEST(Session, a_header_that_fits_no_packet_fails_as_too_large) {
  PairWorld world(12);
  const std::vector<std::byte> key(kMaxKeyBytes);
  const std::string service(kMaxNameBytes, 's');
  OutgoingMessage message;
  message.header.key = key;
  message.header.service = service;
  message.header.id = {{1, 2}, ~0U, kMaxSequence};
  message.header.in_reply_to = {{3, 4}, ~0U, kMaxSequence};
  message.header.predecessor = 1;
  message.header.epoch = ~std::uint64_t{0};
  message.cookie = 9;
  MessageNumber number{};
  ASSERT_EQ(world.session(0).send(message, number), SendVerdict::kTaken);
  ASSERT_TRUE(world.run([&] { return world.end(0).outcomes.contains(9); }));
  EXPECT_EQ(world.end(0).outcomes[9].ending, Ending::kFailed);
  EXPECT_EQ(world.end(0).outcomes[9].reason, Reason::kTooLarge);
  EXPECT_EQ(world.session(0).counters().packets_sent, 0U);
}

// W-13: but the longest key with an everyday header fits the smallest packets
TEST(Session, a_key_of_1_KiB_travels_in_the_smallest_packets) {
  PairWorld world(13);
  world.plan(0, {0, std::string(63, 's'), Level::kProcessed, 0, kMaxKeyBytes});
  world.plan(0, {200, std::string(63, 's'), Level::kProcessed, wire::kReply, kMaxKeyBytes});
  run_to_the_end(world);
}

// W-17
TEST(Session, a_header_that_breaks_a_rule_fails_as_bad) {
  PairWorld world(13);
  world.plan(0, {5, "", Level::kProcessed, 0, kMaxKeyBytes + 1});
  ASSERT_TRUE(world.run([&] { return world.all_ended(0); }));
  EXPECT_EQ(world.end(0).outcomes[0].reason, Reason::kBadMessage);
}

// W-29
TEST(Session, closing_ends_every_open_message_and_tells_the_peer) {
  PairWorld world(14);
  world.end(1).host.stuck_services = {""};
  for (int index = 0; index < 20; ++index) world.plan(0, {64});
  ASSERT_TRUE(world.run([&] { return world.end(1).held.size() == 20; }));
  world.plan(0, {64});
  ASSERT_EQ(world.send(0, 20), SendVerdict::kTaken);
  world.end(0).next_plan = 21;
  EventBatch events;
  EXPECT_TRUE(world.session(0).close(events));
  ASSERT_EQ(events.size(), 21U);
  for (const Event& event : events.all()) {
    EXPECT_EQ(event.kind, EventKind::kResult);
    EXPECT_EQ(event.reason, Reason::kSessionLost);
    EXPECT_EQ(event.ending, event.cookie == 20 ? Ending::kFailed : Ending::kUnknown);
  }
  EXPECT_EQ(world.session(0).messages_open(), 0U);
  EXPECT_TRUE(world.session(0).close(events));
  EXPECT_EQ(events.size(), 0U);
  ASSERT_TRUE(world.run([&] { return world.end(1).saw_closed; }));
  EXPECT_EQ(world.session(1).counters().packets_received, world.session(0).counters().packets_sent);
  MessageNumber number{};
  EXPECT_EQ(world.session(1).send({}, number), SendVerdict::kClosed);
}

// W-3
TEST(Session, drops_what_is_addressed_to_another_connection) {
  PairWorld world(18);
  std::vector<std::byte> frame(wire::kFrameOverheadBytes + 1, std::byte{9});  // a PING
  wire::encode_frame_header({wire::FrameKind::kMixed, 101, 1}, frame);
  wire::seal_clear(frame);
  EXPECT_FALSE(world.inject(0, frame));
  EXPECT_EQ(world.session(0).counters().dropped_bad_packet, 1U);
  EXPECT_TRUE(world.inject(1, frame));
}

// W-19
TEST(Session, a_long_message_of_level_none_ends_when_it_has_arrived) {
  PairWorld world(19);
  world.end(1).host.stuck_services = {""};
  world.plan(0, {10'000, "", Level::kNone});
  ASSERT_TRUE(world.run([&] { return world.all_ended(0); }));
  EXPECT_EQ(world.end(0).outcomes[0].kind, EventKind::kSent);
  EXPECT_EQ(world.end(1).held.size(), 1U);
}

// W-25, W-42
TEST(Session, a_credit_that_was_overtaken_takes_nothing_back) {
  PairWorld world(20);
  std::byte body[wire::kMaxCreditBytes];
  ByteWriter writer(body);
  wire::encode_credit(writer, {1, 1, 256});
  std::vector<std::byte> frame(writer.written_bytes() + wire::kFrameOverheadBytes);
  std::ranges::copy(writer.written(), frame.begin() + wire::kFrameHeaderBytes);
  wire::encode_frame_header({wire::FrameKind::kMixed, 100, 1}, frame);
  wire::seal_clear(frame);
  ASSERT_TRUE(world.inject(0, frame));
  for (std::uint32_t count = 0; count < kInitialWindowMessages; ++count) {
    world.plan(0, {10});
    EXPECT_EQ(world.send(0, count), SendVerdict::kTaken);
  }
}

// W-51
TEST(Session, acknowledges_even_when_its_window_is_full) {
  PairWorld world(21);
  bool silent = true;
  std::size_t acks = 0;
  world.tap = [&](std::size_t from, std::span<const std::byte> packet) {
    if (from == 0 && packet[wire::kFrameHeaderBytes] == std::byte{1}) ++acks;
    return from == 1 || !silent;
  };
  for (int index = 0; index < 2; ++index) world.plan(0, {kUnscheduledBytes});
  ASSERT_TRUE(world.run([&] { return world.session(0).bytes_in_flight() > 63 * 1'024; }));
  EXPECT_EQ(acks, 0U);
  world.session(1).ping();
  ASSERT_TRUE(world.run([&] { return acks > 0; }));
  silent = false;
  run_to_the_end(world);
}

// W-20, W-26
TEST(Session, a_ping_is_answered) {
  PairWorld world(15);
  world.session(0).ping();
  const TimeNs before = world.now();
  ASSERT_TRUE(world.run([&] { return world.session(0).last_heard_ns() > before; }));
  EXPECT_EQ(world.session(0).unanswered_since_ns(), kNeverNs);
  EXPECT_EQ(world.session(0).smoothed_rtt_ns() / kMicrosecondNs, 100);  // twice the link's delay
}

// W-31: what is constant is sent once
TEST(Session, a_small_message_costs_at_most_40_bytes_beside_its_key_and_payload) {
  PairWorld world(16);
  for (int index = 0; index < 200; ++index) world.plan(0, {64, "orders"});
  run_to_the_end(world);
  std::size_t largest = 0;
  world.tap = [&](std::size_t from, std::span<const std::byte> packet) {
    if (from == 0) largest = std::max(largest, packet.size());
    return true;
  };
  world.plan(0, {64, "orders"});
  ASSERT_TRUE(world.run([&] { return world.all_ended(0); }));
  EXPECT_LE(largest - wire::kFrameOverheadBytes - 64 - 8, 40U);
}

TEST(Session, tells_the_connection_id_of_its_packets_and_0_for_others) {
  PairWorld world(17);
  std::uint64_t seen = 0;
  world.tap = [&](std::size_t, std::span<const std::byte> packet) {
    seen = connection_id_of(packet);
    return true;
  };
  world.session(0).ping();
  ASSERT_TRUE(world.run([&] { return seen != 0; }));
  EXPECT_EQ(seen, 101U);
  EXPECT_EQ(connection_id_of({}), 0U);
  EXPECT_EQ(connection_id_of(std::vector<std::byte>(100)), 0U);
}

}  // namespace
}  // namespace ringwire::transport
