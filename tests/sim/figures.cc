#include "tests/sim/figures.h"

#include <sys/resource.h>

#include <cstdio>

#include "tests/sim/world.h"

namespace ringwire::sim {
namespace {

double cpu_seconds() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  return static_cast<double>(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
         static_cast<double>(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

}  // namespace

int figure_hours() {
  WorldOptions options;
  options.servers = 5;
  options.clients = 2;
  options.local_clients = true;
  options.consumers = 1;
  options.messages = 1'000'000;
  options.large_chance = 0;
  options.pause_ns = kSecondNs;  // two messages a second and client
  options.heartbeat_ns = 10 * kMillisecondNs;
  constexpr DurationNs kSpanNs = 1'200 * kSecondNs;
  options.safety_ns = 2 * kSpanNs;
  World world(options);
  const double before = cpu_seconds();
  const Verdict verdict = world.run_for(kSpanNs);
  const double used = cpu_seconds() - before;
  const double hours = static_cast<double>(kSpanNs) / 1e9 / used;
  std::printf(
      "%.0f s of a cluster of five in %.2f s of a core: %.0f cluster-hours per core-hour "
      "(%llu messages, %llu turns, %llu packets)\n",
      static_cast<double>(kSpanNs) / 1e9, used, hours,
      static_cast<unsigned long long>(verdict.totals.sent),
      static_cast<unsigned long long>(verdict.turns),
      static_cast<unsigned long long>(verdict.packets));
  for (const std::string& violation : verdict.violations) std::printf("%s\n", violation.c_str());
  return verdict.violations.empty() ? 0 : 1;
}

}  // namespace ringwire::sim
