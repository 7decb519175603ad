// One statement of a packet script as words: how it is cut, and how numbers, times and names in it
// are read. A word that is not what it should be throws BadScript, which the runner reports with
// its line. Scripts only; cold; one thread.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/time.h"

namespace ringwire::scripts {

/// The script itself is wrong, or what it expects did not happen; the text says what.
struct BadScript : std::runtime_error {
  using std::runtime_error::runtime_error;
};

class Words {
 public:
  /// Cut at blanks; a comma ends an item and stands alone; `#` begins a comment only at the start
  /// of a word that is followed by a blank.
  explicit Words(std::string_view line);

  [[nodiscard]] bool empty() const { return at_ == words_.size(); }
  /// The next word without taking it; "" at the end.
  [[nodiscard]] std::string_view peek() const { return empty() ? std::string_view{} : words_[at_]; }
  std::string next();
  /// Takes the next word if it is this one.
  bool take(std::string_view word);
  void need(std::string_view word);

  std::uint64_t number();
  /// "80us", "5ms", "2s", "0".
  DurationNs time();
  /// "slot.generation", as in 3.1.
  std::uint32_t message_number(std::uint32_t slots);
  Level level();
  Ending ending();
  Reason reason();
  /// The rest must be nothing.
  void end() const;

 private:
  std::vector<std::string> words_;
  std::size_t at_ = 0;
};

[[nodiscard]] std::string_view name_of(Ending ending);
[[nodiscard]] std::string_view name_of(Reason reason);

}  // namespace ringwire::scripts
