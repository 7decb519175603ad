#include <sched.h>
#include <sys/utsname.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "apps/cli/bench_run.h"
#include "apps/cli/delivery_options.h"

namespace ringwire::cli {
namespace {

std::string cpu_model() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const std::size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown";
}

std::vector<int> allowed_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> cpus;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(static_cast<unsigned>(cpu), &set)) cpus.push_back(cpu);
  }
  return cpus;
}

std::string kernel() {
  utsname name{};
  if (uname(&name) != 0) return "unknown";
  return std::string(name.release) + " " + name.machine;
}

}  // namespace

std::string bench_environment(const Shell& shell, const BenchOptions& options, rw_client* client,
                              const BenchResult& result) {
  auto status = options_of<rw_status_t>();
  const bool known = rw_status(client, &status) == RW_OK;
  const unsigned cpu_count = std::thread::hardware_concurrency();
  const std::vector<int> cpus = allowed_cpus();
  const nlohmann::ordered_json environment{{"node", known ? status.node : ""},
                                           {"engine_version", known ? status.engine_version : ""},
                                           {"library_version", rw_version()},
                                           {"engine_workers", known ? status.worker_count : 0},
                                           {"nodes", known ? status.node_count : 0},
                                           {"socket", shell.socket_path()},
                                           {"cpu_model", cpu_model()},
                                           {"cpu_count", cpu_count},
                                           {"cpus_allowed", cpus},
                                           {"pinned", cpus.size() < cpu_count},
                                           {"kernel", kernel()},
                                           {"compiler", "g++ " __VERSION__},
                                           {"level", level_name(options.level)},
                                           {"rate_per_s", options.rate_per_s},
                                           {"loop", options.rate_per_s > 0 ? "open" : "closed"},
                                           {"window", options.window},
                                           {"keys", options.keys},
                                           {"receivers_asked", result.receivers}};
  return environment.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace ringwire::cli
