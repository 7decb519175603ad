#include "apps/cli/file_name.h"

#include <fmt/format.h>

#include "base/hash.h"

namespace ringwire::cli {
namespace {

// "~" and 32 digits of a 128-bit hash.
constexpr std::size_t kCutMarkBytes = 33;

bool is_plain(char letter) {
  return (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') ||
         (letter >= '0' && letter <= '9') ||
         std::string_view("._-+=@,").find(letter) != std::string_view::npos;
}

}  // namespace

std::string percent_encode(std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string name;
  name.reserve(bytes.size());
  for (const char letter : bytes) {
    const bool hidden = name.empty() && letter == '.';
    if (is_plain(letter) && !hidden) {
      name.push_back(letter);
      continue;
    }
    const auto value = static_cast<unsigned char>(letter);
    name.push_back('%');
    name.push_back(kDigits[value >> 4]);
    name.push_back(kDigits[value & 15]);
  }
  return name;
}

std::string file_name_of_key(std::string_view key) {
  if (key.empty()) return "%empty";
  std::string name = percent_encode(key);
  if (name.size() <= kMaxFileNameBytes) return name;
  std::size_t kept = kMaxFileNameBytes - kCutMarkBytes;
  // Not through the middle of a %XX.
  if (name[kept - 1] == '%') {
    kept -= 1;
  } else if (name[kept - 2] == '%') {
    kept -= 2;
  }
  name.resize(kept);
  const XXH128_hash_t hash = XXH3_128bits(key.data(), key.size());
  return fmt::format("{}~{:016x}{:016x}", name, hash.high64, hash.low64);
}

std::string file_name_of_hash(std::uint64_t hash) { return fmt::format("%hash-{:016x}", hash); }

}  // namespace ringwire::cli
