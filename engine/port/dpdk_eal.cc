#include "engine/port/dpdk_eal.h"

#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_log.h>
#include <rte_pdump.h>
#include <sched.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <utility>

#include "engine/port/dpdk_advice.h"
#include "engine/port/dpdk_lcore.h"
#include "engine/port/dpdk_stale_socket.h"
#include "engine/port/dpdk_unmap.h"

namespace ringwire::port {
namespace {

/// Of DPDK's messages while it starts: what names the reason of a failure comes in the first lines.
constexpr std::size_t kMaxLogBytes = 64 << 10;

/// `error` is positive, in DPDK's numbers.
PortError eal_error(int error, const std::string& what, std::string advice) {
  PortErrorCode code = PortErrorCode::kSystem;
  if (error == EACCES || error == EPERM) code = PortErrorCode::kPermission;
  if (error == EINVAL || error == ENODEV || error == EALREADY) code = PortErrorCode::kBadOptions;
  if (error == ENOMEM || error == ENOTSUP || error == EPROTO) code = PortErrorCode::kUnsupported;
  return {code, error, "cannot " + what + ": " + rte_strerror(error) + std::move(advice)};
}

/// DPDK's messages to standard error, as ever, and into a text.
class LogCopy {
 public:
  explicit LogCopy(std::string& text) {
    cookie_io_functions_t functions{};
    functions.write = [](void* target, const char* bytes, std::size_t count) -> ssize_t {
      auto& copy = *static_cast<std::string*>(target);
      if (copy.size() + count <= kMaxLogBytes) copy.append(bytes, count);
      std::fwrite(bytes, 1, count, stderr);
      return static_cast<ssize_t>(count);
    };
    stream_ = ::fopencookie(&text, "w", functions);
    if (stream_ == nullptr) return;
    std::setvbuf(stream_, nullptr, _IOLBF, 0);
    rte_openlog_stream(stream_);
  }
  ~LogCopy() {
    if (stream_ == nullptr) return;
    rte_openlog_stream(nullptr);
    std::fclose(stream_);
  }
  LogCopy(const LogCopy&) = delete;
  LogCopy& operator=(const LogCopy&) = delete;

 private:
  std::FILE* stream_ = nullptr;
};

/// The affinity of the calling thread, given back at the end.
class Affinity {
 public:
  Affinity() : known_(::sched_getaffinity(0, sizeof before_, &before_) == 0) {}
  ~Affinity() {
    if (known_) ::sched_setaffinity(0, sizeof before_, &before_);
  }
  Affinity(const Affinity&) = delete;
  Affinity& operator=(const Affinity&) = delete;

