// Hashes that more than one room must agree on: a key's 64-bit hash, and the slot that a hash falls
// into. Never a message authenticator. Any thread; hot; no allocation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace ringwire {

/// 65,536 slots: small enough for a table of u16 owners per replica (128 KiB), fine enough that
/// 1,000 members hold 65 slots each, so that one slot more or less is under 2 %.
inline constexpr std::uint32_t kSlotCount = 65'536;

/// Finaliser of SplitMix64 (Steele, Lea, Flood 2014): every input bit reaches every output bit, so
/// that a caller's small-integer hash still spreads over all slots.
[[nodiscard]] constexpr std::uint64_t mix64(std::uint64_t value) {
  value ^= value >> 30;
  value *= 0xbf58476d1ce4e5b9ULL;
  value ^= value >> 27;
  value *= 0x94d049bb133111ebULL;
  value ^= value >> 31;
  return value;
}

/// XXH3-64, seed 0, of the key's bytes. Part of the protocol: all nodes and programs must agree.
[[nodiscard]] inline std::uint64_t key_hash(std::span<const std::byte> key) {
  return XXH3_64bits(key.data(), key.size());
}

/// XXH3-64 with a secret seed, for tables whose keys come from programs or peers: who does not know
/// the seed cannot choose keys that meet in one place, or another's key.
template <typename... Words>
[[nodiscard]] std::uint64_t seeded_hash(std::uint64_t seed, Words... words) {
  const std::uint64_t all[] = {static_cast<std::uint64_t>(words)...};
  return XXH3_64bits_withSeed(all, sizeof all, seed);
}

/// The top 16 bits of the mixed hash. The constant is added so that hash 0 is not a fixed point.
[[nodiscard]] constexpr std::uint32_t slot_of(std::uint64_t hash) {
  return static_cast<std::uint32_t>(mix64(hash + 0x9e3779b97f4a7c15ULL) >> 48);
}

}  // namespace ringwire
