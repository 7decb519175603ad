// Why a port could not be opened: a reason for the program, a sentence for the person. Cold.
#pragma once

#include <string>

namespace ringwire::port {

enum class PortErrorCode {
  kBadOptions,           ///< the options contradict each other or name nothing that exists
  kAddressInUse,         ///< another socket holds the address and port
  kAddressNotAvailable,  ///< the address is not one of this machine's
  kPermission,           ///< the address, port or device needs a privilege
  kUnsupported,          ///< the kernel or device lacks what is needed
  kSystem,               ///< anything else: see system_errno
};

struct PortError {
  PortErrorCode code = PortErrorCode::kSystem;
  int system_errno = 0;  ///< 0 when no system call failed
  std::string text;      ///< one sentence: what was tried, what went wrong, what mends it
};

}  // namespace ringwire::port
