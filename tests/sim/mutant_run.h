// Lets each seeded bug loose in simulated worlds until one of them notices. One process per bug, so
// that a failed check, a crash or an endless loop counts as noticed, too. Cold; a thread per job.
#pragma once

#include <cstdint>
#include <string>

namespace ringwire::sim {

struct MutantRun {
  std::uint64_t seeds = 400;  ///< worlds that a mutant may live through; then it survives
  std::uint32_t only = 0;     ///< this mutant alone; 0 = all
  std::uint32_t stride = 1;   ///< each so many-th mutant only
  std::uint32_t jobs = 1;     ///< so many at a time
  bool named = false;         ///< each only in the world that the table names for it
  std::string world;          ///< all only in this one, with each of the seeds
};

/// Prints a line for each mutant as it ends and a summary. Exit status: 0 all caught, 1 some
/// survive, 2 this program was built without mutants.
[[nodiscard]] int run_mutants(const MutantRun& run);

}  // namespace ringwire::sim
