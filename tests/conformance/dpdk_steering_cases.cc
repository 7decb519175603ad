// Receive steering on devices of the kernel, with its own sockets at the other end: whatever queue
// a packet comes in, it is received by the worker whose UDP port it was sent to. net_tap takes
// rules (rte_flow) where the kernel has multiq, flower, skbedit and ingress (that of
// tests/system/steering_test.py has them); else, and with net_af_packet always, the kernel spreads
// packets over the queues as it likes, and workers hand them over.
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
  explicit Sources(const Endpoint& to) : to_(to) {
    for (int& one : sockets_)
      one = ::socket(to.is_ipv4() ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK, 0);
  }
  ~Sources() {
    for (const int one : sockets_) ::close(one);
  }
  Sources(const Sources&) = delete;
  Sources& operator=(const Sources&) = delete;
  /// One byte, the number of the worker that it is for.
  [[nodiscard]] bool send(int source, std::uint16_t worker) const {
    const std::uint16_t port = htons(static_cast<std::uint16_t>(to_.port + worker));
    sockaddr_in ipv4{};
    sockaddr_in6 ipv6{};
    ipv4.sin_family = AF_INET;
    ipv4.sin_port = port;
    ipv6.sin6_family = AF_INET6;
    ipv6.sin6_port = port;
    std::copy(to_.address.end() - 4, to_.address.end(),
              reinterpret_cast<std::uint8_t*>(&ipv4.sin_addr));
    std::copy(to_.address.begin(), to_.address.end(),
              reinterpret_cast<std::uint8_t*>(&ipv6.sin6_addr));
    const auto byte = static_cast<char>(worker);
    return ::sendto(sockets_.at(static_cast<std::size_t>(source)), &byte, 1, 0,
                    to_.is_ipv4() ? reinterpret_cast<const sockaddr*>(&ipv4)
                                  : reinterpret_cast<const sockaddr*>(&ipv6),
                    to_.is_ipv4() ? sizeof ipv4 : sizeof ipv6) == 1;
  }

 private:
  Endpoint to_;
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

/// Whether each queue gets just what its worker is sent.
enum class Rules { kNone, kInPlace };

/// Sends from all sources to both workers of a device that the kernel reaches at `address`.
void expect_each_its_own(std::vector<std::unique_ptr<DpdkPort>>& ports, const char* address,
                         Rules is_in_place) {
  const Endpoint to = *parse_endpoint(address);
  const Sources sources(to);
  // The kernel asks for the Ethernet address first, and keeps few packets meanwhile. (That no rule
  // is about.)
  ASSERT_TRUE(sources.send(0, 0));
  ASSERT_EQ(receive(ports, 1)[0], 1) << "the kernel does not find the device";
  for (int source = 0; source < kSources; ++source)
    for (std::uint16_t worker = 0; worker < kWorkers; ++worker)
      ASSERT_TRUE(sources.send(source, worker));
  const auto got = receive(ports, kSources * kWorkers);
  EXPECT_EQ(got[0], kSources);
  EXPECT_EQ(got[1], kSources);
  std::uint64_t handed_over = 0;
  for (const auto& port : ports) handed_over += port->counters().handed_over;
  if (is_in_place == Rules::kInPlace)
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

/// Whether the kernel itself says that it puts the UDP port of each worker into its queue.
bool kernel_has_rules(const std::string& interface, std::uint16_t base) {
  std::string told;
  FILE* filters = ::popen(("tc filter show dev " + interface).c_str(), "r");
  for (int letter = std::fgetc(filters); letter != EOF; letter = std::fgetc(filters))
    told.push_back(static_cast<char>(letter));
  ::pclose(filters);
  for (std::uint16_t worker = 0; worker < kWorkers; ++worker) {
    const std::size_t port = told.find("dst_port " + std::to_string(base + worker) + "\n");
    if (port == std::string::npos) return false;
    // Of this filter, not of the next.
    const std::string filter = told.substr(port, told.find("filter ", port) - port);
    if (filter.find("queue_mapping " + std::to_string(worker) + " ") == std::string::npos)
      return false;
  }
  return true;
}

struct Tap {
  const char* device;
  const char* interface;
  const char* command;  ///< gives the kernel its address on the interface
  const char* address;
};

/// A tap with two workers, who are steered by rules where the kernel has them, else by each other.
void expect_steered(const Tap& tap) {
  const auto added = dpdk().eal->add_device(tap.device, std::string("iface=") + tap.interface);
  ASSERT_TRUE(added.ok()) << added.error().text;
  auto opened = open_ports(tap.device, tap.address, two_workers());
  ASSERT_TRUE(opened.ok()) << opened.error().text;
  ASSERT_EQ(std::system(tap.command), 0);
  const bool is_steered = kernel_has_rules(tap.interface, 3200);
  EXPECT_EQ(opened.value().front()->is_steered(), is_steered);
  expect_each_its_own(opened.value(), tap.address, is_steered ? Rules::kInPlace : Rules::kNone);
  if (is_steered) std::printf("%s: the kernel's rules steer\n", tap.interface);
  opened.value().clear();
  EXPECT_TRUE(dpdk().eal->remove_device(tap.device).ok());
}

TEST(DpdkSteering, a_tap_is_steered_by_rules_where_the_kernel_has_them_else_by_workers) {
  NEEDS_NETWORK("dpdk_steering_tap");
  expect_steered({"net_tap5", "rwsteer", "ip addr add 10.0.5.1/24 dev rwsteer", "10.0.5.2:3200"});
}

TEST(DpdkSteering, a_tap_is_steered_over_ipv6) {
  NEEDS_NETWORK("dpdk_steering_tap_ipv6");
  expect_steered({"net_tap6", "rwsteer6",
                  "echo 0 > /proc/sys/net/ipv6/conf/rwsteer6/disable_ipv6 && "
                  "ip addr add fd00:5::1/64 dev rwsteer6 nodad",
                  "[fd00:5::2]:3200"});
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
  expect_each_its_own(opened.value(), "10.0.6.2:3200", Rules::kNone);
  opened.value().clear();
  EXPECT_TRUE(dpdk().eal->remove_device("net_af_packet5").ok());
  EXPECT_EQ(std::system("ip link del rws0"), 0);
}

}  // namespace
}  // namespace ringwire::port::conformance
