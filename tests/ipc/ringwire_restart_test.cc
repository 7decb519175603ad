// The client library: event loops, and an engine that goes and comes back.
#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include "tests/ipc/ringwire_fixture.h"

namespace ringwire::ipc {
namespace {

// ---- event loops --------------------------------------------------------------------------------

struct EventLoop : Served {
  void watch(rw_channel* on) {
    epoll = epoll_create1(0);
    epoll_event wanted{.events = EPOLLIN, .data = {}};
    ASSERT_EQ(epoll_ctl(epoll, EPOLL_CTL_ADD, rw_fd(on), &wanted), 0);
  }
  bool becomes_readable(int timeout_ms) {
    epoll_event seen{};
    return epoll_wait(epoll, &seen, 1, timeout_ms) == 1;
  }
  ~EventLoop() override {
    if (epoll >= 0) close(epoll);
  }
  int epoll = -1;
};

TEST_F(EventLoop, descriptor_is_readable_when_messages_come) {
  start_served();
  watch(server);
  rw_message* message = nullptr;
  for (int round = 0; round < 50; ++round) {
    while (rw_receive(server, 0, &message) == RW_OK) rw_release(server, message, RW_DONE);
    const rw_ticket ticket = send("k", std::to_string(round));
    ASSERT_TRUE(becomes_readable(10'000)) << round;
    ASSERT_EQ(rw_receive(server, 0, &message), RW_OK);
    EXPECT_EQ(text_of(message), std::to_string(round));
    EXPECT_EQ(rw_release(server, message, RW_DONE), RW_OK);
    wait(ticket);
  }
  while (rw_receive(server, 0, &message) != RW_EAGAIN) {
  }
  EXPECT_FALSE(becomes_readable(0)) << "nothing is left";
}

TEST_F(EventLoop, descriptor_shows_what_came_before_it_was_asked_for) {
  start_served();
  const rw_ticket ticket = send("k", "early");
  ASSERT_TRUE(engine->wait_for_submissions(1));
  watch(server);
  ASSERT_TRUE(becomes_readable(10'000));
  rw_message* message = nullptr;
  ASSERT_EQ(rw_receive(server, kLongNs, &message), RW_OK);
  rw_release(server, message, RW_DONE);
  wait(ticket);
}

TEST_F(EventLoop, descriptor_shows_messages_that_a_poll_took_out) {
  start_served();
  watch(server);
  rw_message* message = nullptr;
  while (rw_receive(server, 0, &message) != RW_EAGAIN) {
  }
  const rw_ticket ticket = send("k", "x");
  ASSERT_TRUE(becomes_readable(10'000));
  rw_outcome outcome{};
  EXPECT_EQ(rw_poll(server, &outcome, 1), 0);
  ASSERT_TRUE(becomes_readable(10'000)) << "the message is to be received still";
  ASSERT_EQ(rw_receive(server, 0, &message), RW_OK);
  rw_release(server, message, RW_DONE);
  wait(ticket);
}

TEST_F(EventLoop, descriptor_shows_outcomes_that_a_receive_took_out) {
  FakeOptions options;
  options.hold = true;
  start(options);
  watch(channel);
  send("k", "x");
  rw_outcome outcome{};
  EXPECT_EQ(rw_poll(channel, &outcome, 1), 0);
  ASSERT_TRUE(engine->wait_for_submissions(1));
  engine->release_held();
  ASSERT_TRUE(becomes_readable(10'000));
  rw_message* message = nullptr;
  EXPECT_EQ(rw_receive(channel, 0, &message), RW_EAGAIN);
  ASSERT_TRUE(becomes_readable(10'000)) << "the outcome is to be polled still";
  EXPECT_EQ(rw_poll(channel, &outcome, 1), 1);
  while (rw_receive(channel, 0, &message) != RW_EAGAIN || rw_poll(channel, &outcome, 1) != 0) {
  }
  EXPECT_FALSE(becomes_readable(0)) << "nothing is left";
}

TEST_F(EventLoop, descriptor_shows_outcomes) {
  FakeOptions options;
  options.hold = true;
  start(options);
  watch(channel);
  send("k", "x");
  rw_outcome outcome{};
  EXPECT_EQ(rw_poll(channel, &outcome, 1), 0);
  ASSERT_TRUE(engine->wait_for_submissions(1));
  engine->release_held();
  ASSERT_TRUE(becomes_readable(10'000));
  EXPECT_EQ(rw_poll(channel, &outcome, 1), 1);
}

TEST_F(EventLoop, descriptor_works_on_after_an_engine_restart) {
  start_served();
  watch(server);
  rw_message* message = nullptr;
  EXPECT_EQ(rw_receive(server, 0, &message), RW_EAGAIN);
  restart_engine();
  // The hang-up makes it readable; the program calls again until it is back.
  while (engine->hellos() == 0) {
    ASSERT_TRUE(becomes_readable(10'000));
    ASSERT_EQ(rw_receive(server, 0, &message), RW_EAGAIN) << rw_last_error();
  }
  while (rw_receive(server, 0, &message) != RW_EAGAIN) {
  }
  const rw_ticket ticket = send("k", "after");
  ASSERT_TRUE(becomes_readable(10'000));
  EXPECT_EQ(rw_receive(server, kLongNs, &message), RW_OK);
  rw_release(server, message, RW_DONE);
  wait(ticket);
}

// ---- engine restart -----------------------------------------------------------------------------

// S-32, S-46.
TEST_F(Ringwire, replays_what_has_no_outcome_in_order_with_its_bytes) {
  FakeOptions options;
  options.hold = true;
  start(options);
  std::vector<std::string> payloads;
  for (std::size_t index = 0; index < 700; ++index)  // more than the queue holds
    payloads.push_back(std::string(index * 37 % 3'000, static_cast<char>('a' + index % 26)));
  payloads.push_back(std::string(200'000, 'L'));
  for (std::size_t index = 0; index < payloads.size(); ++index)
    send(index % 3 == 0 ? std::string(300, 'k') : "k", payloads[index]);
  ASSERT_TRUE(engine->wait_for_submissions(payloads.size()));
  const Id128 before = engine->hello_id(0);
  options_.hold = false;
  restart_engine();
  for (rw_ticket ticket = 1; ticket <= payloads.size(); ++ticket)
    ASSERT_EQ(wait(ticket).ending, static_cast<unsigned>(RW_ENDING_DONE));
  EXPECT_EQ(engine->hello_id(0), before) << "the same attachment";
  const auto seen = engine->seen();
  ASSERT_EQ(seen.size(), payloads.size());
  for (std::size_t index = 0; index < seen.size(); ++index) {
    EXPECT_EQ(seen[index].submission.sequence, index + 1);
    EXPECT_NE(seen[index].submission.flags & kSubmitReplayed, 0);
    EXPECT_TRUE(seen[index].payload == payloads[index]) << index;
    EXPECT_EQ(seen[index].key.size(), index % 3 == 0 ? 300u : 1u);
  }
}

TEST_F(Ringwire, does_not_replay_what_had_ended) {
  start();
  wait(send("k", "one"));
  engine->set_hold(true);
  const rw_ticket second = send("k", "two");
  ASSERT_TRUE(engine->wait_for_submissions(2));
  restart_engine();
  wait(second);
  ASSERT_EQ(engine->seen().size(), 1u);
  EXPECT_EQ(engine->seen().at(0).payload, "two");
}

// S-48.
TEST_F(Served, serves_again_after_an_engine_restart) {
  start_served();
  restart_engine();
  std::thread serving([&] {
    rw_message* message = receive(server);
    EXPECT_EQ(text_of(message), "after");
    EXPECT_EQ(rw_release(server, message, RW_DONE), RW_OK);
  });
  // Both channels come back, each in its own thread; the message waits for the server's.
  rw_outcome outcome{};
  const rw_ticket ticket = send("k", "after");
  if (rw_wait(channel, ticket, kLongNs, &outcome) != RW_OK) ADD_FAILURE() << rw_last_error();
  // Done either by the server or, when it had not come back yet, by the engine itself.
  EXPECT_EQ(outcome.ending, static_cast<unsigned>(RW_ENDING_DONE));
  while (engine->releases().empty()) wait(send("k", "after"));
  serving.join();
}

// S-47.
TEST_F(Served, message_of_the_old_engine_stays_readable_and_its_release_is_no_error) {
  start_served();
  const std::string large(300'000, 'm');
  const rw_ticket large_ticket = send("k", large);
  rw_message* mapped = receive(server);
  const rw_ticket small_ticket = send("k", "small");
  rw_message* inside = receive(server);
  restart_engine();
  rw_message* none = nullptr;
  // This makes the server's channel find the death and come back; the replays may arrive already.
  std::vector<rw_message*> replayed;
  while (replayed.size() < 1) {
    rw_outcome outcome{};
    rw_wait(channel, large_ticket, 0, &outcome);
    if (rw_receive(server, 1'000'000, &none) == RW_OK) replayed.push_back(none);
    if (engine->seen().size() >= 2 && replayed.empty()) break;
  }
  EXPECT_TRUE(text_of(mapped) == large);
  EXPECT_EQ(text_of(inside), "small");
  EXPECT_EQ(rw_reply(server, inside, "x", 1, nullptr, nullptr), RW_ESTALE);
  EXPECT_EQ(rw_release(server, mapped, RW_DONE), RW_OK);
  EXPECT_EQ(rw_release(server, inside, RW_DONE), RW_OK);
  for (rw_message* message : replayed) rw_release(server, message, RW_DONE);
  static_cast<void>(small_ticket);
}

TEST_F(Ringwire, gives_up_when_no_engine_comes_back) {
  const std::string socket = folder.socket();
  engine.emplace(socket, FakeOptions{});
  rw_client_options how{};
  how.struct_bytes = sizeof how;
  how.socket = socket.c_str();
  how.reconnect_ns = 20'000'000;
  ASSERT_EQ(rw_client_open(&how, &client), RW_OK);
  ASSERT_EQ(rw_channel_open(client, nullptr, &channel), RW_OK);
  engine.reset();
  rw_message* message = nullptr;
  EXPECT_EQ(rw_receive(channel, kLongNs, &message), RW_ENOENGINE);
  rw_status_t status{};
  status.struct_bytes = sizeof status;
  ASSERT_EQ(rw_status(client, &status), RW_OK);
  EXPECT_EQ(status.attached, 0u);
}

// S-34.
TEST_F(Ringwire, thrown_out_stays_out_with_the_reason) {
  start();
  engine->close_attachments(AttachStatus::kMalformed, "it broke a rule");
  rw_message* message = nullptr;
  EXPECT_EQ(rw_receive(channel, kLongNs, &message), RW_ECLOSED);
  EXPECT_STREQ(rw_last_error(), "it broke a rule");
}

/// Whether this thread of ours sleeps: it waits for something then.
bool sleeps(pid_t thread) {
  std::ifstream stat("/proc/self/task/" + std::to_string(thread) + "/stat");
  std::string id, name, state;
  return static_cast<bool>(stat >> id >> name >> state) && state == "S";
}

// The engine that comes has other numbers for services than the one that a send was made for.
TEST_F(Ringwire, a_send_that_waits_while_the_engine_goes_reaches_the_service_that_it_named) {
  start();
  channel = open_channel(16);
  const auto send_for = [&](const char* service) {
    rw_target target = rw_target_key("k", 1);
    target.service = service;
    rw_ticket ticket = 0;
    EXPECT_EQ(rw_send(channel, &target, service, 1, nullptr, &ticket), RW_OK) << rw_last_error();
    return ticket;
  };
  wait(send_for("b"));
  engine->set_stalled(true);
  for (int count = 0; count < 16; ++count) send_for("a");
  std::promise<pid_t> thread;
  auto sent = std::async(std::launch::async, [&] {
    thread.set_value(gettid());
    return send_for("b");
  });
  const pid_t sender = thread.get_future().get();
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::nanoseconds(kLongNs);
  bool waits = false;
  while (!(waits = sleeps(sender)) && std::chrono::steady_clock::now() < deadline)
    std::this_thread::yield();
  ASSERT_TRUE(waits);
  restart_engine();
  wait(sent.get());
  const auto seen = engine->seen();
  ASSERT_EQ(seen.size(), 17U);
  EXPECT_EQ(seen.front().payload, "a");
  EXPECT_EQ(seen.back().payload, "b");
  EXPECT_EQ(seen.front().submission.service, 1);
  EXPECT_EQ(seen.back().submission.service, 2);
}

// S-12.
TEST_F(Ringwire, a_cancel_at_a_queue_that_the_engine_broke_attaches_again) {
  start({.stalled = true});
  channel = open_channel(16);
  const rw_ticket first = send("k", "1");
  for (int count = 1; count < 16; ++count) send("k", "another");
  engine->break_submissions();
  auto cancelled = std::async(std::launch::async, [&] { return rw_cancel(channel, first); });
  EXPECT_TRUE(engine->wait_until_greeted(2));
  engine->set_stalled(false);
  EXPECT_EQ(cancelled.get(), RW_OK);
}

}  // namespace
}  // namespace ringwire::ipc
