#include "apps/cli/terminal.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>

namespace ringwire::cli {
namespace {

std::string_view code_of(Tint tint) {
  switch (tint) {
    case Tint::kGood:
      return "\x1b[32m";
    case Tint::kWarning:
      return "\x1b[33m";
    case Tint::kBad:
      return "\x1b[31m";
    case Tint::kFaint:
      return "\x1b[2m";
    case Tint::kHeading:
      return "\x1b[1m";
    case Tint::kNone:
      break;
  }
  return "";
}

}  // namespace

bool is_terminal(std::FILE* stream) { return ::isatty(::fileno(stream)) == 1; }

bool wants_colour(std::FILE* stream) {
  const char* no_colour = std::getenv("NO_COLOR");
  if (no_colour != nullptr && *no_colour != '\0') return false;
  const char* term = std::getenv("TERM");
  if (term == nullptr || std::string_view(term) == "dumb") return false;
  return is_terminal(stream);
}

std::string printable(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char letter : text) {
    if (letter >= ' ' && letter <= '~') {
      out.push_back(letter);
    } else {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(letter));
    }
  }
  return out;
}

std::string tinted(std::string_view text, Tint tint, Colour colour) {
  if (colour == Colour::kOff || tint == Tint::kNone) return std::string(text);
  return fmt::format("{}{}\x1b[0m", code_of(tint), text);
}

Tint tint_of_state(std::string_view state) {
  if (state == "serving" || state == "up") return Tint::kGood;
  if (state == "down" || state == "hung" || state == "out") return Tint::kBad;
  return Tint::kWarning;
}

}  // namespace ringwire::cli
