#include "base/endpoint_text.h"

#include <gtest/gtest.h>

namespace ringwire {
namespace {

TEST(EndpointText, canonical_texts_survive_the_round_trip) {
  for (const char* text :
       {"0.0.0.0:0", "127.0.0.1:3200", "255.255.255.255:65535", "[::]:0", "[::1]:80",
        "[2001:db8::1]:443", "[2001:db8:0:1:1:1:1:1]:1", "[1:0:0:2::3]:1", "[fe80::]:9"}) {
    const auto endpoint = parse_endpoint(text);
    ASSERT_TRUE(endpoint.has_value()) << text;
    EXPECT_EQ(endpoint_text(*endpoint), text);
  }
}

TEST(EndpointText, other_spellings_are_read_and_written_in_the_canonical_one) {
  const struct {
    const char* given;
    const char* canonical;
  } rows[] = {
      {"[2001:0DB8:0:0:0:0:0:1]:1", "[2001:db8::1]:1"},
      {"[2001:db8:0:0:1:0:0:1]:1", "[2001:db8::1:0:0:1]:1"},
      {"[0:0:0:0:0:0:0:0]:1", "[::]:1"},
      {"[::ffff:192.0.2.1]:1", "192.0.2.1:1"},
      {"[64:ff9b::192.0.2.33]:1", "[64:ff9b::c000:221]:1"},
      {"[1:2:3:4:5:6:7::]:1", "[1:2:3:4:5:6:7:0]:1"},
  };
  for (const auto& row : rows) {
    const auto endpoint = parse_endpoint(row.given);
    ASSERT_TRUE(endpoint.has_value()) << row.given;
    EXPECT_EQ(endpoint_text(*endpoint), row.canonical);
  }
}

TEST(EndpointText, an_ipv4_address_is_held_v4_mapped) {
  const auto endpoint = parse_endpoint("192.0.2.1:80");
  ASSERT_TRUE(endpoint.has_value());
  EXPECT_TRUE(endpoint->is_ipv4());
  EXPECT_EQ(*endpoint, endpoint_of_ipv4({192, 0, 2, 1}, 80));
  EXPECT_EQ(address_text(*endpoint), "192.0.2.1");
}

TEST(EndpointText, wrong_texts_are_refused) {
  for (const char* text : {"",
                           ":",
                           "1.2.3.4",
                           "1.2.3.4:",
                           "1.2.3:1",
                           "1.2.3.4.5:1",
                           "1.2.3.256:1",
                           "01.2.3.4:1",
                           "1.2.3.4:65536",
                           "1.2.3.4:-1",
                           "1.2.3.4: 1",
                           "[1.2.3.4]:1",
                           "::1:1",
                           "[::1]",
                           "[::1]:x",
                           "[1:2:3:4:5:6:7]:1",
                           "[1:2:3:4:5:6:7:8:9]:1",
                           "[1::2::3]:1",
                           "[:1:2:3:4:5:6:7]:1",
                           "[1:2:3:4:5:6:7:]:1",
                           "[12345::]:1",
                           "[::g]:1",
                           "[::1%lo]:1",
                           "[1:2:3:4:5:6:7::8]:1",
                           "[1.2.3.4::]:1",
                           "localhost:1"})
    EXPECT_FALSE(parse_endpoint(text).has_value()) << text;
}

}  // namespace
}  // namespace ringwire
