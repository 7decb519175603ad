#include "base/hash.h"

#include <gtest/gtest.h>

#include "base/bytes.h"

namespace ringwire {
namespace {

// Written out, not recomputed: these are part of the protocol.
TEST(Hash, slots_of_small_integers_are_spread_and_fixed) {
  EXPECT_EQ(slot_of(0), 0xe220U);
  EXPECT_EQ(slot_of(1), 0x910aU);
  EXPECT_EQ(slot_of(2), 0x9758U);
  EXPECT_EQ(slot_of(~0ULL), 0xe4d9U);
}

TEST(Hash, key_hash_is_xxh3_64_with_seed_0) {
  EXPECT_EQ(key_hash({}), 0x2d06800538d394c2ULL);
  EXPECT_EQ(key_hash(as_bytes("ringwire")), XXH3_64bits("ringwire", 8));
}

}  // namespace
}  // namespace ringwire
