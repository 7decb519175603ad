#include "engine/port/socket_port.h"

#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <string>

#include "base/endpoint_text.h"
#include "engine/port/destination_table.h"
#include "engine/port/packet_pool.h"
#include "engine/port/socket_address.h"

namespace ringwire::port {
namespace {

constexpr std::uint32_t kIpv4HeadersBytes = 20 + 8;
constexpr std::uint32_t kIpv6HeadersBytes = 40 + 8;
/// What one IPv4 datagram can carry (65,535 - 28); also kept for IPv6, where it could be more.
constexpr std::uint32_t kMaxDatagramBytes = 65'507;
/// Segments of one send: UDP_MAX_SEGMENTS of the kernels that first had it.
constexpr std::size_t kMaxSegments = 64;
/// One receive buffer takes the largest datagram or coalesced run.
constexpr std::size_t kRxBufferBytes = 65'536;
/// An odd number of cache lines, so that the starts of the buffers fall into different cache sets.
constexpr std::size_t kRxStrideBytes = kRxBufferBytes + 64;
constexpr std::size_t kRxMessages = kBurstPackets;
/// Coalesced runs received at once: 2 x 62,608 B stay in the L2 cache beside what they are copied
/// to.
constexpr std::size_t kRxLargeMessages = 2;
/// From this mean size on, the next receive call asks for kRxLargeMessages only.
constexpr std::size_t kLargeMessageBytes = 16'384;

/// A packet that gathers: before, what is gathered, behind.
constexpr std::size_t kVectorsPerPacket = 3;
static_assert(kVectorsPerPacket * kMaxSegments <= 1'024);  // UIO_MAXIOV

struct alignas(cmsghdr) ControlSpace {
  std::array<char, CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(timespec))> bytes;
};

bool set_option(int fd, int level, int name, int value) {
  return setsockopt(fd, level, name, &value, sizeof value) == 0;
}

/// Asks with the privileged variant first, which may exceed the system's limit.
void ask_for_buffer(int fd, int forced_name, int plain_name, std::uint32_t bytes) {
  const int value = static_cast<int>(std::min<std::uint32_t>(bytes, 1U << 30));
  if (!set_option(fd, SOL_SOCKET, forced_name, value))
    set_option(fd, SOL_SOCKET, plain_name, value);
}

PortError bad_options(std::string text) { return {PortErrorCode::kBadOptions, 0, std::move(text)}; }

struct Descriptor {
  explicit Descriptor(int number) : fd(number) {}
  ~Descriptor() {
    if (fd >= 0) close(fd);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int fd;
};

}  // namespace

struct SocketPort::State {
  State(const SocketPortOptions& options, int fd)
      : socket(fd),
        pool({options.tx_buffers_count, options.payload_bytes}),
        destinations(options.destinations_count),
        rx_memory(new std::byte[kRxStrideBytes * kRxMessages]) {}

  // Cold: set-up.
  void prepare_rx();
  void choose_limits(const SocketPortOptions& options);

  // Hot: receive.
  bool receive_messages(std::size_t wanted_packets);
  bool next_packet(RxPacket& packet);
  void open_message();

  // Hot: send. A run is what one send call of the kernel carries.
  struct Run {
    std::size_t first = 0;  ///< index into the burst
    std::size_t packets_count = 0;
    std::size_t bytes = 0;
    std::size_t first_vector = 0;
    std::size_t vectors_count = 0;
  };
  enum class Sent { kAll, kFull };
  bool sendable(const TxPacket& packet);
  std::size_t build_runs(std::span<const TxPacket> packets);
  static std::size_t fill_vectors(const TxPacket& packet, std::span<iovec> vectors);
  void add_message(const TxPacket& packet, const Run& run, std::size_t message);
  Sent send_runs(std::span<const TxPacket> packets, std::size_t runs_count, std::size_t& taken);
  Sent send_one_by_one(std::span<const TxPacket> packets, std::size_t& taken);
  void count_sent(std::size_t packets_count, std::size_t bytes) {
    counters.tx_packets += packets_count;
    counters.tx_bytes += bytes;
  }

  Descriptor socket;
  Endpoint local;
  bool is_ipv4 = false;
  std::uint32_t max_payload_bytes = 0;
  std::uint64_t receive_queue_bytes = 0;
  bool segments = false;
  bool coalesces = false;
  bool stamps = false;  ///< the kernel says when a packet arrived
  PortCounters counters;
  PacketPool pool;
  DestinationTable<sockaddr_in6> destinations;

