// One line on a terminal that shows how far a transfer is. Writes nothing where standard error is
// no terminal. Main thread; cold; at most ten lines a second.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace ringwire::cli {

class Progress {
 public:
  enum class Show { kOnTerminal, kNever };

  explicit Progress(Show show);
  ~Progress() { clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// Show `done` of `total` bytes after a label. `now_ns`: monotonic.
  void update(std::string_view label, std::uint64_t done_bytes, std::uint64_t total_bytes,
              std::int64_t now_ns);

  /// Take the line away before other output.
  void clear();

 private:
  bool shown_;
  bool drawn_ = false;
  std::int64_t next_ns_ = 0;
};

/// A bar of `width` characters: "[#####-----]". Pure.
[[nodiscard]] std::string bar(std::uint64_t done, std::uint64_t total, std::uint32_t width);

}  // namespace ringwire::cli
