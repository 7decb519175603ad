// ringwire-load: two engines without threads of their own, each with one program on its thread, one
// process on one core each, through a net_memif pair or kernel sockets; beside them, in the same
// round, the least that the same pair can do the work in. No third thread spins.
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <new>
#include <sstream>

#include "perf/load/port_pair.h"
#include "perf/load/report.h"
#include "perf/load/scenes.h"
#include "perf/load/trap.h"

namespace ringwire::load {
namespace {

struct Options {
  std::string port = "memif";
  int rounds = 5;
  double seconds = 0.3;
  std::vector<int> cores;
  std::vector<std::string> only;
  std::string eal = "--no-huge -m 256 --no-shconf";
  std::string json;
  bool trap = false;
};

bool pin(int core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<std::size_t>(core), &set);
  return ::sched_setaffinity(0, sizeof set, &set) == 0;
}

/// Two, which are one where no more are allowed.
std::vector<int> allowed_cores() {
  cpu_set_t set;
  std::vector<int> cores;
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return {0, 0};
  for (int core = 0; core < CPU_SETSIZE && cores.size() < 2; ++core)
    if (CPU_ISSET(static_cast<std::size_t>(core), &set)) cores.push_back(core);
  cores.resize(2, cores.front());
  return cores;
}

std::vector<std::string> words_of(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

std::vector<Scene> chosen(const Options& options) {
  std::vector<Scene> all = scenes(options.port == "memif");
  if (options.only.empty()) return all;
  std::erase_if(all, [&](const Scene& scene) {
    return std::find(options.only.begin(), options.only.end(), scene.name) == options.only.end();
  });
  return all;
}

int run_side(Side side, Page& page, const Options& options, const std::string& folder) {
  if (options.trap) keep_memory();
  Meeting meeting(page, side);
  const int core = options.cores[static_cast<std::size_t>(side)];
  OpenPort open(meeting, {options.port == "memif", folder, words_of(options.eal), core});
  // Behind the start of DPDK, whose own threads stay where they may.
  if (!pin(core)) meeting.give_up("cannot be pinned to its core");
  LoadNode node(side, open.port(), open.remote(), open.port().receive_queue_bytes());
  meeting.meet([&] { node.turn(); });
  Stage stage{meeting,       node,          open.port(),
              open.remote(), open.device(), static_cast<DurationNs>(options.seconds * 1e9)};
  Rounds rounds;
  // Of all but the first round. What tells the ring manager that the other side is silent takes
  // memory, and on a busy machine it is silent at times; messages take none.
  std::map<std::string, double> least_allocations;
  const std::vector<Scene> all = chosen(options);
  for (int round = 0; round < options.rounds; ++round) {
    // What runs for the first time finds its memory cold: the first round warms up.
    if (options.trap && round == 1) forbid_system_calls();
    for (const Scene& scene : all) {
      const Figures figures = scene.run(stage);
      const auto allocations = figures.find("allocations");
      if (round != 0 && allocations != figures.end()) {
        const auto least = least_allocations.try_emplace(scene.name, allocations->second).first;
        least->second = std::min(least->second, allocations->second);
      }
      if (meeting.is_a()) rounds[scene.name].push_back(figures);
    }
  }
  for (const auto& [scene, allocations] : least_allocations)
    if (options.trap && allocations != 0)
      meeting.give_up(("memory was allocated in every round of " + scene).c_str());
  if (meeting.is_a()) {
    const About about{options.port,
                      "side A on core " + std::to_string(options.cores[0]) + ", side B on core " +
                          std::to_string(options.cores[1]),
                      options.eal, options.rounds, options.seconds};
    print_report(about, all, rounds);
    std::fflush(stdout);
    if (!options.json.empty() && !write_report(options.json, about, rounds)) return 1;
  }
  meeting.meet();
  // A memif client that closes first lets the server's interrupt thread clean up: no destructors.
  std::_Exit(0);
}

int run(const Options& options) {
  void* memory =
      ::mmap(nullptr, sizeof(Page), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return 1;
  Page& page = *new (memory) Page;
  std::string folder = (std::filesystem::temp_directory_path() / "rw_load_XXXXXX").string();
  if (mkdtemp(folder.data()) == nullptr) return 1;
  std::array<pid_t, 2> sides{};
  for (const Side side : {Side::kA, Side::kB}) {
    const pid_t child = ::fork();
    if (child == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      return run_side(side, page, options, folder);
    }
    sides[static_cast<std::size_t>(side)] = child;
  }
  int result = 0;
  for (int count = 0; count < 2; ++count) {
    int status = 0;
    ::wait(&status);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) continue;
    if (WIFSIGNALED(status))
      std::fprintf(stderr, "ringwire-load: a side ended by signal %d\n", WTERMSIG(status));
    result = 1;
    // Relaxed: a flag and nothing behind it.
    page.failed.value.store(1, std::memory_order_relaxed);
  }
  std::filesystem::remove_all(folder);
  return result;
}

int main(int count, char** given) {
  Options options;
  CLI::App app(
      "Two engines without threads of their own, one process on one core each, with the floors of "
      "the same pair of ports beside them in each round. A run of 5 rounds takes 40 seconds");
  app.add_option("--port", options.port, "memif (DPDK, no hugepages needed) or socket [memif]")
      ->check(CLI::IsMember({"memif", "socket"}));
  app.add_option("--rounds", options.rounds, "of all scenes, interleaved [5]")
      ->check(CLI::PositiveNumber);
  app.add_option("--seconds", options.seconds, "for one scene [0.3]")->check(CLI::PositiveNumber);
  app.add_option("--cores", options.cores, "of side A and side B [the first two allowed]")
      ->delimiter(',')
      ->expected(2);
  app.add_option("--only", options.only, "these scenes")->delimiter(',');
  app.add_option("--eal", options.eal, "EAL arguments [--no-huge -m 256 --no-shconf]");
  app.add_option("--json", options.json, "write all figures here");
  app.add_flag(
      "--trap", options.trap,
      "after the first round a system call, or memory allocated in all others, ends the run");
  try {
    app.parse(count, given);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (options.port == "memif" && !port::DpdkEal::is_built()) {
    std::fprintf(stderr, "ringwire-load: this build has no DPDK: --port socket\n");
    return 2;
  }
  if (options.cores.empty()) options.cores = allowed_cores();
  return run(options);
}

}  // namespace
}  // namespace ringwire::load

int main(int count, char** given) { return ringwire::load::main(count, given); }
