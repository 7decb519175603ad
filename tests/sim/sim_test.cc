#include <gtest/gtest.h>

#include "tests/sim/world.h"

namespace ringwire::sim {
namespace {

Verdict run(std::uint64_t seed) { return World(draw_options(seed)).run(); }

TEST(Sim, no_seed_violates_a_promise) {
  std::uint64_t done = 0;
  std::uint64_t redelivered = 0;
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    const Verdict verdict = run(seed);
    ASSERT_TRUE(verdict.violations.empty()) << "seed " << seed << ": " << verdict.violations.front()
                                            << "; repeat: ./dev sim --seed " << seed << " --trace";
    done += verdict.done;
    redelivered += verdict.redelivered;
  }
  // The worlds were no idle ones: messages went through, and faults made some go twice.
  EXPECT_GT(done, 10'000U);
  EXPECT_GT(redelivered, 100U);
}

TEST(Sim, the_same_seed_is_the_same_world) {
  for (const std::uint64_t seed : {3ULL, 17ULL, 99ULL}) {
    const Verdict first = run(seed);
    const Verdict second = run(seed);
    EXPECT_EQ(first.trace_hash, second.trace_hash) << "seed " << seed;
    EXPECT_NE(first.trace_hash, 0U);
  }
}

TEST(Sim, another_seed_is_another_world) { EXPECT_NE(run(3).trace_hash, run(4).trace_hash); }

}  // namespace
}  // namespace ringwire::sim
