#include "ring/lease.h"

#include <gtest/gtest.h>

namespace ringwire::ring {
namespace {

constexpr DurationNs kMs = kMillisecondNs;

Id128 id(std::uint64_t number) { return {.high = 0, .low = number}; }

const IdSet kThree{id(1), id(2), id(3)};

struct Holder : Lease {
  Holder() : Lease(1'000) { on_view(5, kThree); }
};

// M-30: a majority, counted from when it was asked.
TEST(Lease, begins_with_a_majority_and_counts_from_the_request) {
  Holder lease;
  const LeaseRequest request = lease.ask(10 * kMs);
  EXPECT_FALSE(lease.holds(10 * kMs));
  lease.on_granted(id(1), request);
  lease.on_granted(id(1), request);
  EXPECT_FALSE(lease.holds(11 * kMs)) << "one voter twice is one voter";
  lease.on_granted(id(3), request);
  EXPECT_EQ(lease.until_ns(), 10 * kMs + kLeaseNs);
  EXPECT_TRUE(lease.holds(10 * kMs + kLeaseNs - 1));
  EXPECT_FALSE(lease.holds(10 * kMs + kLeaseNs));
}

TEST(Lease, is_as_new_as_the_older_half_of_its_majority) {
  Holder lease;
  const LeaseRequest first = lease.ask(0);
  const LeaseRequest second = lease.ask(20 * kMs);
  const LeaseRequest third = lease.ask(40 * kMs);
  lease.on_granted(id(1), third);
  lease.on_granted(id(2), first);
  EXPECT_EQ(lease.until_ns(), kLeaseNs);
  lease.on_granted(id(3), second);
  EXPECT_EQ(lease.until_ns(), 20 * kMs + kLeaseNs);
  lease.on_granted(id(1), first);  // overtaken on its way: shortens nothing
  EXPECT_EQ(lease.until_ns(), 20 * kMs + kLeaseNs);
}

TEST(Lease, is_renewed_from_the_request_that_was_granted_not_from_the_latest) {
  Holder lease;
  const LeaseRequest first = lease.ask(0);
  const LeaseRequest second = lease.ask(20 * kMs);
  static_cast<void>(lease.ask(40 * kMs));
  for (const LeaseRequest& granted : {first, second})
    for (std::uint64_t voter = 1; voter <= 2; ++voter) lease.on_granted(id(voter), granted);
  EXPECT_EQ(lease.until_ns(), 20 * kMs + kLeaseNs);
}

TEST(Lease, ignores_strangers_and_answers_that_it_cannot_date) {
  Holder lease;
  const LeaseRequest request = lease.ask(0);
  lease.on_granted(id(1), request);
  lease.on_granted(id(9), request);
  lease.on_granted(id(2), {.epoch = 4, .sequence = request.sequence});
  lease.on_granted(id(2), {.epoch = 5, .sequence = request.sequence + 8});
  lease.on_granted(id(2), {.epoch = 5, .sequence = request.sequence + 1});
  EXPECT_FALSE(lease.holds(1));
  for (int i = 0; i < 8; ++i) EXPECT_EQ(lease.ask(kMs).epoch, 5U);
  lease.on_granted(id(2), request);  // forgotten: nine requests ago
  EXPECT_FALSE(lease.holds(1));
}

// M-33: other voters, no lease; the same voters, the lease goes on.
TEST(Lease, ends_with_its_voters_and_outlives_a_view_that_keeps_them) {
  Holder lease;
  const LeaseRequest request = lease.ask(0);
  lease.on_granted(id(1), request);
  lease.on_granted(id(2), request);
  lease.on_view(6, kThree);
  EXPECT_TRUE(lease.holds(1));
  lease.on_granted(id(3), request);
  EXPECT_EQ(lease.until_ns(), kLeaseNs);
  lease.on_view(7, {id(1), id(2), id(4)});
  EXPECT_FALSE(lease.holds(1));
}

TEST(Grants, a_holder_is_safe_until_its_lease_ran_out) {
  Grants grants(-kGrantNs);
  EXPECT_TRUE(grants.try_take_away(0, {id(1)})) << "never granted";
  EXPECT_TRUE(grants.try_grant(0, id(2)));
  EXPECT_TRUE(grants.try_grant(30 * kMs, id(2)));
  EXPECT_FALSE(grants.try_take_away(30 * kMs + kGrantNs - 1, {id(1), id(2)}));
  EXPECT_TRUE(grants.try_take_away(30 * kMs + kGrantNs, {id(1), id(2)}));
  EXPECT_TRUE(grants.try_take_away(31 * kMs, {}));
}

// M-32: otherwise one voter that still hears the loser could hold up the others for ever.
TEST(Grants, a_loser_is_not_granted_again_until_the_epoch_is_decided) {
  Grants grants(-kGrantNs);
  EXPECT_TRUE(grants.try_grant(0, id(2)));
  EXPECT_FALSE(grants.try_take_away(1, {id(2)}));
  EXPECT_FALSE(grants.try_grant(2, id(2)));
  EXPECT_TRUE(grants.try_grant(2, id(3)));
  grants.on_committed();
  EXPECT_TRUE(grants.try_grant(3, id(2)));
  EXPECT_FALSE(grants.try_take_away(4, {id(2)}));
  EXPECT_TRUE(grants.try_grant(4 + 2 * kGrantNs, id(2))) << "the proposer gave up";
}

// M-34: what an earlier life, or other voters, granted is not known.
TEST(Grants, a_voter_that_starts_or_is_new_waits_for_leases_it_does_not_know) {
  Grants grants(100 * kMs);
  EXPECT_FALSE(grants.try_take_away(100 * kMs + kGrantNs - 1, {id(1)}));
  EXPECT_TRUE(grants.try_take_away(100 * kMs + kGrantNs - 1, {})) << "nobody loses";
  EXPECT_TRUE(grants.try_take_away(100 * kMs + kGrantNs, {id(1)}));
  grants.on_voters_changed(300 * kMs);
  EXPECT_FALSE(grants.try_take_away(300 * kMs + kGrantNs - 1, {id(1)}));
  EXPECT_TRUE(grants.try_take_away(300 * kMs + kGrantNs, {id(1)}));
}

TEST(Grants, hold_a_bounded_number_of_leases) {
  Grants grants(-kGrantNs);
  for (std::uint64_t i = 1; i <= 1'024; ++i) ASSERT_TRUE(grants.try_grant(0, id(i)));
  EXPECT_FALSE(grants.try_grant(0, id(2'000)));
  EXPECT_TRUE(grants.try_grant(1, id(1'024))) << "renewal";
  EXPECT_TRUE(grants.try_grant(kGrantNs, id(2'000))) << "old ones ran out";
}

}  // namespace
}  // namespace ringwire::ring
