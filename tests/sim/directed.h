// Worlds written by hand: the deadlocks that a design like this one may have, and the stories of
// bugs that seeds have found. Pure.
#pragma once

#include <string>
#include <vector>

#include "tests/sim/options.h"

namespace ringwire::sim {

struct Directed {
  std::string name;  ///< also of its test
  std::string story;
  WorldOptions options;
};

[[nodiscard]] std::vector<Directed> directed_worlds();
/// Those among them that are about the control plane.
[[nodiscard]] std::vector<Directed> control_worlds();
/// Those among them that are about what a worker keeps of each peer.
[[nodiscard]] std::vector<Directed> worker_worlds();

}  // namespace ringwire::sim
