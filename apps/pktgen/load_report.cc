#include "apps/pktgen/load_report.h"

#include <fmt/format.h>

#include "apps/cli/units.h"

namespace ringwire::pktgen {
namespace {

double per_second(double count, DurationNs duration_ns) {
  return duration_ns == 0 ? 0 : count * 1e9 / static_cast<double>(duration_ns);
}

const char* level_text(Level level) {
  switch (level) {
    case Level::kNone:
      return "none";
    case Level::kAccepted:
      return "accepted";
    case Level::kProcessed:
      break;
  }
  return "processed";
}

}  // namespace

nlohmann::json latency_json(const cli::Histogram& latency) {
  return {{"p50", latency.value_at(50'000)},
          {"p90", latency.value_at(90'000)},
          {"p99", latency.value_at(99'000)},
          {"p99_9", latency.value_at(99'900)},
          {"max", latency.max_value()}};
}

std::string LoadReport::json() const {
  const transport::SessionCounters counters = load.counters();
  const auto done = static_cast<double>(load.done());
  return nlohmann::json{
      {"mode", "peer"},
      {"engine", engine},
      {"size_bytes", options.payload_bytes},
      {"level", options.call ? "call" : level_text(options.level)},
      {"window", options.window},
      {"keys", options.keys},
      {"rate_per_s", options.messages_per_s},
      {"duration_ns", duration_ns},
      {"sent", load.sent()},
      {"outcomes", load.outcomes()},
      {"without_outcome", load.open()},
      {"damaged", load.damaged()},
      {"messages_per_s", per_second(done, duration_ns)},
      {"bytes_per_s", per_second(done * static_cast<double>(options.payload_bytes), duration_ns)},
      {"latency_ns", latency_json(load.latency())},
      {"packets",
       {{"sent", counters.packets_sent},
        {"received", counters.packets_received},
        {"lost", counters.packets_lost}}}}
      .dump(1);
}

std::string LoadReport::text() const {
  const auto done = static_cast<double>(load.done());
  const transport::SessionCounters counters = load.counters();
  const auto us = [this](std::uint32_t per_100k) {
    return static_cast<double>(load.latency().value_at(per_100k)) / 1e3;
  };
  std::string text =
      fmt::format("node {}: sent {} messages of {} in {}: {:.0f} done/s, {:.1f} MB/s\n", engine,
                  cli::format_count(load.sent()), cli::format_bytes(options.payload_bytes),
                  cli::format_duration(duration_ns), per_second(done, duration_ns),
                  per_second(done * static_cast<double>(options.payload_bytes), duration_ns) / 1e6);
  for (const auto& [name, count] : load.outcomes())
    text += fmt::format("  {}  {}\n", name, cli::format_count(count));
  if (load.open() != 0)
    text += fmt::format("  without an outcome  {}\n", cli::format_count(load.open()));
  if (load.damaged() != 0)
    text += fmt::format("  damaged replies  {}\n", cli::format_count(load.damaged()));
  text += fmt::format(
      "latency p50 {:.2f} us, p99 {:.2f} us, max {:.2f} us; packets sent {}, received {}, lost {}",
      us(50'000), us(99'000), static_cast<double>(load.latency().max_value()) / 1e3,
      cli::format_count(counters.packets_sent), cli::format_count(counters.packets_received),
      cli::format_count(counters.packets_lost));
  return text;
}

}  // namespace ringwire::pktgen
