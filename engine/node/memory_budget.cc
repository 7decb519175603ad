#include "engine/node/memory_budget.h"

#include <algorithm>
#include <fstream>
#include <sstream>

#include "base/check.h"

namespace ringwire::node {
namespace {

constexpr std::array<const char*, kMemoryUses> kUseNames = {"channels", "extent_files", "sessions"};
constexpr std::uint64_t kAutomaticLimitBytes = 16ULL << 30;

std::size_t at(MemoryUse use) { return static_cast<std::size_t>(use); }

/// The number in a control group's limit file; "max", nonsense or no file: no limit.
std::uint64_t limit_in(const std::string& path) {
  std::ifstream file(path);
  std::uint64_t bytes = 0;
  if (!(file >> bytes) || bytes == 0) return UINT64_MAX;
  return bytes;
}

/// The smallest limit of a group and all groups above it.
std::uint64_t limit_along(const std::string& base, std::string group, const char* file) {
  std::uint64_t smallest = UINT64_MAX;
  while (true) {
    smallest = std::min(smallest, limit_in(base + group + "/" + file));
    const std::size_t slash = group.rfind('/');
    if (slash == std::string::npos) return smallest;
    group.resize(slash);
  }
}

}  // namespace

void MemoryBudget::add_fixed(std::string name, std::uint64_t bytes) {
  fixed_bytes_ += bytes;
  fixed_.push_back({std::move(name), bytes});
}

bool MemoryBudget::fits(std::uint64_t spare_bytes) const {
  return fixed_bytes_ <= budget_bytes_ && budget_bytes_ - fixed_bytes_ >= spare_bytes;
}

std::string MemoryBudget::sum_text() const {
  std::ostringstream text;
  for (const MemoryTerm& term : fixed_) text << "  " << term.name << ": " << term.bytes << '\n';
  text << "  sum: " << fixed_bytes_ << " of " << budget_bytes_ << " bytes";
  return text.str();
}

bool MemoryBudget::try_charge(MemoryUse use, std::uint64_t bytes) {
  const std::uint64_t used = used_bytes();
  if (used > budget_bytes_ || bytes > budget_bytes_ - used) return false;
  charged_[at(use)] += bytes;
  return true;
}

void MemoryBudget::force_charge(MemoryUse use, std::uint64_t bytes) { charged_[at(use)] += bytes; }

void MemoryBudget::give_back(MemoryUse use, std::uint64_t bytes) {
  RW_CHECK(charged_[at(use)] >= bytes);
  charged_[at(use)] -= bytes;
}

std::uint64_t MemoryBudget::used_bytes() const {
  std::uint64_t sum = fixed_bytes_;
  for (const std::uint64_t bytes : charged_) sum += bytes;
  return sum;
}

std::uint64_t MemoryBudget::dynamic_bytes() const {
  return budget_bytes_ > fixed_bytes_ ? budget_bytes_ - fixed_bytes_ : 0;
}

std::uint64_t MemoryBudget::charged_bytes(MemoryUse use) const { return charged_[at(use)]; }

std::vector<MemoryTerm> MemoryBudget::terms() const {
  std::vector<MemoryTerm> all = fixed_;
  for (std::size_t use = 0; use < kMemoryUses; ++use)
    all.push_back({kUseNames[use], charged_[use]});
  return all;
}

MachineMemory read_machine_memory(const std::string& root) {
  MachineMemory memory;
  std::ifstream meminfo(root + "/proc/meminfo");
  std::string line;
  while (std::getline(meminfo, line)) {
    std::istringstream words(line);
    std::string key;
    std::uint64_t kibibytes = 0;
    if (words >> key >> kibibytes && key == "MemTotal:") memory.machine_bytes = kibibytes * 1024;
  }
  std::ifstream groups(root + "/proc/self/cgroup");
  while (std::getline(groups, line)) {
    const std::size_t first = line.find(':');
    const std::size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    std::string group = line.substr(second + 1);
    if (group == "/") group.clear();
    if (controllers.empty())  // version 2
      memory.cgroup_bytes =
          std::min(memory.cgroup_bytes, limit_along(root + "/sys/fs/cgroup", group, "memory.max"));
    else if (("," + controllers + ",").find(",memory,") != std::string::npos)
      memory.cgroup_bytes =
          std::min(memory.cgroup_bytes,
                   limit_along(root + "/sys/fs/cgroup/memory", group, "memory.limit_in_bytes"));
  }
  return memory;
}

std::uint64_t automatic_budget_bytes(const MachineMemory& memory) {
  const std::uint64_t here = std::min(memory.machine_bytes, memory.cgroup_bytes);
  return std::min(kAutomaticLimitBytes, here / 2);
}

}  // namespace ringwire::node
