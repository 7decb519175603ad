#include "engine/node/state_log.h"

#include <utility>

#include "engine/node/status_page.h"

namespace ringwire::node {
namespace {

std::string is_now(const std::string& node, ipc::NodeState state) {
  return "node " + node + " is " + node_state_text(state);
}

bool comes_and_goes(ipc::NodeState state) {
  return state == ipc::NodeState::kHung || state == ipc::NodeState::kServing ||
         state == ipc::NodeState::kUp;
}

}  // namespace

std::string StateLog::line_for(TimeNs now, const std::string& node, ipc::NodeState state) {
  Changes& changes = nodes_[node];
  if (now - changes.changed_ns >= kCalmNs) changes.count = 0;
  changes.changed_ns = now;
  changes.state = state;
  if (!comes_and_goes(state)) {
    changes.count = changes.unsaid = 0;
    return is_now(node, state);
  }
  if (++changes.count > kChangesSaid) {
    if (changes.unsaid++ == 0) changes.first_unsaid_ns = now;
    return {};
  }
  if (changes.count < kChangesSaid) return is_now(node, state);
  return is_now(node, state) + ", and changes again and again: more is said when it is calm";
}

std::vector<std::string> StateLog::calm_lines(TimeNs now) {
  std::vector<std::string> lines;
  for (auto& [node, changes] : nodes_) {
    if (changes.unsaid == 0 || now - changes.changed_ns < kCalmNs) continue;
    const DurationNs span_ns = changes.changed_ns - changes.first_unsaid_ns;
    lines.push_back(is_now(node, changes.state) + ", after " + std::to_string(changes.unsaid) +
                    " more changes in " + std::to_string(span_ns / kSecondNs) + " s");
    changes.count = changes.unsaid = 0;
  }
  return lines;
}

}  // namespace ringwire::node
