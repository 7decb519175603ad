// The engine's extent files as one channel of a program sees them: mapped read-only when first
// named by a delivery, kept while a message points into them and a bounded while longer. One set
// per engine; file numbers mean one file for as long as that engine runs. One thread; finding a
// mapped file is hot.
#pragma once

#include <cstdint>
#include <unordered_map>

#include "ipc/program_client.h"

namespace ringwire::ipc {

/// Files that no message points into are unmapped, least recently used first, beyond these.
inline constexpr std::size_t kMaxIdleMaps = 256;
inline constexpr std::uint64_t kMaxIdleMapBytes = 64ULL << 20;
/// And when the channel goes to sleep, those idle for longer: a mapping holds the file's memory.
inline constexpr DurationNs kMapIdleNs = kSecondNs;

struct ExtentMap {
  MemoryFile file;
  std::uint32_t messages = 0;  ///< that point into it
  TimeNs used = 0;
  std::uint64_t use = 0;  ///< counts up with each use: which is the least recent
};

class ExtentMaps {
 public:
  ExtentMaps(ProgramClient& client, std::uint32_t channel) : client_(client), channel_(channel) {}

  /// The map of a file, which then counts one message more. RW_E...: it cannot be mapped.
  int hold(AttachLink& link, std::uint32_t number, ExtentMap*& map);
  void let_go(ExtentMap& map);
  void trim(TimeNs since);
  [[nodiscard]] bool idle() const { return held_ == 0; }
  [[nodiscard]] bool has_idle() const { return idle_count_ > 0; }

 private:
  bool drop_least_recent(TimeNs since);

  ProgramClient& client_;
  std::uint32_t channel_;
  std::unordered_map<std::uint32_t, ExtentMap> maps_;  // nodes stay where they are
  std::uint64_t idle_bytes_ = 0;
  std::size_t idle_count_ = 0;
  std::uint64_t held_ = 0;
  std::uint64_t uses_ = 0;
};

}  // namespace ringwire::ipc
