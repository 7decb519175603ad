// The command's attachment to its engine: owning handles for the client library's objects, and its
// error codes turned into CommandError. Each channel belongs to one thread. Cold, except
// next_batch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "apps/cli/exit_code.h"
#include "apps/cli/shell.h"
#include "ipc/ringwire.h"

namespace ringwire::cli {

/// RW_WAIT_FOREVER without its C cast.
inline constexpr std::int64_t kWaitForever = -1;

/// An options struct that knows its size and is zero otherwise: RW_OPTIONS for C++.
template <typename Options>
[[nodiscard]] Options options_of() {
  Options options{};
  options.struct_bytes = sizeof options;
  return options;
}

struct CloseClient {
  void operator()(rw_client* client) const { rw_client_close(client); }
};
struct CloseChannel {
  void operator()(rw_channel* channel) const { rw_channel_close(channel); }
};
using Client = std::unique_ptr<rw_client, CloseClient>;
using Channel = std::unique_ptr<rw_channel, CloseChannel>;

/// Attach to the engine. Throws CommandError: kNoEngine (the socket is named) or what else failed.
/// `reconnect_ns` as in rw_client_options: how long calls wait for a restarted engine.
[[nodiscard]] Client attach(const Shell& shell, std::int64_t reconnect_ns);

/// Open a channel for the calling thread; `batch` as in rw_channel_options. Throws CommandError.
[[nodiscard]] Channel open_channel(rw_client* client, bool batch = false);

/// The error for a failed call of the client library: `doing` names what was tried.
[[nodiscard]] CommandError library_error(const Shell& shell, int error, std::string_view doing);

/// The error for an engine that is not there.
[[nodiscard]] CommandError no_engine_error(const Shell& shell);

/// Monotonic time in ns.
[[nodiscard]] std::int64_t now_ns();

[[nodiscard]] inline std::span<const std::byte> payload_of(const rw_message* message) {
  return {static_cast<const std::byte*>(rw_message_data(message)), rw_message_bytes(message)};
}

[[nodiscard]] inline std::string_view key_of(const rw_message* message) {
  std::size_t bytes = 0;
  const void* key = rw_message_key(message, &bytes);
  return {static_cast<const char*>(key), bytes};
}

}  // namespace ringwire::cli
