#include "engine/node/refusal_log.h"

namespace ringwire::node {

std::string refusal_sentence(control::RefuseReason reason) {
  switch (reason) {
    case control::RefuseReason::kNameInUse:
      return "another living engine has this node name: give each node its own [node] name";
    case control::RefuseReason::kTooManyNodes:
      return "the node is connected to too many others";
    case control::RefuseReason::kDraining:
      return "the node is shutting down";
    default:
      return std::string(control::name_of(reason));
  }
}

std::string peer_text(std::string_view name, std::string_view address) {
  std::string who;
  if (!name.empty()) who.append("node ").append(name).append(" at ");
  return who.append(address);
}

std::string RefusalLog::line_for(const std::string& who, const control::Refused& refused) {
  const bool by_us = refused.by == control::RefusedBy::kUs;
  std::string line = by_us ? "refused " : "";
  line.append(who).append(by_us ? ", telling it: " : " refused this node: ");
  for (const char letter : refused.text)  // a stranger's text is no place for control characters
    line.push_back(static_cast<unsigned char>(letter) < 0x20 || letter == 0x7f ? '?' : letter);
  line.append(" (").append(control::name_of(refused.reason)).append(")");
  if (!said_.contains(who) && said_.size() >= kMaxRemembered) return {};
  std::string& last = said_[who];
  if (last == line) return {};
  last = line;
  return line;
}

}  // namespace ringwire::node
