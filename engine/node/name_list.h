// The nodes that may connect ([allow] nodes), by name. Pure; cold.
#pragma once

#include <string>
#include <vector>

namespace ringwire::node {

/// True for a name that one of the patterns matches ("*" is any text, "?" any letter), and for
/// every name when there are no patterns.
[[nodiscard]] bool admits_name(const std::vector<std::string>& patterns, const std::string& name);

}  // namespace ringwire::node
