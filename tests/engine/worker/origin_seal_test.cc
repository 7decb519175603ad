#include "engine/worker/origin_seal.h"

#include <gtest/gtest.h>

#include <cstring>

namespace ringwire::worker {
namespace {

constexpr std::uint64_t kSecret[2] = {0x0706050403020100ULL, 0x0f0e0d0c0b0a0908ULL};

std::uint64_t seal_of(const ipc::OriginToken& token, const std::uint64_t (&secret)[2] = kSecret) {
  return OriginSeal(secret)(token);
}

TEST(OriginSeal, covers_every_byte_but_itself) {
  const ipc::OriginToken token{};
  const std::uint64_t seal = seal_of(token);
  for (std::size_t at = 0; at < sizeof token; ++at) {
    ipc::OriginToken other = token;
    std::byte bytes[sizeof other];
    std::memcpy(bytes, &other, sizeof other);
    bytes[at] ^= std::byte{1};
    std::memcpy(&other, bytes, sizeof other);
    const bool is_seal = at >= offsetof(ipc::OriginToken, seal) &&
                         at < offsetof(ipc::OriginToken, seal) + sizeof token.seal;
    EXPECT_EQ(seal_of(other) == seal, is_seal) << at;
  }
}

TEST(OriginSeal, is_the_same_whatever_was_sealed_before) {
  OriginSeal seal(kSecret);
  ipc::OriginToken token{};
  for (std::uint32_t step = 0; step < 32; ++step) {
    token.channel = step / 4;
    token.node = step / 16;
    token.attachment_low = step % 2;
    token.sequence = step;
    EXPECT_EQ(seal(token), seal_of(token)) << step;
  }
}

TEST(OriginSeal, depends_on_the_secret) {
  const ipc::OriginToken token{};
  constexpr std::uint64_t kOther[2] = {kSecret[0], kSecret[1] ^ 1};
  EXPECT_NE(seal_of(token), seal_of(token, kOther));
}

// The value that a separate implementation of SipHash-c-d (checked with the paper's vector for 2-4)
// gives for 1-3.
TEST(OriginSeal, is_siphash_1_3) {
  ipc::OriginToken token{};
  token.attachment_high = 0x0706050403020100ULL;
  token.sequence = 42;
  EXPECT_EQ(seal_of(token), 0x7795729d7c8f3757ULL);
}

}  // namespace
}  // namespace ringwire::worker
