// Seeded bugs, to test the tests: RW_MUTANT(n) is false in every build but one configured with
// -Dmutants=true, where it is true for the one number that a test has chosen. The simulated world
// must then notice (tests/sim/mutants.h lists the numbers; `./dev sim --mutants`). Hot in name
// only: in a normal build the expression and what hangs on it are not there.
#pragma once

#ifdef RINGWIRE_MUTANTS

#include <cstdint>

namespace ringwire {

/// The bug that is alive, 0 = none. Set once, before any engine object is made.
inline std::uint32_t active_mutant = 0;

}  // namespace ringwire

#define RW_MUTANT(number) (::ringwire::active_mutant == (number))

#else

#define RW_MUTANT(number) false

#endif
