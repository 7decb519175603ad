#include "perf/load/report.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string_view>

namespace ringwire::load {
namespace {

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

std::vector<double> column(const Rounds& rounds, const char* scene, const char* figure) {
  std::vector<double> values;
  for (const Figures& round : rounds.at(scene)) values.push_back(round.at(figure));
  return values;
}

std::string human(double value, std::string_view figure) {
  char text[48];
  if (figure.ends_with("_ns"))
    std::snprintf(text, sizeof text, "%.3f us", value / 1e3);
  else if (figure == "bytes_per_s")
    std::snprintf(text, sizeof text, "%.2f GB/s", value / 1e9);
  else
    std::snprintf(text, sizeof text, "%.2f M/s", value / 1e6);
  return text;
}

std::string spread(const std::vector<double>& values, const char* figure) {
  const auto [least, most] = std::minmax_element(values.begin(), values.end());
  return human(median(values), figure) + " (" + human(*least, figure) + " to " +
         human(*most, figure) + ")";
}

std::string extra(const Rounds& rounds, const Scene& scene) {
  const Figures& first = rounds.at(scene.name).front();
  std::string text;
  char part[64];
  if (first.contains("p99_ns")) {
    text = "p99 " + human(median(column(rounds, scene.name, "p99_ns")), "p99_ns");
  }
  if (first.contains("packets_a_trip")) {
    std::snprintf(part, sizeof part, ", %.1f packets",
                  median(column(rounds, scene.name, "packets_a_trip")));
    text += part;
  }
  if (first.contains("messages_per_packet")) {
    std::snprintf(part, sizeof part, "%.1f a packet",
                  median(column(rounds, scene.name, "messages_per_packet")));
    text = part;
  }
  return text;
}

}  // namespace

void print_report(const About& about, const std::vector<Scene>& scenes, const Rounds& rounds) {
  std::printf("%-42s %-42s %-28s %s\n", about.port.c_str(), "MEDIAN (LEAST TO MOST)", "",
              "OF FLOOR");
  for (const Scene& scene : scenes) {
    if (!rounds.contains(scene.name)) continue;
    const std::vector<double> values = column(rounds, scene.name, scene.figure);
    std::printf("%-42s %-42s %-28s", scene.title, spread(values, scene.figure).c_str(),
                extra(rounds, scene).c_str());
    if (scene.floor[0] != '\0' && rounds.contains(scene.floor)) {
      const std::vector<double> floor = column(rounds, scene.floor, scene.figure);
      std::vector<double> ratios;
      for (std::size_t at = 0; at < values.size(); ++at) ratios.push_back(values[at] / floor[at]);
      std::printf(" %.2f", median(ratios));
    }
    std::printf("\n");
  }
  std::printf("\nmedians of %d rounds of %.2f s a scene; %s\n", about.rounds, about.seconds,
              about.pins.c_str());
}

bool write_report(const std::string& path, const About& about, const Rounds& rounds) {
  nlohmann::json report;
  double load[1] = {0};
  getloadavg(load, 1);
  report["about"] = {{"port", about.port},       {"pinned", about.pins},
                     {"eal", about.eal},         {"rounds", about.rounds},
                     {"seconds", about.seconds}, {"load_average", load[0]}};
  for (const auto& [scene, all] : rounds)
    for (const Figures& round : all)
      for (const auto& [figure, value] : round) report["rows"][scene][figure].push_back(value);
  std::ofstream file(path);
  file << report.dump(1) << '\n';
  return file.good();
}

}  // namespace ringwire::load
