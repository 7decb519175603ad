// One anonymous, sealed memory file: made here and handed out, or made by the other side and
// adopted. Cold; the making commits every page, which costs about 2.8 us per 4 KiB page (0.2 where
// the kernel gives huge ones): never on a worker except where a counted fallback says so. Owner of
// the descriptor and of the mapping.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/result.h"

namespace ringwire::ipc {

enum class MemoryError : std::uint8_t {
  kNoMemory,   ///< the kernel has no pages, or the limit of descriptors or mappings is reached
  kNotSealed,  ///< adopted descriptor is no memfd sealed against shrinking and growing, or of
               ///< hugetlbfs
  kWrongSize,
  kSystem,  ///< errno tells
};

class MemoryFile {
 public:
  MemoryFile() = default;
  ~MemoryFile();
  MemoryFile(MemoryFile&& other) noexcept;
  MemoryFile& operator=(MemoryFile&& other) noexcept;

  /// Create a file of `bytes` (rounded up to a page), mode 0600, sealed against shrinking and
  /// growing, all pages committed and mapped writable.
  static Result<MemoryFile, MemoryError> create(const char* name, std::uint64_t bytes);
  /// Map a descriptor made by the other side read-only, after checking seals and exact size. Takes
  /// ownership of the descriptor, also on failure.
  static Result<MemoryFile, MemoryError> adopt(int descriptor, std::uint64_t bytes);

  [[nodiscard]] explicit operator bool() const { return data_ != nullptr; }
  [[nodiscard]] std::byte* data() const { return data_; }  ///< adopted: only to be read
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }
  [[nodiscard]] int descriptor() const { return descriptor_; }
  /// A new read-only descriptor of the same file, or -1 with errno. The caller closes it.
  [[nodiscard]] int open_read_only() const;

  /// Give every page back to the kernel, whoever else has the file mapped: they read zeros from now
  /// on. Only for a file that nobody reads or writes any more. False with errno: pages stay until
  /// the last mapping goes. Takes milliseconds per gigabyte.
  bool discard();

 private:
  std::byte* data_ = nullptr;
  std::uint64_t bytes_ = 0;
  int descriptor_ = -1;
};

}  // namespace ringwire::ipc
