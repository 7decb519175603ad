// Configurations from single sources, and what was wrong with them, for the tests.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/node/config.h"

namespace ringwire::node {

inline Config good(const ConfigInput& input) {
  auto config = parse_config(input);
  if (!config.ok()) {
    for (const ConfigProblem& problem : config.error()) ADD_FAILURE() << problem.to_text();
    return {};
  }
  return std::move(config).value();
}

inline ConfigInput file(std::string text) { return {"n.toml", std::move(text), {}, {}}; }
inline ConfigInput environment_only(Environment environment) {
  return {{}, {}, std::move(environment), {}};
}
inline ConfigInput options_only(std::vector<std::string> options) {
  return {{}, {}, {}, std::move(options)};
}

inline Config from_text(std::string text) { return good(file(std::move(text))); }
inline Config from_environment(Environment environment) {
  return good(environment_only(std::move(environment)));
}
inline Config from_overrides(std::vector<std::string> options) {
  return good(options_only(std::move(options)));
}

// All problems, one per line; empty when there are none.
inline std::string problems(const ConfigInput& input) {
  const auto config = parse_config(input);
  std::string text;
  if (!config.ok())
    for (const ConfigProblem& problem : config.error()) text.append(problem.to_text()).append("\n");
  return text;
}

inline std::string origin_of(const Config& config, std::string_view key) {
  for (const Setting& setting : show(config))
    if (setting.key == key) return setting.value + " from " + setting.origin;
  return "not found";
}

}  // namespace ringwire::node
