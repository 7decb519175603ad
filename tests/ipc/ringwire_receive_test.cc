// The client library: receiving, releasing, serving, calls.
#include <gtest/gtest.h>

#include <string>
#include <thread>

#include "tests/ipc/ringwire_fixture.h"

namespace ringwire::ipc {
namespace {

// ---- receive ------------------------------------------------------------------------------------

TEST_F(Served, receives_what_was_sent) {
  start_served();
  const rw_ticket ticket = send("key", "payload");
  rw_message* message = receive(server);
  EXPECT_EQ(text_of(message), "payload");
  std::size_t key_bytes = 0;
  const void* key = rw_message_key(message, &key_bytes);
  EXPECT_EQ(std::string(static_cast<const char*>(key), key_bytes), "key");
  EXPECT_EQ(rw_message_hash(message), rw_hash("key", 3));
  EXPECT_EQ(rw_message_attempt(message), 1u);
  EXPECT_EQ(rw_message_flags(message), 0u);
  EXPECT_EQ(rw_message_ticket(message), 0u);
  EXPECT_STREQ(rw_message_origin_node(message), "alpha");
  EXPECT_STREQ(rw_message_service(message), "");
  EXPECT_EQ(rw_wait(channel, ticket, 0, nullptr), RW_EAGAIN) << "not released yet";
  EXPECT_EQ(rw_release(server, message, RW_DONE), RW_OK);
  EXPECT_EQ(wait(ticket).ending, static_cast<unsigned>(RW_ENDING_DONE));
  EXPECT_EQ(rw_release(server, message, RW_DONE), RW_ESTALE);
}

TEST_F(Served, verdict_reaches_the_engine) {
  start_served();
  const rw_ticket ticket = send("key", "payload");
  rw_message* message = receive(server);
  EXPECT_EQ(rw_release(server, message, 7), RW_EINVAL);
  EXPECT_EQ(rw_release(server, message, RW_REFUSE), RW_OK);
  EXPECT_EQ(wait(ticket).reason, static_cast<unsigned>(RW_REASON_REFUSED));
}

// S-43.
TEST_F(Served, receives_sizes_around_every_boundary_in_place) {
  start_served();
  for (const std::size_t bytes : {0u, 1u, 127u, 128u, 129u, 65'536u, 66'560u, 66'561u, 8u << 20}) {
    const std::string payload(bytes, static_cast<char>('a' + bytes % 26));
    const rw_ticket ticket = send("", payload);
    rw_message* message = receive(server);
    EXPECT_EQ(rw_message_bytes(message), bytes);
    EXPECT_TRUE(text_of(message) == payload) << bytes;
    EXPECT_EQ(rw_release(server, message, RW_DONE), RW_OK);
    wait(ticket);
  }
}

TEST_F(Served, receives_many_with_few_rings_of_the_bell) {
  start_served();
  for (int index = 0; index < 100; ++index) send(std::to_string(index), "x");
  int received = 0;
  rw_message* messages[40];
  while (received < 100) {
    const int count = rw_receive_many(server, kLongNs, messages, 40);
    ASSERT_GT(count, 0) << rw_last_error();
    ASSERT_LE(count, 40);
    for (int index = 0; index < count; ++index)
      EXPECT_EQ(rw_release(server, messages[index], RW_DONE), RW_OK);
    received += count;
  }
  EXPECT_TRUE(engine->wait_until_released(100));
  for (rw_ticket ticket = 1; ticket <= 100; ++ticket) wait(ticket);
}

// S-35.
TEST_F(Served, what_was_released_before_the_channel_is_closed_counts) {
  start_served();
  const rw_ticket ticket = send("k", "x");
  ASSERT_EQ(rw_release(server, receive(server), RW_DONE), RW_OK);
  rw_channel_close(server);
  EXPECT_EQ(wait(ticket).ending, static_cast<unsigned>(RW_ENDING_DONE));
}

// S-44: one mapping of a file serves all messages in it, also after it was idle.
TEST_F(Served, receives_from_one_file_again_and_again) {
  FakeOptions options;
  options.shared_file = true;
  start_served(options);
  for (int round = 0; round < 20; ++round) {
    const std::string payload(1'000, static_cast<char>('a' + round));
    const rw_ticket ticket = send("k", payload);
    rw_message* message = receive(server);
    EXPECT_EQ(text_of(message), payload);
    EXPECT_EQ(rw_release(server, message, RW_DONE), RW_OK);
    wait(ticket);
  }
  EXPECT_EQ(engine->maps(), 1u);
}

TEST_F(Served, nothing_to_receive_is_said_at_once_or_in_time) {
  start_served();
  rw_message* message = nullptr;
  EXPECT_EQ(rw_receive(server, 0, &message), RW_EAGAIN);
  EXPECT_EQ(rw_receive(server, 1'000'000, &message), RW_ETIMEOUT);
}

TEST_F(Served, serves_a_named_service_and_stops) {
  start();
  server = open_channel();
  rw_serve_options options{};
  options.struct_bytes = sizeof options;
  options.service = "orders";
  ASSERT_EQ(rw_serve(server, &options), RW_OK);
  EXPECT_EQ(rw_serve(server, &options), RW_EBUSY);
  rw_target target = rw_target_key("k", 1);
  target.service = "orders";
  rw_ticket ticket = 0;
  ASSERT_EQ(rw_send(channel, &target, "x", 1, nullptr, &ticket), RW_OK);
  rw_message* message = receive(server);
  EXPECT_STREQ(rw_message_service(message), "orders");
  rw_release(server, message, RW_DONE);
  EXPECT_EQ(rw_unserve(server, "orders"), RW_OK);
  EXPECT_EQ(rw_unserve(server, "orders"), RW_ESTALE);
}

TEST_F(Served, messages_that_arrive_while_sending_are_kept_in_order) {
  start();
  ASSERT_EQ(rw_serve(channel, nullptr), RW_OK);
  constexpr int kCount = 3'000;  // to itself, through queues of 512
  for (int index = 0; index < kCount; ++index) send("same", std::to_string(index));
  for (int index = 0; index < kCount; ++index) {
    rw_message* message = receive(channel);
    ASSERT_EQ(text_of(message), std::to_string(index));
    ASSERT_EQ(rw_release(channel, message, RW_DONE), RW_OK);
  }
  for (rw_ticket ticket = 1; ticket <= kCount; ++ticket)
    ASSERT_EQ(wait(ticket).ending, static_cast<unsigned>(RW_ENDING_DONE));
}

// ---- calls --------------------------------------------------------------------------------------

TEST_F(Served, answers_a_call) {
  start_served();
  std::thread answering([&] {
    rw_message* request = receive(server);
    EXPECT_EQ(rw_message_flags(request), static_cast<unsigned>(RW_FLAG_CALL));
    const std::string answer = text_of(request).append("!");
    EXPECT_EQ(rw_reply(server, request, answer.data(), answer.size(), nullptr, nullptr), RW_OK);
    EXPECT_EQ(rw_release(server, request, RW_DONE), RW_OK);
  });
  const rw_target target = rw_target_key("k", 1);
  rw_message* reply = nullptr;
  rw_outcome outcome{};
  ASSERT_EQ(rw_call(channel, &target, "question", 8, nullptr, &reply, &outcome), RW_OK)
      << rw_last_error();
  answering.join();
  EXPECT_EQ(text_of(reply), "question!");
  EXPECT_EQ(rw_message_flags(reply) & RW_FLAG_REPLY, static_cast<unsigned>(RW_FLAG_REPLY));
  EXPECT_EQ(rw_message_ticket(reply), outcome.ticket);
  EXPECT_EQ(outcome.ending, static_cast<unsigned>(RW_ENDING_DONE));
  EXPECT_EQ(rw_release(channel, reply, RW_DONE), RW_OK);
  EXPECT_EQ(rw_outstanding(channel), 0);
  const auto seen = engine->seen();
  ASSERT_EQ(seen.size(), 2u);
  EXPECT_EQ(seen[1].submission.flags, kSubmitReply);
  EXPECT_EQ(seen[1].submission.level, static_cast<std::uint8_t>(Level::kAccepted));
  // The request, marked as answered, and the reply; in either order.
  ASSERT_TRUE(engine->wait_until_released(2));
  const auto releases = engine->releases();
  EXPECT_EQ(releases[0].flags + releases[1].flags, static_cast<std::uint32_t>(kReleaseReplied));
}

TEST_F(Served, a_call_that_is_only_released_has_no_reply) {
  start_served();
  std::thread releasing([&] { rw_release(server, receive(server), RW_DONE); });
  const rw_target target = rw_target_key("k", 1);
  rw_message* reply = nullptr;
  EXPECT_EQ(rw_call(channel, &target, "q", 1, nullptr, &reply, nullptr), RW_ENOREPLY);
  releasing.join();
  EXPECT_EQ(reply, nullptr);
}

TEST_F(Served, a_call_that_is_refused_fails_with_its_outcome) {
  start_served();
  std::thread refusing([&] { rw_release(server, receive(server), RW_REFUSE); });
  const rw_target target = rw_target_key("k", 1);
  rw_message* reply = nullptr;
  rw_outcome outcome{};
  EXPECT_EQ(rw_call(channel, &target, "q", 1, nullptr, &reply, &outcome), RW_EFAILED);
  refusing.join();
  EXPECT_EQ(outcome.reason, static_cast<unsigned>(RW_REASON_REFUSED));
}

TEST_F(Ringwire, reply_of_a_started_call_comes_with_its_ticket) {
  start();
  const rw_target target = rw_target_key("k", 1);
  rw_ticket ticket = 0;
  ASSERT_EQ(rw_call_start(channel, &target, "echo me", 7, nullptr, &ticket), RW_OK);
  rw_message* reply = receive(channel);
  EXPECT_EQ(rw_message_ticket(reply), ticket);
  EXPECT_EQ(text_of(reply), "echo me");
  EXPECT_EQ(rw_release(channel, reply, RW_DONE), RW_OK);
  EXPECT_EQ(wait(ticket).ending, static_cast<unsigned>(RW_ENDING_DONE));
}

TEST_F(Served, sends_to_the_origin_of_a_message) {
  start_served();
  wait([&] {
    const rw_ticket ticket = send("k", "hello");
    rw_message* message = receive(server);
    const rw_origin origin = rw_message_origin(message);
    const rw_target back = rw_target_origin(&origin);
    const std::string payload(100, 'b');
    rw_ticket sent = 0;
    EXPECT_EQ(rw_send(server, &back, payload.data(), payload.size(), nullptr, &sent), RW_OK);
    EXPECT_EQ(rw_release(server, message, RW_DONE), RW_OK);
    return ticket;
  }());
  rw_message* direct = receive(channel);
  EXPECT_EQ(text_of(direct), std::string(100, 'b'));
  EXPECT_EQ(rw_message_ticket(direct), 0u);
  EXPECT_EQ(rw_release(channel, direct, RW_DONE), RW_OK);
}

TEST_F(Served, calls_ten_thousand_times) {
  start_served();
  constexpr int kCalls = 10'000;
  std::thread answering([&] {
    for (int index = 0; index < kCalls; ++index) {
      rw_message* request = receive(server);
      rw_reply(server, request, rw_message_data(request), rw_message_bytes(request), nullptr,
               nullptr);
      rw_release(server, request, RW_DONE);
    }
  });
  for (int index = 0; index < kCalls; ++index) {
    const std::string key = std::to_string(index);
    const rw_target target = rw_target_key(key.data(), key.size());
    rw_message* reply = nullptr;
    ASSERT_EQ(rw_call(channel, &target, key.data(), key.size(), nullptr, &reply, nullptr), RW_OK)
        << rw_last_error();
    ASSERT_EQ(text_of(reply), key);
    rw_release(channel, reply, RW_DONE);
  }
  answering.join();
}

}  // namespace
}  // namespace ringwire::ipc
