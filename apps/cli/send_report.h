// What became of the messages of `ringwire send`: for a person, as JSON, as an exit code. Pure but
// for the printing; main thread; cold.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "apps/cli/exit_code.h"
#include "ipc/ringwire.h"

namespace ringwire::cli {

struct Sent {
  std::string key;
  std::uint64_t payload_bytes = 0;
  rw_ticket ticket = 0;
  std::int64_t started_ns = 0;
  std::int64_t elapsed_ns = 0;
  rw_outcome outcome{};
  std::string error;                ///< of the send call itself: then there is no outcome
  std::vector<rw_outcome> targets;  ///< of a multi-target send
  bool is_call = false;
  std::optional<std::string> reply;  ///< of a call that was answered: the bytes
};

/// What was asked for, as far as it tells how to read an outcome.
struct SendTerms {
  std::int64_t timeout_ns = 0;  ///< 0: none
  std::uint32_t require = RW_REQUIRE_ALL;
};

/// Exit code: done if all are; timed out if the rest ended by their time-out; else failed. A call
/// without a reply failed.
[[nodiscard]] ExitCode code_for(const std::vector<Sent>& all, const SendTerms& terms);

void print_json(const std::vector<Sent>& all);
void print_for_person(const std::vector<Sent>& all, const SendTerms& terms,
                      std::int64_t elapsed_ns);

/// The first line for one message: "done", "unknown(stale)"; of several targets, some of which
/// are done, "incomplete".
[[nodiscard]] std::string headline(const Sent& sent);
/// Of several targets: "2 of 3 targets done, all required"; else where it ended.
[[nodiscard]] std::string place_text(const Sent& sent, const SendTerms& terms);

}  // namespace ringwire::cli
