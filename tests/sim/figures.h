// Figures that the simulator itself is measured by. Cold.
#pragma once

namespace ringwire::sim {

/// How many hours of a cluster (five nodes of one worker, heartbeats every 10 ms, light traffic)
/// one hour of a core simulates. Prints it; exit status 1 when a promise was broken meanwhile.
[[nodiscard]] int figure_hours();

}  // namespace ringwire::sim
