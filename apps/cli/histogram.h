// A log-linear histogram of latencies: three significant digits from 0 ns to about 4.8 hours in
// constant memory (280 KiB), so that percentiles of any number of samples cost no sorting and the
// histograms of several threads add up. It does not correct for coordinated omission: the load
// generators measure from the intended time instead. One thread writes; merge after it is done.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace ringwire::cli {

class Histogram {
 public:
  /// Values below 2^11 have a bucket each; above, every power of two is split into 2^10 buckets, so
  /// that a bucket is never wider than 1/1024 of its values: under 0.1 %.
  static constexpr unsigned kExactBits = 11;
  static constexpr unsigned kSplitBits = kExactBits - 1;
  /// Values from 2^44 ns (4.8 h) on share the last bucket; max_value() stays exact.
  static constexpr unsigned kTopBits = 44;
  static constexpr std::size_t kBucketCount =
      (std::size_t{1} << kExactBits) + (kTopBits - kExactBits) * (std::size_t{1} << kSplitBits);

  Histogram() : buckets_(kBucketCount, 0) {}

  /// Count one value. Negative values count as 0: a clock read on two CPUs may step back a little.
  void record(std::int64_t value);

  /// Add all that `other` has counted.
  void merge(const Histogram& other);

  [[nodiscard]] std::uint64_t count() const { return count_; }
  [[nodiscard]] std::int64_t max_value() const { return max_; }

  /// The value that `per_100k` of 100,000 samples do not exceed (50,000: median; 99,900: p99.9):
  /// the upper edge of its bucket, never above max_value(). 0 when empty.
  [[nodiscard]] std::int64_t value_at(std::uint32_t per_100k) const;

 private:
  static std::size_t bucket_of(std::uint64_t value);
  static std::uint64_t upper_edge(std::size_t bucket);

  std::vector<std::uint64_t> buckets_;
  std::uint64_t count_ = 0;
  std::int64_t max_ = 0;
};

}  // namespace ringwire::cli
