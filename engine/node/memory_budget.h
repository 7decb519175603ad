// The engine's one memory sum ([limits] memory): fixed terms are added at start and must fit; what
// is taken later is charged before it is made and refused when it has no room. Ring manager only;
// cold.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace ringwire::node {

/// What is charged while the engine runs.
enum class MemoryUse : std::uint8_t {
  kChannels,     ///< down files beyond the reserve of each attachment
  kExtentFiles,  ///< receiving memory beyond the first files
  kSessions,     ///< connections to workers of peers
};
inline constexpr std::size_t kMemoryUses = 3;

struct MemoryTerm {
  std::string name;
  std::uint64_t bytes = 0;
};

class MemoryBudget {
 public:
  explicit MemoryBudget(std::uint64_t budget_bytes) : budget_bytes_(budget_bytes) {}

  /// Only at start.
  void add_fixed(std::string name, std::uint64_t bytes);
  /// True when the fixed terms leave at least `spare_bytes`.
  [[nodiscard]] bool fits(std::uint64_t spare_bytes) const;
  /// The sum, one term per line, for the refusal at start.
  [[nodiscard]] std::string sum_text() const;

  /// False and nothing charged when it has no room now.
  [[nodiscard]] bool try_charge(MemoryUse use, std::uint64_t bytes);
  /// Charge what exists already, even over the budget.
  void force_charge(MemoryUse use, std::uint64_t bytes);
  void give_back(MemoryUse use, std::uint64_t bytes);

  [[nodiscard]] std::uint64_t budget_bytes() const { return budget_bytes_; }
  [[nodiscard]] std::uint64_t fixed_bytes() const { return fixed_bytes_; }
  [[nodiscard]] std::uint64_t used_bytes() const;
  /// Largest single thing that could ever be charged.
  [[nodiscard]] std::uint64_t dynamic_bytes() const;
  [[nodiscard]] std::uint64_t charged_bytes(MemoryUse use) const;
  [[nodiscard]] std::vector<MemoryTerm> terms() const;

 private:
  std::uint64_t budget_bytes_;
  std::uint64_t fixed_bytes_ = 0;
  std::vector<MemoryTerm> fixed_;
  std::array<std::uint64_t, kMemoryUses> charged_{};
};

/// Limits of memory that this process finds: the machine, and every control group above it.
struct MachineMemory {
  std::uint64_t machine_bytes = 0;
  std::uint64_t cgroup_bytes = UINT64_MAX;  ///< the smallest limit, or none
};

/// Read them below `root` ("" in production): proc/meminfo, proc/self/cgroup, sys/fs/cgroup.
[[nodiscard]] MachineMemory read_machine_memory(const std::string& root);
/// [limits] memory = "auto": the smaller of 16 GiB and half of what the machine or the control
/// group has.
[[nodiscard]] std::uint64_t automatic_budget_bytes(const MachineMemory& memory);

}  // namespace ringwire::node