  std::unique_ptr<std::byte[]> rx_memory;
  std::array<mmsghdr, kRxMessages> rx_headers{};
  std::array<iovec, kRxMessages> rx_vectors{};
  std::array<sockaddr_in6, kRxMessages> rx_sources{};
  std::array<ControlSpace, kRxMessages> rx_controls{};
  std::size_t rx_written = kRxMessages;  ///< headers that are not as a receive call needs them
  std::size_t rx_messages_count = 0;     ///< received, from index 0
  std::size_t rx_message = 0;            ///< the one that next_packet() is in
  std::size_t rx_next_count = kRxMessages;
  std::size_t rx_offset_bytes = 0;
  std::size_t rx_segment_bytes = 0;
  Endpoint rx_source;
  TimeNs (*wall_clock)() = nullptr;
  TimeNs rx_time_ns = 0;  ///< wall clock of the last receive call
  DurationNs rx_waited_ns = 0;

  std::array<mmsghdr, kBurstPackets> tx_headers{};
  std::array<iovec, kVectorsPerPacket * kBurstPackets> tx_vectors{};
  std::array<ControlSpace, kBurstPackets> tx_controls{};
  std::array<Run, kBurstPackets> tx_runs{};
};

SocketPort::SocketPort(std::unique_ptr<State> state) : state_(std::move(state)) {}
SocketPort::~SocketPort() = default;

Result<std::unique_ptr<SocketPort>, PortError> SocketPort::open(const SocketPortOptions& options) {
  const bool is_ipv4 = options.bind.is_ipv4();
  const std::uint32_t headers_bytes = is_ipv4 ? kIpv4HeadersBytes : kIpv6HeadersBytes;
  if (options.mtu_bytes <= headers_bytes)
    return Failure{bad_options("an MTU of " + std::to_string(options.mtu_bytes) +
                               " bytes leaves no room for a payload behind " +
                               std::to_string(headers_bytes) + " bytes of headers")};
  SocketPortOptions checked = options;
  checked.payload_bytes =
      std::min({options.payload_bytes, options.mtu_bytes - headers_bytes, kMaxDatagramBytes});
  if (checked.payload_bytes == 0) return Failure{bad_options("a payload of 0 bytes was asked for")};
  if (options.tx_buffers_count == 0 || options.destinations_count == 0)
    return Failure{bad_options("a port needs at least one transmit buffer and one destination")};

  const std::string where = endpoint_text(options.bind);
  const int fd = ::socket(is_ipv4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
                          IPPROTO_UDP);
  if (fd < 0) return Failure{system_error(errno, "make a UDP socket for " + where)};
  auto state = std::make_unique<State>(checked, fd);
  state->is_ipv4 = is_ipv4;
  if (!is_ipv4 && !set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1))
    return Failure{system_error(errno, "restrict the socket of " + where + " to IPv6")};
  const sockaddr_storage address = to_sockaddr(options.bind);
  const socklen_t address_bytes = is_ipv4 ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
  if (bind(fd, reinterpret_cast<const sockaddr*>(&address), address_bytes) != 0)
    return Failure{system_error(errno, "receive UDP on " + where)};
  sockaddr_in6 bound{};
  socklen_t bound_bytes = sizeof bound;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&bound), &bound_bytes) != 0)
    return Failure{system_error(errno, "read back the address of " + where)};
  state->local = to_endpoint(bound);
  state->choose_limits(checked);
  state->prepare_rx();
  return std::unique_ptr<SocketPort>(new SocketPort(std::move(state)));
}

void SocketPort::State::choose_limits(const SocketPortOptions& options) {
  max_payload_bytes = options.payload_bytes;
  ask_for_buffer(socket.fd, SO_RCVBUFFORCE, SO_RCVBUF, options.receive_buffer_bytes);
  ask_for_buffer(socket.fd, SO_SNDBUFFORCE, SO_SNDBUF, options.send_buffer_bytes);
  // PROBE: set "don't fragment", but believe no path MTU that an ICMP message claims; a forged one
  // could stop us. Where the path is smaller than configured, packets are lost, not fragmented.
  if (is_ipv4)
    set_option(socket.fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE);
  else
    set_option(socket.fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE);
  wall_clock = options.wall_clock;
  stamps = wall_clock != nullptr && set_option(socket.fd, SOL_SOCKET, SO_TIMESTAMPNS, 1);
  if (options.offload == Offload::kAuto) {
    coalesces = set_option(socket.fd, SOL_UDP, UDP_GRO, 1);
    // 0 is "no segmentation unless a send asks for it": only tells whether the kernel knows it.
    segments = set_option(socket.fd, SOL_UDP, UDP_SEGMENT, 0);
  }
  int granted_bytes = 0;
  socklen_t granted_size = sizeof granted_bytes;
  if (getsockopt(socket.fd, SOL_SOCKET, SO_RCVBUF, &granted_bytes, &granted_size) == 0)
    receive_queue_bytes = static_cast<std::uint64_t>(granted_bytes) / 4;
}

