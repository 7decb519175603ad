// The engine as a program: reads the settings, runs one node, drains on SIGTERM. Exit codes: 0
// done, 1 could not start, 2 wrong usage or configuration.
#include <signal.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <poll.h>

#include "engine/node/config.h"
#include "engine/node/engine.h"
#include "engine/node/start_check.h"
#include "engine/node/start_error.h"

extern char** environ;

namespace ringwire::node {
namespace {

constexpr int kDone = 0;
constexpr int kNotStarted = 1;
constexpr int kWrongUsage = 2;

Environment environment() {
  Environment all;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    const std::size_t equals = text.find('=');
    if (equals != std::string::npos)
      all.emplace_back(text.substr(0, equals), text.substr(equals + 1));
  }
  return all;
}

/// Signals that are taken by a descriptor, blocked in every thread made from now on.
sigset_t block_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, signal);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  return signals;
}

/// Wait until the engine ended its drain. A second SIGTERM or SIGINT does not wait for it.
void wait_for_end(Engine& engine, const sigset_t& signals, int end_event) {
  const int signal_descriptor = ::signalfd(-1, &signals, SFD_CLOEXEC);
  bool draining = false;
  while (true) {
    std::array<pollfd, 2> waits = {{{signal_descriptor, POLLIN, 0}, {end_event, POLLIN, 0}}};
    if (::poll(waits.data(), waits.size(), -1) < 0 && errno != EINTR) return;
    if ((waits[1].revents & POLLIN) != 0) break;
    if ((waits[0].revents & POLLIN) == 0) continue;
    signalfd_siginfo info{};
    if (::read(signal_descriptor, &info, sizeof info) != static_cast<ssize_t>(sizeof info))
      continue;
    if (info.ssi_signo == SIGHUP) {
      spdlog::info("SIGHUP: this version reads its settings at start only; restart to change them");
      continue;
    }
    if (draining) break;
    draining = true;
    engine.drain();
  }
  ::close(signal_descriptor);
}

int run(const Config& config) {
  const sigset_t signals = block_signals();
  const int end_event = ::eventfd(0, EFD_CLOEXEC);
  Engine engine(config);
  engine.start(
      [](const std::string& line) {
        std::printf("%s\n", line.c_str());
        std::fflush(stdout);
      },
      [end_event] {
        const std::uint64_t one = 1;
        [[maybe_unused]] const auto written = ::write(end_event, &one, sizeof one);
      });
  wait_for_end(engine, signals, end_event);
  engine.stop();
  ::close(end_event);
  return engine.failed() ? kNotStarted : kDone;
}

/// The command line: EAL arguments stand before the first "--", ours behind it.
struct Arguments {
  Arguments(int count, char** given) {
    const std::vector<std::string> all(given + 1, given + count);
    const auto end = std::find(all.begin(), all.end(), "--");
    if (end == all.end()) {
      own = all;
      return;
    }
    eal.assign(all.begin(), end);
    own.assign(end + 1, all.end());
  }
  std::vector<std::string> eal;
  std::vector<std::string> own;
};

/// As a shell would take it.
std::string shell_word(const std::string& word) {
  const bool is_plain = !word.empty() && std::all_of(word.begin(), word.end(), [](char letter) {
    return std::isalnum(static_cast<unsigned char>(letter)) != 0 ||
           std::string_view("-_=,./:@+%").find(letter) != std::string_view::npos;
  });
  if (is_plain) return word;
  std::string quoted = "'";
  for (const char letter : word) quoted.append(letter == '\'' ? "'\\''" : std::string(1, letter));
  return quoted.append("'");
}

void print_eal(const Config& config) {
  std::string line;
  for (const std::string& argument : config.dpdk.eal)
    line.append(line.empty() ? "" : " ").append(shell_word(argument));
  std::printf("%s\n", line.c_str());
}

int main(int count, char** given) {
  spdlog::set_default_logger(spdlog::stderr_logger_mt("ringwire"));
  spdlog::set_pattern("%Y-%m-%d %H:%M:%S.%e %l %v");
  Arguments arguments(count, given);
  CLI::App app(
      "The Ringwire engine: one node of a cluster. Without any argument: a developer node, "
      "a cluster of one server on loopback. EAL arguments, for a port that is a DPDK device, stand "
      "before \"--\": ringwire-engine -l 2 -a 0000:3b:00.0 -- -f node.toml");
  std::optional<std::string> file;
  std::vector<std::string> overrides;
  bool check = false;
  app.add_option("-f,--file", file, "Settings of the node (TOML); see `ringwire conf new`");
  app.add_option("-o,--option", overrides, "One setting, as in -o node.name=a")
      ->expected(1)
      ->take_all()
      ->type_name("SECTION.KEY=VALUE");
  app.add_flag("--check", check, "Check the settings and exit");
  bool eal = false;
  app.add_flag("--print-eal", eal, "Print the EAL arguments that DPDK would get, and exit");
  app.set_version_flag("--version", std::string("ringwire-engine ") + RINGWIRE_VERSION);
  try {
    // CLI11 takes them from the end.
    std::reverse(arguments.own.begin(), arguments.own.end());
    app.parse(arguments.own);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kDone : kWrongUsage;
  }
  const auto config = load_config(file, environment(), overrides, arguments.eal);
  const auto problems = config.ok() ? start_problems(config.value()) : config.error();
  for (const ConfigProblem& problem : problems)
    std::fprintf(stderr, "ringwire-engine: %s\n", problem.to_text().c_str());
  if (!problems.empty()) return kWrongUsage;
  if (eal) {
    print_eal(config.value());
    return kDone;
  }
  if (check) {
    std::printf("the settings of node %s are good\n", config.value().node.name.c_str());
    return kDone;
  }
  try {
    return run(config.value());
  } catch (const ConfigRefused& error) {
    std::fprintf(stderr, "ringwire-engine: %s\n", error.what());
    return kWrongUsage;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "ringwire-engine: %s\n", error.what());
    return kNotStarted;
  }
}

}  // namespace
}  // namespace ringwire::node

int main(int count, char** arguments) { return ringwire::node::main(count, arguments); }
