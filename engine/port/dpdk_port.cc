#include "engine/port/dpdk_port.h"

#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <rte_udp.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <map>
#include <utility>

#include "base/check.h"
#include "base/endpoint_text.h"
#include "engine/port/dpdk_advice.h"

namespace ringwire::port {
namespace {

constexpr std::uint32_t kEthernetBytes = sizeof(rte_ether_hdr);
constexpr std::uint32_t kIpv4Bytes = sizeof(rte_ipv4_hdr);
constexpr std::uint32_t kIpv6Bytes = sizeof(rte_ipv6_hdr);
constexpr std::uint32_t kUdpBytes = sizeof(rte_udp_hdr);
constexpr std::uint8_t kTimeToLive = 64;  // RFC 1700
/// "Don't fragment", network order on the wire.
constexpr std::uint16_t kDontFragment = RTE_IPV4_HDR_DF_FLAG;
/// What a UDP checksum computed over itself as well comes to when it is right: the complement of
/// all ones is zero, which for UDP is written as all ones (RFC 768). No packet sums up to zero, as
/// its protocol number does not, so nothing else comes to this.
constexpr std::uint16_t kChecksumHolds = 0xffff;

using Address = std::array<std::uint8_t, 16>;

/// An address that destinations are open to, and where its frames go.
struct Neighbour {
  rte_ether_addr ethernet{};
  std::uint32_t destinations_count = 0;
};

struct Remote {
  Endpoint endpoint;
  Neighbour* neighbour = nullptr;
};

PortError device_error(int error, const std::string& what, std::string advice = {}) {
  const bool unsupported = error == ENOTSUP || error == ENOMEM;
  return {unsupported ? PortErrorCode::kUnsupported : PortErrorCode::kSystem, error,
          "cannot " + what + ": " + rte_strerror(error) + std::move(advice)};
}

PortError bad_options(std::string text) { return {PortErrorCode::kBadOptions, 0, std::move(text)}; }

std::uint32_t ipv4_of(const Address& address) {
  std::uint32_t number = 0;
  std::memcpy(&number, address.data() + 12, sizeof number);
  return number;
}

Address mapped(std::uint32_t ipv4) {
  Address address{};
  address[10] = 0xff;
  address[11] = 0xff;
  std::memcpy(address.data() + 12, &ipv4, sizeof ipv4);
  return address;
}

std::uint32_t pool_buffers_count(const DpdkPortOptions& options) {
  return options.rx_descriptors_count    // waiting in the device
         + options.tx_descriptors_count  // leaving through the device
         + options.tx_buffers_count      // being filled by the caller
         + kBurstPackets                 // handed out by rx_burst
         + kBurstPackets;                // held by the driver between two bursts
}

std::uint32_t buffer_bytes(std::uint32_t frame_bytes) {
  // A device may be given what it wants of alignment; the cost is below one part in a hundred.
  return (RTE_PKTMBUF_HEADROOM + frame_bytes + 127) / 128 * 128;
}

/// The calling thread, made known to DPDK for as long as it lives: pools then keep buffers at hand
/// for it. Without (no number is left for it) they work, too.
void register_thread() {
  struct Registration {
    Registration() : is_ours(rte_lcore_id() == LCORE_ID_ANY && rte_thread_register() == 0) {}
    ~Registration() {
      if (is_ours) rte_thread_unregister();
    }
    bool is_ours;
  };
  static thread_local const Registration registration;
}

template <typename Header>
Header* header_at(rte_mbuf* buffer, std::uint32_t offset_bytes) {
  return rte_pktmbuf_mtod_offset(buffer, Header*, offset_bytes);
}

}  // namespace

struct DpdkPort::State {
  explicit State(const DpdkPortOptions& given)
      : options(given),
        is_ipv4(given.local.is_ipv4()),
        headers_bytes(kEthernetBytes + (is_ipv4 ? kIpv4Bytes : kIpv6Bytes) + kUdpBytes),
        destinations(given.destinations_count) {}
  ~State();
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  // Cold: set-up.
  std::optional<PortError> find_device();
  std::optional<PortError> make_pool();
  std::optional<PortError> start_device();

