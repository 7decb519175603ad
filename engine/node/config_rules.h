// Rules between settings, and what this version cannot do yet. Pure; cold. Who asks knows where
// each setting came from.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/node/config.h"

namespace ringwire::node {

struct BrokenRule {
  /// Names as in config_keys(). The first has to change; the rule follows from all of them, so that
  /// it says nothing when one of them could not be read.
  std::vector<std::string_view> keys;
  std::string text;
};

/// Whether a setting was given anywhere, or has its default.
using IsGiven = std::function<bool(std::string_view key)>;

/// Settings that contradict each other.
[[nodiscard]] std::vector<BrokenRule> broken_rules(const Config& config, const IsGiven& is_given);

/// Settings that belong to a later version: refused, never ignored.
[[nodiscard]] std::vector<BrokenRule> unsupported_settings(const Config& config,
                                                           const IsGiven& is_given);

}  // namespace ringwire::node
