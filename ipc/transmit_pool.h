// The memory of one channel that payloads are sent from: files made here, adopted by the engine,
// cut into extents. Small ones from arena files of one size class each, large ones each in a file
// of its own, reused last in, first out. One thread. Taking from a file that exists is hot.
#pragma once

#include <cstdint>
#include <memory>
#include <unordered_map>

#include "ipc/extent_pool.h"
#include "ipc/program_client.h"

namespace ringwire::ipc {

/// 64 arena files of 1 MiB: as much as a thousand 64 KiB messages under way.
inline constexpr std::uint32_t kMaxArenaFiles = 64;
/// Idle large files beyond this are given back to the system at once, but for the last one used.
inline constexpr std::uint64_t kMaxIdleLargeBytes = 64ULL << 20;
/// Large files idle for longer are given back when the channel goes to sleep.
inline constexpr DurationNs kLargeIdleNs = kSecondNs;

class TransmitPool {
 public:
  TransmitPool(ProgramClient& client, std::uint32_t channel) : client_(client), channel_(channel) {}

  /// An extent of at least `bytes`. RW_EAGAIN: the limit is reached, but extents will come back;
  /// RW_ENOMEM: it is reached, and nothing is taken; RW_ETOOLARGE: over the quota.
  int take(AttachLink& link, std::uint64_t bytes, Extent& extent);
  void give_back(AttachLink& link, const Extent& extent);
  /// Offer all files to a new engine.
  int adopt_all(AttachLink& link);
  /// Give large files back that have been idle since before `since`.
  void trim(AttachLink& link, TimeNs since);
  [[nodiscard]] bool has_idle_large() const { return pool_.free_large_bytes() > 0; }

 private:
  int grow(AttachLink& link, std::uint64_t bytes);
  int adopt(AttachLink& link, std::uint32_t number, const MemoryFile& file);
  int add_file(AttachLink& link, std::uint64_t bytes, std::uint32_t& number);
  bool evict_one(AttachLink& link, TimeNs since);
  void drop(AttachLink& link, std::uint32_t number);

  ProgramClient& client_;
  std::uint32_t channel_;
  ExtentPool pool_;
  std::unordered_map<std::uint32_t, MemoryFile> files_;
  std::uint32_t last_number_ = 0;
  std::uint32_t arena_files_ = 0;
};

}  // namespace ringwire::ipc
