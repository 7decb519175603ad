// Why an engine cannot start: one clear sentence for the person, with what mends it. Thrown only
// while the engine is put together, caught in the program's main.
#pragma once

#include <stdexcept>
#include <string>

namespace ringwire::node {

class StartError : public std::runtime_error {
 public:
  explicit StartError(const std::string& sentence) : std::runtime_error(sentence) {}
};

/// The configuration itself is wrong: nothing that other processes do or end mends it.
class ConfigRefused : public StartError {
 public:
  using StartError::StartError;
};

}  // namespace ringwire::node
