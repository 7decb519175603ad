// Traps for what a worker must not do on its way: system calls, and allocations.
#pragma once

#include <cstdint>

namespace ringwire::load {

/// The heap grows in large steps and never shrinks, so that what was needed once is there. At the
/// start of a process that will forbid_system_calls().
void keep_memory();

/// From now on any system call of this thread, but those that print and end, kills the process
/// with SIGSYS.
void forbid_system_calls();

[[nodiscard]] bool system_calls_forbidden();

/// Calls of operator new in this process so far.
[[nodiscard]] std::uint64_t allocations_count();

}  // namespace ringwire::load
