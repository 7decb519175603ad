#include "engine/node/name_list.h"

#include <gtest/gtest.h>

namespace ringwire::node {
namespace {

TEST(NameList, admits_by_pattern_and_everybody_without_one) {
  const struct {
    std::vector<std::string> patterns;
    const char* name;
    bool admitted;
  } rows[] = {
      {{}, "anything", true},
      {{"a"}, "a", true},
      {{"a"}, "ab", false},
      {{"*.orders"}, "a.orders", true},
      {{"*.orders"}, "orders", false},
      {{"*.orders"}, "a.orders.x", false},
      {{"x", "web-?"}, "web-1", true},
      {{"x", "web-?"}, "web-10", false},
      {{"*"}, "", true},
  };
  for (const auto& row : rows)
    EXPECT_EQ(admits_name(row.patterns, row.name), row.admitted) << row.name;
}

}  // namespace
}  // namespace ringwire::node
