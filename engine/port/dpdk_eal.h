// DPDK's environment, of which a process can have one: memory, devices, its interrupt thread. Cold;
// the thread that starts it becomes DPDK's main lcore. No rte_ name appears here.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "base/result.h"
#include "engine/port/port_error.h"

namespace ringwire::port {

class DpdkEal {
 public:
  /// Starts DPDK with its command line `arguments` (without a program name). Errors: kPermission,
  /// kBadOptions (DPDK did not understand them), kUnsupported (memory or devices missing), kSystem.
  /// DPDK writes details to its log. A second start in one process fails with kBadOptions.
  static Result<std::unique_ptr<DpdkEal>, PortError> start(std::span<const std::string> arguments);
  /// All ports must be gone.
  ~DpdkEal();
  DpdkEal(const DpdkEal&) = delete;
  DpdkEal& operator=(const DpdkEal&) = delete;

  /// Adds a virtual device, as the EAL argument --vdev=NAME,ARGUMENTS does.
  Result<Done, PortError> add_device(const std::string& name, const std::string& arguments);
  /// Removes one that add_device made; its port must be gone.
  Result<Done, PortError> remove_device(const std::string& name);

 private:
  DpdkEal() = default;
};

}  // namespace ringwire::port
