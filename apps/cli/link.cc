#include "apps/cli/link.h"

#include <fmt/format.h>

#include <chrono>

namespace ringwire::cli {
namespace {

ExitCode code_of(int error) {
  switch (error) {
    case RW_EINVAL:
      return ExitCode::kUsage;
    case RW_ENOENGINE:
      return ExitCode::kNoEngine;
    case RW_ETIMEOUT:
      return ExitCode::kTimedOut;
    default:
      return ExitCode::kFailed;
  }
}

}  // namespace

std::int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

CommandError no_engine_error(const Shell& shell) {
  return CommandError(ExitCode::kNoEngine,
                      fmt::format("no engine answers at the socket {}", shell.socket_path()),
                      "a running ringwire-engine, and --socket PATH or RINGWIRE_SOCKET naming its "
                      "socket",
                      "ringwire-engine -f node.toml");
}

CommandError library_error(const Shell& shell, int error, std::string_view doing) {
  if (error == RW_ENOENGINE) return no_engine_error(shell);
  const std::string detail = rw_last_error();
  const std::string text = detail.empty() ? std::string(rw_error_text(error)) : detail;
  return CommandError(code_of(error),
                      fmt::format("{}: {} ({})", doing, text, rw_error_name(error)));
}

Client attach(const Shell& shell, std::int64_t reconnect_ns) {
  auto options = options_of<rw_client_options>();
  options.socket = shell.socket_or_null();
  options.reconnect_ns = reconnect_ns;
  rw_client* client = nullptr;
  const int result = rw_client_open(&options, &client);
  if (result < 0) throw library_error(shell, result, "cannot attach to the engine");
  return Client(client);
}

Channel open_channel(rw_client* client, bool batch) {
  auto options = options_of<rw_channel_options>();
  options.batch = batch ? 1 : 0;
  rw_channel* channel = nullptr;
  const int result = rw_channel_open(client, &options, &channel);
  if (result < 0) {
    throw CommandError(ExitCode::kFailed, fmt::format("cannot open a channel: {} ({})",
                                                      rw_last_error(), rw_error_name(result)));
  }
  return Channel(channel);
}

}  // namespace ringwire::cli
