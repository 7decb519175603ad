#include "apps/cli/ticket_table.h"

#include <gtest/gtest.h>

#include <unordered_map>
#include <vector>

#include "base/random.h"

namespace ringwire::cli {
namespace {

TEST(TicketTable, gives_each_ticket_back_once) {
  TicketTable table(4);
  table.insert(17, 1'000);
  EXPECT_TRUE(table.contains(17));
  EXPECT_EQ(table.take(17), 1'000);
  EXPECT_FALSE(table.contains(17));
  EXPECT_EQ(table.take(17), std::nullopt);
}

TEST(TicketTable, holds_as_many_as_it_says) {
  TicketTable table(3);
  for (std::uint64_t ticket = 1; ticket <= 3; ++ticket) table.insert(ticket, 0);
  EXPECT_EQ(table.size(), 3U);
  EXPECT_DEATH(table.insert(4, 0), "");
}

// Against a naive twin; a small table, so that probes run into each other all the time.
TEST(TicketTable, agrees_with_a_map) {
  Random random(3);
  TicketTable table(8);
  std::unordered_map<std::uint64_t, std::int64_t> twin;
  for (std::int64_t step = 0; step < 100'000; ++step) {
    const std::uint64_t ticket = 1 + random.below(40);
    const auto found = twin.find(ticket);
    if (found != twin.end()) {
      ASSERT_EQ(table.take(ticket), found->second);
      twin.erase(found);
    } else if (twin.size() < 8) {
      ASSERT_FALSE(table.contains(ticket));
      table.insert(ticket, step);
      twin.emplace(ticket, step);
    } else {
      ASSERT_EQ(table.take(ticket), std::nullopt);
    }
    ASSERT_EQ(table.size(), twin.size());
  }
}

}  // namespace
}  // namespace ringwire::cli
