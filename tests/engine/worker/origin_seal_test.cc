#include "engine/worker/origin_seal.h"

#include <gtest/gtest.h>

#include <cstring>

namespace ringwire::worker {
namespace {

constexpr std::uint64_t kSecret[2] = {0x0706050403020100ULL, 0x0f0e0d0c0b0a0908ULL};

TEST(OriginSeal, covers_every_byte_but_itself) {
  const ipc::OriginToken token{};
  const std::uint64_t seal = origin_seal(token, kSecret);
  for (std::size_t at = 0; at < sizeof token; ++at) {
    ipc::OriginToken other = token;
    std::byte bytes[sizeof other];
    std::memcpy(bytes, &other, sizeof other);
    bytes[at] ^= std::byte{1};
    std::memcpy(&other, bytes, sizeof other);
    const bool is_seal = at >= offsetof(ipc::OriginToken, seal) &&
                         at < offsetof(ipc::OriginToken, seal) + sizeof token.seal;
    EXPECT_EQ(origin_seal(other, kSecret) == seal, is_seal) << at;
  }
}

TEST(OriginSeal, depends_on_the_secret) {
  const ipc::OriginToken token{};
  constexpr std::uint64_t kOther[2] = {kSecret[0], kSecret[1] ^ 1};
  EXPECT_NE(origin_seal(token, kSecret), origin_seal(token, kOther));
}

// The value that a separate implementation of SipHash-2-4 (checked with the paper's vector) gives.
TEST(OriginSeal, is_siphash_2_4) {
  ipc::OriginToken token{};
  token.attachment_high = 0x0706050403020100ULL;
  token.sequence = 42;
  EXPECT_EQ(origin_seal(token, kSecret), 0x24a1efcbaffd126fULL);
}

}  // namespace
}  // namespace ringwire::worker
