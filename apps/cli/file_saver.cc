#include "apps/cli/file_saver.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "apps/cli/exit_code.h"

namespace ringwire::cli {
namespace {

[[noreturn]] void throw_errno(const char* doing) {
  throw std::system_error(errno, std::generic_category(), doing);
}

CommandError directory_error(std::string_view doing, const std::string& directory) {
  return CommandError(
      ExitCode::kFailed,
      fmt::format("cannot {} the directory {}: {}", doing, directory, std::strerror(errno)),
      "a directory that this user can write to");
}

void write_range(int fd, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t wrote = ::write(fd, bytes.data(), bytes.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) throw_errno("write");
    bytes = bytes.subspan(static_cast<std::size_t>(wrote));
  }
}

}  // namespace

FileSaver::FileSaver(const std::string& directory, std::string part_name, Sync sync)
    : path_(directory), part_name_(std::move(part_name)), sync_(sync) {
  if (::mkdir(path_.c_str(), 0777) != 0 && errno != EEXIST) throw directory_error("make", path_);
  directory_ = OwnedFd(::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory_.empty()) throw directory_error("open", path_);
}

void FileSaver::save(const std::string& name, std::span<const std::byte> contents) {
  try {
    write_part(contents);
    publish(name);
  } catch (const std::system_error&) {
    ::unlinkat(directory_.get(), part_name_.c_str(), 0);
    throw;
  }
}

void FileSaver::write_part(std::span<const std::byte> contents) {
  const OwnedFd file(::openat(directory_.get(), part_name_.c_str(),
                              O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666));
  if (file.empty()) throw_errno("create a file");
  write_range(file.get(), contents);
  if (sync_ == Sync::kOn && ::fsync(file.get()) != 0) throw_errno("fsync");
}

void FileSaver::publish(const std::string& name) {
  if (::renameat(directory_.get(), part_name_.c_str(), directory_.get(), name.c_str()) != 0) {
    throw_errno("rename");
  }
  if (sync_ == Sync::kOn && ::fsync(directory_.get()) != 0) throw_errno("fsync the directory");
}

}  // namespace ringwire::cli
