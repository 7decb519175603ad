// Voters under virtual time, for tests: the production agreement and leases, with a network that
// loses, repeats and overtakes, partitions, disks that take their time, crashes before and after a
// write, lost state directories, clocks that run 5 % fast or slow, and views that change voters and
// the one serving node all the while. All faults are drawn from the seed, some are off in each.
#pragma once

#include <cstdint>
#include <string>

namespace ringwire::ring {

struct AgreementWorldOutcome {
  std::string violation;             ///< empty: none
  std::uint64_t epochs_count = 0;    ///< committed
  std::uint64_t restarts_count = 0;  ///< of nodes
  std::uint64_t servers_count = 0;   ///< times that another node began to serve
  std::uint64_t settle_ms = 0;       ///< from the healing of the network to the last node's view
};

/// Runs one world of `voters_count` founders and two guests: 1.5 s of faults, then until it
/// settles.
[[nodiscard]] AgreementWorldOutcome run_agreement_world(std::uint64_t seed,
                                                        std::uint64_t voters_count);

}  // namespace ringwire::ring
