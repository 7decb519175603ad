// What all commands of `ringwire` share: the options that each of them takes, and how a command is
// put into the command line. Parsing only notes which command runs; it runs after parsing, so that
// a usage error never comes half way through. Main thread; cold.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <functional>
#include <string>

#include "apps/cli/exit_code.h"

namespace ringwire::cli {

struct Shell {
  std::string socket;  ///< as given; empty: RINGWIRE_SOCKET, else the default
  bool json = false;
  std::function<ExitCode()> command;  ///< what parsing chose

  /// The socket as the client library wants it: nullptr for the default.
  [[nodiscard]] const char* socket_or_null() const {
    return socket.empty() ? nullptr : socket.c_str();
  }
  /// The path that is really looked at.
  [[nodiscard]] std::string socket_path() const;
};

/// Say on standard error what stopped a command. Returns its exit code.
ExitCode tell(const CommandError& error);

/// Add --socket and --json to a command.
void add_engine_options(CLI::App& command, Shell& shell);

/// Add an option whose value is a size, a duration or a number; anything else is a usage error.
CLI::Option* add_size_option(CLI::App& command, const std::string& name, std::uint64_t& target,
                             const std::string& help);
CLI::Option* add_duration_option(CLI::App& command, const std::string& name, std::int64_t& target,
                                 const std::string& help);
CLI::Option* add_number_option(CLI::App& command, const std::string& name, std::uint64_t& target,
                               const std::string& help);

// The commands, one file each.
void add_status(CLI::App& app, Shell& shell);
void add_nodes(CLI::App& app, Shell& shell);
void add_slots(CLI::App& app, Shell& shell);
void add_attachments(CLI::App& app, Shell& shell);
void add_drops(CLI::App& app, Shell& shell);
void add_send(CLI::App& app, Shell& shell);
void add_serve(CLI::App& app, Shell& shell);
void add_bench(CLI::App& app, Shell& shell);
void add_wait(CLI::App& app, Shell& shell);
void add_version(CLI::App& app, Shell& shell);
void add_conf(CLI::App& app, Shell& shell);

}  // namespace ringwire::cli
