#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "apps/cli/bench_run.h"
#include "apps/cli/units.h"

namespace ringwire::cli {
namespace {

struct Percentile {
  const char* name;
  std::uint32_t per_100k;
};
constexpr std::array kPercentiles{Percentile{"p50", 50'000}, Percentile{"p90", 90'000},
                                  Percentile{"p99", 99'000}, Percentile{"p99_9", 99'900}};

struct Rates {
  double messages_per_s = 0;
  double bytes_per_s = 0;
};

Rates rates_of(const BenchOptions& options, const BenchResult& result) {
  const double messages = static_cast<double>(result.messages);
  const double elapsed_s = static_cast<double>(std::max<std::int64_t>(result.elapsed_ns, 1)) / 1e9;
  // Writing a gigabyte of test pattern is not part of moving it.
  const double moving_s =
      result.transfer_ns > 0 ? static_cast<double>(result.transfer_ns) / 1e9 : elapsed_s;
  return {.messages_per_s = messages / elapsed_s,
          .bytes_per_s = messages * static_cast<double>(options.payload_bytes) / moving_s};
}

void print_json(const BenchOptions& options, const BenchResult& result,
                const std::string& environment) {
  const Rates rates = rates_of(options, result);
  nlohmann::ordered_json latency;
  for (const Percentile& percentile : kPercentiles) {
    latency[percentile.name] = result.latency.value_at(percentile.per_100k);
  }
  latency["max"] = result.latency.max_value();
  nlohmann::ordered_json answer{{"pattern", options.pattern_name},
                                {"size_bytes", options.payload_bytes},
                                {"threads", options.threads},
                                {"duration_ns", result.elapsed_ns},
                                {"messages", result.messages},
                                {"messages_per_s", rates.messages_per_s},
                                {"bytes_per_s", rates.bytes_per_s},
                                {"latency_ns", latency},
                                {"lost", result.lost},
                                {"duplicated", result.duplicated},
                                {"corrupted", result.corrupted},
                                {"redelivered", result.redelivered},
                                {"sent", result.sent},
                                {"outcomes", result.outcomes}};
  if (result.transfer_ns > 0) answer["transfer_ns"] = result.transfer_ns;
  if (options.pattern == Pattern::kFailover) answer["longest_gap_ns"] = result.longest_gap_ns;
  answer["environment"] = nlohmann::ordered_json::parse(environment);
  fmt::print("{}\n", answer.dump());
}

void print_text(const BenchOptions& options, const BenchResult& result) {
  const Rates rates = rates_of(options, result);
  fmt::print("{} of {}, {} thread{}, {}\n", options.pattern_name,
             format_bytes(options.payload_bytes), options.threads, options.threads == 1 ? "" : "s",
             format_duration(result.elapsed_ns));
  fmt::print("  messages   {}  ({}/s, {}/s)\n", format_count(result.messages),
             rates.messages_per_s < 100
                 ? fmt::format("{:.1f}", rates.messages_per_s)
                 : format_count(static_cast<std::uint64_t>(rates.messages_per_s)),
             format_bytes(static_cast<std::uint64_t>(rates.bytes_per_s)));
  fmt::print("  latency    p50 {}  p90 {}  p99 {}  p99.9 {}  max {}\n",
             format_duration(result.latency.value_at(50'000)),
             format_duration(result.latency.value_at(90'000)),
             format_duration(result.latency.value_at(99'000)),
             format_duration(result.latency.value_at(99'900)),
             format_duration(result.latency.max_value()));
  fmt::print("  checked    {} lost, {} duplicated, {} corrupted, {} redelivered{}\n", result.lost,
             result.duplicated, result.corrupted, result.redelivered,
             result.receivers == 0 ? " (sender's count only)" : "");
  for (const auto& [name, count] : result.outcomes) {
    if (name != "done") fmt::print("  {:<10} {}\n", name, format_count(count));
  }
  if (options.pattern == Pattern::kFailover) {
    fmt::print("  longest gap between two replies: {}\n", format_duration(result.longest_gap_ns));
  }
}

}  // namespace

void print_bench(const Shell& shell, const BenchOptions& options, const BenchResult& result,
                 const std::string& environment) {
  if (shell.json) {
    print_json(options, result, environment);
  } else {
    print_text(options, result);
  }
}

}  // namespace ringwire::cli