 private:
  cpu_set_t before_{};
  bool known_;
};

int only_cpu(const rte_cpuset_t& set) {
  if (CPU_COUNT(&set) != 1) return -1;
  for (std::size_t cpu = 0; cpu < CPU_SETSIZE; ++cpu)
    if (CPU_ISSET(cpu, &set)) return static_cast<int>(cpu);
  return -1;
}

std::vector<int> cpus_of_lcores() {
  std::vector<int> cpus;
  for (unsigned lcore = 0; lcore < RTE_MAX_LCORE; ++lcore) {
    if (rte_lcore_is_enabled(lcore) == 0) continue;
    const rte_cpuset_t set = rte_lcore_cpuset(lcore);
    cpus.push_back(only_cpu(set));
  }
  return cpus;
}

/// Where the kernel shows a PCI device, also when its domain is left out.
std::filesystem::path bus_folder(const std::string& name) {
  const bool has_domain = name.find(':') != name.rfind(':');
  return std::filesystem::path("/sys/bus/pci/devices") / (has_domain ? name : "0000:" + name);
}

}  // namespace

bool DpdkEal::is_built() { return true; }

Result<std::unique_ptr<DpdkEal>, PortError> DpdkEal::start(std::span<const std::string> arguments) {
  // rte_eal_init reorders the pointers and keeps some of the texts, hence the copies that live on
  // until the process ends: there is one start per process.
  static std::vector<std::string> texts;
  if (!texts.empty())
    return Failure{eal_error(EALREADY, "start DPDK", advice_on_start({}, {}, EALREADY))};
  texts.emplace_back("ringwire");
  texts.insert(texts.end(), arguments.begin(), arguments.end());
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  std::unique_ptr<DpdkEal> eal(new DpdkEal);
  remove_stale_sockets(arguments);
  int result = 0;
  {
    const Affinity affinity;
    const LogCopy copy(eal->log_);
    result = rte_eal_init(static_cast<int>(pointers.size() - 1), pointers.data());
  }
  if (result < 0) {
    std::fflush(stdout);  // DPDK's usage: before what we say
    const int error = rte_errno == 0 ? EINVAL : rte_errno;
    std::string advice = advice_on_start(eal->log_, arguments, error);
    eal.release();  // NOLINT: nothing came up that a clean-up could take down
    return Failure{eal_error(error, "start DPDK", std::move(advice))};
  }
  leave_main_lcore();
  // For dpdk-dumpcap, a process beside ours, which needs hugepages. Without (--no-shconf,
  // --in-memory) DPDK has no such processes, and says so.
  eal->can_be_dumped_ = rte_pdump_init() == 0;
  if (names_lcores(arguments)) eal->lcore_cpus_ = cpus_of_lcores();
  return eal;
}

DpdkEal::~DpdkEal() {
  if (can_be_dumped_) rte_pdump_uninit();
  // DPDK 22.11 would unmap its memory while its interrupt thread goes on, and what that has listed
  // lies there (net_memif leaves its listener in the list): it crashed with the next event.
  const MemoryStays memory_stays;
  rte_eal_cleanup();
}

std::vector<std::string> DpdkEal::devices() const {
  std::vector<std::string> names;
  for (std::uint64_t device = rte_eth_find_next_owned_by(0, RTE_ETH_DEV_NO_OWNER);
       device < RTE_MAX_ETHPORTS;
       device = rte_eth_find_next_owned_by(static_cast<std::uint16_t>(device + 1),
                                           RTE_ETH_DEV_NO_OWNER)) {
    std::array<char, RTE_ETH_NAME_MAX_LEN> name{};
    if (rte_eth_dev_get_name_by_port(static_cast<std::uint16_t>(device), name.data()) == 0)
      names.emplace_back(name.data());
  }
  return names;
}

PortError DpdkEal::no_device(const std::string& name) const {
  DeviceFacts facts;
  facts.name = name;
  for (const std::string& other : devices())
    facts.others.append(facts.others.empty() ? "" : ", ").append(other);
  if (is_pci_address(name)) {
    std::error_code ignored;
    const std::filesystem::path folder = bus_folder(name);
    facts.is_on_bus = std::filesystem::exists(folder, ignored);
    facts.kernel_driver =
        std::filesystem::read_symlink(folder / "driver", ignored).filename().string();
  }
  return {PortErrorCode::kBadOptions, 0,
          (name.empty() ? "DPDK has no device" : "DPDK has no device \"" + name + '"') +
              advice_on_device(log_, facts)};
}

Result<Done, PortError> DpdkEal::add_device(const std::string& name, const std::string& arguments) {
  std::string said;
  int result = 0;
  {
    const LogCopy copy(said);
    result = rte_eal_hotplug_add("vdev", name.c_str(), arguments.c_str());
  }
  if (result == 0) return Done{};
  const DeviceFacts facts{.name = name, .kernel_driver = {}, .is_on_bus = false, .others = {}};
  return Failure{eal_error(-result, "add the device \"" + name + "," + arguments + '"',
                           advice_on_device(said, facts))};
}

Result<Done, PortError> DpdkEal::remove_device(const std::string& name) {
  const int result = rte_eal_hotplug_remove("vdev", name.c_str());
  if (result < 0) return Failure{eal_error(-result, "remove the device \"" + name + '"', {})};
  return Done{};
}

}  // namespace ringwire::port
