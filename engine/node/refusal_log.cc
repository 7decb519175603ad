#include "engine/node/refusal_log.h"

#include <utility>

namespace ringwire::node {
namespace {

// A stranger's text is no place for control characters.
std::string tame(std::string_view text) {
  std::string line;
  for (const char letter : text)
    line.push_back(static_cast<unsigned char>(letter) < 0x20 || letter == 0x7f ? '?' : letter);
  return line;
}

std::string ended_text(const std::string& who) {
  return "control connection with " + who + " ended: ";
}

}  // namespace

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
  line.append(tame(refused.text)).append(" (").append(control::name_of(refused.reason)).append(")");
  return once(who, std::move(line));
}

std::string RefusalLog::line_for(const std::string& who, const control::Lost& lost) {
  if (lost.text.empty()) return {};
  std::string line = ended_text(who) + tame(lost.text);
  // Under itself: a stranger that breaks now this rule, now that one, is not news each time.
  const std::string key = line;
  return once(key, std::move(line));
}

std::string RefusalLog::once(const std::string& key, std::string line) {
  if (!said_.contains(key) && said_.size() >= kMaxRemembered) return {};
  std::string& last = said_[key];
  if (last == line) return {};
  last = line;
  return line;
}

void RefusalLog::forget(const std::string& who) {
  std::erase_if(said_, [&](const auto& said) {
    return said.first == who || said.first.starts_with(ended_text(who));
  });
}

}  // namespace ringwire::node
