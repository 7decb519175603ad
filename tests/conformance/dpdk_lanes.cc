// The DPDK lanes: two net_memif devices of this process, connected through shared memory. Needs
// neither hugepages nor root. A program of its own, as DPDK can be started once in a process.
#include <stdlib.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "base/endpoint_text.h"
#include "engine/port/dpdk_eal.h"
#include "engine/port/dpdk_port.h"
#include "tests/conformance/port_suite.h"

namespace ringwire::port::conformance {
namespace {

using Clock = std::chrono::steady_clock;

/// The process's DPDK and a directory for its sockets, for as long as tests run.
struct Dpdk {
  std::unique_ptr<DpdkEal> eal;
  std::string directory;
  std::string reason;  ///< why there is no DPDK
};

Dpdk& dpdk() {
  static Dpdk instance;
  return instance;
}

/// Two connected devices and their ports. Made once for each lane and never taken down: where both
/// ends are in one process, DPDK's interrupt thread and the closing one free the same memory.
struct MemifPair {
  std::unique_ptr<DpdkPort> a;
  std::unique_ptr<DpdkPort> b;
  std::string reason;  ///< why they are not connected
};

Result<std::unique_ptr<DpdkPort>, PortError> open_port(const std::string& device,
                                                       const std::string& arguments,
                                                       const char* address) {
  const auto added = dpdk().eal->add_device(device, arguments);
  if (!added.ok()) return Failure{added.error()};
  DpdkPortOptions options;
  options.device = device;
  options.local = *parse_endpoint(address);
  options.mtu_bytes = 9'000;
  options.tx_buffers_count = kTxBuffers;
  options.destinations_count = kDestinations;
  return DpdkPort::open(options);
}

/// Lets each find the other on the link, as sessions do before they carry anything. (A memif client
/// gives the server buffers to send into only when it polls, too.) Empty when both did.
std::string meet(DpdkPort& a, DpdkPort& b) {
  const auto deadline = Clock::now() + std::chrono::seconds(20);
  DestinationId to_a{};
  DestinationId to_b{};
  if (!a.open_destination(b.local(), to_b) || !b.open_destination(a.local(), to_a))
    return "the ports take no destination";
  std::array<RxPacket, kBurstPackets> none;
  while (a.neighbour_counters().learned == 0 || b.neighbour_counters().learned == 0) {
    if (a.rx_burst(none) + b.rx_burst(none) != 0) return "a new device had a packet for us";
    if (Clock::now() > deadline) return "the two ports did not find each other";
  }
  a.close_destination(to_b);
  b.close_destination(to_a);
  return "";
}

/// Empty when both ends are connected. `number` tells the pairs apart.
std::string connect(MemifPair& pair, int number, const char* address_a, const char* address_b) {
  const std::string common = ",socket=" + dpdk().directory + "/memif" + std::to_string(number) +
                             ",socket-abstract=no,rsize=10,bsize=9216";
  auto a = open_port("net_memif" + std::to_string(2 * number), "role=server" + common, address_a);
  if (!a.ok()) return a.error().text;
  pair.a = std::move(a).value();
  auto b =
      open_port("net_memif" + std::to_string(2 * number + 1), "role=client" + common, address_b);
  if (!b.ok()) return b.error().text;
  pair.b = std::move(b).value();
  const auto deadline = Clock::now() + std::chrono::seconds(20);
  while (!pair.a->is_link_up() || !pair.b->is_link_up())
    if (Clock::now() > deadline) return "the two memif devices did not connect";
  return meet(*pair.a, *pair.b);
}

class MemifLane final : public Lane {
 public:
  explicit MemifLane(MemifPair& pair) : pair_(pair) {}
  Port& a() override { return *pair_.a; }
  Port& b() override { return *pair_.b; }
  void step() override {}

 private:
  MemifPair& pair_;
};

LaneMaker memif_lane(std::string name, int number, const char* address_a, const char* address_b) {
  return {std::move(name), [=]() -> LaneOrReason {
            static std::map<int, MemifPair> pairs;
            if (dpdk().eal == nullptr) return {nullptr, dpdk().reason};
            const auto [place, is_new] = pairs.try_emplace(number);
            MemifPair& pair = place->second;
            if (is_new) pair.reason = connect(pair, number, address_a, address_b);
            if (!pair.reason.empty()) return {nullptr, pair.reason};
            return {std::make_unique<MemifLane>(pair), ""};
          }};
}

std::string name_of(const testing::TestParamInfo<LaneMaker>& info) { return info.param.name; }

INSTANTIATE_TEST_SUITE_P(
    Lanes, PortConformance,
    testing::Values(memif_lane("dpdk_memif_ipv4", 0, "10.0.0.1:3200", "10.0.0.2:3200"),
                    memif_lane("dpdk_memif_ipv6", 1, "[fd00::1]:3200", "[fd00::2]:3200")),
    name_of);

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

void start_dpdk() {
  std::string pattern = (std::filesystem::temp_directory_path() / "rw_memif_XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) {
    dpdk().reason = "no temporary directory could be made";
    return;
  }
  dpdk().directory = pattern;
  // Where DPDK keeps its run-time files, so that none is left behind.
  setenv("RUNTIME_DIRECTORY", pattern.c_str(), 1);
  const std::vector<std::string> arguments = {"--no-huge",        "-m", "256", "--no-pci",
                                              "--no-shconf",      "-l", "0",   "--no-telemetry",
                                              "--log-level=error"};
  auto started = DpdkEal::start(arguments);
  if (started.ok())
    dpdk().eal = std::move(started).value();
  else
    dpdk().reason = started.error().text;
}

}  // namespace
}  // namespace ringwire::port::conformance

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  using namespace ringwire::port::conformance;
  // Listing tests needs no devices, and runs where they cannot be had.
  if (testing::GTEST_FLAG(list_tests)) return RUN_ALL_TESTS();
  start_dpdk();
  const int result = RUN_ALL_TESTS();
  if (!dpdk().directory.empty()) std::filesystem::remove_all(dpdk().directory);
  // No destructors, as MemifPair explains; the kernel takes back what this process had.
  std::fflush(nullptr);
  std::_Exit(result);
}
