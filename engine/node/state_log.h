// Says in the log what other nodes are, without flapping: of a node that goes to and fro between
// hung and serving, as those of a starved machine do, some changes are said, then that there are
// more, and when it has been calm for a while what it is. What is more than that (down, leaving) is
// said always. Ring manager only; cold.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/time.h"
#include "ipc/status_page.h"

namespace ringwire::node {

class StateLog {
 public:
  /// Changes of a node that are said, as long as less than kCalmNs lie between one and the next.
  static constexpr std::uint32_t kChangesSaid = 6;
  static constexpr DurationNs kCalmNs = 10 * kSecondNs;

  /// The line for the log about a node that is in another state than before; empty: none now.
  [[nodiscard]] std::string line_for(TimeNs now, const std::string& node, ipc::NodeState state);
  /// Lines about nodes that are calm again. To be asked from time to time.
  [[nodiscard]] std::vector<std::string> calm_lines(TimeNs now);

 private:
  struct Changes {
    ipc::NodeState state{};
    TimeNs changed_ns = 0;
    TimeNs first_unsaid_ns = 0;
    std::uint32_t count = 0;   // without a calm between them
    std::uint32_t unsaid = 0;  // of these
  };
  std::map<std::string, Changes> nodes_;
};

}  // namespace ringwire::node
