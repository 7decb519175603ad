// ringwire-sim: runs seeds of the simulated world. `./dev sim` calls it.
//
//   ringwire-sim [--seeds N] [--from S] [--hours H]     worlds drawn from seeds
//   ringwire-sim --seed S [--faults LIST] [--trace]     one of them, perhaps with fewer faults
//   ringwire-sim --world NAME [--seed S] [--trace]      one written by hand, or with another seed
//   ringwire-sim --mutants [--mutant M] [--stride K] [--seeds N] [--named] [--world NAME] [--jobs
//   J] ringwire-sim --figure hours|paths
//
// Exit status 0 when nothing was violated, 1 when something was, 2 for wrong usage.
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "tests/sim/directed.h"
#include "tests/sim/figures.h"
#include "tests/sim/minimise.h"
#include "tests/sim/mutant_run.h"
#include "tests/sim/path_figures.h"
#include "tests/sim/world.h"

namespace {

using namespace ringwire::sim;

using Clock = std::chrono::steady_clock;

struct Arguments {
  std::uint64_t seeds = 100;
  std::uint64_t from = 1;
  bool one = false;
  double hours = 0;
  bool trace = false;
  bool mutants = false;
  MutantRun mutant_run;
  std::string world;
  std::string faults;
  std::string figure;
};

int usage() {
  std::fprintf(stderr,
               "usage: ringwire-sim [--seeds N] [--from S] [--hours H]\n"
               "       ringwire-sim --seed S [--faults LIST] [--trace]\n"
               "       ringwire-sim --world NAME [--seed S] [--trace]\n"
               "       ringwire-sim --mutants [--mutant M] [--stride K] [--seeds N] [--named]\n"
               "                    [--world NAME] [--jobs J]\n"
               "       ringwire-sim --figure hours|paths\n"
               "worlds:");
  for (const Directed& directed : directed_worlds())
    std::fprintf(stderr, " %s", directed.name.c_str());
  std::fprintf(stderr, "\n");
  return 2;
}

bool parse(int count, char** words, Arguments& arguments) {
  for (int at = 1; at < count; ++at) {
    const std::string word = words[at];
    if (word == "--trace") {
      arguments.trace = true;
      continue;
    }
    if (word == "--mutants") {
      arguments.mutants = true;
      continue;
    }
    if (word == "--named") {
      arguments.mutant_run.named = true;
      continue;
    }
    if (at + 1 == count) return false;
    const char* value = words[++at];
    if (word == "--seeds") {
      arguments.seeds = arguments.mutant_run.seeds = std::strtoull(value, nullptr, 10);
    } else if (word == "--from") {
      arguments.from = std::strtoull(value, nullptr, 10);
    } else if (word == "--seed") {
      arguments.from = std::strtoull(value, nullptr, 10);
      arguments.one = true;
    } else if (word == "--hours") {
      arguments.hours = std::strtod(value, nullptr);
    } else if (word == "--world") {
      arguments.world = arguments.mutant_run.world = value;
    } else if (word == "--faults") {
      arguments.faults = value;
    } else if (word == "--figure") {
      arguments.figure = value;
    } else if (word == "--mutant") {
      arguments.mutants = true;
      arguments.mutant_run.only = static_cast<std::uint32_t>(std::strtoul(value, nullptr, 10));
    } else if (word == "--jobs") {
      arguments.mutant_run.jobs = static_cast<std::uint32_t>(std::strtoul(value, nullptr, 10));
    } else if (word == "--stride") {
      arguments.mutant_run.stride = static_cast<std::uint32_t>(std::strtoul(value, nullptr, 10));
    } else {
      return false;
    }
  }
  return arguments.mutant_run.stride != 0;
}

void print(const std::string& name, const Verdict& verdict) {
  std::printf("%s: hash %016llx; done %llu failed %llu unknown %llu, %llu deliveries, %.3f s\n",
              name.c_str(), static_cast<unsigned long long>(verdict.trace_hash),
              static_cast<unsigned long long>(verdict.totals.done),
              static_cast<unsigned long long>(verdict.totals.failed),
              static_cast<unsigned long long>(verdict.totals.unknown),
              static_cast<unsigned long long>(verdict.totals.delivered),
              static_cast<double>(verdict.ended_at_ns) / 1e9);
  for (const std::string& violation : verdict.violations)
    std::printf("%s: %s\n", name.c_str(), violation.c_str());
}

/// One world, twice: a world that does not repeat itself could not be looked into.
int run_one(const std::string& name, WorldOptions options, bool trace) {
  options.trace = trace;
  const Verdict first = World(options).run();
  print(name, first);
  options.trace = false;
  const Verdict second = World(options).run();
  const bool same = first.trace_hash == second.trace_hash;
  std::printf("%s: run again, %s\n", name.c_str(),
              same ? "the same hash" : "ANOTHER HASH: something is not drawn from the seed");
  return same && first.violations.empty() ? 0 : 1;
}

int run_seeds(const Arguments& arguments) {
  const auto start = Clock::now();
  const auto elapsed = [start] {
    return std::chrono::duration<double>(Clock::now() - start).count();
  };
  const bool terminal = isatty(STDOUT_FILENO) != 0;
  Totals totals;
  std::uint64_t failed = 0;
  std::uint64_t done = 0;
  double shown = 0;
  double world_seconds = 0;
  for (std::uint64_t seed = arguments.from;
       arguments.hours > 0 ? elapsed() < arguments.hours * 3'600 : done < arguments.seeds;
       ++seed, ++done) {
    const WorldOptions options = draw_options(seed);
    const Verdict verdict = World(options).run();
    totals.done += verdict.totals.done;
    totals.delivered += verdict.totals.delivered;
    totals.redelivered += verdict.totals.redelivered;
    world_seconds += static_cast<double>(verdict.ended_at_ns) / 1e9;
    const double now = elapsed();
    if (now - shown >= (terminal ? 0.2 : 30)) {
      shown = now;
      std::printf("%sseed %llu, %.1f seeds/s, %llu with a violation%s", terminal ? "\r\033[K" : "",
                  static_cast<unsigned long long>(seed), static_cast<double>(done + 1) / now,
                  static_cast<unsigned long long>(failed), terminal ? "" : "\n");
      std::fflush(stdout);
    }
    if (verdict.violations.empty()) continue;
    ++failed;
    std::printf("%sseed %llu: %s\n", terminal ? "\r\033[K" : "",
                static_cast<unsigned long long>(seed), verdict.violations.front().c_str());
    const Minimal minimal = minimise(options);
    std::printf("  %zu of %zu faults still make it fail (%u runs):\n",
                minimal.options.faults.size(), options.faults.size(), minimal.runs);
    for (const FaultEvent& event : minimal.options.faults)
      std::printf("    %s\n", text_of(event).c_str());
    std::printf("  repeat: ./dev sim --seed %llu --faults %s --trace\n",
                static_cast<unsigned long long>(seed), minimal.list.c_str());
    std::fflush(stdout);
  }
  std::printf(
      "%s%llu seeds, %llu with a violation; %llu messages done, %llu deliveries, %llu "
      "redelivered; %.0f s of worlds in %.1f s\n",
      terminal ? "\r\033[K" : "", static_cast<unsigned long long>(done),
      static_cast<unsigned long long>(failed), static_cast<unsigned long long>(totals.done),
      static_cast<unsigned long long>(totals.delivered),
      static_cast<unsigned long long>(totals.redelivered), world_seconds, elapsed());
  return failed == 0 ? 0 : 1;
}

}  // namespace

int main(int count, char** words) {
  Arguments arguments;
  if (!parse(count, words, arguments)) return usage();
  if (arguments.mutants) return run_mutants(arguments.mutant_run);
  if (arguments.figure == "paths") return print_path_figures() ? 0 : 1;
  if (!arguments.figure.empty()) return arguments.figure == "hours" ? figure_hours() : usage();
  if (!arguments.world.empty()) {
    for (const Directed& directed : directed_worlds())
      if (directed.name == arguments.world) {
        WorldOptions options = directed.options;
        if (arguments.one) options.seed = arguments.from;
        return run_one(directed.name, options, arguments.trace);
      }
    return usage();
  }
  if (!arguments.one) return run_seeds(arguments);
  WorldOptions options = draw_options(arguments.from);
  if (!arguments.faults.empty() && !keep_faults(options, arguments.faults)) return usage();
  return run_one("seed " + std::to_string(arguments.from), options, arguments.trace);
}
