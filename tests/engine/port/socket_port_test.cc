#include "engine/port/socket_port.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <utility>
#include <vector>

#include "base/endpoint_text.h"

namespace ringwire::port {
namespace {

SocketPortOptions loopback() {
  SocketPortOptions options;
  options.bind = *parse_endpoint("127.0.0.1:0");
  return options;
}

std::unique_ptr<SocketPort> opened(const SocketPortOptions& options) {
  auto result = SocketPort::open(options);
  EXPECT_TRUE(result.ok()) << result.error().text;
  return result.ok() ? std::move(result).value() : nullptr;
}

PortError error_of(const SocketPortOptions& options) {
  auto result = SocketPort::open(options);
  EXPECT_FALSE(result.ok());
  return result.ok() ? PortError{} : result.error();
}

/// Sends `bytes` bytes; returns whether the port took them.
bool send(SocketPort& from, const Endpoint& to, std::uint32_t bytes) {
  DestinationId destination{};
  EXPECT_TRUE(from.open_destination(to, destination));
  TxPacket packet;
  EXPECT_EQ(from.tx_alloc(std::span(&packet, 1)), 1U);
  std::memset(packet.data, 0x5a, bytes);
  packet.bytes = bytes;
  packet.destination = destination;
  const bool taken = from.tx_burst(std::span(&packet, 1)) == 1;
  from.close_destination(destination);
  return taken;
}

bool becomes_readable(const SocketPort& port) {
  pollfd waiting{port.wait_descriptor(), POLLIN, 0};
  return poll(&waiting, 1, 20'000) == 1;
}

TEST(SocketPort, port_0_means_any_free_one) {
  const auto port = opened(loopback());
  ASSERT_NE(port, nullptr);
  EXPECT_NE(port->local().port, 0);
  EXPECT_EQ(address_text(port->local()), "127.0.0.1");
}

TEST(SocketPort, an_address_in_use_is_named) {
  const auto first = opened(loopback());
  SocketPortOptions options = loopback();
  options.bind = first->local();
  const PortError error = error_of(options);
  EXPECT_EQ(error.code, PortErrorCode::kAddressInUse);
  EXPECT_NE(error.text.find(endpoint_text(first->local())), std::string::npos) << error.text;
}

TEST(SocketPort, an_address_of_another_machine_is_refused) {
  SocketPortOptions options = loopback();
  options.bind = *parse_endpoint("192.0.2.1:0");
  EXPECT_EQ(error_of(options).code, PortErrorCode::kAddressNotAvailable);
}

TEST(SocketPort, options_that_cannot_work_are_refused) {
  SocketPortOptions options = loopback();
  options.mtu_bytes = 28;
  EXPECT_EQ(error_of(options).code, PortErrorCode::kBadOptions);
  options = loopback();
  options.payload_bytes = 0;
  EXPECT_EQ(error_of(options).code, PortErrorCode::kBadOptions);
  options = loopback();
  options.tx_buffers_count = 0;
  EXPECT_EQ(error_of(options).code, PortErrorCode::kBadOptions);
}

TEST(SocketPort, the_payload_is_what_the_mtu_leaves) {
  SocketPortOptions options = loopback();
  EXPECT_EQ(opened(options)->max_payload_bytes(), 8'944U);
  options.mtu_bytes = 1'500;
  EXPECT_EQ(opened(options)->max_payload_bytes(), 1'472U);
  options.payload_bytes = 1'200;
  EXPECT_EQ(opened(options)->max_payload_bytes(), 1'200U);
  options.mtu_bytes = 65'535;
  options.payload_bytes = 70'000;
  EXPECT_EQ(opened(options)->max_payload_bytes(), 65'507U);
}

TEST(SocketPort, a_destination_of_the_other_family_is_refused) {
  const auto port = opened(loopback());
  DestinationId destination{};
  EXPECT_FALSE(port->open_destination(*parse_endpoint("[::1]:9"), destination));
}

TEST(SocketPort, seven_frames_leave_in_one_system_call) {
  const auto from = opened(loopback());
  const auto to = opened(loopback());
  ASSERT_TRUE(from->segments_on_send());
  DestinationId destination{};
  ASSERT_TRUE(from->open_destination(to->local(), destination));
  std::array<TxPacket, 7> packets;
  ASSERT_EQ(from->tx_alloc(packets), 7U);
  for (TxPacket& packet : packets) {
    std::memset(packet.data, 1, kDefaultSocketPayloadBytes);
    packet.bytes = kDefaultSocketPayloadBytes;
    packet.destination = destination;
  }
  EXPECT_EQ(from->tx_burst(packets), 7U);
  EXPECT_EQ(from->counters().system_calls, 1U);
  ASSERT_TRUE(becomes_readable(*to));
  std::array<RxPacket, kBurstPackets> received;
  EXPECT_EQ(to->rx_burst(received), 7U);
  EXPECT_EQ(to->counters().system_calls, 1U);
}

TEST(SocketPort, payloads_larger_than_ours_are_dropped_and_counted) {
  const auto from = opened(loopback());
  SocketPortOptions small = loopback();
  small.payload_bytes = 1'000;
  const auto to = opened(small);
  EXPECT_TRUE(send(*from, to->local(), 1'001));
  EXPECT_TRUE(send(*from, to->local(), 1'000));
  ASSERT_TRUE(becomes_readable(*to));
  std::array<RxPacket, kBurstPackets> received;
  ASSERT_EQ(to->rx_burst(received), 1U);
  EXPECT_EQ(received[0].bytes.size(), 1'000U);
  EXPECT_EQ(to->counters().rx_errors, 1U);
}

// The kernel learns by ICMP that nobody listens there; later packets must not suffer from it.
TEST(SocketPort, a_datagram_of_any_length_is_received_or_counted) {
  const auto port = opened(loopback());
  const int stranger = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  to.sin_port = htons(port->local().port);
  const std::vector<std::byte> zeros(65'507);
  // The first and the last are the largest that there are, 0 bytes the least.
  for (const std::size_t bytes : {65'507U, 0U, 1U, 0U, 35U, 0U, 1'200U, 65'507U})
    ASSERT_EQ(sendto(stranger, zeros.data(), bytes, 0, reinterpret_cast<sockaddr*>(&to), sizeof to),
              static_cast<ssize_t>(bytes));
  std::size_t received_bytes = 0;
  std::array<RxPacket, kBurstPackets> packets;
  while (port->counters().rx_packets + port->counters().rx_errors < 8) {
    ASSERT_TRUE(becomes_readable(*port));
    const std::size_t count = port->rx_burst(packets);
    for (std::size_t at = 0; at < count; ++at) received_bytes += packets[at].bytes.size();
  }
  close(stranger);
  EXPECT_EQ(port->counters().rx_packets, 3U);
  EXPECT_EQ(port->counters().rx_errors, 5U);
  EXPECT_EQ(received_bytes, 1U + 35U + 1'200U);
}

TEST(SocketPort, a_port_that_nobody_listens_on_disturbs_nothing) {
  const auto from = opened(loopback());
  const auto to = opened(loopback());
  Endpoint nobody;
  { nobody = opened(loopback())->local(); }
  for (int count = 0; count < 5; ++count) {
    EXPECT_TRUE(send(*from, nobody, 100));
    std::array<RxPacket, kBurstPackets> received;
    EXPECT_EQ(from->rx_burst(received), 0U);
    EXPECT_TRUE(send(*from, to->local(), 100));
    ASSERT_TRUE(becomes_readable(*to));
    EXPECT_EQ(to->rx_burst(received), 1U);
  }
  EXPECT_EQ(from->counters().tx_errors, 0U);
}

TEST(SocketPort, what_the_kernel_refuses_is_taken_and_counted_and_the_rest_is_sent) {
  const auto from = opened(loopback());
  const auto to = opened(loopback());
  // Port 0 is no destination: the kernel answers EINVAL, as it does where it cannot segment.
  Endpoint wrong = to->local();
  wrong.port = 0;
  DestinationId to_wrong{};
  DestinationId to_right{};
  ASSERT_TRUE(from->open_destination(wrong, to_wrong));
  ASSERT_TRUE(from->open_destination(to->local(), to_right));
  std::array<TxPacket, 6> packets;
  ASSERT_EQ(from->tx_alloc(packets), packets.size());
  for (std::size_t index = 0; index < packets.size(); ++index) {
    packets[index].data[0] = std::byte{1};
    packets[index].bytes = 1;
    packets[index].destination = index < 3 ? to_wrong : to_right;
  }
  EXPECT_EQ(from->tx_burst(packets), packets.size());
  EXPECT_EQ(from->counters().tx_errors, 3U);
  EXPECT_EQ(from->counters().tx_packets, 3U);
  EXPECT_TRUE(from->segments_on_send());
  ASSERT_TRUE(becomes_readable(*to));
  std::array<RxPacket, kBurstPackets> received;
  EXPECT_EQ(to->rx_burst(received), 3U);
}

TEST(SocketPort, the_receive_queue_follows_the_granted_buffer) {
  SocketPortOptions options = loopback();
  options.receive_buffer_bytes = 64U << 10;
  const std::uint64_t small = opened(options)->receive_queue_bytes();
  options.receive_buffer_bytes = 128U << 10;
  const std::uint64_t large = opened(options)->receive_queue_bytes();
  // The kernel doubles what is asked for; a quarter of that is announced.
  EXPECT_EQ(small, 32U << 10);
  EXPECT_EQ(large, 64U << 10);
}

// By the difference between a clock and the kernel's stamp, within bounds.
TEST(SocketPort, tells_how_long_a_packet_waited) {
  const auto waited = [](TimeNs (*clock)()) -> DurationNs {
    SocketPortOptions options = loopback();
    options.wall_clock = clock;
    const auto port = opened(options);
    if (port == nullptr || !send(*port, port->local(), 100) || !becomes_readable(*port)) return -1;
    std::array<RxPacket, 1> received;
    return port->rx_burst(received) == 1 ? received[0].waited_ns : -1;
  };
  EXPECT_EQ(waited(nullptr), 0);
  EXPECT_EQ(waited([] { return TimeNs{1}; }), 0);  // a clock that was set back
  EXPECT_EQ(waited([] { return kNeverNs; }), kSecondNs);
}

}  // namespace
}  // namespace ringwire::port
