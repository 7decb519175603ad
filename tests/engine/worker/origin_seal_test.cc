#include "engine/worker/origin_seal.h"

#include <gtest/gtest.h>

#include <cstring>

namespace ringwire::worker {
namespace {

constexpr std::uint64_t kSecret[2] = {0x0706050403020100ULL, 0x0f0e0d0c0b0a0908ULL};

std::uint64_t seal_of(const ipc::OriginToken& token, const std::uint64_t (&secret)[2] = kSecret) {
  return OriginSeal(secret)(token);
}

TEST(OriginSeal, covers_every_byte_of_a_call_but_itself) {
  ipc::OriginToken token{};
  token.flags = 3;  // a call, whichever bit goes over
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

// What is no call has no answer that its sequence could name.
TEST(OriginSeal, covers_all_but_the_sequence_of_what_is_no_call) {
  const ipc::OriginToken token{};
  ipc::OriginToken other{};
  other.sequence = 1;
  EXPECT_EQ(seal_of(other), seal_of(token));
  other.flags = 1;
  EXPECT_NE(seal_of(other), seal_of(token));
  other.sequence = 0;
  EXPECT_NE(seal_of(other), seal_of(token));
  other.flags = 0;
  other.channel = 1;
  EXPECT_NE(seal_of(other), seal_of(token));
}

TEST(OriginSeal, is_the_same_whatever_was_sealed_before) {
  OriginSeal seal(kSecret);
  ipc::OriginToken token{};
  for (std::uint32_t step = 0; step < 32; ++step) {
    token.channel = step / 4;
    token.node = step / 16;
    token.attachment_low = step % 2;
    token.sequence = step;
    token.flags = step / 2 % 2;
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
  token.flags = 1;
  EXPECT_EQ(seal_of(token), 0x55ebd9bc8de2af95ULL);
}

}  // namespace
}  // namespace ringwire::worker
