// Commands of DPDK's telemetry socket (dpdk-telemetry.py shows them) that somebody else answers. No
// rte_ name appears here. Cold.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <variant>
#include <vector>

namespace ringwire::port {

struct TelemetryField {
  std::string name;  ///< letters, digits, '_' and '/'; others become '_'
  std::variant<std::uint64_t, std::string> value;
};

/// Called on DPDK's telemetry thread, several calls at a time, with what stood behind the command.
using TelemetryAnswer = std::function<std::vector<TelemetryField>(const std::string& parameters)>;

/// Fields of one answer, as DPDK has it; of more only the first are shown.
inline constexpr std::size_t kMaxTelemetryFields = 256;

/// `command` like "/ringwire/status". False where DPDK refuses or is not in this build. DPDK must
/// have been started. A command stays for as long as the process lives: added again it gets another
/// answer.
bool add_telemetry(const std::string& command, const std::string& help, TelemetryAnswer answer);
/// Commands are answered by nobody any more. Calls that are under way go on.
void remove_telemetry();

}  // namespace ringwire::port