void SocketPort::State::prepare_rx() {
  for (std::size_t index = 0; index < kRxMessages; ++index) {
    rx_vectors[index] = {rx_memory.get() + index * kRxStrideBytes, kRxBufferBytes};
    msghdr& header = rx_headers[index].msg_hdr;
    header.msg_name = &rx_sources[index];
    header.msg_iov = &rx_vectors[index];
    header.msg_iovlen = 1;
  }
}

std::uint32_t SocketPort::max_payload_bytes() const { return state_->max_payload_bytes; }
std::uint64_t SocketPort::receive_queue_bytes() const { return state_->receive_queue_bytes; }
Endpoint SocketPort::local() const { return state_->local; }
int SocketPort::wait_descriptor() const { return state_->socket.fd; }
const PortCounters& SocketPort::counters() const { return state_->counters; }
bool SocketPort::segments_on_send() const { return state_->segments; }
bool SocketPort::coalesces_on_receive() const { return state_->coalesces; }

bool SocketPort::open_destination(const Endpoint& remote, DestinationId& destination) {
  if (remote.is_ipv4() != state_->is_ipv4) return false;
  const sockaddr_storage storage = to_sockaddr(remote);
  sockaddr_in6 address{};
  std::memcpy(&address, &storage, sizeof address);
  const auto opened = state_->destinations.open(address);
  if (opened) destination = *opened;
  return opened.has_value();
}

void SocketPort::close_destination(DestinationId destination) {
  state_->destinations.close(destination);
}

std::size_t SocketPort::rx_burst(std::span<RxPacket> packets) {
  const std::size_t wanted = std::min(packets.size(), kBurstPackets);
  if (wanted == 0) return 0;
  State& state = *state_;
  // Buffers are refilled only when all they held has been handed out by earlier calls, so that what
  // this call returns stays valid. What is left of a coalesced run waits for the next call.
  if (state.rx_message == state.rx_messages_count && !state.receive_messages(wanted)) return 0;
  std::size_t count = 0;
  while (count < wanted && state.next_packet(packets[count])) {
    state.counters.rx_bytes += packets[count].bytes.size();
    ++count;
  }
  state.counters.rx_packets += count;
  return count;
}

bool SocketPort::State::receive_messages(std::size_t wanted_packets) {
  const std::size_t limit = std::min(rx_next_count, wanted_packets);
  // Only what the last call filled in: an idle turn ends here, and most turns are idle.
  for (std::size_t index = 0; index < rx_written; ++index) {
    msghdr& header = rx_headers[index].msg_hdr;
    header.msg_namelen = sizeof(sockaddr_in6);
    header.msg_control = rx_controls[index].bytes.data();
    header.msg_controllen = rx_controls[index].bytes.size();
    header.msg_flags = 0;
  }
  ++counters.system_calls;
  const int received =
      recvmmsg(socket.fd, rx_headers.data(), static_cast<unsigned>(limit), MSG_DONTWAIT, nullptr);
  rx_message = 0;
  rx_messages_count = received > 0 ? static_cast<std::size_t>(received) : 0;
  rx_written = rx_messages_count;
  // EAGAIN: nothing waits. Other errors (an ICMP answer to something sent) concern one packet that
  // is lost anyway, and are cleared by having been reported.
  if (rx_messages_count == 0) return false;
  rx_time_ns = stamps ? wall_clock() : 0;
  std::size_t bytes = 0;
  for (std::size_t index = 0; index < rx_messages_count; ++index)
    bytes += rx_headers[index].msg_len;
  rx_next_count = bytes >= kLargeMessageBytes * rx_messages_count ? kRxLargeMessages : kRxMessages;
  open_message();
  return true;
}

