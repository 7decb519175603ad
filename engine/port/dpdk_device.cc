#include "engine/port/dpdk_device.h"

#include <rte_alarm.h>
#include <rte_dev.h>
#include <rte_devargs.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_log.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <string_view>
#include <utility>

#include "engine/port/dpdk_advice.h"
#include "engine/port/dpdk_steering.h"
#include "engine/port/dpdk_unmap.h"

namespace ringwire::port {
namespace {

/// Buffers that a pool keeps at hand for a thread without taking a lock: two bursts.
constexpr unsigned kPoolCache = 2 * kBurstPackets;
/// DPDK lets a thread keep half as much again.
constexpr std::uint32_t kPoolCacheMost = kPoolCache + kPoolCache / 2;
/// A link that went down is told of, and a memif client connects again, within this long.
constexpr std::uint64_t kLookAtLinkUs = 100'000;

PortError device_error(int error, const std::string& what, std::string advice = {}) {
  const bool unsupported = error == ENOTSUP || error == ENOMEM;
  return {unsupported ? PortErrorCode::kUnsupported : PortErrorCode::kSystem, error,
          "cannot " + what + ": " + rte_strerror(error) + std::move(advice)};
}

std::string_view driver_of(std::uint16_t device) {
  rte_eth_dev_info info{};
  return rte_eth_dev_info_get(device, &info) == 0 ? info.driver_name : "";
}

PortError bad_options(std::string text) { return {PortErrorCode::kBadOptions, 0, std::move(text)}; }

/// The offloads of `wanted` if the device has them all.
std::uint64_t all_or_none(std::uint64_t offered, std::uint64_t wanted) {
  return (offered & wanted) == wanted ? wanted : 0;
}

/// What stands behind `key` among a virtual device's arguments.
std::optional<std::uint32_t> number_behind(std::string_view arguments, std::string_view key) {
  const std::size_t at = arguments.find(key);
  if (at == std::string_view::npos) return std::nullopt;
  const std::string_view text = arguments.substr(at + key.size());
  std::uint32_t number = 0;
  if (std::from_chars(text.data(), text.data() + text.size(), number).ec != std::errc{})
    return std::nullopt;
  return number;
}

/// Packets that a device's receive queue holds, where its arguments decide that and not the number
/// of descriptors that it is asked for.
std::optional<std::uint32_t> fixed_queue_packets(const rte_eth_dev_info& info) {
  const std::string_view driver = info.driver_name;
  const rte_devargs* given = rte_dev_devargs(info.device);
  const std::string_view arguments = given == nullptr || given->args == nullptr ? "" : given->args;
  if (driver == "net_af_packet") return number_behind(arguments, "framecnt=").value_or(512);
  // The kernel's side of a tap keeps 1,000 packets, among them some that it makes itself.
  if (driver == "net_tap") return 512;
  if (driver == "net_memif")
    return 1U << std::min(number_behind(arguments, "rsize=").value_or(10), 16U);
  return std::nullopt;
}

}  // namespace

std::uint32_t DpdkDevice::buffers_count(const DpdkPortOptions& options) {
  const std::uint32_t waiting_packets = kWaitingPackets;
  const std::uint32_t cache_buffers = kPoolCacheMost;
  const std::uint32_t burst_packets = kBurstPackets;
  return options.rx_descriptors_count                  // waiting in the device
         + options.tx_descriptors_count                // leaving through the device
         + options.tx_buffers_count                    // being filled by the caller
         + waiting_packets                             // waiting for an Ethernet address
         + burst_packets                               // handed out by rx_burst
         + burst_packets                               // held by the driver between two bursts
         + (options.queues_count - 1) * kInboxPackets  // handed over to the other workers
         + options.queues_count * cache_buffers;       // at hand for each thread that frees some
}

std::uint32_t DpdkDevice::buffer_bytes(std::uint32_t frame_bytes) {
  // A device may be given what it wants of alignment; the cost is below one part in a hundred.
  const std::uint32_t bytes = (RTE_PKTMBUF_HEADROOM + frame_bytes + 127) / 128 * 128;
  // net_af_packet, and some NICs, want room for 2,048 bytes whatever the MTU is.
  return std::max<std::uint32_t>(bytes, RTE_MBUF_DEFAULT_BUF_SIZE);
}

Result<std::shared_ptr<DpdkDevice>, PortError> DpdkDevice::open(const DpdkPortOptions& options) {
  std::shared_ptr<DpdkDevice> device(new DpdkDevice(options));
  for (const auto step : {&DpdkDevice::find, &DpdkDevice::choose_limits, &DpdkDevice::make_queues,
                          &DpdkDevice::start})
    if (auto error = (*device.*step)()) return Failure{std::move(*error)};
  return device;
}

DpdkDevice::~DpdkDevice() {
  if (options_.watches_link) rte_eal_alarm_cancel(look_at_link, this);
  if (is_started_) rte_eth_dev_stop(id_);
  if (is_ours_) rte_eth_dev_close(id_);
  for (const Queue& queue : queues_) {
    void* buffer = nullptr;
    while (queue.inbox != nullptr && rte_ring_dequeue(queue.inbox, &buffer) == 0)
      rte_pktmbuf_free(static_cast<rte_mbuf*>(buffer));
  }
  for (const Queue& queue : queues_) {
    rte_ring_free(queue.inbox);
    rte_mempool_free(queue.pool);
  }
}

std::optional<PortError> DpdkDevice::find() {
  if (rte_eth_dev_get_port_by_name(options_.device.c_str(), &id_) == 0) return std::nullopt;
  return bad_options("DPDK has no device \"" + options_.device +
                     "\": is it bound to a DPDK driver, or named by --vdev?");
}

std::optional<PortError> DpdkDevice::choose_limits() {
  rte_eth_dev_info info{};
  if (const int result = rte_eth_dev_info_get(id_, &info); result < 0)
    return device_error(-result, "ask " + options_.device + " for its limits");
  const std::string_view driver = info.driver_name;
  // docs/decisions/0011: what lies across two small pages would be lost, without a word.
  if (driver == "net_af_xdp" && rte_eal_has_hugepages() == 0)
    return PortError{PortErrorCode::kUnsupported, ENOTSUP,
                     options_.device +
                         " needs hugepages: leave out --no-huge and `sysctl -w vm.nr_hugepages=512`"
                         "; net_af_packet does without"};
  const std::uint32_t most_queues = std::min<std::uint32_t>(info.max_rx_queues, info.max_tx_queues);
  if (options_.queues_count > most_queues)
    return bad_options(options_.device + " has " + std::to_string(most_queues) +
                       " pairs of queues, and " + std::to_string(options_.queues_count) +
                       " workers want one each: lower [node] workers, or give it more "
                       "(net_af_packet: qpairs=N, net_vhost and net_virtio_user: queues=N)");
  if (const auto packets = fixed_queue_packets(info))
    options_.rx_descriptors_count = static_cast<std::uint16_t>(
        std::min<std::uint32_t>(options_.rx_descriptors_count, *packets));
  // net_memif tells an MTU of 1,500 whatever its bsize is, refuses to be told another, and carries
  // what fits its buffers all the same.
  is_memif_ = driver == "net_memif";
  if (options_.mtu_bytes == 0) {
    std::uint16_t mtu_bytes = 0;
    if (const int result = rte_eth_dev_get_mtu(id_, &mtu_bytes); result < 0)
      return device_error(-result, "ask " + options_.device + " for its MTU");
    options_.mtu_bytes = mtu_bytes;
  } else if (!is_memif_ && info.max_mtu != 0 && options_.mtu_bytes > info.max_mtu) {
    return bad_options("an MTU of " + std::to_string(options_.mtu_bytes) + " bytes was asked of " +
                       options_.device + ", which has at most " + std::to_string(info.max_mtu));
  }
  rules_.local = options_.local;
  rules_.workers_count = options_.queues_count;
  rules_.vlan = options_.vlan;
  rules_.is_ipv4 = options_.local.is_ipv4();
  rules_.ip_at_bytes = kEthernetBytes + (options_.vlan == 0 ? 0 : kTagBytes);
  const std::uint32_t ip_udp_bytes = (rules_.is_ipv4 ? kIpv4Bytes : kIpv6Bytes) + kUdpBytes;
  rules_.headers_bytes = rules_.ip_at_bytes + ip_udp_bytes;
  if (options_.mtu_bytes <= ip_udp_bytes || options_.payload_bytes == 0)
    return bad_options("an MTU of " + std::to_string(options_.mtu_bytes) +
                       " bytes leaves no room for a payload");
  rules_.max_payload_bytes = std::min(options_.payload_bytes, options_.mtu_bytes - ip_udp_bytes);
  rules_.takes_partial_checksums = driver == "net_af_packet" || driver == "net_af_xdp";
  const std::uint64_t rx_ip = rules_.is_ipv4 ? RTE_ETH_RX_OFFLOAD_IPV4_CKSUM : 0;
  const std::uint64_t tx_ip = rules_.is_ipv4 ? RTE_ETH_TX_OFFLOAD_IPV4_CKSUM : 0;
  rx_offloads_ = all_or_none(info.rx_offload_capa, rx_ip | RTE_ETH_RX_OFFLOAD_UDP_CKSUM);
  tx_offloads_ = all_or_none(info.tx_offload_capa, tx_ip | RTE_ETH_TX_OFFLOAD_UDP_CKSUM);
  rules_.tx_offload = tx_offloads_ != 0;
  rules_.omits_udp_checksum = is_memif_ && rules_.is_ipv4;
  // All buffers of a queue come from one pool, and nobody else holds them.
  tx_offloads_ |= all_or_none(info.tx_offload_capa, RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE);
  if (options_.queues_count > 1)
    rss_ =
        info.flow_type_rss_offloads & (RTE_ETH_RSS_NONFRAG_IPV4_UDP | RTE_ETH_RSS_NONFRAG_IPV6_UDP);
  return std::nullopt;
}

std::optional<PortError> DpdkDevice::make_queues() {
  const std::uint32_t count = buffers_count(options_);
  const std::uint32_t bytes =
      buffer_bytes(std::max<std::uint32_t>(rules_.headers_bytes + rules_.max_payload_bytes,
                                           options_.mtu_bytes + kEthernetBytes + kTagBytes));
  if (bytes > 0xffff) return bad_options("an MTU of so many bytes is more than a buffer can have");
  // A virtual device is on no socket in particular, which DPDK calls any.
  const int socket = rte_eth_dev_socket_id(id_);
  for (std::uint32_t index = 0; index < options_.queues_count; ++index) {
    const std::string name = "rw_" + std::to_string(id_) + "_" + std::to_string(index);
    Queue queue;
    queue.pool = rte_pktmbuf_pool_create(name.c_str(), count, kPoolCache, 0,
                                         static_cast<std::uint16_t>(bytes), socket);
    // The name is the device's: one owner.
    if (queue.pool == nullptr && rte_errno == EEXIST)
      return PortError{PortErrorCode::kAddressInUse, EEXIST,
                       "cannot open " + options_.device + ": another port of this process has it"};
    if (queue.pool == nullptr)
      return device_error(rte_errno,
                          "get " + std::to_string(count) + " packet buffers of " +
                              std::to_string(bytes) + " bytes for " + options_.device,
                          "; DPDK needs more memory: more hugepages, or -m with --no-huge");
    queues_.push_back(queue);
    is_ours_ = true;
    if (options_.queues_count == 1) break;
    queues_.back().inbox = rte_ring_create(name.c_str(), kInboxPackets, socket, RING_F_SC_DEQ);
    if (queues_.back().inbox == nullptr)
      return device_error(rte_errno, "make a hand-over ring for " + options_.device);
  }
  return std::nullopt;
}

std::optional<PortError> DpdkDevice::start() {
  rte_eth_conf configuration{};
  if (!is_memif_) configuration.rxmode.mtu = options_.mtu_bytes;
  configuration.rxmode.offloads = rx_offloads_;
  configuration.txmode.offloads = tx_offloads_;
  if (rss_ != 0) {
    configuration.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
    configuration.rx_adv_conf.rss_conf.rss_hf = rss_;
  }
  const auto queues_count = static_cast<std::uint16_t>(options_.queues_count);
  if (const int result = rte_eth_dev_configure(id_, queues_count, queues_count, &configuration);
      result < 0)
    return device_error(-result, "configure " + options_.device,
                        advice_on_device_start(driver_of(id_), -result));
  if (auto error = set_up_queues()) return error;
  rte_ether_addr ethernet{};
  if (const int result = rte_eth_macaddr_get(id_, &ethernet); result < 0)
    return device_error(-result, "ask " + options_.device + " for its Ethernet address");
  std::memcpy(rules_.ethernet.data(), &ethernet, rules_.ethernet.size());
  if (rte_is_zero_ether_addr(&ethernet)) name_device();
  if (const int result = rte_eth_dev_start(id_); result < 0)
    return device_error(-result, "start " + options_.device,
                        advice_on_device_start(driver_of(id_), -result));
  is_started_ = true;
  log_ = rte_log_register_type_and_pick_level("ringwire.port", RTE_LOG_NOTICE);
  receive_groups();
  steer();
  watch_link();
  return std::nullopt;
}

/// A device without an address of its own (net_ring) gets one that nobody administers, with the end
/// of our IP address in it: others of its kind on the link differ in that. What cannot be told its
/// address does not look at it either.
void DpdkDevice::name_device() {
  rules_.ethernet = {0x02, 0x72};
  std::copy(options_.local.address.end() - 4, options_.local.address.end(),
            rules_.ethernet.begin() + 2);
  rte_ether_addr ethernet{};
  std::memcpy(&ethernet, rules_.ethernet.data(), rules_.ethernet.size());
  rte_eth_dev_default_mac_addr_set(id_, &ethernet);
}

std::optional<PortError> DpdkDevice::set_up_queues() {
  std::uint16_t rx_count = options_.rx_descriptors_count;
  std::uint16_t tx_count = options_.tx_descriptors_count;
  if (const int result = rte_eth_dev_adjust_nb_rx_tx_desc(id_, &rx_count, &tx_count); result < 0)
    return device_error(-result, "size the queues of " + options_.device);
  // More would need more buffers than the pools were sized for; fewer must be announced.
  if (rx_count > options_.rx_descriptors_count || tx_count > options_.tx_descriptors_count)
    return bad_options(options_.device + " needs at least " + std::to_string(rx_count) +
                       " receive and " + std::to_string(tx_count) + " transmit descriptors");
  options_.rx_descriptors_count = rx_count;
  const auto socket = static_cast<unsigned>(rte_eth_dev_socket_id(id_));
  for (std::uint16_t index = 0; index < queues_.size(); ++index) {
    if (const int result =
            rte_eth_rx_queue_setup(id_, index, rx_count, socket, nullptr, queues_[index].pool);
        result < 0)
      return device_error(-result, "set up a receive queue of " + options_.device,
                          advice_on_device_start(driver_of(id_), -result));
    if (const int result = rte_eth_tx_queue_setup(id_, index, tx_count, socket, nullptr);
        result < 0)
      return device_error(-result, "set up a transmit queue of " + options_.device,
                          advice_on_device_start(driver_of(id_), -result));
  }
  return std::nullopt;
}

/// Neighbour discovery comes to multicast addresses. What a device cannot filter it passes on
/// anyway.
void DpdkDevice::receive_groups() {
  if (rules_.is_ipv4 || rte_eth_allmulticast_enable(id_) == 0) return;
  if (rte_eth_promiscuous_enable(id_) != 0)
    rte_log(RTE_LOG_NOTICE, static_cast<std::uint32_t>(log_),
            "ringwire: %s takes no order to receive multicast: do neighbours find it?\n",
            options_.device.c_str());
}

void DpdkDevice::steer() {
  if (options_.queues_count == 1) return;
  const std::optional<std::string> refusal = steer_by_port(id_, rules_);
  is_steered_ = !refusal;
  if (refusal)
    rte_log(RTE_LOG_NOTICE, static_cast<std::uint32_t>(log_),
            "ringwire: %s does not steer by UDP port (%s): workers hand packets to each other\n",
            options_.device.c_str(), refusal->c_str());
}

void DpdkDevice::watch_link() {
  was_up_ = true;
  // Alarms come on DPDK's interrupt thread.
  rte_eal_alarm_set(
      1, [](void*) { wait_for_bursts_on_this_thread(); }, nullptr);
  if (options_.watches_link) rte_eal_alarm_set(1, look_at_link, this);
}

/// On DPDK's interrupt thread. Asking is what makes a net_memif client connect again.
void DpdkDevice::look_at_link(void* pointer) {
  auto& device = *static_cast<DpdkDevice*>(pointer);
  const bool is_up = device.is_link_up();
  if (is_up != device.was_up_)
    rte_log(RTE_LOG_NOTICE, static_cast<std::uint32_t>(device.log_), "ringwire: link of %s: %s\n",
            device.options_.device.c_str(), is_up ? "up" : "down");
  device.was_up_ = is_up;
  rte_eal_alarm_set(kLookAtLinkUs, look_at_link, pointer);
}

std::uint32_t DpdkDevice::link_mbits() const {
  rte_eth_link link{};
  const bool is_known =
      rte_eth_link_get_nowait(id_, &link) == 0 && link.link_speed != RTE_ETH_SPEED_NUM_UNKNOWN;
  return is_known ? link.link_speed : 0;
}

bool DpdkDevice::is_link_up() const {
  rte_eth_link link{};
  return rte_eth_link_get_nowait(id_, &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
}

}  // namespace ringwire::port
