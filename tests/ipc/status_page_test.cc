#include "ipc/status_page.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace ringwire::ipc {
namespace {

struct StatusPageTest : testing::Test {
  std::vector<std::uint64_t> memory = std::vector<std::uint64_t>(kStatusBytes / 8);
  std::byte* data = reinterpret_cast<std::byte*>(memory.data());
  StatusPageWriter writer{data};
  StatusPage page{data};
};

TEST_F(StatusPageTest, is_valid_once_begun) {
  EXPECT_FALSE(page.valid());
  writer.begin({1, 2}, 0);
  EXPECT_TRUE(page.valid());
  EXPECT_EQ(page.node_count(), 0u);
}

// S-50.
TEST_F(StatusPageTest, an_index_keeps_its_name) {
  writer.begin({1, 2}, 0);
  EXPECT_EQ(writer.append("a", 0), 0u);
  EXPECT_EQ(writer.append("b", 0), 1u);
  writer.set_node_role(1, 1);
  writer.set_node_state(1, NodeState::kDown);
  EXPECT_EQ(page.find("b"), 1u);
  EXPECT_EQ(page.name(1), "b");
  EXPECT_EQ(page.node_state(1), static_cast<std::uint32_t>(NodeState::kDown));
  EXPECT_EQ(page.node_role(1), 1u);
  EXPECT_EQ(page.find("c"), kNoNode);
  EXPECT_EQ(page.name(2), "");
}

TEST_F(StatusPageTest, refuses_names_that_do_not_fit_and_nodes_beyond_the_page) {
  writer.begin({1, 2}, 0);
  EXPECT_EQ(writer.append("", 0), kNoNode);
  EXPECT_EQ(writer.append(std::string(64, 'n'), 0), kNoNode);
  EXPECT_EQ(writer.append(std::string(63, 'n'), 0), 0u);
  for (std::uint32_t index = 1; index < kMaxNodes; ++index)
    ASSERT_EQ(writer.append(std::to_string(index), 0), index);
  EXPECT_EQ(writer.append("one more", 0), kNoNode);
}

// S-51.
TEST_F(StatusPageTest, a_reader_stays_inside_whatever_the_page_says) {
  writer.begin({1, 2}, 0);
  writer.append("a", 0);
  reinterpret_cast<StatusHeader*>(data)->node_count = 0xffff'ffff;
  reinterpret_cast<NodeRecord*>(data + kStatusRecordsOffset)->name_bytes = 0xffff'ffff;
  EXPECT_EQ(page.node_count(), kMaxNodes);
  EXPECT_EQ(page.name(0), "");
  EXPECT_EQ(page.name(kMaxNodes), "");
  EXPECT_EQ(page.find("a"), kNoNode);
}

}  // namespace
}  // namespace ringwire::ipc
