// DPDK's environment, of which a process can have one: memory, devices, its interrupt thread. Cold;
// the thread that starts it becomes DPDK's main lcore. No rte_ name appears here, and a build
// without DPDK has this room too: there every start fails, and says so.
//
// Workers are not DPDK's lcore threads but ours, which take an lcore's number when they first poll
// a port (dpdk_lcore.h): one kind of worker thread for all kinds of ports. They run on the
// processors that the EAL arguments name, one lcore for each worker, the main one included; DPDK's
// own lcore threads stay asleep. DPDK pins the thread that starts it, and with it all that this one
// makes later: that is undone, so that the ring manager and the helpers stay off the workers'
// cores.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/port/port_error.h"

namespace ringwire::port {

class DpdkEal {
 public:
  /// Whether this build has DPDK.
  [[nodiscard]] static bool is_built();

  /// Starts DPDK with its command line `arguments` (without a program name), as they are. Errors:
  /// kPermission, kBadOptions (DPDK did not understand them), kUnsupported (memory or devices
  /// missing, or no DPDK in this build), kSystem. DPDK writes details to standard error. A second
  /// start in one process fails with kBadOptions.
  static Result<std::unique_ptr<DpdkEal>, PortError> start(std::span<const std::string> arguments);
  /// All ports must be gone.
  ~DpdkEal();
  DpdkEal(const DpdkEal&) = delete;
  DpdkEal& operator=(const DpdkEal&) = delete;

  /// The processor of each lcore that the arguments named, -1 where an lcore has several; empty
  /// when the arguments named none.
  [[nodiscard]] const std::vector<int>& lcore_cpus() const { return lcore_cpus_; }
  /// Names of the Ethernet devices that nobody opened yet.
  [[nodiscard]] std::vector<std::string> devices() const;
  /// The error for a device that is not among them, with what mends it.
  [[nodiscard]] PortError no_device(const std::string& name) const;

  /// Adds a virtual device, as the EAL argument --vdev=NAME,ARGUMENTS does.
  Result<Done, PortError> add_device(const std::string& name, const std::string& arguments);
  /// Removes one that add_device made; its port must be gone.
  Result<Done, PortError> remove_device(const std::string& name);

 private:
  DpdkEal() = default;
  std::vector<int> lcore_cpus_;
  bool can_be_dumped_ = false;
  std::string log_;  ///< what DPDK said while it started
};

}  // namespace ringwire::port
