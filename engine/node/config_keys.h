// The table of all configuration keys: name, default, comment, and how a value is read and set. The
// one place to touch when a key is added. Cold.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/node/config.h"

namespace ringwire::node {

/// A value as it was found. From environment and command line everything is text (`is_loose`) and
/// is read as what the key wants; a file must say numbers, truths and lists as such.
struct ConfigValue {
  enum class Kind : std::uint8_t { kText, kInteger, kFloat, kTruth, kList, kOther };
  Kind kind = Kind::kText;
  bool is_loose = false;
  std::string text;  ///< of every kind but lists: as it would be written
  std::vector<ConfigValue> items;
};

struct ConfigKey {
  std::string_view name;          ///< "cluster.name"; keys of the port array: "port.kind"
  std::string_view default_text;  ///< as on the command line; lists: "a,b"
  bool is_list;
  std::string_view example;  ///< as in a file; shown commented out by `conf new` if not the default
  std::string_view comment;
  /// Sets the value. Returns what is wrong with it, or an empty text.
  std::string (*apply)(const ConfigValue& value, Config& config);
};

/// All keys, grouped by section, in the order of the documentation.
[[nodiscard]] std::span<const ConfigKey> config_keys();

}  // namespace ringwire::node