  // Hot.
  [[nodiscard]] bool sendable(const TxPacket& packet);
  [[nodiscard]] std::size_t send(std::span<const TxPacket> packets);
  void write_headers(rte_mbuf* buffer, const Remote& remote, std::uint32_t payload_bytes);
  void write_ipv4(rte_mbuf* buffer, const Remote& remote, std::uint32_t payload_bytes);
  void write_ipv6(rte_mbuf* buffer, const Remote& remote, std::uint32_t payload_bytes);
  [[nodiscard]] bool read_packet(rte_mbuf* buffer, RxPacket& packet);
  [[nodiscard]] bool read_ipv4(rte_mbuf* buffer, Address& source) const;
  [[nodiscard]] bool read_ipv6(rte_mbuf* buffer, Address& source) const;
  [[nodiscard]] bool read_udp(rte_mbuf* buffer, std::uint32_t offset_bytes,
                              std::uint32_t ip_payload_bytes) const;
  void learn(const Address& address, const rte_ether_addr& ethernet);
  void free_handed_out();

  /// The buffer that a TxPacket's bytes lie in: they start at a fixed distance from it.
  [[nodiscard]] rte_mbuf* buffer_of(const TxPacket& packet) const {
    return reinterpret_cast<rte_mbuf*>(packet.data - headers_bytes - RTE_PKTMBUF_HEADROOM -
                                       sizeof(rte_mbuf));
  }

