// Receiving memory that a worker had to make itself: a program may ask for it before the ring
// manager was told of it.
#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "ipc/ringwire.hpp"
#include "tests/engine/node/engine_world.h"

namespace ringwire::node {
namespace {

// 15 to a file of a megabyte; a hundred are with the program at once, so that files are wanted
// faster than the helper makes them.
constexpr std::size_t kBytes = 60'000;
constexpr std::uint64_t kMessages = 300;

std::uint64_t made_by_worker(const std::string& socket) {
  return ask_admin(socket, R"({"verb":"status"})")["workers"][0]["sync_growth"];
}

TEST(GrowingMemory, what_the_worker_made_itself_is_there_for_who_asks_first) {
  EngineWorld world;
  const auto node = world.start_ready("a");
  auto client = std::move(*rw::Client::open({.socket = node.socket.c_str()}));
  auto reading = std::move(*client.open_channel());
  ASSERT_TRUE(reading.serve().ok());
  std::thread sender([&] {
    auto own = std::move(*rw::Client::open({.socket = node.socket.c_str()}));
    auto sending = std::move(*own.open_channel());
    std::vector<rw::Ticket> tickets;
    std::vector<rw::Loan> loans;
    for (std::uint64_t number = 1; number <= kMessages; ++number) {
      loans.push_back(std::move(*sending.loan(kBytes)));
      std::memcpy(loans.back().data().data(), &number, sizeof number);
    }
    for (rw::Loan& loan : loans) {
      const auto ticket = loan.send(rw::to_key("k"));
      ASSERT_TRUE(ticket.ok());
      tickets.push_back(*ticket);
    }
    for (const rw::Ticket ticket : tickets) {
      auto outcome = sending.wait(ticket, std::chrono::seconds(20));
      ASSERT_TRUE(outcome.ok()) << ticket << " " << outcome.error().sentence();
      EXPECT_TRUE(outcome->done());
    }
  });
  std::vector<rw::Message> held;
  std::vector<std::uint64_t> came;
  while (came.size() < kMessages) {
    auto message = reading.receive(std::chrono::seconds(20));
    if (!message.ok()) break;
    std::uint64_t number = 0;
    std::memcpy(&number, message->data().data(), sizeof number);
    came.push_back(number);
    held.push_back(std::move(*message));
    if (held.size() < 100 && came.size() < kMessages) continue;
    for (rw::Message& one : held) EXPECT_TRUE(one.release().ok());
    held.clear();
  }
  sender.join();
  std::vector<std::uint64_t> sent(kMessages);
  std::iota(sent.begin(), sent.end(), 1);
  EXPECT_EQ(came, sent);
  // Seventeen, as a rule; a slow build's worker may leave the helper time enough.
  RecordProperty("made_by_worker", std::to_string(made_by_worker(node.socket)));
}

}  // namespace
}  // namespace ringwire::node
