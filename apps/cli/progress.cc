#include "apps/cli/progress.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "apps/cli/terminal.h"
#include "apps/cli/units.h"
#include "base/time.h"

namespace ringwire::cli {
namespace {

constexpr std::int64_t kRedrawNs = 100 * kMillisecondNs;
constexpr std::uint32_t kBarWidth = 30;

}  // namespace

std::string bar(std::uint64_t done, std::uint64_t total, std::uint32_t width) {
  const double part =
      total == 0 ? 1.0 : std::min(1.0, static_cast<double>(done) / static_cast<double>(total));
  const auto filled = static_cast<std::uint32_t>(part * width);
  return fmt::format("[{:#<{}}{:-<{}}]", "", filled, "", width - filled);
}

Progress::Progress(Show show) : shown_(show == Show::kOnTerminal && is_terminal(stderr)) {}

void Progress::update(std::string_view label, std::uint64_t done_bytes, std::uint64_t total_bytes,
                      std::int64_t now_ns) {
  if (!shown_ || now_ns < next_ns_) return;
  next_ns_ = now_ns + kRedrawNs;
  fmt::print(stderr, "\r\x1b[K{} {} of {}  {}", bar(done_bytes, total_bytes, kBarWidth),
             format_bytes(done_bytes), format_bytes(total_bytes), printable(label));
  std::fflush(stderr);
  drawn_ = true;
}

void Progress::clear() {
  if (!drawn_) return;
  fmt::print(stderr, "\r\x1b[K");
  std::fflush(stderr);
  drawn_ = false;
}

}  // namespace ringwire::cli
