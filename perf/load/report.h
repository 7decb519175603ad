// What a run has to say: a table of medians over the rounds, ratios of neighbours within a round,
// and JSON. Cold.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "perf/load/scenes.h"

namespace ringwire::load {

struct About {
  std::string port;
  std::string pins;
  std::string eal;
  int rounds = 0;
  double seconds = 0;
};

/// Figures of each scene, one entry a round.
using Rounds = std::map<std::string, std::vector<Figures>>;

void print_report(const About& about, const std::vector<Scene>& scenes, const Rounds& rounds);
/// False when the file cannot be written.
bool write_report(const std::string& path, const About& about, const Rounds& rounds);

}  // namespace ringwire::load
