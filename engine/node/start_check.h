// What of a configuration this machine cannot take: users it does not know, addresses it does not
// have, memory that does not suffice. The engine refuses to start for it, `ringwire conf check`
// tells it beforehand. Looks at the machine, opens nothing. Cold.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/node/config.h"
#include "engine/node/memory_budget.h"
#include "engine/worker/worker.h"

namespace ringwire::node {

/// All that is known to be wrong, each at its setting. Empty: nothing stands against a start but
/// what other processes use.
[[nodiscard]] std::vector<ConfigProblem> start_problems(const Config& config);

/// The id of a user given by name or number.
[[nodiscard]] std::optional<std::uint32_t> find_user(const std::string& user);

/// Settings of the workers but for what is drawn at start.
[[nodiscard]] worker::WorkerConfig worker_settings(const Config& config);
/// The fixed terms of [limits] memory. `port_bytes`: what the ports take.
[[nodiscard]] MemoryBudget fixed_budget(const Config& config, const worker::WorkerConfig& worker,
                                        std::uint64_t port_bytes);
/// Why the fixed terms do not fit, with the sum; empty when they do.
[[nodiscard]] std::string memory_problem(const MemoryBudget& budget);

}  // namespace ringwire::node