  DpdkPortOptions options;
  bool is_ipv4;
  std::uint32_t headers_bytes;
  std::uint32_t max_payload_bytes = 0;
  std::uint16_t device = 0;
  bool is_started = false;
  bool is_polled = false;  ///< by the thread that will do so from now on
  rte_ether_addr ethernet{};
  rte_mempool* pool = nullptr;
  DestinationTable<Remote> destinations;
  std::map<Address, Neighbour> neighbours;  ///< grows and shrinks only with destinations
  std::array<rte_mbuf*, kBurstPackets> handed_out{};
  std::size_t handed_out_count = 0;
  std::uint32_t tx_out_count = 0;  ///< buffers that the caller holds
  std::uint16_t next_identification = 0;
  PortCounters counters;
};

DpdkPort::State::~State() {
  free_handed_out();
  if (is_started) rte_eth_dev_stop(device);
  // Without a pool the device was never ours.
  if (pool != nullptr) rte_eth_dev_close(device);
  rte_mempool_free(pool);
}

DpdkPort::DpdkPort(std::unique_ptr<State> state) : state_(std::move(state)) {}
DpdkPort::~DpdkPort() = default;

Result<std::unique_ptr<DpdkPort>, PortError> DpdkPort::open(const DpdkPortOptions& options) {
  const std::uint32_t ip_udp_bytes =
      (options.local.is_ipv4() ? kIpv4Bytes : kIpv6Bytes) + kUdpBytes;
  if (options.mtu_bytes <= ip_udp_bytes || options.payload_bytes == 0)
    return Failure{bad_options("an MTU of " + std::to_string(options.mtu_bytes) +
                               " bytes leaves no room for a payload")};
  if (options.local.port == 0)
    return Failure{
        bad_options("a DPDK port needs a UDP port number: nobody can choose one for it")};
  if (options.tx_buffers_count == 0 || options.destinations_count == 0 ||
      options.rx_descriptors_count == 0 || options.tx_descriptors_count == 0)
    return Failure{bad_options("a port needs transmit buffers, destinations and descriptors")};
  auto state = std::make_unique<State>(options);
  state->max_payload_bytes = std::min(options.payload_bytes, options.mtu_bytes - ip_udp_bytes);
  if (auto error = state->find_device()) return Failure{std::move(*error)};
  if (auto error = state->make_pool()) return Failure{std::move(*error)};
  if (auto error = state->start_device()) return Failure{std::move(*error)};
  return std::unique_ptr<DpdkPort>(new DpdkPort(std::move(state)));
}

std::uint64_t DpdkPort::memory_bytes(const DpdkPortOptions& options) {
  return std::uint64_t{pool_buffers_count(options)} *
         (sizeof(rte_mbuf) + buffer_bytes(options.mtu_bytes + kEthernetBytes));
}

std::optional<PortError> DpdkPort::State::find_device() {
  if (rte_eth_dev_get_port_by_name(options.device.c_str(), &device) == 0) return std::nullopt;
  return bad_options("DPDK has no device \"" + options.device +
                     "\": is it bound to a DPDK driver, or named by --vdev?");
}

std::optional<PortError> DpdkPort::State::make_pool() {
  const std::uint32_t buffers_count = pool_buffers_count(options);
  const std::uint32_t rounded_bytes = buffer_bytes(headers_bytes + max_payload_bytes);
  RW_CHECK(rounded_bytes <= 0xffff);
  const std::string name = "rw_port_" + std::to_string(device);
  pool = rte_pktmbuf_pool_create(name.c_str(), buffers_count, 0, 0,
                                 static_cast<std::uint16_t>(rounded_bytes),
                                 rte_eth_dev_socket_id(device));
  if (pool != nullptr) return std::nullopt;
  // The name is the device's: one pool, one port.
  if (rte_errno == EEXIST)
    return PortError{PortErrorCode::kAddressInUse, EEXIST,
                     "cannot open " + options.device + ": another port of this process has it"};
  return device_error(rte_errno, "get " + std::to_string(buffers_count) + " packet buffers of " +
                                     std::to_string(rounded_bytes) + " bytes for " +
                                     options.device);
}

std::optional<PortError> DpdkPort::State::start_device() {
  rte_eth_dev_info info{};
  if (const int result = rte_eth_dev_info_get(device, &info); result < 0)
    return device_error(-result, "ask " + options.device + " for its limits");
  rte_eth_conf configuration{};
  // net_memif tells an MTU of 1,500 whatever its bsize is, refuses to be told another, and carries
  // what fits its buffers all the same.
  const bool is_memif = std::strcmp(info.driver_name, "net_memif") == 0;
  if (!is_memif) {
    if (info.max_mtu != 0 && options.mtu_bytes > info.max_mtu)
      return bad_options("an MTU of " + std::to_string(options.mtu_bytes) + " bytes was asked of " +
                         options.device + ", which has at most " + std::to_string(info.max_mtu));
    configuration.rxmode.mtu = options.mtu_bytes;
  }
  if (const int result = rte_eth_dev_configure(device, 1, 1, &configuration); result < 0)
    return device_error(-result, "configure " + options.device);
  std::uint16_t rx_count = options.rx_descriptors_count;
  std::uint16_t tx_count = options.tx_descriptors_count;
  if (const int result = rte_eth_dev_adjust_nb_rx_tx_desc(device, &rx_count, &tx_count); result < 0)
    return device_error(-result, "size the queues of " + options.device);
  // More would need more buffers than the pool was sized for; fewer must be announced.
  if (rx_count > options.rx_descriptors_count || tx_count > options.tx_descriptors_count)
    return bad_options(options.device + " needs at least " + std::to_string(rx_count) +
                       " receive and " + std::to_string(tx_count) + " transmit descriptors");
  options.rx_descriptors_count = rx_count;
  const auto socket = static_cast<unsigned>(rte_eth_dev_socket_id(device));
  if (const int result = rte_eth_rx_queue_setup(device, 0, rx_count, socket, nullptr, pool);
      result < 0)
    return device_error(-result, "set up the receive queue of " + options.device);
  if (const int result = rte_eth_tx_queue_setup(device, 0, tx_count, socket, nullptr); result < 0)
    return device_error(-result, "set up the transmit queue of " + options.device);
  if (const int result = rte_eth_macaddr_get(device, &ethernet); result < 0)
    return device_error(-result, "ask " + options.device + " for its Ethernet address");
  if (const int result = rte_eth_dev_start(device); result < 0)
    return device_error(-result, "start " + options.device,
                        advice_on_device_start(info.driver_name));
  is_started = true;
  return std::nullopt;
}

std::uint32_t DpdkPort::max_payload_bytes() const { return state_->max_payload_bytes; }
std::uint64_t DpdkPort::receive_queue_bytes() const {
  return std::uint64_t{state_->options.rx_descriptors_count} * kPacketChargeBytes;
}
Endpoint DpdkPort::local() const { return state_->options.local; }
const PortCounters& DpdkPort::counters() const { return state_->counters; }

bool DpdkPort::is_link_up() {
  rte_eth_link link{};
  return rte_eth_link_get_nowait(state_->device, &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
}

bool DpdkPort::open_destination(const Endpoint& remote, DestinationId& destination) {
  State& state = *state_;
  if (remote.is_ipv4() != state.is_ipv4) return false;
  const auto opened = state.destinations.open({remote, nullptr});
  if (!opened) return false;
  const auto [place, is_new] = state.neighbours.try_emplace(remote.address);
  Neighbour& neighbour = place->second;
  if (is_new) {
    std::memset(&neighbour.ethernet, 0xff, sizeof neighbour.ethernet);
    if (state.options.peer_ethernet)
      std::memcpy(&neighbour.ethernet, state.options.peer_ethernet->data(),
                  sizeof neighbour.ethernet);
  }
  ++neighbour.destinations_count;
  state.destinations.find(*opened)->neighbour = &neighbour;
  destination = *opened;
  return true;
}

void DpdkPort::close_destination(DestinationId destination) {
  const Remote* remote = state_->destinations.find(destination);
  RW_CHECK(remote != nullptr);
  if (--remote->neighbour->destinations_count == 0)
    state_->neighbours.erase(remote->endpoint.address);
  state_->destinations.close(destination);
}

std::size_t DpdkPort::rx_burst(std::span<RxPacket> packets) {
  State& state = *state_;
  if (!state.is_polled) {
    state.is_polled = true;
    register_thread();
  }
  state.free_handed_out();
  const auto limit = static_cast<std::uint16_t>(std::min(packets.size(), kBurstPackets));
  std::array<rte_mbuf*, kBurstPackets> received;
  const std::size_t received_count = rte_eth_rx_burst(state.device, 0, received.data(), limit);
  std::size_t count = 0;
  for (rte_mbuf* buffer : std::span(received).first(received_count)) {
    if (state.read_packet(buffer, packets[count])) {
      state.counters.rx_bytes += packets[count].bytes.size();
      state.handed_out[state.handed_out_count++] = buffer;
      ++count;
    } else {
      ++state.counters.rx_errors;
      rte_pktmbuf_free(buffer);
    }
  }
  state.counters.rx_packets += count;
  return count;
}

void DpdkPort::State::free_handed_out() {
  rte_pktmbuf_free_bulk(handed_out.data(), static_cast<unsigned>(handed_out_count));
  handed_out_count = 0;
}

/// Checks all headers. Lengths first: nothing is read that the frame does not have.
bool DpdkPort::State::read_packet(rte_mbuf* buffer, RxPacket& packet) {
  if (buffer->nb_segs != 1 || buffer->data_len < headers_bytes) return false;
  const auto* frame = header_at<const rte_ether_hdr>(buffer, 0);
  if (!rte_is_same_ether_addr(&frame->dst_addr, &ethernet) &&
      !rte_is_broadcast_ether_addr(&frame->dst_addr))
    return false;
  const std::uint16_t kind = is_ipv4 ? RTE_ETHER_TYPE_IPV4 : RTE_ETHER_TYPE_IPV6;
  if (frame->ether_type != rte_cpu_to_be_16(kind)) return false;
  Endpoint source;
  if (is_ipv4 ? !read_ipv4(buffer, source.address) : !read_ipv6(buffer, source.address))
    return false;
  const auto* udp = header_at<const rte_udp_hdr>(buffer, headers_bytes - kUdpBytes);
  source.port = rte_be_to_cpu_16(udp->src_port);
  learn(source.address, frame->src_addr);
  const std::size_t bytes = rte_be_to_cpu_16(udp->dgram_len) - kUdpBytes;
  if (bytes == 0 || bytes > max_payload_bytes) return false;
  packet = {{header_at<const std::byte>(buffer, headers_bytes), bytes}, source};
  return true;
}

bool DpdkPort::State::read_ipv4(rte_mbuf* buffer, Address& source) const {
  const auto* ip = header_at<const rte_ipv4_hdr>(buffer, kEthernetBytes);
  // No options (version 4, five words), no fragment.
  if (ip->version_ihl != RTE_IPV4_VHL_DEF || ip->next_proto_id != IPPROTO_UDP) return false;
  const std::uint16_t fragment = rte_be_to_cpu_16(ip->fragment_offset);
  if ((fragment & (RTE_IPV4_HDR_MF_FLAG | RTE_IPV4_HDR_OFFSET_MASK)) != 0) return false;
  if (ip->dst_addr != ipv4_of(options.local.address) || rte_ipv4_cksum(ip) != 0) return false;
  const std::uint32_t total_bytes = rte_be_to_cpu_16(ip->total_length);
  if (total_bytes < kIpv4Bytes + kUdpBytes || total_bytes > buffer->data_len - kEthernetBytes)
    return false;
  if (!read_udp(buffer, kEthernetBytes + kIpv4Bytes, total_bytes - kIpv4Bytes)) return false;
  const auto* udp = header_at<const rte_udp_hdr>(buffer, kEthernetBytes + kIpv4Bytes);
  // RFC 768: a checksum of zero was not computed.
  if (udp->dgram_cksum != 0 && rte_ipv4_udptcp_cksum(ip, udp) != kChecksumHolds) return false;
  source = mapped(ip->src_addr);
  return true;
}

bool DpdkPort::State::read_ipv6(rte_mbuf* buffer, Address& source) const {
  const auto* ip = header_at<const rte_ipv6_hdr>(buffer, kEthernetBytes);
  if ((rte_be_to_cpu_32(ip->vtc_flow) >> 28) != 6 || ip->proto != IPPROTO_UDP) return false;
  if (std::memcmp(ip->dst_addr, options.local.address.data(), 16) != 0) return false;
  const std::uint32_t payload_bytes = rte_be_to_cpu_16(ip->payload_len);
  if (payload_bytes < kUdpBytes || payload_bytes > buffer->data_len - kEthernetBytes - kIpv6Bytes)
    return false;
  if (!read_udp(buffer, kEthernetBytes + kIpv6Bytes, payload_bytes)) return false;
  const auto* udp = header_at<const rte_udp_hdr>(buffer, kEthernetBytes + kIpv6Bytes);
  // RFC 8200 8.1: over IPv6 the checksum is not optional.
  if (udp->dgram_cksum == 0 || rte_ipv6_udptcp_cksum(ip, udp) != kChecksumHolds) return false;
  std::memcpy(source.data(), ip->src_addr, 16);
  return true;
}

/// The UDP length must be that of the IP payload, so that the checksum covers what is delivered.
bool DpdkPort::State::read_udp(rte_mbuf* buffer, std::uint32_t offset_bytes,
                               std::uint32_t ip_payload_bytes) const {
  const auto* udp = header_at<const rte_udp_hdr>(buffer, offset_bytes);
  return rte_be_to_cpu_16(udp->dgram_len) == ip_payload_bytes &&
         rte_be_to_cpu_16(udp->dst_port) == options.local.port;
}

void DpdkPort::State::learn(const Address& address, const rte_ether_addr& peer) {
  const auto found = neighbours.find(address);
  if (found != neighbours.end() && rte_is_unicast_ether_addr(&peer)) found->second.ethernet = peer;
}

std::size_t DpdkPort::tx_alloc(std::span<TxPacket> packets) {
  State& state = *state_;
  std::size_t count = 0;
  while (count < packets.size() && state.tx_out_count < state.options.tx_buffers_count) {
    rte_mbuf* buffer = rte_pktmbuf_alloc(state.pool);
    if (buffer == nullptr) break;
    packets[count++] = {header_at<std::byte>(buffer, state.headers_bytes), state.max_payload_bytes,
                        0, DestinationId{}};
    ++state.tx_out_count;
  }
  if (count < packets.size()) ++state.counters.buffers_exhausted;
  return count;
}

void DpdkPort::tx_free(std::span<const TxPacket> packets) {
  for (const TxPacket& packet : packets) rte_pktmbuf_free(state_->buffer_of(packet));
  state_->tx_out_count -= static_cast<std::uint32_t>(packets.size());
}

std::size_t DpdkPort::tx_burst(std::span<const TxPacket> packets) {
  State& state = *state_;
  const std::span<const TxPacket> burst = packets.first(std::min(packets.size(), kBurstPackets));
  std::size_t taken = 0;
  while (taken < burst.size()) {
    const std::span<const TxPacket> rest = burst.subspan(taken);
    if (!state.sendable(rest.front())) {
      ++state.counters.tx_errors;
      tx_free(rest.first(1));
      ++taken;
      continue;
    }
    std::size_t wanted = 1;
    while (wanted < rest.size() && state.sendable(rest[wanted])) ++wanted;
    const std::size_t sent = state.send(rest.first(wanted));
    taken += sent;
    if (sent < wanted) {
      ++state.counters.tx_full;
      break;
    }
  }
  return taken;
}

bool DpdkPort::State::sendable(const TxPacket& packet) {
  return packet.bytes > 0 && packet.bytes <= max_payload_bytes &&
         destinations.find(packet.destination) != nullptr;
}

std::size_t DpdkPort::State::send(std::span<const TxPacket> packets) {
  std::array<rte_mbuf*, kBurstPackets> buffers;
  for (std::size_t index = 0; index < packets.size(); ++index) {
    buffers[index] = buffer_of(packets[index]);
    write_headers(buffers[index], *destinations.find(packets[index].destination),
                  packets[index].bytes);
  }
  const std::size_t sent =
      rte_eth_tx_burst(device, 0, buffers.data(), static_cast<std::uint16_t>(packets.size()));
  for (const TxPacket& packet : packets.first(sent)) counters.tx_bytes += packet.bytes;
  counters.tx_packets += sent;
  tx_out_count -= static_cast<std::uint32_t>(sent);
  return sent;
}

void DpdkPort::State::write_headers(rte_mbuf* buffer, const Remote& remote,
                                    std::uint32_t payload_bytes) {
  buffer->data_len = static_cast<std::uint16_t>(headers_bytes + payload_bytes);
  buffer->pkt_len = headers_bytes + payload_bytes;
  auto* frame = header_at<rte_ether_hdr>(buffer, 0);
  frame->dst_addr = remote.neighbour->ethernet;
  frame->src_addr = ethernet;
  auto* udp = header_at<rte_udp_hdr>(buffer, headers_bytes - kUdpBytes);
  udp->src_port = rte_cpu_to_be_16(options.local.port);
  udp->dst_port = rte_cpu_to_be_16(remote.endpoint.port);
  udp->dgram_len = rte_cpu_to_be_16(static_cast<std::uint16_t>(kUdpBytes + payload_bytes));
  udp->dgram_cksum = 0;
  if (is_ipv4)
    write_ipv4(buffer, remote, payload_bytes);
  else
    write_ipv6(buffer, remote, payload_bytes);
}

void DpdkPort::State::write_ipv4(rte_mbuf* buffer, const Remote& remote,
                                 std::uint32_t payload_bytes) {
  header_at<rte_ether_hdr>(buffer, 0)->ether_type = rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4);
  auto* ip = header_at<rte_ipv4_hdr>(buffer, kEthernetBytes);
  *ip = {};
  ip->version_ihl = RTE_IPV4_VHL_DEF;
  ip->total_length =
      rte_cpu_to_be_16(static_cast<std::uint16_t>(kIpv4Bytes + kUdpBytes + payload_bytes));
  ip->packet_id = rte_cpu_to_be_16(next_identification++);
  ip->fragment_offset = rte_cpu_to_be_16(kDontFragment);
  ip->time_to_live = kTimeToLive;
  ip->next_proto_id = IPPROTO_UDP;
  ip->src_addr = ipv4_of(options.local.address);
  ip->dst_addr = ipv4_of(remote.endpoint.address);
  ip->hdr_checksum = rte_ipv4_cksum(ip);
  auto* udp = header_at<rte_udp_hdr>(buffer, kEthernetBytes + kIpv4Bytes);
  udp->dgram_cksum = rte_ipv4_udptcp_cksum(ip, udp);
}

void DpdkPort::State::write_ipv6(rte_mbuf* buffer, const Remote& remote,
                                 std::uint32_t payload_bytes) {
  header_at<rte_ether_hdr>(buffer, 0)->ether_type = rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV6);
  auto* ip = header_at<rte_ipv6_hdr>(buffer, kEthernetBytes);
  *ip = {};
  ip->vtc_flow = rte_cpu_to_be_32(6U << 28);
  ip->payload_len = rte_cpu_to_be_16(static_cast<std::uint16_t>(kUdpBytes + payload_bytes));
  ip->proto = IPPROTO_UDP;
  ip->hop_limits = kTimeToLive;
  std::memcpy(ip->src_addr, options.local.address.data(), 16);
  std::memcpy(ip->dst_addr, remote.endpoint.address.data(), 16);
  auto* udp = header_at<rte_udp_hdr>(buffer, kEthernetBytes + kIpv6Bytes);
  udp->dgram_cksum = rte_ipv6_udptcp_cksum(ip, udp);
}

}  // namespace ringwire::port
