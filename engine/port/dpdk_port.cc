#include "engine/port/dpdk_port.h"

#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/check.h"
#include "engine/port/dpdk_device.h"
#include "engine/port/dpdk_frame.h"
#include "engine/port/dpdk_lcore.h"
#include "engine/port/dpdk_unmap.h"

namespace ringwire::port {
namespace {

/// Calls of rx_burst between two looks at the time, when nothing else wants one: at 50 us a call (a
/// worker that naps) 13 ms.
constexpr std::uint32_t kCallsPerLook = 256;
/// For the Ethernet address of the next hop; whoever sent the packet has sent it again by then.
constexpr DurationNs kMaxWaitNs = kSecondNs;
/// What others may want to know is not handed to a worker whose inbox is filled beyond this.
constexpr unsigned kInboxNews = kInboxPackets / 4;

struct Remote {
  FrameHeader header;
  NeighbourId neighbour{};
};

/// A packet without an address to go to.
struct Waiting {
  rte_mbuf* buffer = nullptr;
  DestinationId destination{};
  std::uint32_t payload_bytes = 0;
  TimeNs until_ns = 0;
};

/// The processor's counter as a time; the port needs no more of a clock than that it runs on.
TimeNs now_ns() {
  __extension__ using Wide = unsigned __int128;  // not ISO C++; both compilers of ours have it
  return static_cast<TimeNs>(Wide{rte_rdtsc()} * kSecondNs / rte_get_tsc_hz());
}

NeighboursOptions neighbours_options(const DpdkDevice& device) {
  NeighboursOptions options;
  options.ethernet = device.rules().ethernet;
  options.local = device.rules().local.address;
  options.gateway = device.options().gateway;
  options.prefix_bits = device.options().prefix_bits;
  // Workers of one node share its address; some more, so that those just closed stay known.
  options.capacity_count = std::min<std::uint32_t>(device.options().destinations_count, 2'048) + 16;
  return options;
}

}  // namespace

struct DpdkPort::State {
  State(std::shared_ptr<const DpdkDevice> shared, std::uint16_t own_queue)
      : device(std::move(shared)),
        rules(device->rules()),
        queue(own_queue),
        mark(burst_mark(device->id(), own_queue)),
        pool(device->queues()[own_queue].pool),
        inbox(device->queues()[own_queue].inbox),
        destinations(device->options().destinations_count),
        neighbours(neighbours_options(*device)) {}
  ~State();
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  void free_handed_out();
  [[nodiscard]] std::size_t receive(std::span<rte_mbuf*> buffers);
  std::size_t take_inbox(std::span<RxPacket> packets);
  enum class From { kDevice, kInbox };
  [[nodiscard]] bool take_frame(rte_mbuf* buffer, RxPacket& packet, From from);
  void hand_over(rte_mbuf* buffer, std::uint32_t worker);
  void on_other(rte_mbuf* buffer, From from);
  void tell_others(rte_mbuf* buffer);
  void look_around();
  void send_request(TimeNs now);
  void send_waiting(TimeNs now);
  void send_own(rte_mbuf* buffer, std::size_t bytes);
  void write(const Remote& remote, const EthernetAddress& to, std::uint32_t payload_bytes,
             rte_mbuf* buffer);
  [[nodiscard]] std::size_t send(std::span<rte_mbuf*> buffers);
  [[nodiscard]] std::size_t transmit(std::span<rte_mbuf*> buffers);
  [[nodiscard]] bool is_sendable(const TxPacket& packet) const;
  void wait(const TxPacket& packet);

  /// The buffer that a TxPacket's bytes lie in: they start at a fixed distance from it.
  [[nodiscard]] rte_mbuf* buffer_of(const TxPacket& packet) const {
    return reinterpret_cast<rte_mbuf*>(packet.data - rules.headers_bytes - RTE_PKTMBUF_HEADROOM -
                                       sizeof(rte_mbuf));
  }

