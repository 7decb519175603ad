#include "engine/node/network_list.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/endpoint_text.h"

namespace ringwire::node {
namespace {

TEST(NetworkList, admits_by_prefix) {
  const struct {
    const char* network;
    const char* address;
    bool admitted;
  } rows[] = {
      {"10.0.0.0/8", "10.255.1.2", true},     {"10.0.0.0/8", "11.0.0.1", false},
      {"192.0.2.4/30", "192.0.2.7", true},    {"192.0.2.4/30", "192.0.2.8", false},
      {"192.0.2.1", "192.0.2.1", true},       {"192.0.2.1", "192.0.2.2", false},
      {"0.0.0.0/0", "198.51.100.1", true},    {"0.0.0.0/0", "2001:db8::1", false},
      {"2001:db8::/33", "2001:db8::1", true}, {"2001:db8::/33", "2001:db8:8000::1", false},
      {"::/0", "2001:db8::1", true},          {"::1", "::1", true},
  };
  for (const auto& row : rows) {
    const std::vector<std::string> texts = {row.network};
    EXPECT_EQ(NetworkList(texts).admits(*parse_address(row.address)), row.admitted)
        << row.network << " " << row.address;
  }
}

TEST(NetworkList, admits_all_when_empty_and_any_of_several) {
  EXPECT_TRUE(NetworkList(std::vector<std::string>()).admits(*parse_address("192.0.2.1")));
  const std::vector<std::string> two = {"10.0.0.0/8", "192.0.2.0/24"};
  EXPECT_TRUE(NetworkList(two).admits(*parse_address("192.0.2.1")));
  EXPECT_FALSE(NetworkList(two).admits(*parse_address("198.51.100.1")));
}

}  // namespace
}  // namespace ringwire::node
