#include "apps/demo/display.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace ringwire::demo {
namespace {

constexpr std::chrono::milliseconds kTerminalPause{50};
constexpr std::chrono::seconds kPlainPause{3};

std::size_t terminal_columns() {
  winsize size{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

}  // namespace

std::string human_bytes(std::uint64_t bytes) {
  static constexpr const char* kUnits[] = {"B", "kB", "MB", "GB", "TB"};
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 1000 && unit + 1 < std::size(kUnits)) {
    value /= 1000;
    ++unit;
  }
  char text[32];
  std::snprintf(text, sizeof(text), unit == 0 ? "%.0f %s" : "%.1f %s", value, kUnits[unit]);
  return text;
}

std::string human_count(std::uint64_t count) {
  std::string text = std::to_string(count);
  for (std::size_t at = text.size(); at > 3; at -= 3) text.insert(at - 3, 1, ',');
  return text;
}

std::string human_time(std::int64_t time_ns) {
  char text[32];
  const auto ms = static_cast<double>(time_ns) / 1e6;
  if (ms < 10) {
    std::snprintf(text, sizeof(text), "%.1f ms", ms);
  } else if (ms < 1000) {
    std::snprintf(text, sizeof(text), "%.0f ms", ms);
  } else {
    std::snprintf(text, sizeof(text), "%.2f s", ms / 1e3);
  }
  return text;
}

Display::Display() : terminal_(::isatty(STDOUT_FILENO) == 1) {}

void Display::say(const std::string& line) {
  std::printf("%s%s\n", dirty_ ? "\r\033[K" : "", line.c_str());
  std::fflush(stdout);
  dirty_ = false;
}

void Display::renew(const std::string& line) {
  const auto now = std::chrono::steady_clock::now();
  if (now < next_) return;
  if (!terminal_) {
    next_ = now + kPlainPause;
    say(line);
    return;
  }
  next_ = now + kTerminalPause;
  std::printf("\r\033[K%s", line.substr(0, terminal_columns() - 1).c_str());
  std::fflush(stdout);
  dirty_ = true;
}

}  // namespace ringwire::demo
