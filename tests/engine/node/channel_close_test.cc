// Closing a channel (S-35) at a real engine, by the library that programs use.
#include <gtest/gtest.h>

#include <future>

#include "ipc/ringwire.hpp"
#include "tests/engine/node/engine_world.h"

namespace ringwire::node {
namespace {

TEST(ChannelClose, does_not_wait_for_who_reads_its_messages) {
  EngineWorld world;
  const auto engine = world.start_ready("a");
  const rw::ClientOptions options{.socket = engine.socket.c_str()};
  auto reader = rw::Client::open(options);
  auto reading = reader->open_channel();
  ASSERT_TRUE(reading->serve().ok());
  auto sender = rw::Client::open(options);
  auto first = sender->open_channel();
  ASSERT_TRUE(first->send(rw::to_key("k"), "former").ok());
  auto former = reading->receive(rw::kForever);
  ASSERT_TRUE(former.ok());
  // It has the message, and does not give it back. Where the answer is waited for, that is a
  // minute.
  auto closed = std::async(std::launch::async, [&] { rw::Channel gone = std::move(*first); });
  EXPECT_EQ(closed.wait_for(kPatience), std::future_status::ready);
  // The number is free: what comes next of it is another's, and goes on with its sequence (S-33).
  auto second = sender->open_channel();
  ASSERT_TRUE(second.ok()) << second.error().sentence();
  const auto ticket = second->send(rw::to_key("other"), "latter");
  ASSERT_TRUE(ticket.ok());
  EXPECT_EQ(*ticket, 2U);
  auto latter = reading->receive(rw::kForever);
  ASSERT_TRUE(latter.ok());
  EXPECT_TRUE(former->release().ok());
  EXPECT_TRUE(latter->release().ok());
  auto outcome = second->wait(*ticket);
  ASSERT_TRUE(outcome.ok());
  EXPECT_TRUE(outcome->done());
  const auto outcomes = [&] {
    return ask_admin(engine.socket, R"({"verb":"status"})")["messages"];
  };
  EXPECT_TRUE(wait_until([&] { return outcomes()["done"] == 2; })) << outcomes().dump();
}

}  // namespace
}  // namespace ringwire::node
