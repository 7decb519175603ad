#include "tests/sim/mutant_run.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "base/mutant.h"
#include "tests/sim/directed.h"
#include "tests/sim/mutants.h"
#include "tests/sim/world.h"

namespace ringwire::sim {

#ifdef RINGWIRE_MUTANTS

namespace {

/// One world takes well under a second of computing; a mutant that needs this long spins.
constexpr rlim_t kCpuSecondsPerWorld = 10;

struct Fate {
  bool caught = false;
  std::uint64_t seeds = 0;  ///< worlds run, the one that noticed included
  std::string how;
};

void limit_cpu() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  const rlim_t soft =
      static_cast<rlim_t>(used.ru_utime.tv_sec + used.ru_stime.tv_sec) + kCpuSecondsPerWorld;
  const rlimit limit{soft, RLIM_INFINITY};
  setrlimit(RLIMIT_CPU, &limit);
}

/// In the child: one line per world into the pipe, the last one says what was noticed.
[[noreturn]] void live(std::uint32_t number, std::uint64_t seeds, int pipe_end) {
  active_mutant = number;
  // What a failed check prints is no news here.
  if (std::freopen("/dev/null", "w", stderr) == nullptr) _exit(3);
  const rlimit memory{rlim_t{4} << 30, RLIM_INFINITY};
  setrlimit(RLIMIT_AS, &memory);
  const rlimit no_core{0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  // The worlds written by hand first, then seeds.
  const std::vector<Directed> directed = directed_worlds();
  for (std::uint64_t world = 1; world <= seeds + directed.size(); ++world) {
    limit_cpu();
    dprintf(pipe_end, "%llu\n", static_cast<unsigned long long>(world));
    const WorldOptions options = world <= directed.size() ? directed[world - 1].options
                                                          : draw_options(world - directed.size());
    const Verdict verdict = World(options).run();
    if (verdict.violations.empty()) continue;
    dprintf(pipe_end, "%.200s\n", verdict.violations.front().c_str());
    _exit(1);
  }
  _exit(0);
}

Fate watch(std::uint32_t number, std::uint64_t seeds) {
  Fate fate;
  int ends[2];
  if (pipe(ends) != 0) std::abort();
  const pid_t child = fork();
  if (child < 0) std::abort();
  if (child == 0) {
    close(ends[0]);
    live(number, seeds, ends[1]);
  }
  close(ends[1]);
  FILE* lines = fdopen(ends[0], "r");
  char line[512];
  std::string last;
  while (std::fgets(line, sizeof line, lines) != nullptr) {
    line[std::strcspn(line, "\n")] = '\0';
    char* end = nullptr;
    const std::uint64_t seed = std::strtoull(line, &end, 10);
    if (*end == '\0')
      fate.seeds = seed;
    else
      fate.how = line;
  }
  std::fclose(lines);
  int status = 0;
  waitpid(child, &status, 0);
  fate.caught = !WIFEXITED(status) || WEXITSTATUS(status) != 0;
  if (WIFSIGNALED(status))
    fate.how = WTERMSIG(status) == SIGXCPU   ? "an endless loop"
               : WTERMSIG(status) == SIGABRT ? "a failed check"
                                             : "a crash";
  return fate;
}

}  // namespace

int run_mutants(const MutantRun& run) {
  using Clock = std::chrono::steady_clock;
  const auto start = Clock::now();
  std::uint32_t tried = 0;
  std::vector<std::uint64_t> needed;
  std::vector<const Mutant*> survivors;
  for (const Mutant& mutant : mutants()) {
    if (run.only != 0 ? mutant.number != run.only : mutant.number % run.stride != 0) continue;
    ++tried;
    const Fate fate = watch(mutant.number, run.seeds);
    if (fate.caught) {
      needed.push_back(fate.seeds);
      std::printf("%4u %-34s caught in world %llu: %s\n", mutant.number, mutant.name,
                  static_cast<unsigned long long>(fate.seeds), fate.how.c_str());
    } else {
      survivors.push_back(&mutant);
      std::printf("%4u %-34s SURVIVED %llu worlds\n", mutant.number, mutant.name,
                  static_cast<unsigned long long>(fate.seeds));
    }
    std::fflush(stdout);
  }
  const double took = std::chrono::duration<double>(Clock::now() - start).count();
  std::sort(needed.begin(), needed.end());
  std::uint64_t sum = 0;
  for (const std::uint64_t count : needed) sum += count;
  std::printf("%u mutants, %zu caught", tried, needed.size());
  if (!needed.empty())
    std::printf(" (worlds needed: median %llu, 90 %% %llu, most %llu, sum %llu)",
                static_cast<unsigned long long>(needed[needed.size() / 2]),
                static_cast<unsigned long long>(needed[needed.size() * 9 / 10]),
                static_cast<unsigned long long>(needed.back()),
                static_cast<unsigned long long>(sum));
  std::printf(", %zu survived; %.0f s\n", survivors.size(), took);
  for (const Mutant* mutant : survivors)
    std::printf("  survivor %u %s: %s\n", mutant->number, mutant->name, mutant->breaks);
  return survivors.empty() && tried != 0 ? 0 : 1;
}

#else

int run_mutants(const MutantRun&) {
  std::fprintf(stderr, "built without mutants: use ./dev sim --mutants, or meson -Dmutants=true\n");
  return 2;
}

#endif

}  // namespace ringwire::sim
