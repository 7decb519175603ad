#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <system_error>

#include "apps/cli/file_name.h"
#include "apps/cli/handler.h"
#include "apps/cli/link.h"
#include "apps/cli/payload_file.h"
#include "apps/cli/terminal.h"

namespace ringwire::cli {
namespace {

// A full disk may be cleaned up by somebody: so many failures in a row, with growing pauses (in all
// 5.5 s), are waited out before the command gives up.
constexpr int kMaxFailures = 10;
constexpr std::chrono::milliseconds kPausePerFailure{100};

[[noreturn]] void throw_errno(const std::string& doing) {
  throw std::system_error(errno, std::generic_category(), doing);
}

void write_range(int fd, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t wrote = ::write(fd, bytes.data(), bytes.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) throw_errno("write");
    bytes = bytes.subspan(static_cast<std::size_t>(wrote));
  }
}

class SaveHandler final : public Handler {
 public:
  SaveHandler(const SaveOptions& options, std::uint32_t thread_index, std::stop_token stop)
      : options_(options),
        // A dot in front: no key's file name begins with one, so this can never be a saved file.
        temporary_name_(fmt::format(".ringwire-{}-{}.part", ::getpid(), thread_index)),
        stop_(std::move(stop)) {
    if (::mkdir(options_.directory.c_str(), 0777) != 0 && errno != EEXIST) {
      throw directory_error("make");
    }
    directory_ = OwnedFd(::open(options_.directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (directory_.empty()) throw directory_error("open");
  }

  rw_verdict handle(rw_channel*, const rw_message* message) override {
    const std::string_view key = key_of(message);
    const std::string name =
        key.empty() ? file_name_of_hash(rw_message_hash(message)) : file_name_of_key(key);
    try {
      save(name, payload_of(message));
    } catch (const std::system_error& error) {
      ::unlinkat(directory_.get(), temporary_name_.c_str(), 0);
      on_failure(name, error);
      return RW_RETRY;
    }
    failures_ = 0;
    return RW_DONE;
  }

 private:
  CommandError directory_error(std::string_view doing) const {
    return CommandError(ExitCode::kFailed,
                        fmt::format("cannot {} the directory {}: {}", doing, options_.directory,
                                    std::strerror(errno)),
                        "a directory that this user can write to");
  }

  // The message is released only after all of this: whatever crash comes in between, it is
  // delivered again, and the rename replaces a complete file by a complete file.
  void save(const std::string& name, std::span<const std::byte> payload) {
    OwnedFd file(::openat(directory_.get(), temporary_name_.c_str(),
                          O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666));
    if (file.empty()) throw_errno("create a file");
    write_range(file.get(), payload);
    if (options_.sync && ::fsync(file.get()) != 0) throw_errno("fsync");
    file.reset();
    if (::renameat(directory_.get(), temporary_name_.c_str(), directory_.get(), name.c_str()) !=
        0) {
      throw_errno("rename");
    }
    if (options_.sync && ::fsync(directory_.get()) != 0) throw_errno("fsync the directory");
  }

  void on_failure(const std::string& name, const std::system_error& error) {
    ++failures_;
    const std::string found =
        fmt::format("cannot save {} in {}: {}", name, options_.directory, error.code().message());
    if (failures_ >= kMaxFailures) {
      throw CommandError(ExitCode::kFailed,
                         fmt::format("{}; given up after {} failures in a row", found, failures_),
                         "room and write permission there; messages went back to the engine",
                         "df -h " + options_.directory);
    }
    fmt::print(stderr, "ringwire: {}; the message goes back and comes again\n", printable(found));
    // Released at once it would come again at once, and use up its deliveries on the same failure.
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, stop_, kPausePerFailure * failures_, [] { return false; });
  }

  SaveOptions options_;
  std::string temporary_name_;
  std::stop_token stop_;
  OwnedFd directory_;
  int failures_ = 0;  // in a row
  std::mutex mutex_;
  std::condition_variable_any wake_;
};

}  // namespace

std::unique_ptr<Handler> make_save_handler(const SaveOptions& options, std::uint32_t thread_index,
                                           std::stop_token stop) {
  return std::make_unique<SaveHandler>(options, thread_index, std::move(stop));
}

}  // namespace ringwire::cli
