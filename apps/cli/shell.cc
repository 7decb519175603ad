#include "apps/cli/shell.h"

#include <fmt/format.h>

#include <array>
#include <optional>

#include "apps/cli/terminal.h"
#include "apps/cli/units.h"
#include "ipc/ringwire.h"

namespace ringwire::cli {
namespace {

// The longest path a UNIX socket can have is 107 bytes; a longer one is shown cut.
constexpr std::size_t kSocketPathBytes = 256;

template <typename T>
CLI::Option* add_parsed(CLI::App& command, const std::string& name, T& target,
                        const std::string& help, std::optional<T> (*parse)(std::string_view),
                        const char* needed) {
  return command
      .add_option_function<std::string>(
          name,
          [&target, name, parse, needed](const std::string& text) {
            const std::optional<T> value = parse(text);
            if (!value) {
              throw CLI::ValidationError(name, fmt::format("\"{}\" is not {}", text, needed));
            }
            target = *value;
          },
          help)
      ->type_name("");
}

}  // namespace

std::string Shell::socket_path() const {
  if (!socket.empty()) return socket;
  std::array<char, kSocketPathBytes> buffer{};
  return rw_default_socket(buffer.data(), buffer.size());
}

ExitCode tell(const CommandError& error) {
  const Colour colour = wants_colour(stderr) ? Colour::kOn : Colour::kOff;
  fmt::print(stderr, "{} {}\n", tinted("ringwire:", Tint::kBad, colour), printable(error.what()));
  if (!error.needed().empty()) {
    fmt::print(stderr, "  needed: {}\n", printable(error.needed()));
  }
  if (!error.mend().empty()) fmt::print(stderr, "  try:    {}\n", printable(error.mend()));
  return error.code();
}

void add_engine_options(CLI::App& command, Shell& shell) {
  command
      .add_option("--socket", shell.socket,
                  "Socket of the engine; else RINGWIRE_SOCKET, else the default place")
      ->type_name("PATH");
  command.add_flag("--json", shell.json, "Print JSON: times in ns, sizes in bytes");
}

CLI::Option* add_size_option(CLI::App& command, const std::string& name, std::uint64_t& target,
                             const std::string& help) {
  return add_parsed(command, name, target, help, &parse_size, "a size, such as 64, 1KiB or 1GiB")
      ->type_name("SIZE");
}

CLI::Option* add_duration_option(CLI::App& command, const std::string& name, std::int64_t& target,
                                 const std::string& help) {
  return add_parsed(command, name, target, help, &parse_duration,
                    "a duration, such as 250ms, 3s or 2m")
      ->type_name("DURATION");
}

CLI::Option* add_number_option(CLI::App& command, const std::string& name, std::uint64_t& target,
                               const std::string& help) {
  return add_parsed(command, name, target, help, &parse_number, "a number from 0 on")
      ->type_name("N");
}

}  // namespace ringwire::cli
