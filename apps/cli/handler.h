// What `ringwire serve` does with a message: one interface, four ways (echo, sink, save, exec).
// Each serving thread has a handler of its own; only the serving thread calls it. Cold, except echo
// and sink, which the load generators run against.
#pragma once

#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>

#include "apps/cli/exit_code.h"
#include "apps/cli/stream_ledger.h"
#include "ipc/ringwire.h"

namespace ringwire::cli {

class Handler {
 public:
  virtual ~Handler() = default;

  /// Handle one message and reply to it if it is a call. The caller releases it with the verdict.
  /// Throws CommandError when serving cannot go on; the message is then released with RW_RETRY.
  virtual rw_verdict handle(rw_channel* channel, const rw_message* message) = 0;
};

/// Reply to a call; the outcome is collected by the serving loop. Returns RW_OK or an error.
int reply_to(rw_channel* channel, const rw_message* message, const void* data, std::size_t bytes);

/// `--echo` and `--sink`: check bench stamps, note them in the ledger, answer the question for the
/// counts; an echo also replies with the payload. A damaged message is refused.
enum class StreamAnswer { kEcho, kNothing };
[[nodiscard]] std::unique_ptr<Handler> make_stream_handler(StreamAnswer answer,
                                                           StreamLedger& ledger);

/// `--save DIR`: one file per key (file_name.h), complete and on the disk before the release.
struct SaveOptions {
  std::string directory;
  bool sync = true;  ///< fsync file and directory
};
[[nodiscard]] std::unique_ptr<Handler> make_save_handler(const SaveOptions& options,
                                                         std::uint32_t thread_index,
                                                         std::stop_token stop);

/// `--exec CMD`: `sh -c CMD` per message; payload on its input, its output is the reply.
[[nodiscard]] std::unique_ptr<Handler> make_exec_handler(const std::string& command);

}  // namespace ringwire::cli