/// Reads source, segment size and time of arrival of the current message.
void SocketPort::State::open_message() {
  rx_offset_bytes = 0;
  if (rx_message == rx_messages_count) return;
  mmsghdr& message = rx_headers[rx_message];
  rx_source = to_endpoint(rx_sources[rx_message]);
  rx_segment_bytes = message.msg_len;
  rx_waited_ns = 0;
  for (cmsghdr* control = CMSG_FIRSTHDR(&message.msg_hdr); control != nullptr;
       control = CMSG_NXTHDR(&message.msg_hdr, control)) {
    if (control->cmsg_level == SOL_UDP && control->cmsg_type == UDP_GRO) {
      int segment_bytes = 0;
      std::memcpy(&segment_bytes, CMSG_DATA(control), sizeof segment_bytes);
      if (segment_bytes > 0) rx_segment_bytes = static_cast<std::size_t>(segment_bytes);
    } else if (control->cmsg_level == SOL_SOCKET && control->cmsg_type == SCM_TIMESTAMPNS) {
      timespec stamp{};
      std::memcpy(&stamp, CMSG_DATA(control), sizeof stamp);
      // The wall clock may have been set meanwhile.
      rx_waited_ns = std::clamp<DurationNs>(rx_time_ns - (stamp.tv_sec * kSecondNs + stamp.tv_nsec),
                                            0, kSecondNs);
    }
  }
}

bool SocketPort::State::next_packet(RxPacket& packet) {
  while (rx_message < rx_messages_count) {
    const mmsghdr& message = rx_headers[rx_message];
    const std::size_t left_bytes = message.msg_len - rx_offset_bytes;
    const std::size_t bytes = std::min(left_bytes, rx_segment_bytes);
    const bool truncated = (message.msg_hdr.msg_flags & MSG_TRUNC) != 0;
    const std::byte* start = rx_memory.get() + rx_message * kRxStrideBytes + rx_offset_bytes;
    const Endpoint source = rx_source;
    const DurationNs waited_ns = rx_waited_ns;
    if (truncated || bytes == left_bytes) {
      ++rx_message;
      open_message();
    } else {
      rx_offset_bytes += bytes;
    }
    if (truncated || bytes == 0 || bytes > max_payload_bytes) {
      ++counters.rx_errors;
      continue;
    }
    packet = {{start, bytes}, source, waited_ns};
    return true;
  }
  return false;
}

std::size_t SocketPort::tx_alloc(std::span<TxPacket> packets) {
  const std::size_t count = state_->pool.alloc(packets);
  if (count < packets.size()) ++state_->counters.buffers_exhausted;
  return count;
}

void SocketPort::tx_free(std::span<const TxPacket> packets) {
  for (const TxPacket& packet : packets) state_->pool.give_back(packet);
}

std::size_t SocketPort::tx_burst(std::span<const TxPacket> packets) {
  State& state = *state_;
  const std::span<const TxPacket> burst = packets.first(std::min(packets.size(), kBurstPackets));
  std::size_t taken = 0;
  while (taken < burst.size()) {
    const std::span<const TxPacket> rest = burst.subspan(taken);
    if (!state.sendable(rest.front())) {
      ++state.counters.tx_errors;
      ++taken;
      continue;
    }
    std::size_t sent = 0;
    const State::Sent result = state.send_runs(rest, state.build_runs(rest), sent);
    taken += sent;
    if (result == State::Sent::kFull) {
      ++state.counters.tx_full;
      break;
    }
  }
  // The kernel has copied what it took.
  tx_free(burst.first(taken));
  return taken;
}

bool SocketPort::State::sendable(const TxPacket& packet) {
  return packet.bytes > 0 && packet.bytes <= max_payload_bytes &&
         destinations.find(packet.destination) != nullptr;
}

/// Groups packets from the front, up to the first that is not sendable. A run has one destination
/// and one size, except that its last packet may be shorter (UDP_SEGMENT cuts it so).
std::size_t SocketPort::State::build_runs(std::span<const TxPacket> packets) {
  std::size_t runs_count = 0;
  std::size_t vector = 0;
  for (std::size_t index = 0; index < packets.size() && sendable(packets[index]); ++index) {
    const TxPacket& packet = packets[index];
    const std::size_t first_vector = vector;
    vector += fill_vectors(packet, std::span(tx_vectors).subspan(vector));
    if (runs_count > 0 && segments) {
      Run& run = tx_runs[runs_count - 1];
      const TxPacket& first = packets[run.first];
      const bool is_open = packets[index - 1].bytes == first.bytes;
      if (is_open && packet.destination == first.destination && packet.bytes <= first.bytes &&
          run.packets_count < kMaxSegments && run.bytes + packet.bytes <= kMaxDatagramBytes) {
        ++run.packets_count;
        run.bytes += packet.bytes;
        run.vectors_count += vector - first_vector;
        continue;
      }
    }
    tx_runs[runs_count++] = {index, 1, packet.bytes, first_vector, vector - first_vector};
  }
  for (std::size_t message = 0; message < runs_count; ++message)
    add_message(packets[tx_runs[message].first], tx_runs[message], message);
  return runs_count;
}

