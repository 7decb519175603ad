#include "apps/cli/stamp.h"

#include "apps/cli/body_hash.h"
#include "base/bytes.h"
#include "base/hash.h"

namespace ringwire::cli {
namespace {

// "RWBENCH1" and "RWBENCHQ" as little-endian numbers.
constexpr std::uint64_t kStampMagic = 0x3148434e45425752ULL;
constexpr std::uint64_t kQuestionMagic = 0x5148434e45425752ULL;

// Stream and sequence are part of the checksum: a body under the wrong number is damage too.
std::uint64_t checksum(std::span<const std::byte> body, const Stamp& stamp) {
  return body_hash(body, mix64(stamp.stream) ^ stamp.sequence);
}

}  // namespace

bool write_stamp(std::span<std::byte> payload, const Stamp& stamp) {
  if (payload.size() < kStampBytes) return false;
  store_le(payload.data(), kStampMagic);
  store_le(payload.data() + 8, stamp.stream);
  store_le(payload.data() + 16, stamp.sequence);
  store_le(payload.data() + 24, checksum(payload.subspan(kStampBytes), stamp));
  return true;
}

CheckedStamp check_stamp(std::span<const std::byte> payload) {
  if (payload.size() < kStampBytes || load_le<std::uint64_t>(payload.data()) != kStampMagic) {
    return {};
  }
  const Stamp stamp{.stream = load_le<std::uint64_t>(payload.data() + 8),
                    .sequence = load_le<std::uint64_t>(payload.data() + 16)};
  const bool intact =
      load_le<std::uint64_t>(payload.data() + 24) == checksum(payload.subspan(kStampBytes), stamp);
  return {intact ? StampVerdict::kIntact : StampVerdict::kDamaged, stamp};
}

void fill_payload(std::span<std::byte> payload, const Stamp& stamp) {
  // A Weyl sequence: one add and one store per word, so that filling a GiB costs memory bandwidth
  // and nothing else. The odd step visits all 2^64 values: no two words of a payload are equal.
  std::uint64_t word = mix64(stamp.stream ^ mix64(stamp.sequence + 1));
  std::size_t at = 0;
  for (; at + sizeof word <= payload.size(); at += sizeof word) {
    store_le(payload.data() + at, word);
    word += 0x9e3779b97f4a7c15ULL;
  }
  for (; at < payload.size(); ++at) {
    payload[at] = static_cast<std::byte>(word & 0xff);
    word >>= 8;
  }
}

void write_question(std::span<std::byte, kQuestionBytes> payload, std::uint64_t stream) {
  store_le(payload.data(), kQuestionMagic);
  store_le(payload.data() + 8, stream);
}

bool is_question(std::span<const std::byte> payload, std::uint64_t& stream) {
  if (payload.size() != kQuestionBytes) return false;
  if (load_le<std::uint64_t>(payload.data()) != kQuestionMagic) return false;
  stream = load_le<std::uint64_t>(payload.data() + 8);
  return true;
}

}  // namespace ringwire::cli
