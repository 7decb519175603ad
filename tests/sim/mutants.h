// The seeded bugs that the simulated world must find (base/mutant.h): number, name, what it breaks.
// A bug that nobody could ever observe does not belong here. Any thread; cold.
#pragma once

#include <cstdint>
#include <span>

namespace ringwire::sim {

struct Mutant {
  std::uint32_t number = 0;  ///< of RW_MUTANT in the source
  const char* name = "";
  const char* breaks = "";
  const char* world = "";  ///< directed world that notices it
};

[[nodiscard]] std::span<const Mutant> mutants();

}  // namespace ringwire::sim
