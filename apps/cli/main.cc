// `ringwire`: the command line of the engine (docs/cli.md).
#include <fmt/format.h>

#include <csignal>
#include <exception>
#include <string>

#include "apps/cli/shell.h"

namespace ringwire::cli {
namespace {

// Which command's help answers a usage error: the innermost that was recognised.
std::string help_command(const CLI::App& app) {
  std::string command = "ringwire";
  const CLI::App* at = &app;
  for (;;) {
    const auto chosen = at->get_subcommands();
    if (chosen.empty()) return command + " --help";
    at = chosen.front();
    command += " " + at->get_name();
  }
}

// A mistyped command would be told as a missing one: the parser keeps the word for an option's
// value.
void refuse_unknown_command(CLI::App& app, int argc, char** argv) {
  CLI::App* at = &app;
  for (int i = 1; i < argc && argv[i][0] != '-'; ++i) {
    const std::string word = argv[i];
    const auto named =
        at->get_subcommands([&word](CLI::App* command) { return command->get_name() == word; });
    CLI::App* next = named.empty() ? nullptr : named.front();
    if (next == nullptr && at->get_require_subcommand_min() == 0) return;
    if (next == nullptr) {
      const std::string scope = at == &app ? "" : at->get_name() + " ";
      throw CommandError(ExitCode::kUsage, fmt::format("unknown command \"{}{}\"", scope, word), {},
                         fmt::format("ringwire {}--help", scope));
    }
    at = next;
  }
}

ExitCode run(int argc, char** argv) {
  CLI::App app("Messages of any size between programs on many machines.", "ringwire");
  Shell shell;
  app.require_subcommand(1);
  app.add_option("--socket", shell.socket, "Socket of the engine; may also stand after the command")
      ->type_name("PATH");
  app.footer("Exit codes: 0 done, 1 failed, 2 wrong usage, 3 no engine, 4 timed out.");
  add_status(app, shell);
  add_nodes(app, shell);
  add_slots(app, shell);
  add_attachments(app, shell);
  add_drops(app, shell);
  add_send(app, shell);
  add_serve(app, shell);
  add_bench(app, shell);
  add_wait(app, shell);
  add_conf(app, shell);
  add_version(app, shell);
  refuse_unknown_command(app, argc, argv);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& success) {
    app.exit(success);
    return ExitCode::kDone;
  } catch (const CLI::ParseError& error) {
    return tell(CommandError(ExitCode::kUsage, error.what(), {}, help_command(app)));
  }
  return shell.command();
}

}  // namespace
}  // namespace ringwire::cli

int main(int argc, char** argv) {
  using ringwire::cli::CommandError;
  using ringwire::cli::ExitCode;
  // A reader that goes away (`| head`) is an error of a write, not the end of the process.
  std::signal(SIGPIPE, SIG_IGN);
  try {
    return static_cast<int>(ringwire::cli::run(argc, argv));
  } catch (const CommandError& error) {
    return static_cast<int>(ringwire::cli::tell(error));
  } catch (const std::exception& error) {
    return static_cast<int>(ringwire::cli::tell(CommandError(ExitCode::kFailed, error.what())));
  }
}
