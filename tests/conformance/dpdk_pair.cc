#include "tests/conformance/dpdk_pair.h"

#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <map>
#include <utility>

#include "base/endpoint_text.h"
#include "engine/port/fault_port.h"
#include "tests/conformance/dpdk_rings.h"

namespace ringwire::port::conformance {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kPatience = std::chrono::seconds(60);

/// Lets each find the other on the link, as sessions do before they carry anything. (A memif client
/// gives the server buffers to send into only when it polls, too.) Empty when both did.
std::string meet(DevicePair& pair) {
  const auto deadline = Clock::now() + kPatience;
  const auto up = [](auto& ports) { return ports.front()->is_link_up(); };
  const auto knows = [](auto& ports) {
    for (auto& port : ports)
      if (port->neighbour_counters().learned == 0) return false;
    return true;
  };
  const auto poll = [](auto& ports) {
    std::array<RxPacket, kBurstPackets> none;
    std::size_t count = 0;
    for (auto& port : ports) count += port->rx_burst(none);
    return count == 0;
  };
  std::vector<std::pair<DpdkPort*, DestinationId>> opened;
  for (auto* side : {&pair.a, &pair.b})
    for (auto& port : *side) {
      DestinationId destination{};
      const Endpoint other = (side == &pair.a ? pair.b : pair.a).front()->local();
      if (!port->open_destination(other, destination)) return "a port takes no destination";
      opened.emplace_back(port.get(), destination);
    }
  while (!up(pair.a) || !up(pair.b) || !knows(pair.a) || !knows(pair.b)) {
    if (!poll(pair.a) || !poll(pair.b)) return "a new device had a packet for us";
    if (Clock::now() > deadline) return "the two ports did not find each other";
  }
  for (const auto& [port, destination] : opened) port->close_destination(destination);
  return "";
}

std::string open_both(DevicePair& pair, const std::string& a, const std::string& b,
                      const PairOptions& options) {
  for (const bool is_a : {true, false}) {
    auto opened = open_ports(is_a ? a : b, is_a ? options.address_a : options.address_b, options);
    if (!opened.ok()) return opened.error().text;
    (is_a ? pair.a : pair.b) = std::move(opened).value();
  }
  return "";
}

/// Of a device whose other end must be open before it is added: one after the other.
std::string add_and_open(DevicePair& pair, std::pair<std::string, std::string> a,
                         std::pair<std::string, std::string> b, const PairOptions& options) {
  for (const bool is_a : {true, false}) {
    const auto& [device, arguments] = is_a ? a : b;
    const auto added = dpdk().eal->add_device(device, arguments);
    if (!added.ok()) return added.error().text;
    auto opened = open_ports(device, is_a ? options.address_a : options.address_b, options);
    if (!opened.ok()) return opened.error().text;
    (is_a ? pair.a : pair.b) = std::move(opened).value();
  }
  return "";
}

/// A port that somebody else owns.
class Borrowed final : public Port {
 public:
  explicit Borrowed(Port& port) : port_(port) {}
  std::uint32_t max_payload_bytes() const override { return port_.max_payload_bytes(); }
  std::uint64_t receive_queue_bytes() const override { return port_.receive_queue_bytes(); }
  Endpoint local() const override { return port_.local(); }
  bool open_destination(const Endpoint& remote, DestinationId& destination) override {
    return port_.open_destination(remote, destination);
  }
  void close_destination(DestinationId destination) override {
    port_.close_destination(destination);
  }
  std::size_t rx_burst(std::span<RxPacket> packets) override { return port_.rx_burst(packets); }
  std::size_t tx_alloc(std::span<TxPacket> packets) override { return port_.tx_alloc(packets); }
  std::size_t tx_burst(std::span<const TxPacket> packets) override {
    return port_.tx_burst(packets);
  }
  void tx_free(std::span<const TxPacket> packets) override { port_.tx_free(packets); }
  void flush() override { port_.flush(); }
  int wait_descriptor() const override { return port_.wait_descriptor(); }
  const PortCounters& counters() const override { return port_.counters(); }

 private:
  Port& port_;
};

class PairLane final : public Lane {
 public:
  PairLane(DevicePair& pair, bool with_faults) : a_(wrap(pair.a, with_faults)) {
    b_ = wrap(pair.b, with_faults);
  }
  Port& a() override { return *a_; }
  Port& b() override { return *b_; }
  void step() override {}

