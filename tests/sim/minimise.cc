#include "tests/sim/minimise.h"

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "tests/sim/world.h"

namespace ringwire::sim {
namespace {

struct Kept {
  std::size_t index = 0;
  unsigned halvings = 0;
};

constexpr unsigned kMaxHalvings = 20;

WorldOptions with(const WorldOptions& options, const std::vector<Kept>& kept) {
  WorldOptions reduced = options;
  reduced.faults.clear();
  for (const Kept& item : kept) {
    reduced.faults.push_back(options.faults[item.index]);
    reduced.faults.back().duration_ns >>= item.halvings;
  }
  return reduced;
}

std::string list_of(const std::vector<Kept>& kept) {
  std::string list;
  for (const Kept& item : kept) {
    if (!list.empty()) list += ",";
    list += std::to_string(item.index);
    // Appended piece by piece: g++ 12 warns falsely of `"/" + std::string` (GCC bug 105651).
    if (item.halvings != 0) list.append("/").append(std::to_string(item.halvings));
  }
  return list.empty() ? "none" : list;
}

class Search {
 public:
  Search(const WorldOptions& options, std::uint32_t max_runs)
      : options_(options), max_runs_(max_runs) {}

  [[nodiscard]] bool fails(const std::vector<Kept>& kept) {
    if (runs_ == max_runs_) return false;
    ++runs_;
    return !World(with(options_, kept)).run().violations.empty();
  }
  [[nodiscard]] std::uint32_t runs() const { return runs_; }

 private:
  const WorldOptions& options_;
  std::uint32_t max_runs_;
  std::uint32_t runs_ = 0;
};

}  // namespace

Minimal minimise(const WorldOptions& options, std::uint32_t max_runs) {
  Search search(options, max_runs);
  std::vector<Kept> kept;
  for (std::size_t index = 0; index < options.faults.size(); ++index) kept.push_back({index, 0});
  for (std::size_t piece = std::max<std::size_t>(kept.size() / 2, 1); piece != 0; piece /= 2)
    for (std::size_t at = 0; at < kept.size();) {
      std::vector<Kept> fewer = kept;
      const std::size_t end = std::min(at + piece, fewer.size());
      fewer.erase(fewer.begin() + static_cast<std::ptrdiff_t>(at),
                  fewer.begin() + static_cast<std::ptrdiff_t>(end));
      if (search.fails(fewer))
        kept = fewer;
      else
        at += piece;
    }
  for (Kept& item : kept) {
    // What lasts from the start to the end has no duration of its own.
    if (options.faults[item.index].kind <= FaultKind::kCorrupt) continue;
    while (item.halvings < kMaxHalvings) {
      ++item.halvings;
      if (search.fails(kept)) continue;
      --item.halvings;
      break;
    }
  }
  return {with(options, kept), list_of(kept), search.runs()};
}

bool keep_faults(WorldOptions& options, const std::string& list) {
  std::vector<Kept> kept;
  const char* at = list.c_str();
  if (list == "none") at += list.size();
  while (*at != '\0') {
    char* end = nullptr;
    Kept item;
    item.index = std::strtoull(at, &end, 10);
    if (end == at || item.index >= options.faults.size()) return false;
    if (*end == '/') {
      at = end + 1;
      item.halvings = static_cast<unsigned>(std::strtoul(at, &end, 10));
      if (end == at || item.halvings > kMaxHalvings) return false;
    }
    kept.push_back(item);
    at = *end == ',' ? end + 1 : end;
    if (*end != ',' && *end != '\0') return false;
  }
  options = with(options, kept);
  return true;
}

}  // namespace ringwire::sim
