// Finds a shorter list of faults with which a world still fails: leaves events out (halves first,
// then singly) and halves how long the rest last, with a bounded number of runs. Cold.
#pragma once

#include <cstdint>
#include <string>

#include "tests/sim/options.h"

namespace ringwire::sim {

struct Minimal {
  WorldOptions options;  ///< with the faults that are left
  std::string list;      ///< which those are, for keep_faults
  std::uint32_t runs = 0;
};

/// `options` must make a failing world.
[[nodiscard]] Minimal minimise(const WorldOptions& options, std::uint32_t max_runs = 120);

/// Keeps the named faults only: "0,3/2,7" are the first, the fourth for a quarter of its time and
/// the eighth; "none" is none. False when the list makes no sense.
[[nodiscard]] bool keep_faults(WorldOptions& options, const std::string& list);

}  // namespace ringwire::sim
