// A shell command run once: bytes in, bytes and an exit status out. Cold; any thread.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace ringwire::cli {

/// What a child may print is bounded: 1 GiB of output is a runaway, not a reply.
inline constexpr std::size_t kMaxOutputBytes = std::size_t{1} << 30;

struct ChildResult {
  int exit_status = 0;  ///< as the shell says it: 128 + signal number for a killed child
  std::vector<std::byte> output;
};

/// Run `sh -c command` with `input` on its standard input and `extra_environment` ("NAME=value")
/// added to this process's; standard error is shared. The child leads a process group of its own,
/// so that an interrupt from the terminal stops the server and not the message in work.
/// Throws CommandError when it cannot be started or prints more than kMaxOutputBytes.
[[nodiscard]] ChildResult run_child(const std::string& command, std::span<const std::byte> input,
                                    const std::vector<std::string>& extra_environment);

}  // namespace ringwire::cli
