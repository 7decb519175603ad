#include "engine/port/dpdk_advice.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>

namespace ringwire::port {
namespace {

bool has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

bool has_argument(std::span<const std::string> arguments, std::string_view start) {
  return std::any_of(arguments.begin(), arguments.end(),
                     [start](const std::string& one) { return one.starts_with(start); });
}

/// The line of `log` that has `part`, without its end; empty if none has.
std::string line_with(std::string_view log, std::string_view part) {
  const std::size_t at = log.find(part);
  if (at == std::string_view::npos) return {};
  const std::size_t before = log.rfind('\n', at);
  const std::size_t start = before == std::string_view::npos ? 0 : before + 1;
  return std::string(log.substr(start, log.find('\n', at) - start));
}

/// Debian's package of a virtual device's driver: net_memif0 -> librte-net-memif23, where a name
/// that ends in a digit gets a hyphen. 23: the ABI of DPDK 22.11, which is what Debian 12 has.
std::string driver_package(std::string_view device) {
  while (!device.empty() && std::isdigit(static_cast<unsigned char>(device.back())) != 0)
    device.remove_suffix(1);
  std::string package = "librte-";
  for (const char letter : device) package.push_back(letter == '_' ? '-' : letter);
  return package.append("23");
}

struct Row {
  std::string_view said;
  std::string_view mends;
};

// As DPDK 22.11 says it; what is most certain first.
constexpr std::array<Row, 9> kStartRows = {{
    {"another primary process",
     "; another DPDK process has this name: add --file-prefix=NAME to the EAL arguments"},
    {"Cannot create runtime directory",
     "; DPDK's run-time folder, which it names above, is not this user's: set XDG_RUNTIME_DIR to a "
     "folder that is (`mktemp -d`)"},
    {">= RTE_MAX_LCORE", "; lcores are numbered below 128: give them numbers, --lcores 'ID@CPU'"},
    {"invalid core list", "; -l names a core that is not there, or twice: see `nproc`"},
    {"invalid coremask", "; -c names a core that is not there: see `nproc`"},
    {"invalid parameter for --lcores", "; --lcores names a core that is not there: see `nproc`"},
    {"Invalid 'command line' arguments", "; DPDK's lines above name the argument"},
    {"hugepage", {}},
    {"hugetlbfs", {}},
}};

constexpr std::string_view kHugepages =
    "; DPDK wants hugepages: `sysctl -w vm.nr_hugepages=512` and `mkdir -p /dev/hugepages; mount "
    "-t hugetlbfs hugetlbfs /dev/hugepages`, or do without by --no-huge -m 256";
constexpr std::string_view kRights =
    "; DPDK needs root, or for a user one of: --in-memory (hugepages that no file stands for), a "
    "hugetlbfs of the user's (`mount -t hugetlbfs -o uid=USER hugetlbfs /dev/hugepages`), "
    "--no-huge -m 256";

/// `setcap` is for a program started by hand; the unit has a drop-in.
constexpr std::string_view kCapabilities =
    ": as root, or `setcap cap_net_raw,cap_net_admin+ep` on this program, or the unit's drop-in "
    "for "
    "DPDK";

// Of a device that could not be made.
constexpr std::array<Row, 4> kDeviceRows = {{
    {"Could not open AF_PACKET socket", "it needs CAP_NET_RAW and CAP_NET_ADMIN"},
    {"Unable to create TAP interface", "it needs CAP_NET_ADMIN"},
    {"SIOCGIFINDEX", "no such interface here: see `ip link`"},
    {"Invalid socket directory", "its socket's folder is not there, or not for this user"},
}};

/// The device that DPDK says it could not make, or nothing.
std::string_view device_not_made(std::string_view log) {
  constexpr std::string_view kSaid = "failed to initialize ";
  const std::size_t at = log.find(kSaid);
  if (at == std::string_view::npos) return {};
  const std::string_view rest = log.substr(at + kSaid.size());
  return rest.substr(0, rest.find_first_of(" \n"));
}

}  // namespace

std::string advice_on_start(std::string_view log, std::span<const std::string> arguments,
                            int error) {
  constexpr std::string_view kNoDriver = "failed to parse device \"";
  if (const std::size_t at = log.find(kNoDriver); at != std::string_view::npos) {
    const std::string_view rest = log.substr(at + kNoDriver.size());
    const std::string device(rest.substr(0, rest.find_first_of("\",")));
    return "; DPDK has no driver for " + device + ": `apt-get install " + driver_package(device) +
           "`";
  }
  for (const Row& row : kStartRows)
    if (has(log, row.said)) {
      if (!row.mends.empty()) return std::string(row.mends);
      if (has(log, "Permission denied")) return std::string(kRights);
      return std::string(kHugepages);
    }
  if (error == EALREADY) return "; DPDK can be started once in a process";
  if (error == EACCES || error == EPERM || has(log, "Permission denied"))
    return std::string(kRights);
  if (error == ENOMEM && has_argument(arguments, "--no-huge"))
    return "; -m asks for more memory than there is: see `free -m`";
  if (error == ENOMEM || error == ENOTSUP || error == EPROTO) return std::string(kHugepages);
  if (error == EINVAL) return "; see DPDK's messages above for the argument that it refuses";
  return {};
}

std::string advice_on_device(std::string_view log, const DeviceFacts& facts) {
  if (const std::string_view device = device_not_made(log);
      !device.empty() && (facts.name.empty() || facts.name == device)) {
    std::string advice = ": " + std::string(device) + " could not be made; ";
    for (const Row& row : kDeviceRows)
      if (has(log, row.said)) {
        advice.append(row.mends);
        return row.mends.starts_with("it needs") ? advice.append(kCapabilities) : advice;
      }
    return advice + "see DPDK's messages above";
  }
  if (facts.name.empty())
    return ": name one by --vdev among the EAL arguments, or bind a NIC to vfio-pci "
           "(dpdk-devbind.py)";
  if (facts.is_on_bus && !facts.kernel_driver.empty() && facts.kernel_driver != "vfio-pci")
    return ": it is bound to the kernel driver " + facts.kernel_driver +
           ": `modprobe vfio-pci; dpdk-devbind.py --bind=vfio-pci " + facts.name +
           "` gives it to DPDK (the kernel's network interface on it goes away)";
  if (facts.is_on_bus)
    return ": it is on the bus, but no driver of DPDK took it: is --no-pci or -a among the EAL "
           "arguments, or its driver missing (`apt-get install librte-meta-net`)?";
  if (is_pci_address(facts.name)) return ": no such device on the PCI bus: see `lspci -D`";
  if (const std::string line = line_with(log, facts.name); !line.empty())
    return ": DPDK said: " + line;
  return (facts.others.empty() ? std::string(": it has none") : ": it has " + facts.others) +
         "; name a virtual one by --vdev=" + facts.name + ",... among the EAL arguments";
}

std::string advice_on_device_start(std::string_view driver, int error) {
  if (driver == "net_memif")
    return "; is its peer there? The side with role=server makes the socket and is started first, "
           "the one with role=client connects to it";
  if (driver == "net_af_packet" && error == EPERM)
    return "; it needs CAP_NET_RAW and CAP_NET_ADMIN" + std::string(kCapabilities);
  if (driver == "net_af_xdp")
    return "; it needs CAP_NET_RAW, CAP_NET_ADMIN, CAP_SYS_ADMIN and room for locked memory "
           "(`ulimit -l`), or root; see DPDK's messages above";
  return "; see DPDK's messages above";
}

bool is_pci_address(std::string_view name) {
  // [DDDD:]BB:DD.F
  const std::size_t colons = static_cast<std::size_t>(std::count(name.begin(), name.end(), ':'));
  if (colons == 0 || colons > 2 || name.size() < 7 || name[name.size() - 2] != '.') return false;
  return std::all_of(name.begin(), name.end(), [](char letter) {
    return letter == ':' || letter == '.' || std::isxdigit(static_cast<unsigned char>(letter)) != 0;
  });
}

bool names_lcores(std::span<const std::string> arguments) {
  return std::any_of(arguments.begin(), arguments.end(), [](const std::string& one) {
    return one.starts_with("--lcores") || one.starts_with("-l") || one.starts_with("-c") ||
           one.starts_with("-S");
  });
}

}  // namespace ringwire::port