/// Returns how many vectors the packet takes, from the front of `vectors`.
std::size_t SocketPort::State::fill_vectors(const TxPacket& packet, std::span<iovec> vectors) {
  if (packet.gathered.empty()) {
    vectors[0] = {packet.data, packet.bytes};
    return 1;
  }
  // The kernel only reads what it sends; iovec knows no const.
  auto* gathered = const_cast<std::byte*>(packet.gathered.data());
  vectors[0] = {packet.data, packet.gather_at_bytes};
  vectors[1] = {gathered, packet.gathered.size()};
  vectors[2] = {packet.data + packet.gather_at_bytes, packet.own_bytes() - packet.gather_at_bytes};
  return kVectorsPerPacket;
}

void SocketPort::State::add_message(const TxPacket& packet, const Run& run, std::size_t message) {
  msghdr& header = tx_headers[message].msg_hdr;
  header.msg_name = destinations.find(packet.destination);
  header.msg_namelen = is_ipv4 ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
  header.msg_iov = &tx_vectors[run.first_vector];
  header.msg_iovlen = run.vectors_count;
  header.msg_control = nullptr;
  header.msg_controllen = 0;
  if (run.packets_count == 1) return;
  header.msg_control = tx_controls[message].bytes.data();
  header.msg_controllen = CMSG_SPACE(sizeof(std::uint16_t));
  cmsghdr* control = CMSG_FIRSTHDR(&header);
  control->cmsg_level = SOL_UDP;
  control->cmsg_type = UDP_SEGMENT;
  control->cmsg_len = CMSG_LEN(sizeof(std::uint16_t));
  const auto segment_bytes = static_cast<std::uint16_t>(packet.bytes);
  std::memcpy(CMSG_DATA(control), &segment_bytes, sizeof segment_bytes);
}

/// Sends the runs in order; `taken` counts the packets that need no further care. Stops early, with
/// kAll, when segmentation was turned off: the rest must be grouped anew.
SocketPort::State::Sent SocketPort::State::send_runs(std::span<const TxPacket> packets,
                                                     std::size_t runs_count, std::size_t& taken) {
  std::size_t run = 0;
  while (run < runs_count) {
    ++counters.system_calls;
    const int result = sendmmsg(socket.fd, tx_headers.data() + run,
                                static_cast<unsigned>(runs_count - run), MSG_DONTWAIT);
    if (result > 0) {
      for (int sent = 0; sent < result; ++sent, ++run) {
        count_sent(tx_runs[run].packets_count, tx_runs[run].bytes);
        taken += tx_runs[run].packets_count;
      }
      continue;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS || errno == EINTR)
      return Sent::kFull;
    const Run refused = tx_runs[run++];
    if (refused.packets_count == 1) {  // EMSGSIZE, no route, forbidden: as good as lost
      ++counters.tx_errors;
      ++taken;
      continue;
    }
    // Is it segmentation that was refused (EIO without checksum offload, EINVAL), or are the
    // packets themselves not sendable? Single sends tell.
    const std::uint64_t errors_before = counters.tx_errors;
    if (send_one_by_one(packets.subspan(refused.first, refused.packets_count), taken) ==
        Sent::kFull)
      return Sent::kFull;
    if (counters.tx_errors == errors_before) {
      segments = false;
      return Sent::kAll;
    }
  }
  return Sent::kAll;
}

SocketPort::State::Sent SocketPort::State::send_one_by_one(std::span<const TxPacket> packets,
                                                           std::size_t& taken) {
  for (const TxPacket& packet : packets) {
    ++counters.system_calls;
    std::array<iovec, kVectorsPerPacket> vectors;
    msghdr header{};
    header.msg_name = destinations.find(packet.destination);
    header.msg_namelen = is_ipv4 ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
    header.msg_iov = vectors.data();
    header.msg_iovlen = fill_vectors(packet, vectors);
    if (sendmsg(socket.fd, &header, MSG_DONTWAIT) >= 0)
      count_sent(1, packet.bytes);
    else if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS || errno == EINTR)
      return Sent::kFull;
    else
      ++counters.tx_errors;
    ++taken;
  }
  return Sent::kAll;
}

}  // namespace ringwire::port