 private:
  static std::unique_ptr<Port> wrap(std::vector<std::unique_ptr<DpdkPort>>& ports,
                                    bool with_faults) {
    std::unique_ptr<Port> port = std::make_unique<Borrowed>(*ports.front());
    if (with_faults) port = std::make_unique<FaultPort>(std::move(port), FaultOptions{});
    return port;
  }
  std::unique_ptr<Port> a_;
  std::unique_ptr<Port> b_;
};

LaneMaker lane(std::string name, PairMaker make, bool with_faults) {
  // Both lanes over a pair share its devices.
  std::string device = with_faults ? name.substr(name.find("over_") + 5) : name;
  return {std::move(name), [=]() -> LaneOrReason {
            DevicePair& pair = pair_of(device, make);
            if (!pair.reason.empty()) return {nullptr, pair.reason};
            return {std::make_unique<PairLane>(pair, with_faults), ""};
          }};
}

/// A network of our own, in which the kernel itself says nothing: devices there are nobody else's.
std::string enter_network() {
  if (unshare(CLONE_NEWNET) != 0) return "needs root, for a network namespace";
  if (std::system("ip link set lo up") != 0) return "needs `ip`: apt-get install iproute2";
  if (std::system("echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6") != 0)
    return "needs a writable /proc/sys";
  return "";
}

// ---- hugepages ----------------------------------------------------------------------------------

constexpr const char* kHugePages = "/sys/kernel/mm/hugepages/hugepages-2048kB/";
/// 64 MB, and some that DPDK takes to find out which are beside each other.
constexpr int kHugePagesNeeded = 40;
int huge_pages_before = -1;

std::filesystem::path huge_folder() { return std::filesystem::path(dpdk().directory) / "huge"; }

int read_number(const std::string& path) {
  int number = 0;
  std::ifstream(path) >> number;
  return number;
}
void write_number(const std::string& path, int number) { std::ofstream(path) << number; }

void give_hugepages_back() {
  if (huge_pages_before < 0) return;
  write_number(std::string(kHugePages) + "nr_hugepages", huge_pages_before);
  huge_pages_before = -1;
}

/// In a mount namespace of our own, so that the file system goes with this process. Why not, or "".
std::string borrow_hugepages() {
  const std::string count = std::string(kHugePages) + "nr_hugepages";
  const int lacking = kHugePagesNeeded - read_number(std::string(kHugePages) + "free_hugepages");
  if (lacking > 0) {
    huge_pages_before = read_number(count);
    write_number(count, huge_pages_before + lacking);
  }
  if (read_number(std::string(kHugePages) + "free_hugepages") < kHugePagesNeeded) {
    give_hugepages_back();
    return "needs 80 MB of hugepages: `sysctl -w vm.nr_hugepages=64`, or root to borrow them";
  }
  std::filesystem::create_directory(huge_folder());
  if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
      mount("none", huge_folder().c_str(), "hugetlbfs", 0, "pagesize=2M") != 0)
    return "needs root, to mount hugetlbfs";
  return "";
}

}  // namespace

Dpdk& dpdk() {
  static Dpdk instance;
  return instance;
}

void start_dpdk(Pages pages) {
  std::string pattern = (std::filesystem::temp_directory_path() / "rw_dpdk_XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) {
    dpdk().reason = "no temporary directory could be made";
    return;
  }
  dpdk().directory = pattern;
  dpdk().no_network = enter_network();
  dpdk().no_huge = pages == Pages::kHuge ? borrow_hugepages() : "this run is one without";
  // Where DPDK keeps its run-time files, so that none is left behind.
  setenv("RUNTIME_DIRECTORY", pattern.c_str(), 1);
  std::vector<std::string> arguments = {"--no-pci", "--no-shconf",    "-l",
                                        "0",        "--no-telemetry", "--log-level=error"};
  const auto add = [&](std::initializer_list<std::string> more) {
    arguments.insert(arguments.end(), more);
  };
  if (dpdk().no_huge.empty())
    add({"-m", "64", "--huge-dir", huge_folder().string(), "--huge-unlink"});
  else
    add({"--no-huge", "-m", "640"});
  auto started = DpdkEal::start(arguments);
  if (started.ok())
    dpdk().eal = std::move(started).value();
  else
    dpdk().reason = started.error().text;
}

