#include "engine/port/dpdk_eal.h"

#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_errno.h>

#include <cerrno>
#include <utility>
#include <vector>

namespace ringwire::port {
namespace {

/// `error` is positive, in DPDK's numbers.
PortError eal_error(int error, const std::string& what) {
  PortErrorCode code = PortErrorCode::kSystem;
  std::string hint;
  switch (error) {
    case EACCES:
    case EPERM:
      code = PortErrorCode::kPermission;
      hint = "; DPDK needs root, or rights on hugepages and devices";
      break;
    case EINVAL:
    case ENODEV:
      code = PortErrorCode::kBadOptions;
      hint = "; see DPDK's messages above for the argument or device that it refuses";
      break;
    case EALREADY:
      code = PortErrorCode::kBadOptions;
      hint = "; DPDK can be started once in a process";
      break;
    case ENOMEM:
    case ENOTSUP:
    case EPROTO:
      code = PortErrorCode::kUnsupported;
      hint = "; are hugepages reserved? (--no-huge -m 256 does without)";
      break;
    default:
      break;
  }
  return {code, error, "cannot " + what + ": " + rte_strerror(error) + hint};
}

}  // namespace

Result<std::unique_ptr<DpdkEal>, PortError> DpdkEal::start(std::span<const std::string> arguments) {
  // rte_eal_init reorders the pointers and keeps some of the texts, hence the copies that live on
  // until the process ends: there is one start per process.
  static std::vector<std::string> texts;
  if (!texts.empty()) return Failure{eal_error(EALREADY, "start DPDK")};
  texts.emplace_back("ringwire");
  texts.insert(texts.end(), arguments.begin(), arguments.end());
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  if (rte_eal_init(static_cast<int>(pointers.size()), pointers.data()) < 0)
    return Failure{eal_error(rte_errno, "start DPDK")};
  return std::unique_ptr<DpdkEal>(new DpdkEal);
}

DpdkEal::~DpdkEal() { rte_eal_cleanup(); }

Result<Done, PortError> DpdkEal::add_device(const std::string& name, const std::string& arguments) {
  const int result = rte_eal_hotplug_add("vdev", name.c_str(), arguments.c_str());
  if (result < 0)
    return Failure{eal_error(-result, "add the device \"" + name + "," + arguments + '"')};
  return Done{};
}

Result<Done, PortError> DpdkEal::remove_device(const std::string& name) {
  const int result = rte_eal_hotplug_remove("vdev", name.c_str());
  if (result < 0) return Failure{eal_error(-result, "remove the device \"" + name + '"')};
  return Done{};
}

}  // namespace ringwire::port
