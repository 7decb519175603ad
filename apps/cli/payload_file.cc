#include "apps/cli/payload_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "apps/cli/exit_code.h"

namespace ringwire::cli {
namespace {

// One read of a pipe returns at most its capacity: 64 KiB by default, 1 MiB at most.
constexpr std::size_t kReadBytes = std::size_t{1} << 20;

CommandError file_error(const std::string& path, std::string_view doing) {
  return CommandError(ExitCode::kFailed,
                      fmt::format("cannot {} {}: {}", doing, path, std::strerror(errno)));
}

}  // namespace

OwnedFd& OwnedFd::operator=(OwnedFd&& other) noexcept {
  if (this != &other) {
    reset();
    fd_ = std::exchange(other.fd_, -1);
  }
  return *this;
}

void OwnedFd::reset() {
  if (fd_ > STDIN_FILENO) ::close(fd_);
  fd_ = -1;
}

PayloadFile::PayloadFile(const std::string& path)
    : path_(path == "-" ? "standard input" : path),
      fd_(path == "-" ? STDIN_FILENO : ::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
  if (fd_.empty()) throw file_error(path_, "open");
  struct stat about {};
  if (::fstat(fd_.get(), &about) != 0) throw file_error(path_, "examine");
  if (S_ISDIR(about.st_mode)) {
    throw CommandError(ExitCode::kFailed, fmt::format("{} is a directory", path_),
                       "a file, or - for standard input");
  }
  // What standard input was read before it came here is not part of the payload.
  const off_t at = S_ISREG(about.st_mode) ? ::lseek(fd_.get(), 0, SEEK_CUR) : off_t{-1};
  // Files of procfs and sysfs call themselves regular and empty: their size is known after reading.
  if (at < 0 || about.st_size == 0) {
    read_to_end();
    return;
  }
  is_range_ = true;
  offset_bytes_ = static_cast<std::uint64_t>(at);
  payload_bytes_ = static_cast<std::uint64_t>(std::max<off_t>(about.st_size - at, 0));
}

void PayloadFile::read_to_end() {
  for (;;) {
    const std::size_t had = contents_.size();
    contents_.resize(had + kReadBytes);
    const ssize_t got = ::read(fd_.get(), contents_.data() + had, kReadBytes);
    contents_.resize(had + static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    if (got == 0) break;
    if (got < 0 && errno != EINTR) throw file_error(path_, "read");
  }
  payload_bytes_ = contents_.size();
}

std::span<const std::byte> PayloadFile::contents() {
  if (!is_range_ || contents_.size() == payload_bytes_) return contents_;
  contents_.resize(payload_bytes_);
  std::size_t done = 0;
  while (done < contents_.size()) {
    const ssize_t got = ::pread(fd_.get(), contents_.data() + done, contents_.size() - done,
                                static_cast<off_t>(offset_bytes_ + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw file_error(path_, "read");
    if (got == 0) {
      throw CommandError(ExitCode::kFailed,
                         fmt::format("{} became shorter while it was read", path_));
    }
    done += static_cast<std::size_t>(got);
  }
  return contents_;
}

}  // namespace ringwire::cli
