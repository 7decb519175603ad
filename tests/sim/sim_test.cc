#include <gtest/gtest.h>

#include "tests/sim/directed.h"
#include "tests/sim/world.h"

namespace ringwire::sim {
namespace {

Verdict run(std::uint64_t seed) { return World(draw_options(seed)).run(); }

TEST(Sim, no_seed_violates_a_promise) {
  Totals totals;
  for (std::uint64_t seed = 1; seed <= 1'000; ++seed) {
    const Verdict verdict = run(seed);
    ASSERT_TRUE(verdict.violations.empty()) << "seed " << seed << ": " << verdict.violations.front()
                                            << "; repeat: ./dev sim --seed " << seed << " --trace";
    totals.done += verdict.totals.done;
    totals.redelivered += verdict.totals.redelivered;
  }
  // The worlds were no idle ones: messages went through, and faults made some go twice.
  EXPECT_GT(totals.done, 50'000U);
  EXPECT_GT(totals.redelivered, 1'000U);
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

class DirectedWorld : public testing::TestWithParam<Directed> {};

TEST_P(DirectedWorld, keeps_all_promises) {
  const Verdict verdict = World(GetParam().options).run();
  EXPECT_TRUE(verdict.violations.empty())
      << verdict.violations.front() << "; repeat: ./dev sim --world " << GetParam().name;
  EXPECT_GT(verdict.totals.done, 0U);
}

INSTANTIATE_TEST_SUITE_P(Sim, DirectedWorld, testing::ValuesIn(directed_worlds()),
                         [](const auto& world) { return world.param.name; });

}  // namespace
}  // namespace ringwire::sim
