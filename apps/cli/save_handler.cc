#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <system_error>

#include "apps/cli/file_name.h"
#include "apps/cli/file_saver.h"
#include "apps/cli/handler.h"
#include "apps/cli/link.h"
#include "apps/cli/terminal.h"

namespace ringwire::cli {
namespace {

// A full disk may be cleaned up by somebody: so many failures of one message, with growing pauses
// (in all 4.5 s), are waited out before the command gives up.
constexpr int kMaxFailures = 10;
constexpr std::chrono::milliseconds kPausePerFailure{100};

class SaveHandler final : public Handler {
 public:
  SaveHandler(const SaveOptions& options, std::uint32_t thread_index, std::stop_token stop)
      // A dot in front: no key's file name begins with one, so this can never be a saved file.
      : saver_(options.directory, fmt::format(".ringwire-{}-{}.part", ::getpid(), thread_index),
               options.sync ? FileSaver::Sync::kOn : FileSaver::Sync::kOff),
        stop_(std::move(stop)) {}

  // Released only after the save: whatever crash comes in between, the message is delivered again
  // and replaces a complete file by a complete file.
  rw_verdict handle(rw_channel*, const rw_message* message) override {
    const std::string_view key = key_of(message);
    const std::string name =
        key.empty() ? file_name_of_hash(rw_message_hash(message)) : file_name_of_key(key);
    // Tried again here, not by way of the engine: each delivery counts towards max_deliveries.
    for (int failures = 0; !stop_.stop_requested();) {
      try {
        saver_.save(name, payload_of(message));
        return RW_DONE;
      } catch (const std::system_error& error) {
        on_failure(++failures, name, error);
      }
    }
    return RW_RETRY;
  }

 private:
  void on_failure(int failures, const std::string& name, const std::system_error& error) {
    const std::string found =
        fmt::format("cannot save {} in {}: {}", name, saver_.directory(), error.code().message());
    if (failures >= kMaxFailures) {
      throw CommandError(ExitCode::kFailed,
                         fmt::format("{}; given up after {} failures in a row", found, failures),
                         "room and write permission there; the message went back to the engine",
                         "df -h " + saver_.directory());
    }
    fmt::print(stderr, "ringwire: {}; tried again\n", printable(found));
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, stop_, kPausePerFailure * failures, [] { return false; });
  }

  FileSaver saver_;
  std::stop_token stop_;
  std::mutex mutex_;
  std::condition_variable_any wake_;
};

}  // namespace

std::unique_ptr<Handler> make_save_handler(const SaveOptions& options, std::uint32_t thread_index,
                                           std::stop_token stop) {
  return std::make_unique<SaveHandler>(options, thread_index, std::move(stop));
}

}  // namespace ringwire::cli
