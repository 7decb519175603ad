// The DPDK lanes: devices of this process that are joined through shared memory (net_memif,
// net_ring, net_vhost), which need neither hugepages nor root; and devices that the kernel joins in
// a network namespace of this process, which needs root (net_af_packet and net_af_xdp on a veth
// pair, net_tap on a bridge). A program of its own, as DPDK can be started once in a process; with
// --huge it is one for net_af_xdp: the kernel loses what lies across two small pages.
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "base/endpoint_text.h"
#include "tests/conformance/dpdk_pair.h"

namespace ringwire::port::conformance {
namespace {

constexpr PairOptions kIpv4;
constexpr PairOptions kIpv6{.address_a = "[fd00::1]:3200", .address_b = "[fd00::2]:3200"};
constexpr PairOptions kTagged{.vlan = 100};
/// As the devices are.
constexpr PairOptions kPlain{.mtu_bytes = 0};
constexpr PairOptions kPlainTagged{.mtu_bytes = 0, .vlan = 100};
constexpr PairOptions kPlainIpv6{
    .address_a = "[fd00::1]:3200", .address_b = "[fd00::2]:3200", .mtu_bytes = 0};

constexpr KernelLink kAfPacket = {
    "net_af_packet0",
    "iface=va",
    "net_af_packet1",
    "iface=vb",
    "ip link add va type veth peer name vb && ip link set va up && ip link set vb up",
    "true"};
constexpr KernelLink kAfPacketIpv6 = {
    "net_af_packet2",
    "iface=vc",
    "net_af_packet3",
    "iface=vd",
    "ip link add vc type veth peer name vd && ip link set vc up && ip link set vd up",
    "true"};
// The kernel takes the tag away and tells of it; the driver puts it back.
constexpr KernelLink kAfPacketTagged = {
    "net_af_packet6",
    "iface=tag0",
    "net_af_packet7",
    "iface=tag1",
    "ip link add tag0 type veth peer name tag1 && ip link set tag0 up && ip link set tag1 up",
    "true"};
constexpr KernelLink kAfXdp = {
    "net_af_xdp0",
    "iface=xa,start_queue=0,queue_count=1",
    "net_af_xdp1",
    "iface=xb,start_queue=0,queue_count=1",
    "ip link add xa type veth peer name xb && ip link set xa up && ip link set xb up",
    "true"};
constexpr KernelLink kTap = {
    "net_tap0", "iface=rwtap0", "net_tap1", "iface=rwtap1",
    "ip link add rwbridge type bridge && ip link set rwbridge up",
    // A bridge keeps what is addressed to its own ports' interfaces: they get other addresses.
    "ip link set rwtap0 address 02:00:00:00:00:01 master rwbridge && "
    "ip link set rwtap1 address 02:00:00:00:00:02 master rwbridge"};

std::vector<LaneMaker> lanes() {
  const std::vector<std::pair<const char*, PairMaker>> pairs = {
      {"dpdk_memif_ipv4", memif_pair(0, kIpv4)},
      {"dpdk_memif_ipv6", memif_pair(1, kIpv6)},
      {"dpdk_memif_vlan", memif_pair(2, kTagged)},
      {"dpdk_ring", ring_pair(0, kIpv4)},
      {"dpdk_vhost", vhost_pair(kPlain)},
      {"dpdk_af_packet_ipv4", kernel_pair(kAfPacket, kPlain)},
      {"dpdk_af_packet_ipv6", kernel_pair(kAfPacketIpv6, kPlainIpv6)},
      {"dpdk_af_packet_vlan", kernel_pair(kAfPacketTagged, kPlainTagged)},
      {"dpdk_af_xdp", huge_kernel_pair(kAfXdp, kPlain)},
      {"dpdk_tap", kernel_pair(kTap, kPlain)},
  };
  std::vector<LaneMaker> all;
  for (const auto& [name, make] : pairs) {
    all.push_back(bare_lane(name, make));
    all.push_back(fault_lane(name, make));
  }
  return all;
}

std::string name_of(const testing::TestParamInfo<LaneMaker>& info) { return info.param.name; }

INSTANTIATE_TEST_SUITE_P(Lanes, PortConformance, testing::ValuesIn(lanes()), name_of);

TEST(DpdkEal, cannot_be_started_twice) {
  ASSERT_NE(dpdk().eal, nullptr) << dpdk().reason;
  const std::vector<std::string> arguments = {"--no-huge"};
  const auto again = DpdkEal::start(arguments);
  ASSERT_FALSE(again.ok());
  EXPECT_EQ(again.error().code, PortErrorCode::kBadOptions);
}

TEST(DpdkPort, an_unknown_device_is_named) {
  ASSERT_NE(dpdk().eal, nullptr) << dpdk().reason;
  DpdkPortOptions options;
  options.device = "net_nothing7";
  options.local = *parse_endpoint("10.0.0.1:3200");
  const auto opened = DpdkPort::open(options);
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.error().code, PortErrorCode::kBadOptions);
  EXPECT_NE(opened.error().text.find("net_nothing7"), std::string::npos) << opened.error().text;
}

TEST(DpdkPort, sockets_of_xdp_without_hugepages_are_refused) {
  ASSERT_NE(dpdk().eal, nullptr) << dpdk().reason;
  if (!dpdk().no_network.empty()) {
    std::printf("LANE dpdk_af_xdp_refused: cannot run: %s\n", dpdk().no_network.c_str());
    GTEST_SKIP() << dpdk().no_network;
  }
  ASSERT_EQ(std::system("ip link add xr type veth peer name xs"), 0);
  const auto refused = open_port("net_af_xdp7", "iface=xr", "10.0.0.1:3200");
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, PortErrorCode::kUnsupported);
  EXPECT_NE(refused.error().text.find("needs hugepages"), std::string::npos)
      << refused.error().text;
  EXPECT_TRUE(dpdk().eal->remove_device("net_af_xdp7").ok());
}

TEST(DpdkPort, can_be_closed_and_opened_again) {
  ASSERT_NE(dpdk().eal, nullptr) << dpdk().reason;
  for (int round = 0; round < 3; ++round) {
    auto opened = open_port("net_null0", "size=64", "10.0.0.1:3200");
    ASSERT_TRUE(opened.ok()) << opened.error().text;
    std::unique_ptr<DpdkPort> port = std::move(opened).value();
    // A device has one owner.
    DpdkPortOptions again;
    again.device = "net_null0";
    again.local = *parse_endpoint("10.0.0.1:3201");
    const auto second = DpdkPort::open(again);
    ASSERT_FALSE(second.ok());
    EXPECT_EQ(second.error().code, PortErrorCode::kAddressInUse);
    // The device makes up frames of zeros: none is for us.
    RxPacket packet;
    EXPECT_EQ(port->rx_burst(std::span(&packet, 1)), 0U);
    EXPECT_EQ(port->counters().rx_errors, 1U);
    port.reset();
    ASSERT_TRUE(dpdk().eal->remove_device("net_null0").ok());
  }
}

}  // namespace
}  // namespace ringwire::port::conformance

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  using namespace ringwire::port::conformance;
  // Listing tests needs no devices, and runs where they cannot be had.
  if (testing::GTEST_FLAG(list_tests)) return RUN_ALL_TESTS();
  const bool is_huge = argc == 2 && std::string_view(argv[1]) == "--huge";
  start_dpdk(is_huge ? Pages::kHuge : Pages::kSmall);
  const int result = RUN_ALL_TESTS();
  end_dpdk();
  // No destructors, as dpdk_pair.h explains; the kernel takes back what this process had.
  std::fflush(nullptr);
  std::_Exit(result);
}
