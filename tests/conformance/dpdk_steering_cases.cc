// Receive steering on devices of the kernel, with its own sockets at the other end: whatever queue
// a packet comes in, it is received by the worker whose UDP port it was sent to. net_tap takes
// rules (rte_flow) where the kernel has multiq, flower and skbedit; else, and with net_af_packet
// always, the kernel spreads packets over the queues as it likes, and workers hand them over.
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "base/endpoint_text.h"
#include "tests/conformance/dpdk_pair.h"

namespace ringwire::port::conformance {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kPatience = std::chrono::seconds(20);
constexpr std::uint16_t kWorkers = 2;
/// Each from a port of its own, so that a hash of addresses and ports spreads them.
constexpr int kSources = 48;

/// UDP sockets of the kernel.
class Sources {
 public:
  Sources() {
    for (int& one : sockets_) one = ::socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
  }
  ~Sources() {
    for (const int one : sockets_) ::close(one);
  }
  Sources(const Sources&) = delete;
  Sources& operator=(const Sources&) = delete;
  /// One byte, the number of the worker that it is for.
  [[nodiscard]] bool send(int source, const Endpoint& to, std::uint16_t worker) const {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(to.port + worker));
    std::copy(to.address.end() - 4, to.address.end(),
              reinterpret_cast<std::uint8_t*>(&address.sin_addr));
    const auto byte = static_cast<char>(worker);
    return ::sendto(sockets_.at(static_cast<std::size_t>(source)), &byte, 1, 0,
                    reinterpret_cast<const sockaddr*>(&address), sizeof address) == 1;
  }

 private:
  std::array<int, kSources> sockets_{};
};

/// What each worker receives, until `count` packets in all are there or patience ends; a packet of
/// another worker fails the test.
std::array<int, kWorkers> receive(std::vector<std::unique_ptr<DpdkPort>>& ports, int count) {
  std::array<int, kWorkers> got{};
  int all = 0;
  for (const auto end = Clock::now() + kPatience; all < count && Clock::now() < end;)
    for (std::uint16_t worker = 0; worker < kWorkers; ++worker) {
      std::array<RxPacket, kBurstPackets> packets;
      const std::size_t received = ports[worker]->rx_burst(packets);
      for (const RxPacket& packet : std::span(packets).first(received)) {
        EXPECT_EQ(std::to_integer<int>(packet.bytes[0]), worker);
        ++got[worker];
        ++all;
      }
    }
  return got;
}

/// Sends from all sources to both workers of a device that the kernel reaches at `address`.
void expect_each_its_own(std::vector<std::unique_ptr<DpdkPort>>& ports, const char* address) {
  const Endpoint to = *parse_endpoint(address);
  const Sources sources;
  // The kernel asks for the Ethernet address first, and keeps few packets meanwhile.
  ASSERT_TRUE(sources.send(0, to, 0));
  ASSERT_EQ(receive(ports, 1)[0], 1) << "the kernel does not find the device";
  for (int source = 0; source < kSources; ++source)
    for (std::uint16_t worker = 0; worker < kWorkers; ++worker)
      ASSERT_TRUE(sources.send(source, to, worker));
  const auto got = receive(ports, kSources * kWorkers);
  EXPECT_EQ(got[0], kSources);
  EXPECT_EQ(got[1], kSources);
  std::uint64_t handed_over = 0;
  for (const auto& port : ports) handed_over += port->counters().handed_over;
  if (ports.front()->is_steered())
    EXPECT_EQ(handed_over, 0U);
  else
    EXPECT_GT(handed_over, 0U);
}

PairOptions two_workers() {
  PairOptions options;
  options.mtu_bytes = 0;
  options.queues_count = kWorkers;
  return options;
}

#define NEEDS_NETWORK(lane)                                                            \
  if (dpdk().eal == nullptr || !dpdk().no_network.empty()) {                           \
    const std::string why = dpdk().eal == nullptr ? dpdk().reason : dpdk().no_network; \
    std::printf("LANE %s: cannot run: %s\n", lane, why.c_str());                       \
    GTEST_SKIP() << why;                                                               \
  }

TEST(DpdkSteering, has_buffers_for_the_inbox_of_every_other_worker) {
  const auto bytes = [](std::uint32_t queues) {
    DpdkPortOptions options;
    options.queues_count = queues;
    return DpdkPort::memory_bytes(options);
  };
  EXPECT_GT(bytes(2), bytes(1));
  EXPECT_EQ(bytes(3) - bytes(2), bytes(2) - bytes(1));
}

TEST(DpdkSteering, a_tap_is_steered_by_rules_where_the_kernel_has_them_else_by_workers) {
  NEEDS_NETWORK("dpdk_steering_tap");
  const auto added = dpdk().eal->add_device("net_tap5", "iface=rwsteer");
  ASSERT_TRUE(added.ok()) << added.error().text;
  auto opened = open_ports("net_tap5", "10.0.5.2:3200", two_workers());
  ASSERT_TRUE(opened.ok()) << opened.error().text;
  ASSERT_EQ(std::system("ip addr add 10.0.5.1/24 dev rwsteer"), 0);
  // What the rules are made of, asked of the kernel itself.
  const bool has_rules =
      std::system(
          "tc qdisc add dev lo root handle 1: multiq 2>&1 && "
          "tc filter add dev lo parent 1: protocol ip flower ip_proto udp dst_port 9 "
          "action skbedit queue_mapping 0 2>&1") == 0;
  std::system("tc qdisc del dev lo root >/dev/null 2>&1");
  EXPECT_EQ(opened.value().front()->is_steered(), has_rules);
  expect_each_its_own(opened.value(), "10.0.5.2:3200");
  opened.value().clear();
  EXPECT_TRUE(dpdk().eal->remove_device("net_tap5").ok());
}

TEST(DpdkSteering, workers_hand_over_what_packet_sockets_spread) {
  NEEDS_NETWORK("dpdk_steering_af_packet");
  ASSERT_EQ(std::system("ip link add rws0 type veth peer name rws1 && ip link set rws0 up && "
                        "ip link set rws1 up && ip addr add 10.0.6.1/24 dev rws1"),
            0);
  const auto added = dpdk().eal->add_device("net_af_packet5", "iface=rws0,qpairs=2");
  ASSERT_TRUE(added.ok()) << added.error().text;
  auto opened = open_ports("net_af_packet5", "10.0.6.2:3200", two_workers());
  ASSERT_TRUE(opened.ok()) << opened.error().text;
  EXPECT_FALSE(opened.value().front()->is_steered());
  expect_each_its_own(opened.value(), "10.0.6.2:3200");
  opened.value().clear();
  EXPECT_TRUE(dpdk().eal->remove_device("net_af_packet5").ok());
  EXPECT_EQ(std::system("ip link del rws0"), 0);
}

}  // namespace
}  // namespace ringwire::port::conformance