void end_dpdk() {
  // DPDK's mapping keeps its pages until the process ends; only then does the count come down.
  if (dpdk().no_huge.empty()) umount2(huge_folder().c_str(), MNT_DETACH);
  give_hugepages_back();
  std::error_code ignored;
  if (!dpdk().directory.empty()) std::filesystem::remove_all(dpdk().directory, ignored);
}

Result<std::vector<std::unique_ptr<DpdkPort>>, PortError> open_ports(const std::string& device,
                                                                     const char* address,
                                                                     const PairOptions& options) {
  DpdkPortOptions wanted;
  wanted.device = device;
  wanted.local = *parse_endpoint(address);
  wanted.mtu_bytes = options.mtu_bytes;
  wanted.vlan = options.vlan;
  wanted.queues_count = options.queues_count;
  wanted.tx_buffers_count = kTxBuffers;
  wanted.destinations_count = kDestinations;
  return DpdkPort::open_all(wanted);
}

Result<std::unique_ptr<DpdkPort>, PortError> open_port(const std::string& device,
                                                       const std::string& arguments,
                                                       const char* address) {
  const auto added = dpdk().eal->add_device(device, arguments);
  if (!added.ok()) return Failure{added.error()};
  auto opened = open_ports(device, address, {});
  if (!opened.ok()) return Failure{opened.error()};
  return std::move(opened.value().front());
}

PairMaker memif_pair(int number, const PairOptions& options) {
  return [=](DevicePair& pair) -> std::string {
    const std::string common = ",socket=" + dpdk().directory + "/memif" + std::to_string(number) +
                               ",socket-abstract=no,rsize=10,bsize=9216";
    return add_and_open(pair, {"net_memif" + std::to_string(2 * number), "role=server" + common},
                        {"net_memif" + std::to_string(2 * number + 1), "role=client" + common},
                        options);
  };
}

PairMaker ring_pair(int number, const PairOptions& options) {
  return [=](DevicePair& pair) -> std::string {
    const std::string a = "rwring" + std::to_string(2 * number);
    const std::string b = "rwring" + std::to_string(2 * number + 1);
    if (!make_ring_pair(a, b, options.queues_count)) return "DPDK makes no devices from rings";
    // As DPDK names what is made from rings.
    return open_both(pair, "net_ring_" + a, "net_ring_" + b, options);
  };
}

PairMaker vhost_pair(const PairOptions& options) {
  return [=](DevicePair& pair) -> std::string {
    const std::string socket = dpdk().directory + "/vhost";
    return add_and_open(
        pair, {"net_vhost0", "iface=" + socket + ",queues=1"},
        {"net_virtio_user0",
         "path=" + socket + ",queues=1,queue_size=1024,packed_vq=1,mrg_rxbuf=0,in_order=1"},
        options);
  };
}

PairMaker kernel_pair(const KernelLink& link, const PairOptions& options) {
  return [=](DevicePair& pair) -> std::string {
    if (!dpdk().no_network.empty()) return dpdk().no_network;
    if (std::system(link.before) != 0) return std::string("refused: ") + link.before;
    std::string reason = add_and_open(pair, {link.device_a, link.arguments_a},
                                      {link.device_b, link.arguments_b}, options);
    if (reason.empty() && std::system(link.behind) != 0)
      reason = std::string("refused: ") + link.behind;
    return reason;
  };
}

PairMaker huge_kernel_pair(const KernelLink& link, const PairOptions& options) {
  return [make = kernel_pair(link, options)](DevicePair& pair) {
    return dpdk().no_huge.empty() ? make(pair) : dpdk().no_huge;
  };
}

DevicePair& pair_of(const std::string& name, const PairMaker& make) {
  static std::map<std::string, DevicePair> pairs;
  const auto [place, is_new] = pairs.try_emplace(name);
  DevicePair& pair = place->second;
  if (!is_new) return pair;
  pair.reason = dpdk().eal == nullptr ? dpdk().reason : make(pair);
  if (pair.reason.empty()) pair.reason = meet(pair);
  return pair;
}

LaneMaker bare_lane(std::string name, PairMaker make) {
  return lane(std::move(name), std::move(make), false);
}
LaneMaker fault_lane(std::string name, PairMaker make) {
  return lane("fault_over_" + name, std::move(make), true);
}

}  // namespace ringwire::port::conformance
