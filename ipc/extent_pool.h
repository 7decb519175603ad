// The receiving memory of one worker for one trust domain (one user): small extents from size-class
// files, large ones each in a file of its own, reused last-in first-out so that the working set
// stays in cache and what a burst needed falls idle, to be returned. The pool never makes files
// itself: whoever owns it does (a helper thread, ahead of need) and adds them. One thread.
// take/give_back are hot and O(1).
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/time.h"
#include "ipc/memory_file.h"

namespace ringwire::ipc {

/// Extent sizes of the class files. 66,560 = 64 KiB unscheduled payload + 1 KiB key.
inline constexpr std::array<std::uint32_t, 5> kExtentClassBytes = {512, 2'048, 8'192, 24'576,
                                                                   66'560};
/// A class file: 1 MiB; growing costs under 1 ms and wastes little on an idle node.
inline constexpr std::uint64_t kClassFileBytes = 1u << 20;

struct Extent {
  std::byte* data = nullptr;
  std::uint64_t bytes = 0;       ///< usable bytes, >= what was asked
  std::uint64_t offset = 0;      ///< in the file
  std::uint32_t file = 0;        ///< number for Delivery::extent_file and kMap; 0 = none
  std::uint16_t size_class = 0;  ///< index, or kLargeClass
  std::uint16_t slot = 0;        ///< the pool's own: which of its files of that kind
  [[nodiscard]] bool empty() const { return data == nullptr; }
};
inline constexpr std::uint16_t kLargeClass = 0xffff;

/// Numbers of the free extents of a class file; the last is taken first.
using FreeList = std::vector<std::uint16_t>;
static_assert(kClassFileBytes / kExtentClassBytes[0] <= 65'536);

/// Files of one class, and large ones, that a pool may be made to know without an allocation: 256
/// MiB of a class; a pool that grows beyond allocates once for each doubling. 12 KiB a class.
inline constexpr std::size_t kFilesAhead = 256;

class ExtentPool {
 public:
  /// With room for `files_ahead` files of each class, and as many large ones, written once.
  explicit ExtentPool(std::size_t files_ahead = 0);
  ~ExtentPool();
  ExtentPool(const ExtentPool&) = delete;
  ExtentPool& operator=(const ExtentPool&) = delete;

  /// Class index for `bytes`, or kLargeClass.
  [[nodiscard]] static std::uint16_t class_of(std::uint64_t bytes);
  /// File bytes to make for a large extent of `bytes`: rounded up to the next of 4 steps per power
  /// of two (at most 25 % waste) and to a page, so that pooled files fit again.
  [[nodiscard]] static std::uint64_t large_file_bytes(std::uint64_t bytes);

  /// The list of a class file of which nothing is taken.
  [[nodiscard]] static FreeList all_free(std::uint16_t size_class, std::uint64_t bytes);
  /// Add a committed file for a size class (kClassFileBytes) or one large extent. A `free` list
  /// that was made with the file saves making it here; empty: it is made. Neither allocates but for
  /// that and beyond `files_ahead`.
  void add_class_file(std::uint16_t size_class, std::uint32_t number, std::byte* data,
                      std::uint64_t bytes, TimeNs now, FreeList free = {});
  void add_large_file(std::uint32_t number, std::byte* data, std::uint64_t bytes);

  /// Take an extent of at least `bytes`; nothing when no file has room (add one first).
  [[nodiscard]] std::optional<Extent> take(std::uint64_t bytes);
  void give_back(const Extent& extent, TimeNs now);

  /// True when fewer than a quarter of the class's extents are free: time to add a file.
  [[nodiscard]] bool runs_low(std::uint16_t size_class) const;
  /// A large file unused since before `idle_since`, to be returned to the system (removed from the
  /// pool; 0 = none).
  [[nodiscard]] std::uint32_t evict_idle_large(TimeNs idle_since);
  /// The same for class files: the first of a class stays, and at least as much free as is taken.
  [[nodiscard]] std::uint32_t evict_idle_class_file(TimeNs idle_since);
  /// Whether anything is free that these return once it is idle for long enough.
  [[nodiscard]] bool may_shrink() const;

  [[nodiscard]] std::uint64_t file_bytes() const;  ///< all files
  [[nodiscard]] std::uint64_t free_large_bytes() const;
  [[nodiscard]] std::uint64_t extents_taken() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace ringwire::ipc
