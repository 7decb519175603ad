#include "tests/sim/mutant_run.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>
#include <thread>
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

/// What a mutant meets in its world is chance to some degree, and changes with the engine: it has
/// to live through these as well.
constexpr std::uint64_t kSeedsOfNamed = 12;

/// Before the name of a world in what a child says.
constexpr const char* kWorldMark = "in world ";

struct Fate {
  bool caught = false;
  std::uint64_t worlds = 0;  ///< run, the one that noticed included
  std::string where;         ///< the last of them
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

/// Those that the run asks for: the one that the table names, the others written by hand, seeds.
std::vector<Directed> worlds_for(const Mutant& mutant, const MutantRun& run) {
  std::vector<Directed> worlds = directed_worlds();
  const std::string first = run.world.empty() ? mutant.world : run.world;
  const auto others =
      std::stable_partition(worlds.begin(), worlds.end(),
                            [&](const Directed& directed) { return directed.name == first; });
  if (run.named || !run.world.empty()) worlds.erase(others, worlds.end());
  const std::size_t by_hand = worlds.size();
  const std::uint64_t seeds = run.named ? kSeedsOfNamed : run.seeds;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    if (run.world.empty() && !run.named) {
      worlds.push_back({"seed " + std::to_string(seed), "", draw_options(seed)});
    } else if (by_hand != 0) {
      worlds.push_back(worlds.front());
      worlds.back().name += " with seed " + std::to_string(seed);
      worlds.back().options.seed = seed;
    }
  }
  return worlds;
}

/// In the child: one line per world into the pipe, the last one says what was noticed.
[[noreturn]] void live(const Mutant& mutant, const MutantRun& run, int pipe_end) {
  active_mutant = mutant.number;
  // What a failed check prints is no news here.
  if (std::freopen("/dev/null", "w", stderr) == nullptr) _exit(3);
  const rlimit memory{rlim_t{4} << 30, RLIM_INFINITY};
  setrlimit(RLIMIT_AS, &memory);
  const rlimit no_core{0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  const auto notices = [pipe_end](const std::string& name, const WorldOptions& options) {
    limit_cpu();
    dprintf(pipe_end, "%s%s\n", kWorldMark, name.c_str());
    const Verdict verdict = World(options).run();
    if (verdict.violations.empty()) return;
    dprintf(pipe_end, "%.200s\n", verdict.violations.front().c_str());
    _exit(1);
  };
  for (const Directed& directed : worlds_for(mutant, run)) notices(directed.name, directed.options);
  _exit(0);
}

Fate watch(const Mutant& mutant, const MutantRun& run) {
  Fate fate;
  int ends[2];
  if (pipe(ends) != 0) std::abort();
  const pid_t child = fork();
  if (child < 0) std::abort();
  if (child == 0) {
    close(ends[0]);
    live(mutant, run, ends[1]);
  }
  close(ends[1]);
  FILE* lines = fdopen(ends[0], "r");
  char line[512];
  while (std::fgets(line, sizeof line, lines) != nullptr) {
    line[std::strcspn(line, "\n")] = '\0';
    if (std::strncmp(line, kWorldMark, std::strlen(kWorldMark)) == 0) {
      ++fate.worlds;
      fate.where = line + std::strlen(kWorldMark);
    } else {
      fate.how = line;
    }
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

void print(const Mutant& mutant, const Fate& fate) {
  if (fate.caught)
    std::printf("%4u %-34s caught in world %llu, %s: %s\n", mutant.number, mutant.name,
                static_cast<unsigned long long>(fate.worlds), fate.where.c_str(), fate.how.c_str());
  else
    std::printf("%4u %-34s SURVIVED %llu worlds\n", mutant.number, mutant.name,
                static_cast<unsigned long long>(fate.worlds));
  std::fflush(stdout);
}

/// As many at a time as asked for; each is printed when its end is known.
std::vector<Fate> watch_all(const std::vector<Mutant>& chosen, const MutantRun& run) {
  std::vector<Fate> fates(chosen.size());
  std::mutex lock;
  std::size_t next = 0;
  const auto work = [&] {
    for (;;) {
      std::unique_lock taking(lock);
      if (next == chosen.size()) return;
      const std::size_t at = next++;
      taking.unlock();
      fates[at] = watch(chosen[at], run);
      taking.lock();
      print(chosen[at], fates[at]);
    }
  };
  std::vector<std::thread> threads;
  for (std::uint32_t job = 1; job < run.jobs; ++job) threads.emplace_back(work);
  work();
  for (std::thread& thread : threads) thread.join();
  return fates;
}

}  // namespace

int run_mutants(const MutantRun& run) {
  using Clock = std::chrono::steady_clock;
  const auto start = Clock::now();
  std::vector<Mutant> chosen;
  for (const Mutant& mutant : mutants())
    if (run.only != 0 ? mutant.number == run.only : mutant.number % run.stride == 0)
      chosen.push_back(mutant);
  const std::vector<Fate> fates = watch_all(chosen, run);
  std::vector<std::uint64_t> needed;
  std::vector<Mutant> survivors;
  for (std::size_t at = 0; at < chosen.size(); ++at)
    if (fates[at].caught)
      needed.push_back(fates[at].worlds);
    else
      survivors.push_back(chosen[at]);
  const double took = std::chrono::duration<double>(Clock::now() - start).count();
  std::sort(needed.begin(), needed.end());
  std::uint64_t sum = 0;
  for (const std::uint64_t count : needed) sum += count;
  std::printf("%zu mutants, %zu caught", chosen.size(), needed.size());
  if (!needed.empty())
    std::printf(" (worlds needed: median %llu, 90 %% %llu, most %llu, sum %llu)",
                static_cast<unsigned long long>(needed[needed.size() / 2]),
                static_cast<unsigned long long>(needed[needed.size() * 9 / 10]),
                static_cast<unsigned long long>(needed.back()),
                static_cast<unsigned long long>(sum));
  std::printf(", %zu survived; %.0f s\n", survivors.size(), took);
  for (const Mutant& mutant : survivors)
    std::printf("  survivor %u %s: %s\n", mutant.number, mutant.name, mutant.breaks);
  return survivors.empty() && !chosen.empty() ? 0 : 1;
}

#else

int run_mutants(const MutantRun&) {
  std::fprintf(stderr, "built without mutants: use ./dev sim --mutants, or meson -Dmutants=true\n");
  return 2;
}

#endif

}  // namespace ringwire::sim
