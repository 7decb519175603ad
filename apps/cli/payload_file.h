// A payload that comes from a file or from standard input. A regular file is handed to the client
// library as a descriptor and a range; anything else is read to its end first, because a message
// has a size from its first fragment on. Cold.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace ringwire::cli {

/// A file descriptor that is closed with its owner; -1 = none. Never closes standard input.
class OwnedFd {
 public:
  OwnedFd() = default;
  explicit OwnedFd(int fd) : fd_(fd) {}
  OwnedFd(OwnedFd&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
  OwnedFd& operator=(OwnedFd&& other) noexcept;
  ~OwnedFd() { reset(); }

  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] bool empty() const { return fd_ < 0; }
  void reset();

 private:
  int fd_ = -1;
};

class PayloadFile {
 public:
  /// Open a file, or "-" for standard input. Throws CommandError naming the file and the cause.
  explicit PayloadFile(const std::string& path);

  /// Whether fd(), offset_bytes() and payload_bytes() name a range of a regular file.
  [[nodiscard]] bool is_range() const { return is_range_; }
  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] std::uint64_t offset_bytes() const { return offset_bytes_; }
  [[nodiscard]] std::uint64_t payload_bytes() const { return payload_bytes_; }

  /// The whole payload in memory; reads a range on the first call. Throws CommandError.
  [[nodiscard]] std::span<const std::byte> contents();

 private:
  void read_to_end();

  std::string path_;
  OwnedFd fd_;
  bool is_range_ = false;
  std::uint64_t offset_bytes_ = 0;
  std::uint64_t payload_bytes_ = 0;
  std::vector<std::byte> contents_;
};

}  // namespace ringwire::cli
