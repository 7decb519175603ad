#include "apps/cli/histogram.h"

#include <algorithm>
#include <bit>

namespace ringwire::cli {
namespace {

constexpr std::uint32_t kWhole = 100'000;

}  // namespace

std::size_t Histogram::bucket_of(std::uint64_t value) {
  constexpr std::uint64_t kExactCount = std::uint64_t{1} << kExactBits;
  if (value < kExactCount) return static_cast<std::size_t>(value);
  const auto width = static_cast<unsigned>(std::bit_width(value));
  if (width > kTopBits) return kBucketCount - 1;
  // The top kExactBits bits of the value, of which the first is always 1.
  const unsigned shift = width - kExactBits;
  const std::uint64_t within = (value >> shift) - (kExactCount >> 1);
  return static_cast<std::size_t>(kExactCount + ((std::uint64_t{shift} - 1) << kSplitBits) +
                                  within);
}

std::uint64_t Histogram::upper_edge(std::size_t bucket) {
  constexpr std::size_t kExactCount = std::size_t{1} << kExactBits;
  if (bucket < kExactCount) return bucket;
  const std::size_t above = bucket - kExactCount;
  const unsigned shift = static_cast<unsigned>(above >> kSplitBits) + 1;
  const std::uint64_t top =
      (above & ((std::size_t{1} << kSplitBits) - 1)) + (std::size_t{1} << kSplitBits);
  return ((top + 1) << shift) - 1;
}

void Histogram::record(std::int64_t value) {
  const std::int64_t counted = std::max<std::int64_t>(value, 0);
  ++buckets_[bucket_of(static_cast<std::uint64_t>(counted))];
  ++count_;
  max_ = std::max(max_, counted);
}

void Histogram::merge(const Histogram& other) {
  for (std::size_t i = 0; i < kBucketCount; ++i) buckets_[i] += other.buckets_[i];
  count_ += other.count_;
  max_ = std::max(max_, other.max_);
}

std::int64_t Histogram::value_at(std::uint32_t per_100k) const {
  if (count_ == 0) return 0;
  const std::uint64_t part = std::min(per_100k, kWhole);
  // Rounded up: the median of three samples is the second. Split so that nothing overflows.
  const std::uint64_t rank =
      count_ / kWhole * part + (count_ % kWhole * part + kWhole - 1) / kWhole;
  const std::uint64_t wanted = std::max<std::uint64_t>(rank, 1);
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i < kBucketCount; ++i) {
    seen += buckets_[i];
    if (seen < wanted) continue;
    if (i == kBucketCount - 1) return max_;
    return std::min(static_cast<std::int64_t>(upper_edge(i)), max_);
  }
  return max_;
}

}  // namespace ringwire::cli
