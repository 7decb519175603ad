// Says in the log which node was refused, by whom and why, and which connection broke the rules:
// once per node and sentence, not once per try, and bounded whatever strangers call themselves or
// send. Ring manager only; cold.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/endpoint.h"
#include "engine/control/peer_control.h"

namespace ringwire::node {

/// What the refused engine shows to its person.
[[nodiscard]] std::string refusal_sentence(control::RefuseReason reason);

/// Who is at the other end: "node b at 192.0.2.7", or the address alone before it said its name.
[[nodiscard]] std::string peer_text(std::string_view name, std::string_view address);

class RefusalLog {
 public:
  /// Sentences remembered: two per node of the largest cluster. Strangers that make up more names
  /// are not logged beyond it.
  static constexpr std::size_t kMaxRemembered = 2 * control::kMaxNodes;

  /// The line for the log; empty when it was said already.
  [[nodiscard]] std::string line_for(const std::string& who, const control::Refused& refused);
  /// The same for a connection that ended otherwise, for a reason worth a line.
  [[nodiscard]] std::string line_for(const std::string& who, const control::Lost& lost);
  /// The node was taken: what it is refused for, or ends for, next is news.
  void forget(const std::string& who);

 private:
  std::string once(const std::string& key, std::string line);

  std::map<std::string, std::string> said_;
};

}  // namespace ringwire::node
