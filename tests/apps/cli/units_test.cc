#include "apps/cli/units.h"

#include <gtest/gtest.h>

namespace ringwire::cli {
namespace {

TEST(Sizes, are_read_by_the_table) {
  struct Row {
    const char* text;
    std::optional<std::uint64_t> bytes;
  };
  const Row rows[] = {
      {"0", 0},
      {"64", 64},
      {"64B", 64},
      {"1kB", 1'000},
      {"1KiB", 1'024},
      {"1 KiB", 1'024},
      {"1.5MiB", 1'572'864},
      {"0.5KiB", 512},
      {"2MB", 2'000'000},
      {"1GiB", 1'073'741'824},
      {"4GB", 4'000'000'000},
      {"1TiB", 1'099'511'627'776},
      {"8388607TiB", 9'223'370'937'343'148'032ULL},
      {"8388608TiB", std::nullopt},  // 2^63
      {"18446744073709551616", std::nullopt},
      {"0.3B", std::nullopt},  // no whole byte
      {"0.0000001GB", std::nullopt},
      {"1K", std::nullopt},
      {"1kib", std::nullopt},
      {"1.KiB", std::nullopt},
      {".5KiB", std::nullopt},
      {"-1", std::nullopt},
      {"+1", std::nullopt},
      {"1KiB ", std::nullopt},
      {"1  KiB", std::nullopt},
      {"0x10", std::nullopt},
      {"KiB", std::nullopt},
      {"", std::nullopt},
  };
  for (const Row& row : rows) EXPECT_EQ(parse_size(row.text), row.bytes) << row.text;
}

TEST(Durations, are_read_by_the_table) {
  struct Row {
    const char* text;
    std::optional<std::int64_t> duration_ns;
  };
  const Row rows[] = {
      {"0", 0},
      {"0s", 0},
      {"5ns", 5},
      {"10us", 10'000},
      {"250ms", 250'000'000},
      {"3s", 3'000'000'000},
      {"1.5s", 1'500'000'000},
      {"2m", 120'000'000'000},
      {"2min", 120'000'000'000},
      {"1h", 3'600'000'000'000},
      {"2562047h", 9'223'369'200'000'000'000},
      {"2562048h", std::nullopt},
      {"3", std::nullopt},
      {"3sec", std::nullopt},
      {"-3s", std::nullopt},
      {"0.5ns", std::nullopt},
      {"s", std::nullopt},
      {"", std::nullopt},
  };
  for (const Row& row : rows) EXPECT_EQ(parse_duration(row.text), row.duration_ns) << row.text;
}

TEST(Numbers, are_read_by_the_table) {
  struct Row {
    const char* text;
    std::optional<std::uint64_t> value;
  };
  const Row rows[] = {
      {"0", 0},
      {"18446744073709551615", 18'446'744'073'709'551'615ULL},
      {"18446744073709551616", std::nullopt},
      {"0x1F", 31},
      {"0xffffffffffffffff", 18'446'744'073'709'551'615ULL},
      {"0x", std::nullopt},
      {"1F", std::nullopt},
      {"-1", std::nullopt},
      {" 1", std::nullopt},
      {"", std::nullopt},
  };
  for (const Row& row : rows) EXPECT_EQ(parse_number(row.text), row.value) << row.text;
}

TEST(Sizes, are_written_in_binary_units) {
  EXPECT_EQ(format_bytes(0), "0 B");
  EXPECT_EQ(format_bytes(1'023), "1023 B");
  EXPECT_EQ(format_bytes(1'024), "1.0 KiB");
  EXPECT_EQ(format_bytes(1'536), "1.5 KiB");
  EXPECT_EQ(format_bytes(1'048'575), "1.0 MiB");
  EXPECT_EQ(format_bytes(1'073'741'824), "1.0 GiB");
  EXPECT_EQ(format_bytes(18'446'744'073'709'551'615ULL), "16.0 EiB");
}

TEST(Durations, are_written_in_the_unit_that_fits) {
  EXPECT_EQ(format_duration(0), "0 ns");
  EXPECT_EQ(format_duration(999), "999 ns");
  EXPECT_EQ(format_duration(12'340), "12.3 us");
  EXPECT_EQ(format_duration(4'200'000), "4.20 ms");
  EXPECT_EQ(format_duration(4'200'000'000), "4.20 s");
  EXPECT_EQ(format_duration(65'000'000'000), "1 min 05 s");
  EXPECT_EQ(format_duration(7'500'000'000'000), "2 h 05 min");
  EXPECT_EQ(format_duration(180'000'000'000'000), "2 d 02 h");
}

TEST(Counts, have_their_thousands_apart) {
  EXPECT_EQ(format_count(0), "0");
  EXPECT_EQ(format_count(999), "999");
  EXPECT_EQ(format_count(1'000), "1,000");
  EXPECT_EQ(format_count(1'234'567), "1,234,567");
}

}  // namespace
}  // namespace ringwire::cli
