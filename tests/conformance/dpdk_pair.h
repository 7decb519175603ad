// Pairs of DPDK devices in this process, made once for each name and never taken down: where both
// ends are in one process, DPDK's interrupt thread and the closing one free the same memory. What
// lanes and cases share. One thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/port/dpdk_eal.h"
#include "engine/port/dpdk_port.h"
#include "tests/conformance/port_suite.h"

namespace ringwire::port::conformance {

/// The process's DPDK and a directory for its sockets, for as long as tests run.
struct Dpdk {
  std::unique_ptr<DpdkEal> eal;
  std::string directory;
  std::string reason;      ///< why there is no DPDK
  std::string no_network;  ///< why there is no network namespace of our own; empty: there is
  std::string no_huge;     ///< why there are no hugepages; empty: there are
};
Dpdk& dpdk();
enum class Pages { kSmall, kHuge };
/// Starts DPDK, in a network namespace of its own where that may be had. kHuge: with hugepages,
/// which are borrowed from the machine where it has too few free ones (root only), else without.
void start_dpdk(Pages pages);
/// Gives back what was borrowed, and removes what was left in files. Ports live on: only at the
/// end.
void end_dpdk();

/// What a lane's devices have in common.
struct PairOptions {
  const char* address_a = "10.0.0.1:3200";
  const char* address_b = "10.0.0.2:3200";
  std::uint32_t mtu_bytes = 9'000;  ///< 0: the device's
  std::uint16_t vlan = 0;
  std::uint32_t queues_count = 1;
};

struct DevicePair {
  std::vector<std::unique_ptr<DpdkPort>> a;
  std::vector<std::unique_ptr<DpdkPort>> b;
  std::string reason;  ///< why they are not connected
};

/// Opens all ports of a device that is there.
Result<std::vector<std::unique_ptr<DpdkPort>>, PortError> open_ports(const std::string& device,
                                                                     const char* address,
                                                                     const PairOptions& options);
/// Adds a device, and opens its only port.
Result<std::unique_ptr<DpdkPort>, PortError> open_port(const std::string& device,
                                                       const std::string& arguments,
                                                       const char* address);

/// Makes the two devices and their ports; the reason why not, or "".
using PairMaker = std::function<std::string(DevicePair& pair)>;
PairMaker memif_pair(int number, const PairOptions& options);
PairMaker ring_pair(int number, const PairOptions& options);
PairMaker vhost_pair(const PairOptions& options);

/// Two devices that the kernel joins.
struct KernelLink {
  const char* device_a;
  const char* arguments_a;
  const char* device_b;
  const char* arguments_b;
  const char* before;  ///< command that makes what the devices are on
  const char* behind;  ///< command that joins what the devices made
};
PairMaker kernel_pair(const KernelLink& link, const PairOptions& options);
/// The same for devices that need hugepages.
PairMaker huge_kernel_pair(const KernelLink& link, const PairOptions& options);

/// The pair of that name, made by `make` the first time.
DevicePair& pair_of(const std::string& name, const PairMaker& make);
/// The lane over it, bare, or each port behind the fault decorator (without faults).
LaneMaker bare_lane(std::string name, PairMaker make);
LaneMaker fault_lane(std::string name, PairMaker make);

}  // namespace ringwire::port::conformance
