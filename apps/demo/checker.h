// Compares what the server programs saved with what was sent, by SHA-256 (coreutils' sha256sum, two
// processes beside each other). Main thread only, for it starts children. Cold.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "apps/demo/corpus.h"
#include "apps/demo/sender.h"

namespace ringwire::demo {

struct Comparison {
  std::uint64_t intact_files = 0;
  std::uint64_t copies = 0;          ///< saved files that are intact; more than one per file
                                     ///< where a message went to two nodes
  std::vector<std::string> lost;     ///< keys: done, and saved nowhere
  std::vector<std::string> corrupt;  ///< saved with another content
  std::vector<std::size_t> changed;  ///< files whose source changed while the demo ran
  std::string error;                 ///< why nothing could be compared; "" if it could
};

/// Compare every file whose sending ended as done. `tick` is called about 20 times a second and
/// returns false to give up.
Comparison compare(const Corpus& corpus, const std::vector<Ending>& endings,
                   const std::vector<std::string>& saved_folders, const std::string& run_folder,
                   const std::function<bool()>& tick);

}  // namespace ringwire::demo
