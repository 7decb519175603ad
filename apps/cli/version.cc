// `ringwire version`: of this command, of the client library, and of the engine if there is one.
#include <fmt/format.h>

#include "apps/cli/admin.h"
#include "apps/cli/link.h"
#include "apps/cli/terminal.h"
#include "ipc/ringwire.h"

namespace ringwire::cli {
namespace {

struct EngineVersion {
  std::string version;  // empty: not known
  std::string why_not;
};

// Needs no engine: without one its version is simply not known.
EngineVersion engine_version(const Shell& shell) {
  try {
    return {.version = text_at(ask_engine(shell, Json{{"verb", "status"}}).json, "version"),
            .why_not = {}};
  } catch (const CommandError& error) {
    if (error.code() == ExitCode::kNoEngine) return {{}, "none at " + shell.socket_path()};
    return {{}, error.what()};
  }
}

ExitCode run_version(const Shell& shell) {
  const auto [engine, why_not] = engine_version(shell);
  if (shell.json) {
    const Json answer{{"command", RINGWIRE_VERSION},
                      {"library", rw_version()},
                      {"abi", RW_ABI_VERSION},
                      {"engine", engine.empty() ? Json() : Json(engine)}};
    fmt::print("{}\n", answer.dump());
    return ExitCode::kDone;
  }
  fmt::print("ringwire {}\nlibrary  {} (ABI {})\nengine   {}\n", RINGWIRE_VERSION, rw_version(),
             RW_ABI_VERSION, engine.empty() ? printable(why_not) : engine);
  return ExitCode::kDone;
}

}  // namespace

void add_version(CLI::App& app, Shell& shell) {
  CLI::App* command = app.add_subcommand("version", "Show the versions of command and engine");
  add_engine_options(*command, shell);
  command->callback([&shell] { shell.command = [&shell] { return run_version(shell); }; });
}

}  // namespace ringwire::cli
