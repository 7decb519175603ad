// The demo's server program: a process of its own beside each server engine. It saves every message
// as a file named by its key and hands the message back only after the file has its name. Cold.
#pragma once

#include <string>
#include <string_view>

namespace ringwire::demo {

/// The file of a key under a folder: one name per key, never outside of the folder. '/' separates
/// folders; what could escape or cannot be in a file name is percent-encoded.
[[nodiscard]] std::string saved_path(const std::string& folder, std::string_view key);

/// Serve until SIGTERM. Half-written files stand in `folder`.part. Returns an exit code.
int run_saver(const std::string& socket, const std::string& folder);

}  // namespace ringwire::demo
