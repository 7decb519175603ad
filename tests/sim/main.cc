// ringwire-sim: runs seeds of the simulated world. `./dev sim` calls it.
//
//   ringwire-sim [--seeds N] [--from S] [--seed S] [--trace]
//   ringwire-sim --mutants [--mutant M] [--stride K] [--seeds N]
//
// Exit status 0 when no seed violated anything.
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "tests/sim/mutant_run.h"
#include "tests/sim/world.h"

int main(int count, char** arguments) {
  using namespace ringwire::sim;
  std::uint64_t seeds = 100;
  std::uint64_t from = 1;
  bool one = false;
  bool trace = false;
  bool mutants = false;
  MutantRun run;
  for (int at = 1; at < count; ++at) {
    const bool has_value = at + 1 < count;
    if (std::strcmp(arguments[at], "--trace") == 0) {
      trace = true;
    } else if (std::strcmp(arguments[at], "--seeds") == 0 && has_value) {
      seeds = run.seeds = std::strtoull(arguments[++at], nullptr, 10);
    } else if (std::strcmp(arguments[at], "--from") == 0 && has_value) {
      from = std::strtoull(arguments[++at], nullptr, 10);
    } else if (std::strcmp(arguments[at], "--seed") == 0 && has_value) {
      from = std::strtoull(arguments[++at], nullptr, 10);
      one = true;
    } else if (std::strcmp(arguments[at], "--mutants") == 0) {
      mutants = true;
    } else if (std::strcmp(arguments[at], "--mutant") == 0 && has_value) {
      mutants = true;
      run.only = static_cast<std::uint32_t>(std::strtoul(arguments[++at], nullptr, 10));
    } else if (std::strcmp(arguments[at], "--stride") == 0 && has_value) {
      run.stride = static_cast<std::uint32_t>(std::strtoul(arguments[++at], nullptr, 10));
    } else {
      std::fprintf(stderr,
                   "usage: ringwire-sim [--seeds N] [--from S] [--seed S] [--trace]\n"
                   "       ringwire-sim --mutants [--mutant M] [--stride K] [--seeds N]\n");
      return 2;
    }
  }
  if (mutants) return run_mutants(run);
  if (one) seeds = 1;
  std::uint64_t failed = 0;
  std::uint64_t delivered = 0;
  std::uint64_t redelivered = 0;
  std::uint64_t unknown = 0;
  for (std::uint64_t seed = from; seed < from + seeds; ++seed) {
    WorldOptions options = draw_options(seed);
    options.trace = trace;
    World world(options);
    const Verdict verdict = world.run();
    delivered += verdict.delivered;
    redelivered += verdict.redelivered;
    unknown += verdict.unknown;
    if (one)
      std::printf(
          "seed %llu: hash %016llx done %llu failed %llu unknown %llu delivered %llu, %.3f s\n",
          static_cast<unsigned long long>(seed),
          static_cast<unsigned long long>(verdict.trace_hash),
          static_cast<unsigned long long>(verdict.done),
          static_cast<unsigned long long>(verdict.failed),
          static_cast<unsigned long long>(verdict.unknown),
          static_cast<unsigned long long>(verdict.delivered),
          static_cast<double>(verdict.ended_at_ns) / 1e9);
    if (verdict.violations.empty()) continue;
    ++failed;
    std::printf("seed %llu: %s\n  repeat: ringwire-sim --seed %llu --trace\n",
                static_cast<unsigned long long>(seed), verdict.violations.front().c_str(),
                static_cast<unsigned long long>(seed));
    std::fflush(stdout);
  }
  std::printf(
      "%llu seeds, %llu with a violation; %llu deliveries, %llu redelivered, %llu unknown\n",
      static_cast<unsigned long long>(seeds), static_cast<unsigned long long>(failed),
      static_cast<unsigned long long>(delivered), static_cast<unsigned long long>(redelivered),
      static_cast<unsigned long long>(unknown));
  return failed == 0 ? 0 : 1;
}
