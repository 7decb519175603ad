#include "engine/worker/origin_seal.h"

#include <array>
#include <bit>
#include <cstring>

namespace ringwire::worker {
namespace {

struct Sip {
  std::uint64_t v0, v1, v2, v3;

  void round() {
    v0 += v1;
    v1 = std::rotl(v1, 13) ^ v0;
    v0 = std::rotl(v0, 32);
    v2 += v3;
    v3 = std::rotl(v3, 16) ^ v2;
    v0 += v3;
    v3 = std::rotl(v3, 21) ^ v0;
    v2 += v1;
    v1 = std::rotl(v1, 17) ^ v2;
    v2 = std::rotl(v2, 32);
  }
};

}  // namespace

std::uint64_t origin_seal(const ipc::OriginToken& token, const std::uint64_t secret[2]) {
  ipc::OriginToken unsealed = token;
  unsealed.seal = 0;
  std::array<std::uint64_t, sizeof unsealed / 8> words;
  std::memcpy(words.data(), &unsealed, sizeof unsealed);
  Sip sip{secret[0] ^ 0x736f6d6570736575ULL, secret[1] ^ 0x646f72616e646f6dULL,
          secret[0] ^ 0x6c7967656e657261ULL, secret[1] ^ 0x7465646279746573ULL};
  const auto absorb = [&sip](std::uint64_t word) {
    sip.v3 ^= word;
    sip.round();
    sip.round();
    sip.v0 ^= word;
  };
  for (const std::uint64_t word : words) absorb(word);
  absorb(std::uint64_t{sizeof unsealed} << 56);  // the final block holds the length modulo 256
  sip.v2 ^= 0xff;
  for (int count = 0; count < 4; ++count) sip.round();
  return sip.v0 ^ sip.v1 ^ sip.v2 ^ sip.v3;
}

}  // namespace ringwire::worker
