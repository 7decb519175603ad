// The generator's ports: all queues of one DPDK device, or a kernel socket where no EAL arguments
// are given. One thread polls them all.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/endpoint.h"
#include "engine/port/dpdk_eal.h"
#include "engine/port/dpdk_port.h"
#include "engine/port/port.h"

namespace ringwire::pktgen {

struct WireOptions {
  std::vector<std::string> eal;  ///< empty: a kernel socket
  std::string device;            ///< empty: the only one
  Endpoint local;
  std::optional<Endpoint> gateway{};
  std::uint32_t queues_count = 1;
  std::uint32_t mtu_bytes = 0;
  std::uint16_t vlan = 0;
};

/// Why there is no wire: a sentence, and the exit code.
struct WireError {
  std::string text;
  int exit_code = 1;
};

class Wire {
 public:
  /// Throws WireError.
  explicit Wire(const WireOptions& options);

  [[nodiscard]] std::vector<std::unique_ptr<port::Port>>& ports() { return ports_; }
  [[nodiscard]] std::uint32_t max_payload_bytes() const {
    return ports_.front()->max_payload_bytes();
  }
  /// Of the link; 0: the device does not say.
  [[nodiscard]] std::uint32_t link_mbits() const;
  /// Polls until the link is up and the way to `remote` is known. False when time is up.
  bool find(const Endpoint& remote, std::chrono::nanoseconds patience);

 private:
  void open_device(const WireOptions& options);
  void open_socket(const WireOptions& options);

  std::unique_ptr<port::DpdkEal> eal_;
  std::vector<std::unique_ptr<port::Port>> ports_;
  std::vector<port::DpdkPort*> dpdk_ports_;  ///< the same, where they are
};

}  // namespace ringwire::pktgen
