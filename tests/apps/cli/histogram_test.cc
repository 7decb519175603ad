#include "apps/cli/histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "base/random.h"

namespace ringwire::cli {
namespace {

TEST(Histogram, is_empty_at_first) {
  const Histogram histogram;
  EXPECT_EQ(histogram.count(), 0U);
  EXPECT_EQ(histogram.value_at(50'000), 0);
  EXPECT_EQ(histogram.max_value(), 0);
}

TEST(Histogram, gives_small_values_exactly) {
  Histogram histogram;
  for (std::int64_t value = 1; value <= 1'000; ++value) histogram.record(value);
  EXPECT_EQ(histogram.value_at(0), 1);
  EXPECT_EQ(histogram.value_at(50'000), 500);
  EXPECT_EQ(histogram.value_at(90'000), 900);
  EXPECT_EQ(histogram.value_at(99'900), 999);
  EXPECT_EQ(histogram.value_at(100'000), 1'000);
}

TEST(Histogram, rounds_the_rank_up) {
  Histogram histogram;
  for (const std::int64_t value : {10, 20, 30}) histogram.record(value);
  EXPECT_EQ(histogram.value_at(33'333), 10);
  EXPECT_EQ(histogram.value_at(33'334), 20);
  EXPECT_EQ(histogram.value_at(50'000), 20);
}

TEST(Histogram, counts_negative_values_as_zero) {
  Histogram histogram;
  histogram.record(-5);
  EXPECT_EQ(histogram.count(), 1U);
  EXPECT_EQ(histogram.value_at(100'000), 0);
}

TEST(Histogram, keeps_values_beyond_its_range_in_the_last_bucket) {
  Histogram histogram;
  const std::int64_t beyond = std::int64_t{1} << 60;
  histogram.record(beyond);
  histogram.record(std::int64_t{1} << 62);
  EXPECT_EQ(histogram.max_value(), std::int64_t{1} << 62);
  EXPECT_EQ(histogram.value_at(10'000), std::int64_t{1} << 62);
}

TEST(Histogram, never_reports_above_the_largest_value) {
  Histogram histogram;
  histogram.record(1'000'000'000);
  EXPECT_EQ(histogram.value_at(50'000), 1'000'000'000);
}

TEST(Histogram, stays_within_a_thousandth_on_both_sides_of_each_power_of_two) {
  for (unsigned bits = 1; bits < Histogram::kTopBits; ++bits) {
    for (const std::int64_t step : {-1, 0, 1}) {
      const std::int64_t value = (std::int64_t{1} << bits) + step;
      Histogram histogram;
      histogram.record(value);
      histogram.record(std::int64_t{1} << 50);  // so that the largest value does not hide the edge
      const std::int64_t seen = histogram.value_at(50'000);
      EXPECT_GE(seen, value);
      EXPECT_LE(seen - value, value / 1'000) << value;
    }
  }
}

// Against a naive twin: sort all the values.
TEST(Histogram, agrees_with_sorting) {
  Random random(20'240'601);
  Histogram histogram;
  std::vector<std::int64_t> values;
  for (int i = 0; i < 20'000; ++i) {
    const auto value = static_cast<std::int64_t>(random.next() >> (24 + random.below(38)));
    histogram.record(value);
    values.push_back(value);
  }
  std::sort(values.begin(), values.end());
  for (const std::uint32_t per_100k : {1'000U, 25'000U, 50'000U, 90'000U, 99'000U, 99'900U}) {
    const std::int64_t exact = values[values.size() * per_100k / 100'000 - 1];
    EXPECT_GE(histogram.value_at(per_100k), exact);
    EXPECT_LE(histogram.value_at(per_100k) - exact, exact / 1'000 + 1) << per_100k;
  }
}

TEST(Histogram, merges_as_if_one_had_recorded_all) {
  Histogram left;
  Histogram right;
  Histogram whole;
  for (std::int64_t value = 0; value < 50'000; value += 7) {
    (value % 2 == 0 ? left : right).record(value);
    whole.record(value);
  }
  left.merge(right);
  EXPECT_EQ(left.count(), whole.count());
  EXPECT_EQ(left.max_value(), whole.max_value());
  for (std::uint32_t at = 0; at <= 100'000; at += 500)
    EXPECT_EQ(left.value_at(at), whole.value_at(at));
}

}  // namespace
}  // namespace ringwire::cli
