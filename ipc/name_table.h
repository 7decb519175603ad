// Names of nodes and services that a channel has met, each with a small number. Numbers and texts
// stay as they are for as long as the channel lives. One thread; cold.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <unordered_map>

namespace ringwire::ipc {

class NameTable {
 public:
  NameTable() { intern(""); }
  /// Number of a name; 0 is the empty one.
  std::uint32_t intern(std::string_view text) {
    std::string key(text);
    const auto found = numbers_.find(key);
    if (found != numbers_.end()) return found->second;
    const auto number = static_cast<std::uint32_t>(texts_.size());
    texts_.push_back(key);
    numbers_.emplace(std::move(key), number);
    return number;
  }
  [[nodiscard]] const std::string& text(std::uint32_t number) const { return texts_[number]; }

 private:
  std::deque<std::string> texts_;  // a deque: texts handed out as C strings must not move
  std::unordered_map<std::string, std::uint32_t> numbers_;
};

}  // namespace ringwire::ipc
