// DPDK's room in a build without DPDK.
#include "engine/port/dpdk_eal.h"
#include "engine/port/dpdk_port.h"
#include "engine/port/dpdk_telemetry.h"

namespace ringwire::port {
namespace {

PortError absent() {
  return {PortErrorCode::kUnsupported, 0,
          "this build has no DPDK: `apt-get install libdpdk-dev`, then set up and build again"};
}

}  // namespace

bool DpdkEal::is_built() { return false; }

Result<std::unique_ptr<DpdkEal>, PortError> DpdkEal::start(std::span<const std::string>) {
  return Failure{absent()};
}
DpdkEal::~DpdkEal() = default;
std::vector<std::string> DpdkEal::devices() const { return {}; }
PortError DpdkEal::no_device(const std::string&) const { return absent(); }
Result<Done, PortError> DpdkEal::add_device(const std::string&, const std::string&) {
  return Failure{absent()};
}
Result<Done, PortError> DpdkEal::remove_device(const std::string&) { return Failure{absent()}; }

// No port can be opened, so no call of one is ever made.
struct DpdkPort::State {};
Result<std::vector<std::unique_ptr<DpdkPort>>, PortError> DpdkPort::open_all(
    const DpdkPortOptions&) {
  return Failure{absent()};
}
Result<std::unique_ptr<DpdkPort>, PortError> DpdkPort::open(const DpdkPortOptions&) {
  return Failure{absent()};
}
std::uint64_t DpdkPort::memory_bytes(const DpdkPortOptions&) { return 0; }
DpdkPort::~DpdkPort() = default;
std::uint32_t DpdkPort::max_payload_bytes() const { return 0; }
std::uint64_t DpdkPort::receive_queue_bytes() const { return 0; }
Endpoint DpdkPort::local() const { return {}; }
bool DpdkPort::open_destination(const Endpoint&, DestinationId&) { return false; }
void DpdkPort::close_destination(DestinationId) {}
std::size_t DpdkPort::rx_burst(std::span<RxPacket>) { return 0; }
std::size_t DpdkPort::tx_alloc(std::span<TxPacket>) { return 0; }
std::size_t DpdkPort::tx_burst(std::span<const TxPacket>) { return 0; }
void DpdkPort::tx_free(std::span<const TxPacket>) {}
const PortCounters& DpdkPort::counters() const {
  static const PortCounters kNone;
  return kNone;
}
const NeighbourCounters& DpdkPort::neighbour_counters() const {
  static const NeighbourCounters kNone;
  return kNone;
}
bool DpdkPort::is_link_up() { return false; }
bool DpdkPort::is_steered() const { return false; }
std::uint32_t DpdkPort::link_mbits() const { return 0; }
bool DpdkPort::knows(DestinationId) const { return false; }

bool add_telemetry(const std::string&, const std::string&, TelemetryAnswer) { return false; }
void remove_telemetry() {}

}  // namespace ringwire::port