  std::shared_ptr<const DpdkDevice> device;
  const FrameRules& rules;
  std::uint16_t queue;
  BurstMark& mark;
  rte_mempool* pool;
  rte_ring* inbox;
  DestinationTable<Remote> destinations;
  Neighbours neighbours;
  std::array<rte_mbuf*, kBurstPackets> handed_out{};
  std::size_t handed_out_count = 0;
  std::array<Waiting, kWaitingPackets> waiting{};
  std::size_t waiting_count = 0;
  std::uint32_t tx_out_count = 0;  ///< buffers that the caller holds
  std::uint32_t calls = 0;
  bool has_news = true;    ///< the neighbours want to be looked at
  bool is_polled = false;  ///< by the thread that will do so from now on
  std::uint16_t next_identification = 0;
  PortCounters counters;
};

DpdkPort::State::~State() {
  free_handed_out();
  for (const Waiting& one : std::span(waiting).first(waiting_count)) rte_pktmbuf_free(one.buffer);
}

DpdkPort::DpdkPort(std::unique_ptr<State> state) : state_(std::move(state)) {}
DpdkPort::~DpdkPort() = default;

Result<std::vector<std::unique_ptr<DpdkPort>>, PortError> DpdkPort::open_all(
    const DpdkPortOptions& options) {
  const auto bad = [](const char* text) {
    return Failure{PortError{PortErrorCode::kBadOptions, 0, text}};
  };
  if (options.local.port == 0)
    return bad("a DPDK port needs a UDP port number: nobody can choose one for it");
  if (options.tx_buffers_count == 0 || options.destinations_count == 0 ||
      options.rx_descriptors_count == 0 || options.tx_descriptors_count == 0 ||
      options.queues_count == 0)
    return bad("a port needs queues, transmit buffers, destinations and descriptors");
  auto opened = DpdkDevice::open(options);
  if (!opened.ok()) return Failure{opened.error()};
  const std::shared_ptr<const DpdkDevice> device = std::move(opened).value();
  std::vector<std::unique_ptr<DpdkPort>> ports;
  for (std::uint16_t queue = 0; queue < options.queues_count; ++queue)
    ports.push_back(
        std::unique_ptr<DpdkPort>(new DpdkPort(std::make_unique<State>(device, queue))));
  return ports;
}

Result<std::unique_ptr<DpdkPort>, PortError> DpdkPort::open(const DpdkPortOptions& options) {
  DpdkPortOptions one = options;
  one.queues_count = 1;
  auto ports = open_all(one);
  if (!ports.ok()) return Failure{ports.error()};
  return std::move(ports.value().front());
}

std::uint64_t DpdkPort::memory_bytes(const DpdkPortOptions& options) {
  const std::uint32_t mtu_bytes = options.mtu_bytes == 0 ? 1'500 : options.mtu_bytes;
  return std::uint64_t{DpdkDevice::buffers_count(options)} *
         (sizeof(rte_mbuf) + DpdkDevice::buffer_bytes(mtu_bytes + kEthernetBytes + kTagBytes));
}

std::uint32_t DpdkPort::max_payload_bytes() const { return state_->rules.max_payload_bytes; }
std::uint64_t DpdkPort::receive_queue_bytes() const {
  return std::uint64_t{state_->device->options().rx_descriptors_count} * kPacketChargeBytes;
}
Endpoint DpdkPort::local() const {
  Endpoint local = state_->rules.local;
  local.port = static_cast<std::uint16_t>(local.port + state_->queue);
  return local;
}
const PortCounters& DpdkPort::counters() const { return state_->counters; }
const NeighbourCounters& DpdkPort::neighbour_counters() const {
  return state_->neighbours.counters();
}
bool DpdkPort::is_link_up() { return state_->device->is_link_up(); }
bool DpdkPort::is_steered() const { return state_->device->is_steered(); }
std::uint32_t DpdkPort::link_mbits() const { return state_->device->link_mbits(); }
bool DpdkPort::knows(DestinationId destination) const {
  const Remote* remote = state_->destinations.find(destination);
  return remote != nullptr && state_->neighbours.find(remote->neighbour) != nullptr;
}

bool DpdkPort::open_destination(const Endpoint& remote, DestinationId& destination) {
  State& state = *state_;
  if (remote.is_ipv4() != state.rules.is_ipv4) return false;
  const auto neighbour = state.neighbours.open(remote.address);
  if (!neighbour) return false;
  const auto opened =
      state.destinations.open({make_header(state.rules, state.queue, remote), *neighbour});
  if (!opened) {
    state.neighbours.close(*neighbour);
    return false;
  }
  state.has_news = true;
  destination = *opened;
  return true;
}

void DpdkPort::close_destination(DestinationId destination) {
  State& state = *state_;
  const Remote* remote = state.destinations.find(destination);
  RW_CHECK(remote != nullptr);
  state.neighbours.close(remote->neighbour);
  state.destinations.close(destination);
  const auto all = std::span(state.waiting).first(state.waiting_count);
  const auto gone = std::remove_if(all.begin(), all.end(), [destination](const Waiting& one) {
    if (one.destination != destination) return false;
    rte_pktmbuf_free(one.buffer);
    return true;
  });
  state.counters.tx_errors += static_cast<std::uint64_t>(all.end() - gone);
  state.waiting_count = static_cast<std::size_t>(gone - all.begin());
}

std::size_t DpdkPort::rx_burst(std::span<RxPacket> packets) {
  State& state = *state_;
  if (!state.is_polled) {
    state.is_polled = true;
    take_lcore();
  }
  state.free_handed_out();
  packets = packets.first(std::min(packets.size(), kBurstPackets));
  std::size_t count = state.inbox == nullptr ? 0 : state.take_inbox(packets);
  std::array<rte_mbuf*, kBurstPackets> received;
  const std::size_t received_count =
      state.receive(std::span(received).first(packets.size() - count));
  for (rte_mbuf* buffer : std::span(received).first(received_count))
    if (state.take_frame(buffer, packets[count], State::From::kDevice)) ++count;
  state.counters.rx_packets += count;
  if (state.has_news || ++state.calls >= kCallsPerLook) state.look_around();
  return count;
}

std::size_t DpdkPort::State::receive(std::span<rte_mbuf*> buffers) {
  const Burst burst(mark);
  return rte_eth_rx_burst(device->id(), queue, buffers.data(),
                          static_cast<std::uint16_t>(buffers.size()));
}

std::size_t DpdkPort::State::take_inbox(std::span<RxPacket> packets) {
  std::array<void*, kBurstPackets> received;
  const unsigned received_count = rte_ring_sc_dequeue_burst(
      inbox, received.data(), static_cast<unsigned>(packets.size()), nullptr);
  std::size_t count = 0;
  for (void* buffer : std::span(received).first(received_count))
    if (take_frame(static_cast<rte_mbuf*>(buffer), packets[count], From::kInbox)) ++count;
  return count;
}

void DpdkPort::State::free_handed_out() {
  rte_pktmbuf_free_bulk(handed_out.data(), static_cast<unsigned>(handed_out_count));
  handed_out_count = 0;
}

/// True when `packet` is a payload for this worker, which keeps the buffer; false when the buffer
/// went elsewhere.
bool DpdkPort::State::take_frame(rte_mbuf* buffer, RxPacket& packet, From from) {
  // Buffers take a whole frame; a device that splits one all the same (for its own limits) has its
  // pieces put together if they fit the first.
  FrameContent content;
  if (buffer->nb_segs == 1 || rte_pktmbuf_linearize(buffer) == 0)
    content = read_frame(rules, buffer);
  if (content.kind == FrameKind::kPayload && content.worker == queue) {
    packet = content.packet;
    counters.rx_bytes += packet.bytes.size();
    handed_out[handed_out_count++] = buffer;
    return true;
  }
  if (content.kind == FrameKind::kPayload) {
    hand_over(buffer, content.worker);
    return false;
  }
  if (content.kind == FrameKind::kOther)
    on_other(buffer, from);
  else
    ++counters.rx_errors;
  rte_pktmbuf_free(buffer);
  return false;
}

void DpdkPort::State::hand_over(rte_mbuf* buffer, std::uint32_t worker) {
  // Its checksum was right: the other worker need not see to that.
  buffer->ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_GOOD | RTE_MBUF_F_RX_IP_CKSUM_GOOD;
  if (rte_ring_mp_enqueue(device->queues()[worker].inbox, buffer) == 0) {
    ++counters.handed_over;
    return;
  }
  ++counters.rx_errors;
  rte_pktmbuf_free(buffer);
}

void DpdkPort::State::on_other(rte_mbuf* buffer, From from) {
  const std::span frame(rte_pktmbuf_mtod(buffer, const std::byte*), buffer->data_len);
  rte_mbuf* answer = rte_pktmbuf_alloc(pool);
  if (answer == nullptr) {
    ++counters.buffers_exhausted;
    return;
  }
  const std::span room(rte_pktmbuf_mtod(answer, std::byte*), rte_pktmbuf_tailroom(answer));
  const std::uint64_t learned_before = neighbours.counters().learned;
  const Neighbours::Outcome outcome = neighbours.on_frame(now_ns(), frame, room);
  has_news |= neighbours.counters().learned != learned_before;
  if (outcome.answer_bytes != 0)
    send_own(answer, outcome.answer_bytes);
  else
    rte_pktmbuf_free(answer);
  if (outcome.is_news && from == From::kDevice) tell_others(buffer);
}

void DpdkPort::State::tell_others(rte_mbuf* buffer) {
  for (std::uint32_t worker = 0; worker < rules.workers_count; ++worker) {
    rte_ring* target = device->queues()[worker].inbox;
    if (worker == queue || rte_ring_count(target) > kInboxNews) continue;
    rte_mbuf* copy = rte_pktmbuf_copy(buffer, pool, 0, UINT32_MAX);
    if (copy == nullptr) return;
    if (rte_ring_mp_enqueue(target, copy) != 0) rte_pktmbuf_free(copy);
  }
}

/// A frame of ours that no caller asked for. Lost where the device is full.
void DpdkPort::State::send_own(rte_mbuf* buffer, std::size_t bytes) {
  buffer->data_len = static_cast<std::uint16_t>(bytes);
  buffer->pkt_len = buffer->data_len;
  if (rules.vlan != 0) {
    buffer->vlan_tci = rules.vlan;
    if (rte_vlan_insert(&buffer) != 0) {
      rte_pktmbuf_free(buffer);
      return;
    }
  }
  if (transmit({&buffer, 1}) == 1) return;
  ++counters.tx_full;
  rte_pktmbuf_free(buffer);
}

void DpdkPort::State::look_around() {
  calls = 0;
  has_news = false;
  const TimeNs now = now_ns();
  if (now >= neighbours.next_request_ns()) send_request(now);
  if (waiting_count != 0) send_waiting(now);
}

void DpdkPort::State::send_request(TimeNs now) {
  rte_mbuf* buffer = rte_pktmbuf_alloc(pool);
  if (buffer == nullptr) {
    ++counters.buffers_exhausted;
    return;
  }
  const std::size_t bytes = neighbours.poll_request(
      now, {rte_pktmbuf_mtod(buffer, std::byte*), rte_pktmbuf_tailroom(buffer)});
  if (bytes == 0)
    rte_pktmbuf_free(buffer);
  else
    send_own(buffer, bytes);
  // One a call: the next may be due at once.
  has_news = neighbours.next_request_ns() <= now;
}

void DpdkPort::State::send_waiting(TimeNs now) {
  std::size_t kept = 0;
  for (Waiting& one : std::span(waiting).first(waiting_count)) {
    const Remote& remote = *destinations.find(one.destination);
    const EthernetAddress* to = neighbours.find(remote.neighbour);
    if (to == nullptr && now < one.until_ns) {
      waiting[kept++] = one;
      continue;
    }
    if (to != nullptr) {
      write(remote, *to, one.payload_bytes, one.buffer);
      if (send({&one.buffer, 1}) == 1) {
        ++counters.tx_packets;
        counters.tx_bytes += one.payload_bytes;
        continue;
      }
    }
    ++counters.tx_errors;
    rte_pktmbuf_free(one.buffer);
  }
  waiting_count = kept;
}

std::size_t DpdkPort::tx_alloc(std::span<TxPacket> packets) {
  State& state = *state_;
  const std::size_t limit = std::min<std::size_t>(
      packets.size(), state.device->options().tx_buffers_count - state.tx_out_count);
  std::size_t count = 0;
  while (count < limit) {
    std::array<rte_mbuf*, kBurstPackets> buffers;
    const std::size_t wanted = std::min(limit - count, kBurstPackets);
    if (rte_pktmbuf_alloc_bulk(state.pool, buffers.data(), static_cast<unsigned>(wanted)) != 0)
      break;
    for (rte_mbuf* buffer : std::span(buffers).first(wanted))
      packets[count++] =
          TxPacket{rte_pktmbuf_mtod_offset(buffer, std::byte*, state.rules.headers_bytes),
                   state.rules.max_payload_bytes, 0, DestinationId{}};
  }
  state.tx_out_count += static_cast<std::uint32_t>(count);
  if (count < packets.size()) ++state.counters.buffers_exhausted;
  return count;
}

void DpdkPort::tx_free(std::span<const TxPacket> packets) {
  for (const TxPacket& packet : packets) rte_pktmbuf_free(state_->buffer_of(packet));
  state_->tx_out_count -= static_cast<std::uint32_t>(packets.size());
}

bool DpdkPort::State::is_sendable(const TxPacket& packet) const {
  return packet.bytes > 0 && packet.bytes <= rules.max_payload_bytes;
}

std::size_t DpdkPort::tx_burst(std::span<const TxPacket> packets) {
  State& state = *state_;
  packets = packets.first(std::min(packets.size(), kBurstPackets));
  std::size_t taken = 0;
  while (taken < packets.size()) {
    // A run of packets that can go now; what ends it is dealt with behind it.
    std::array<rte_mbuf*, kBurstPackets> buffers;
    std::size_t count = 0;
    enum class End { kNone, kWrong, kWaits } end = End::kNone;
    for (const TxPacket& packet : packets.subspan(taken)) {
      const Remote* remote = state.destinations.find(packet.destination);
      const EthernetAddress* to = nullptr;
      if (remote == nullptr || !state.is_sendable(packet)) {
        end = End::kWrong;
      } else if (to = state.neighbours.find(remote->neighbour); to == nullptr) {
        end = End::kWaits;
      }
      if (to == nullptr) break;
      buffers[count] = state.buffer_of(packet);
      state.write(*remote, *to, packet.bytes, buffers[count++]);
    }
    const std::size_t sent = state.send(std::span(buffers).first(count));
    for (const TxPacket& packet : packets.subspan(taken, sent))
      state.counters.tx_bytes += packet.bytes;
    state.counters.tx_packets += sent;
    state.tx_out_count -= static_cast<std::uint32_t>(sent);
    taken += sent;
    if (sent < count) {
      ++state.counters.tx_full;
      break;
    }
    if (end == End::kWaits) {
      state.wait(packets[taken++]);
    } else if (end == End::kWrong) {
      ++state.counters.tx_errors;
      tx_free(packets.subspan(taken++, 1));
    }
  }
  return taken;
}

void DpdkPort::State::write(const Remote& remote, const EthernetAddress& to,
                            std::uint32_t payload_bytes, rte_mbuf* buffer) {
  write_header(rules, remote.header, to, next_identification++, payload_bytes, buffer);
}

std::size_t DpdkPort::State::send(std::span<rte_mbuf*> buffers) {
  auto count = static_cast<std::uint16_t>(buffers.size());
  if (count == 0) return 0;
  // Some devices want a say before they fill in checksums.
  if (rules.tx_offload) count = rte_eth_tx_prepare(device->id(), queue, buffers.data(), count);
  return transmit(buffers.first(count));
}

std::size_t DpdkPort::State::transmit(std::span<rte_mbuf*> buffers) {
  const Burst burst(mark);
  return rte_eth_tx_burst(device->id(), queue, buffers.data(),
                          static_cast<std::uint16_t>(buffers.size()));
}

void DpdkPort::State::wait(const TxPacket& packet) {
  --tx_out_count;
  rte_mbuf* buffer = buffer_of(packet);
  if (waiting_count == waiting.size()) {
    ++counters.tx_errors;
    rte_pktmbuf_free(buffer);
    return;
  }
  waiting[waiting_count++] = {buffer, packet.destination, packet.bytes, now_ns() + kMaxWaitNs};
}

}  // namespace ringwire::port
