#include "tests/scripts/words.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <sstream>

namespace ringwire::scripts {
namespace {

constexpr std::array<std::string_view, 3> kLevels{"none", "accepted", "processed"};
constexpr std::array<std::string_view, 3> kEndings{"done", "failed", "unknown"};
constexpr std::array<std::string_view, kMaxReason + 1> kReasons{
    "none",        "timeout",     "cancelled",    "too_large",   "down",
    "no_node",     "no_consumer", "queue_full",   "refused",     "max_deliveries",
    "origin_gone", "stale",       "session_lost", "shutdown",    "bad_message",
    "no_memory",   "not_serving", "unprocessed",  "requirement", "reply_follows"};

template <typename Names>
std::size_t index_in(const Names& names, const std::string& word) {
  const auto at = std::find(names.begin(), names.end(), word);
  if (at == names.end()) throw BadScript("what is '" + word + "'?");
  return static_cast<std::size_t>(at - names.begin());
}

std::uint64_t number_of(const std::string& word) {
  std::uint64_t value = 0;
  const char* end = word.data() + word.size();
  const auto read = std::from_chars(word.data(), end, value);
  if (read.ec != std::errc{} || read.ptr != end) throw BadScript("'" + word + "' is no number");
  return value;
}

}  // namespace

Words::Words(std::string_view line) {
  std::istringstream stream{std::string(line)};
  for (std::string word; stream >> word;) {
    if (word == "#") break;
    const bool comma = word.size() > 1 && word.back() == ',';
    if (comma) word.pop_back();
    const bool colon = word.size() > 1 && word.back() == ':';
    if (colon) word.pop_back();
    words_.push_back(word);
    if (colon) words_.emplace_back(":");
    if (comma) words_.emplace_back(",");
  }
}

std::string Words::next() {
  if (empty()) throw BadScript("the line ends too early");
  return words_[at_++];
}

bool Words::take(std::string_view word) {
  if (peek() != word) return false;
  ++at_;
  return true;
}

void Words::need(std::string_view word) {
  if (!take(word))
    throw BadScript("'" + std::string(word) + "' is missing before '" + std::string(peek()) + "'");
}

std::uint64_t Words::number() { return number_of(next()); }

DurationNs Words::time() {
  const std::string word = next();
  const std::size_t digits = std::min(word.find_first_not_of("0123456789"), word.size());
  const auto value = static_cast<DurationNs>(number_of(word.substr(0, digits)));
  const std::string unit = word.substr(digits);
  if (unit == "us") return value * kMicrosecondNs;
  if (unit == "ms") return value * kMillisecondNs;
  if (unit == "s") return value * kSecondNs;
  if (unit.empty() && value == 0) return 0;
  throw BadScript("'" + word + "' is no time");
}

std::uint32_t Words::message_number(std::uint32_t slots) {
  const std::string word = next();
  const std::size_t dot = word.find('.');
  if (dot == std::string::npos) throw BadScript("'" + word + "' is no slot.generation");
  return static_cast<std::uint32_t>(number_of(word.substr(0, dot)) +
                                    number_of(word.substr(dot + 1)) * slots);
}

Level Words::level() { return static_cast<Level>(index_in(kLevels, next())); }
Ending Words::ending() { return static_cast<Ending>(index_in(kEndings, next())); }
Reason Words::reason() { return static_cast<Reason>(index_in(kReasons, next())); }

void Words::end() const {
  if (!empty()) throw BadScript("what is '" + std::string(peek()) + "' for?");
}

std::string_view name_of(Ending ending) { return kEndings[static_cast<std::size_t>(ending)]; }
std::string_view name_of(Reason reason) { return kReasons[static_cast<std::size_t>(reason)]; }

}  // namespace ringwire::scripts
