// M-10 to M-17 and M-30 to M-35 under faults: at most one decree is chosen per epoch, committed
// views are never lost, epochs never fall, nothing is said before it is durable, at most one node
// serves at any instant, and everything goes on once the network heals. To repeat one seed:
//
//   RINGWIRE_SEED=17 build/release/tests/ring/agreement_sim
#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/ring/agreement_world.h"

namespace ringwire::ring {
namespace {

class AgreementWorlds : public testing::TestWithParam<std::uint64_t> {};

TEST_P(AgreementWorlds, agree_whatever_fails) {
  const std::uint64_t voters_count = GetParam();
  std::uint64_t first = 1;
  std::uint64_t last = 1'000;
  if (const char* chosen = std::getenv("RINGWIRE_SEED"))
    first = last = std::strtoull(chosen, nullptr, 10);
  if (const char* count = std::getenv("RINGWIRE_SEEDS")) last = std::strtoull(count, nullptr, 10);
  std::uint64_t epochs = 0;
  std::uint64_t restarts = 0;
  std::uint64_t servers = 0;
  std::uint64_t slowest_ms = 0;
  for (std::uint64_t seed = first; seed <= last; ++seed) {
    const AgreementWorldOutcome outcome = run_agreement_world(seed, voters_count);
    ASSERT_EQ(outcome.violation, "")
        << "repeat: RINGWIRE_SEED=" << seed << " agreement_sim, " << voters_count << " voters";
    epochs += outcome.epochs_count;
    restarts += outcome.restarts_count;
    servers += outcome.servers_count;
    slowest_ms = std::max(slowest_ms, outcome.settle_ms);
  }
  std::printf(
      "%llu voters: %llu worlds, %llu epochs, %llu restarts, %llu changes of server, "
      "settled within %llu ms\n",
      static_cast<unsigned long long>(voters_count),
      static_cast<unsigned long long>(last - first + 1), static_cast<unsigned long long>(epochs),
      static_cast<unsigned long long>(restarts), static_cast<unsigned long long>(servers),
      static_cast<unsigned long long>(slowest_ms));
  if (last - first < 100) return;
  // The worlds must be such that something happens in them.
  EXPECT_GT(epochs, 10 * (last - first));
  EXPECT_GT(restarts, last - first);
  EXPECT_GT(servers, last - first);
}

INSTANTIATE_TEST_SUITE_P(Voters, AgreementWorlds, testing::Values(3, 5, 7));

TEST(AgreementWorld, is_the_same_for_the_same_seed) {
  const AgreementWorldOutcome first = run_agreement_world(5, 5);
  const AgreementWorldOutcome second = run_agreement_world(5, 5);
  EXPECT_EQ(first.epochs_count, second.epochs_count);
  EXPECT_EQ(first.restarts_count, second.restarts_count);
  EXPECT_EQ(first.settle_ms, second.settle_ms);
}

}  // namespace
}  // namespace ringwire::ring
