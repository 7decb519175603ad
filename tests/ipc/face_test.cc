// The C++ face is compiled without exceptions here (meson.build), and driven through every call.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <string>

#include "ipc/ringwire.hpp"
#include "tests/ipc/fake_engine.h"

namespace rw {
namespace {

constexpr Wait kLong = std::chrono::seconds(10);

struct Face : testing::Test {
  Face() : engine(folder.socket()), path(folder.socket()) {}
  Client open() {
    auto client = Client::open({.socket = path.c_str(), .label = "face"});
    EXPECT_TRUE(client.ok());
    return std::move(*client);
  }
  ringwire::ipc::TemporaryFolder folder;
  ringwire::ipc::FakeEngine engine;
  std::string path;
};

TEST_F(Face, says_why_a_client_cannot_be_opened) {
  auto client = Client::open({.socket = "/nowhere/at/all.sock"});
  ASSERT_FALSE(client.ok());
  EXPECT_EQ(client.code(), RW_ENOENGINE);
  EXPECT_STREQ(client.error().name(), "RW_ENOENGINE");
  EXPECT_NE(client.error().sentence().find("/nowhere/at/all.sock"), std::string::npos);
}

TEST_F(Face, sends_receives_and_releases) {
  Client client = open();
  auto sender = client.open_channel();
  auto server = client.open_channel({.delivery_entries = 64});
  ASSERT_TRUE(sender.ok());
  ASSERT_TRUE(server.ok());
  ASSERT_TRUE(server->serve({.service = "orders", .order = Order::kNone, .prefetch = 4}).ok());
  auto ticket = sender->send(to_key("order-7").service("orders"), "hello",
                             {.level = Level::kProcessed, .timeout = kLong});
  ASSERT_TRUE(ticket.ok());
  EXPECT_EQ(*sender->outstanding(), 1u);
  auto message = server->receive(kLong);
  ASSERT_TRUE(message.ok());
  EXPECT_EQ(message->text(), "hello");
  EXPECT_EQ(message->key_text(), "order-7");
  EXPECT_EQ(message->hash(), hash(bytes_of("order-7")));
  EXPECT_STREQ(message->service(), "orders");
  EXPECT_STREQ(message->origin_node(), "alpha");
  EXPECT_FALSE(message->redelivered());
  EXPECT_EQ(message->attempt(), 1u);
  ASSERT_TRUE(message->release().ok());
  auto outcome = sender->wait(*ticket, kLong);
  ASSERT_TRUE(outcome.ok());
  EXPECT_TRUE(outcome->done());
  EXPECT_STREQ(outcome->reason_name(), "none");
  EXPECT_TRUE(server->unserve("orders").ok());
}

TEST_F(Face, dropped_message_goes_back_as_retry) {
  Client client = open();
  auto channel = client.open_channel();
  ASSERT_TRUE(channel->serve().ok());
  ASSERT_TRUE(channel->send(to_hash(3), "x").ok());
  { auto message = channel->receive(kLong); }
  ASSERT_TRUE(engine.wait_until_released(1));
  EXPECT_EQ(engine.releases().at(0).verdict, static_cast<std::uint32_t>(RW_RETRY));
}

TEST_F(Face, calls_and_replies) {
  Client client = open();
  auto caller = client.open_channel();
  Outcome outcome{};
  auto echoed = caller->call(to_random(), "ping", {}, &outcome);
  ASSERT_TRUE(echoed.ok());
  EXPECT_EQ(echoed->text(), "ping");
  EXPECT_TRUE(echoed->is_reply());
  EXPECT_TRUE(outcome.done());
  EXPECT_TRUE(echoed->release().ok());
  ASSERT_TRUE(caller->serve().ok());
  auto ticket = caller->start_call(to_key("k"), bytes_of("question"));
  ASSERT_TRUE(ticket.ok());
  auto request = caller->receive(kLong);
  ASSERT_TRUE(request.ok());
  EXPECT_TRUE(request->is_call());
  ASSERT_TRUE(request->reply("answer").ok());
  ASSERT_TRUE(request->release().ok());
  auto reply = caller->receive(kLong);
  ASSERT_TRUE(reply.ok());
  EXPECT_EQ(reply->ticket(), *ticket);
  EXPECT_EQ(reply->text(), "answer");
}

TEST_F(Face, loans_files_polls_and_cancels) {
  Client client = open();
  auto channel = client.open_channel();
  auto loan = channel->loan(1'000);
  ASSERT_TRUE(loan.ok());
  loan->data()[0] = std::byte{'z'};
  loan->shorten(1);
  ASSERT_TRUE(loan->send(to_replicas("k")).ok());
  { auto unused = channel->loan(5); }
  const int fd = memfd_create("file", 0);
  ASSERT_EQ(write(fd, "content", 7), 7);
  ASSERT_TRUE(channel->send_file(to_node("beta"), fd, 0, 7).ok());
  close(fd);
  auto all = channel->send(to_all().without_self(), "x");
  ASSERT_TRUE(all.ok());
  ASSERT_TRUE(channel->wait(*all, kLong).ok());
  auto targets = channel->targets(*all);
  ASSERT_TRUE(targets.ok());
  EXPECT_EQ(targets->size(), 2u);
  auto outcomes = channel->poll();
  ASSERT_TRUE(outcomes.ok());
  EXPECT_EQ(outcomes->size(), 2u);
  EXPECT_EQ(channel->cancel(99).code(), RW_ESTALE);
  EXPECT_GE(*channel->descriptor(), 0);
  auto none = channel->receive_many(kNoWait, 4);
  EXPECT_EQ(none.code(), RW_EAGAIN);
  EXPECT_EQ(engine.seen().at(0).payload, "z");
  EXPECT_EQ(engine.seen().at(1).payload, "content");
}

TEST_F(Face, room_wait_of_none_says_again_at_once) {
  engine.set_stalled(true);
  Client client = open();
  auto channel = client.open_channel({.submission_entries = 16});
  Expected<Ticket> sent = channel->send(to_hash(1), "x", {.room_wait = kNoWait});
  for (int count = 1; sent.ok() && count < 17; ++count)
    sent = channel->send(to_hash(1), "x", {.room_wait = kNoWait});
  EXPECT_EQ(sent.code(), RW_EAGAIN);
}

TEST_F(Face, tells_about_the_engine) {
  Client client = open();
  EXPECT_STREQ(client.status()->node, "alpha");
  EXPECT_EQ(client.nodes()->size(), 2u);
  auto answer = admin(path.c_str(), "{}");
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(answer->text, "{}");
  EXPECT_EQ(version(), rw_version());
}

}  // namespace
}  // namespace rw
