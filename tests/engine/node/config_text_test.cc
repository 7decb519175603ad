#include "engine/node/config_text.h"

#include <gtest/gtest.h>

#include <array>

namespace ringwire::node {
namespace {

TEST(ConfigText, sizes) {
  struct Row {
    const char* text;
    std::optional<std::uint64_t> bytes;
  };
  const Row rows[] = {
      {"0", 0},
      {"1", 1},
      {"4096", 4'096},
      {"12B", 12},
      {"64KiB", 65'536},
      {"64 KiB", 65'536},
      {"1.5GiB", 1'610'612'736},
      {"0.5KiB", 512},
      {"2TiB", 2'199'023'255'552},
      {"9223372036854775807", 9'223'372'036'854'775'807ULL},
      {"9223372036854775808", std::nullopt},
      {"8388608TiB", std::nullopt},
      {"0.3B", std::nullopt},
      {"1.0000001KiB", std::nullopt},
      {"", std::nullopt},
      {"KiB", std::nullopt},
      {"-1", std::nullopt},
      {"1kb", std::nullopt},
      {"1KB", std::nullopt},
      {"1  KiB", std::nullopt},
      {"1.KiB", std::nullopt},
      {".5KiB", std::nullopt},
      {"1.2.3KiB", std::nullopt},
      {"1KiB ", std::nullopt},
  };
  for (const Row& row : rows) EXPECT_EQ(parse_size(row.text), row.bytes) << row.text;
}

TEST(ConfigText, sizes_are_shown_short_and_exact) {
  EXPECT_EQ(size_text(0), "0");
  EXPECT_EQ(size_text(1), "1");
  EXPECT_EQ(size_text(1'023), "1023");
  EXPECT_EQ(size_text(1'024), "1KiB");
  EXPECT_EQ(size_text(1'536ULL << 10), "1536KiB");
  EXPECT_EQ(size_text(3ULL << 40), "3TiB");
}

TEST(ConfigText, durations) {
  struct Row {
    const char* text;
    std::optional<DurationNs> duration;
  };
  const Row rows[] = {
      {"0", 0},
      {"1ns", 1},
      {"3us", 3'000},
      {"80ms", 80'000'000},
      {"2.5s", 2'500'000'000},
      {"30 s", 30'000'000'000},
      {"2min", 120'000'000'000},
      {"1h", 3'600'000'000'000},
      {"30", std::nullopt},
      {"s", std::nullopt},
      {"-1s", std::nullopt},
      {"1d", std::nullopt},
      {"0.5ns", std::nullopt},
      {"9999999h", std::nullopt},
      {"", std::nullopt},
  };
  for (const Row& row : rows) EXPECT_EQ(parse_duration(row.text), row.duration) << row.text;
  EXPECT_EQ(duration_text(80 * kMillisecondNs), "80ms");
  EXPECT_EQ(duration_text(120 * kSecondNs), "2min");
  EXPECT_EQ(duration_text(0), "0");
}

TEST(ConfigText, hosts_and_ports) {
  struct Row {
    const char* text;
    std::optional<HostPort> value;
  };
  const Row rows[] = {
      {"a.example:3100", HostPort{"a.example", 3100}},
      {"127.0.0.1:0", HostPort{"127.0.0.1", 0}},
      {"[::1]:65535", HostPort{"::1", 65'535}},
      {"[2001:db8::1]:80", HostPort{"2001:db8::1", 80}},
      {"a.example", std::nullopt},
      {":3100", std::nullopt},
      {"a:", std::nullopt},
      {"a:65536", std::nullopt},
      {"a:-1", std::nullopt},
      {"::1:3100", std::nullopt},
      {"[::1:3100", std::nullopt},
      {"[]:1", std::nullopt},
      {"[1.2.3.4]:1", std::nullopt},
      {"1.2.3:1", std::nullopt},
      {"1.2.3.256:1", std::nullopt},
      {"a b:1", std::nullopt},
      {"", std::nullopt},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(parse_host_port(row.text), row.value) << row.text;
    if (row.value) {
      EXPECT_EQ(host_port_text(*row.value), row.text);
    }
  }
}

TEST(ConfigText, networks) {
  for (const char* good : {"10.0.0.0/8", "192.0.2.1", "2001:db8::/32", "::/0", "0.0.0.0/32"})
    EXPECT_TRUE(is_network(good)) << good;
  for (const char* bad : {"", "10.0.0.0/33", "2001:db8::/129", "10.0/8", "host/8", "10.0.0.0/"})
    EXPECT_FALSE(is_network(bad)) << bad;
}

TEST(ConfigText, the_nearest_name_is_named_only_when_it_is_near) {
  const std::array<std::string_view, 3> known = {"secondaries", "seeds", "name"};
  EXPECT_EQ(nearest_name("secondarys", known), "secondaries");
  EXPECT_EQ(nearest_name("nmae", known), "name");
  EXPECT_EQ(nearest_name("seed", known), "seeds");
  EXPECT_EQ(nearest_name("colour", known), std::nullopt);
  EXPECT_EQ(nearest_name("name", {}), std::nullopt);
}

}  // namespace
}  // namespace ringwire::node
