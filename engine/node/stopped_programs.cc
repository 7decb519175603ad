#include "engine/node/stopped_programs.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <sstream>
#include <string>
#include <utility>

#include "engine/node/clock.h"

namespace ringwire::node {
namespace {

constexpr DurationNs kShortestRoundNs = 20 * kMillisecondNs;
constexpr DurationNs kLongestRoundNs = 5 * kSecondNs;
/// While any has lost its place: who runs again shall not wait for work.
constexpr DurationNs kWatchedRoundNs = 100 * kMillisecondNs;

}  // namespace

std::optional<ProcessState> look_at_process(std::uint64_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  if (pid == 0 || !std::getline(file, text)) return std::nullopt;
  // The second field is the program's name in parentheses, and may hold anything (proc(5)).
  const std::size_t name_end = text.rfind(')');
  if (name_end == std::string::npos) return std::nullopt;
  std::istringstream fields(text.substr(name_end + 1));
  char state = 0;
  fields >> state;
  std::string skipped;
  for (int field = 4; field < 14; ++field) fields >> skipped;
  std::uint64_t user_ticks = 0;
  std::uint64_t system_ticks = 0;
  if (!(fields >> user_ticks >> system_ticks)) return std::nullopt;
  return ProcessState{state == 'T' || state == 't', user_ticks + system_ticks};
}

StoppedPrograms::StoppedPrograms(boost::asio::io_context& manager, Attachments& attachments,
                                 DurationNs hold_ns, Look look)
    : timer_(manager), attachments_(attachments), hold_ns_(hold_ns), look_(std::move(look)) {}

void StoppedPrograms::start() {
  if (hold_ns_ == kNeverNs) return;
  const bool watches = std::any_of(stopped_.begin(), stopped_.end(),
                                   [](const auto& one) { return one.second.over; });
  timer_.expires_after(std::chrono::nanoseconds(
      std::clamp(hold_ns_ / 4, kShortestRoundNs, watches ? kWatchedRoundNs : kLongestRoundNs)));
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (error) return;
    look_at_all(clock_now_ns());
    start();
  });
}

void StoppedPrograms::cancel() { timer_.cancel(); }

void StoppedPrograms::look_at_all(TimeNs now) {
  std::erase_if(stopped_, [&](const auto& one) { return attachments_.find(one.first) == nullptr; });
  for (const auto& [number, attachment] : attachments_.all()) {
    if (!attachments_.serves(number)) continue;
    const auto seen = look_(attachment.pid);
    const auto at = stopped_.find(number);
    const bool still = at != stopped_.end();
    if (!seen || !seen->stopped) {
      if (!still) continue;
      if (at->second.over) {
        spdlog::info("program {} (pid {}) runs again", attachment.label, attachment.pid);
        attachments_.give_place_back(number);
      }
      stopped_.erase(at);
      continue;
    }
    if (!still || (at->second.ran_ticks != seen->ran_ticks && !at->second.over)) {
      stopped_[number] = {now, seen->ran_ticks, false};
      continue;
    }
    if (at->second.over || now - at->second.since_ns < hold_ns_) continue;
    at->second.over = true;
    spdlog::warn("program {} (pid {}) is stopped: what it holds goes to others", attachment.label,
                 attachment.pid);
    attachments_.take_place(number);
  }
}

}  // namespace ringwire::node
