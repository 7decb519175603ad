// What may be written to the person in front of a terminal: whether colour and progress are wanted,
// and text from elsewhere made harmless (keys, labels and names may hold escape sequences).
// Main thread; cold.
#pragma once

#include <cstdio>
#include <string>
#include <string_view>

namespace ringwire::cli {

/// Colour only on a terminal that knows it, and never with NO_COLOR set (https://no-color.org).
[[nodiscard]] bool wants_colour(std::FILE* stream);

/// Whether a line that rewrites itself makes sense there.
[[nodiscard]] bool is_terminal(std::FILE* stream);

/// The text with control characters and bytes beyond ASCII as \xNN.
[[nodiscard]] std::string printable(std::string_view text);

enum class Tint { kNone, kGood, kWarning, kBad, kFaint, kHeading };

/// The text in a colour when `colour` says so, else as it is.
enum class Colour { kOff, kOn };
[[nodiscard]] std::string tinted(std::string_view text, Tint tint, Colour colour);

/// The tint of a node or program state.
[[nodiscard]] Tint tint_of_state(std::string_view state);

}  // namespace ringwire::cli
