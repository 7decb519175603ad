// `ringwire wait --state S | --nodes N [--timeout T]`: block until the node, or the cluster, is
// where a script needs it.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <thread>

#include "apps/cli/admin.h"
#include "apps/cli/link.h"
#include "apps/cli/terminal.h"
#include "apps/cli/units.h"
#include "base/time.h"

namespace ringwire::cli {
namespace {

// From 10 ms, so that a node that is nearly there is not kept waiting, to half a second, so that a
// long wait costs the engine nothing.
constexpr std::int64_t kFirstPauseNs = 10 * kMillisecondNs;
constexpr std::int64_t kLongestPauseNs = 500 * kMillisecondNs;
constexpr std::int64_t kDefaultTimeoutNs = 30 * kSecondNs;

struct WaitOptions {
  std::string state;
  std::uint64_t serving_nodes = 0;
  std::int64_t timeout_ns = kDefaultTimeoutNs;
};

bool is_met(const WaitOptions& options, const Json& status) {
  const std::string state = text_at(status, "state");
  // A server node is up first, and serves a moment later: who waits for "up" takes both.
  const bool more_than_up = options.state == "up" && state == "serving";
  if (!options.state.empty() && state != options.state && !more_than_up) return false;
  return number_at(part_at(status, "nodes"), "serving") >= options.serving_nodes;
}

std::string wish_of(const WaitOptions& options) {
  std::string wish;
  if (!options.state.empty()) wish = fmt::format("this node in state {}", options.state);
  if (options.serving_nodes > 0) {
    wish += fmt::format("{}{} nodes serving", wish.empty() ? "" : " and ", options.serving_nodes);
  }
  return wish;
}

// How the last look ended: an answer, or why there was none.
struct Look {
  std::optional<AdminAnswer> answer;
  bool is_silent = false;  // an engine is there, and says nothing
};

[[noreturn]] void fail_waiting(const Shell& shell, const WaitOptions& options, const Look& last) {
  if (last.is_silent) {
    throw CommandError(ExitCode::kTimedOut,
                       fmt::format("after {} the engine at {} does not answer",
                                   format_duration(options.timeout_ns), shell.socket_path()),
                       wish_of(options), "see whether the engine is stopped or starved");
  }
  if (!last.answer) throw no_engine_error(shell);
  const Json& json = last.answer->json;
  throw CommandError(
      ExitCode::kTimedOut,
      fmt::format("after {} this node is in state {} and {} nodes are serving",
                  format_duration(options.timeout_ns), printable(text_at(json, "state")),
                  number_at(part_at(json, "nodes"), "serving")),
      wish_of(options), "ringwire nodes");
}

// No answer while no engine is there: it may be about to start. One that is stopped is asked for as
// long as there is time: it may be continued.
Look look(const Shell& shell, std::int64_t limit_ns) {
  try {
    return {.answer = ask_engine(shell, Json{{"verb", "status"}}, limit_ns)};
  } catch (const CommandError& error) {
    if (error.code() == ExitCode::kNoEngine) return {};
    if (error.code() == ExitCode::kTimedOut) return {.answer = {}, .is_silent = true};
    throw;
  }
}

ExitCode run_wait(const Shell& shell, const WaitOptions& options) {
  const std::int64_t deadline_ns = now_ns() + options.timeout_ns;
  std::int64_t pause_ns = kFirstPauseNs;
  for (;;) {
    const std::int64_t limit_ns = std::max(deadline_ns - now_ns(), kFirstPauseNs);
    const Look last = look(shell, std::min(limit_ns, kAnswerLimitNs));
    if (last.answer && is_met(options, last.answer->json)) {
      if (shell.json) fmt::print("{}\n", last.answer->text);
      return ExitCode::kDone;
    }
    const std::int64_t left_ns = deadline_ns - now_ns();
    if (left_ns <= 0) fail_waiting(shell, options, last);
    std::this_thread::sleep_for(std::chrono::nanoseconds(std::min(pause_ns, left_ns)));
    pause_ns = std::min(pause_ns * 2, kLongestPauseNs);
  }
}

}  // namespace

void add_wait(CLI::App& app, Shell& shell) {
  CLI::App* command = app.add_subcommand("wait", "Block until this node is in a state");
  auto options = std::make_shared<WaitOptions>();
  add_engine_options(*command, shell);
  command->add_option("--state", options->state, "The state to wait for")
      ->check(
          CLI::IsMember({"up", "serving", "suspended", "returning", "joining", "leaving", "out"}));
  add_number_option(*command, "--nodes", options->serving_nodes,
                    "Wait until so many nodes are serving");
  add_duration_option(*command, "--timeout", options->timeout_ns, "Give up after so long [30s]");
  command->callback([&shell, options] {
    if (options->state.empty() && options->serving_nodes == 0) {
      throw CLI::RequiredError("--state or --nodes");
    }
    shell.command = [&shell, options] { return run_wait(shell, *options); };
  });
}

}  // namespace ringwire::cli
