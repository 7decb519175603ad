// What DPDK said when it refused to start, or to have a device, turned into what mends it: a
// sentence for the person, with the command. Pure: reads texts only. Cold.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace ringwire::port {

/// Advice on a failed start from DPDK's log of it, the arguments that it was given, and its error
/// number; empty when there is none to give. Starts with "; ".
[[nodiscard]] std::string advice_on_start(std::string_view log,
                                          std::span<const std::string> arguments, int error);

struct DeviceFacts {
  std::string name;           ///< as in the settings; empty: none was named, and there is none
  std::string kernel_driver;  ///< that a PCI device is bound to; empty: none, or no PCI device
  bool is_on_bus = false;     ///< a PCI device of this machine
  std::string others;         ///< the devices that DPDK has, for the message
};

/// The same for a device that DPDK does not have. Starts with ": ".
[[nodiscard]] std::string advice_on_device(std::string_view log, const DeviceFacts& facts);

/// The same for a device that would not start: `driver` as DPDK names it, and the error number.
[[nodiscard]] std::string advice_on_device_start(std::string_view driver, int error);

/// Whether a name has the form of a PCI address, with or without the domain.
[[nodiscard]] bool is_pci_address(std::string_view name);

/// Whether EAL arguments choose lcores; otherwise DPDK takes one per processor.
[[nodiscard]] bool names_lcores(std::span<const std::string> arguments);

}  // namespace ringwire::port
