// What the demo shows while it runs: one line that renews itself on a terminal, few lines
// otherwise. Main thread only. Cold.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace ringwire::demo {

[[nodiscard]] std::string human_bytes(std::uint64_t bytes);  ///< "300.1 MB"
[[nodiscard]] std::string human_count(std::uint64_t count);  ///< "12,345"
[[nodiscard]] std::string human_time(std::int64_t time_ns);  ///< "37 ms", "1.25 s"

class Display {
 public:
  Display();

  /// A line that stays.
  void say(const std::string& line);
  /// The state of affairs: renews the line on a terminal; elsewhere written every few seconds.
  void renew(const std::string& line);

 private:
  bool terminal_ = false;
  bool dirty_ = false;  // the terminal's last line is a renewable one
  std::chrono::steady_clock::time_point next_{};
};

}  // namespace ringwire::demo
