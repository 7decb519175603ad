#include "engine/port/dpdk_advice.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <vector>

namespace ringwire::port {
namespace {

TEST(DpdkAdvice, names_the_command_for_what_dpdk_said_at_its_start) {
  const struct {
    const char* log;
    int error;
    const char* says;
  } rows[] = {
      {"EAL: FATAL: Cannot get hugepage information.\n", EACCES, "vm.nr_hugepages"},
      {"EAL: get_hugepage_dir(): open hugetlbfs failed: Permission denied\n", EACCES,
       "--in-memory"},
      {"EAL: get_seg_fd(): open '/dev/hugepages/rtemap_0' failed: Permission denied\n", ENOMEM,
       "-o uid=USER"},
      {"EAL: Error creating '/tmp/dpdk/rte': Permission denied\nEAL: Cannot create runtime "
       "directory\nEAL: Invalid 'command line' arguments.\n",
       EINVAL, "XDG_RUNTIME_DIR"},
      {"EAL: Cannot create lock on '/run/dpdk/rte/config'. Is another primary process running?\n",
       EINVAL, "--file-prefix"},
      {"EAL: lcore 77 unavailable\nEAL: invalid core list, please check\n", EINVAL, "-l names"},
      {"EAL: lcore 200 >= RTE_MAX_LCORE (128)\nEAL: invalid core list syntax\n", EINVAL, "ID@CPU"},
      {"EAL: invalid parameter for --lcores\n", EINVAL, "--lcores names"},
      {"EAL: failed to parse device \"net_memif0,role=client\"\n", ENODEV, "librte-net-memif23"},
      {"EAL: failed to parse device \"net_af_packet0\"\n", ENODEV, "librte-net-af-packet23`"},
      {"EAL: Invalid 'command line' arguments.\n", EINVAL, "name the argument"},
      {"", EPERM, "root"},
      {"", ENOMEM, "--no-huge"},
      {"", EALREADY, "once in a process"},
  };
  for (const auto& row : rows)
    EXPECT_NE(advice_on_start(row.log, {}, row.error).find(row.says), std::string::npos)
        << row.log << row.says;
}

TEST(DpdkAdvice, of_a_start_without_hugepages_is_about_plain_memory) {
  const std::vector<std::string> arguments = {"--no-huge", "-m", "999999"};
  EXPECT_EQ(advice_on_start("", arguments, ENOMEM),
            "; -m asks for more memory than there is: see `free -m`");
}

TEST(DpdkAdvice, names_the_kernel_driver_that_has_a_device) {
  const DeviceFacts facts{
      .name = "0000:3b:00.0", .kernel_driver = "ixgbe", .is_on_bus = true, .others = {}};
  const std::string advice = advice_on_device({}, facts);
  EXPECT_NE(advice.find("kernel driver ixgbe"), std::string::npos) << advice;
  EXPECT_NE(advice.find("dpdk-devbind.py --bind=vfio-pci 0000:3b:00.0"), std::string::npos);
}

TEST(DpdkAdvice, tells_absent_devices_apart) {
  const DeviceFacts unbound{
      .name = "0000:3b:00.0", .kernel_driver = {}, .is_on_bus = true, .others = {}};
  EXPECT_NE(advice_on_device({}, unbound).find("--no-pci"), std::string::npos);
  const DeviceFacts gone{.name = "3b:00.0", .kernel_driver = {}, .is_on_bus = false, .others = {}};
  EXPECT_NE(advice_on_device({}, gone).find("lspci"), std::string::npos);
  const DeviceFacts other{
      .name = "net_tap1", .kernel_driver = {}, .is_on_bus = false, .others = "net_tap0"};
  EXPECT_NE(advice_on_device({}, other).find("it has net_tap0"), std::string::npos);
  const std::string said =
      advice_on_device("EAL: x\nrte_pmd_init_internals(): net_tap1: ioctl failed\nEAL: y\n", other);
  EXPECT_EQ(said, ": DPDK said: rte_pmd_init_internals(): net_tap1: ioctl failed");
}

TEST(DpdkAdvice, names_what_keeps_a_virtual_device_from_being_made) {
  const struct {
    const char* log;
    const char* says;
  } rows[] = {
      {"open_packet_iface(): Could not open AF_PACKET socket\n",
       "needs CAP_NET_RAW and CAP_NET_ADM"},
      {"eth_dev_tap_create(): Unable to create TAP interface\n", "it needs CAP_NET_ADMIN: as root"},
      {"net_x0: ioctl failed (SIOCGIFINDEX):No such device\n", "see `ip link`"},
      {"memif_check_socket_filename(): Invalid socket directory.\n", "its socket's folder"},
      {"something(): quite new\n", "see DPDK's messages"},
  };
  for (const auto& row : rows)
    // Named in the settings or not.
    for (const char* name : {"net_x0", ""}) {
      const DeviceFacts facts{.name = name, .kernel_driver = {}, .is_on_bus = false, .others = {}};
      const std::string log =
          std::string(row.log) + "vdev_probe(): failed to initialize net_x0 device\n";
      const std::string advice = advice_on_device(log, facts);
      EXPECT_TRUE(advice.starts_with(": net_x0 could not be made; ")) << advice;
      EXPECT_NE(advice.find(row.says), std::string::npos) << advice;
    }
  const DeviceFacts none{.name = {}, .kernel_driver = {}, .is_on_bus = false, .others = {}};
  EXPECT_TRUE(advice_on_device("EAL: x\n", none).starts_with(": name one by --vdev"));
  const DeviceFacts other{.name = "net_y0", .kernel_driver = {}, .is_on_bus = false, .others = {}};
  EXPECT_TRUE(advice_on_device("failed to initialize net_x0 device\n", other)
                  .starts_with(": it has none; name a virtual one by --vdev=net_y0"));
}

TEST(DpdkAdvice, names_what_a_device_lacks_at_its_start) {
  EXPECT_NE(advice_on_device_start("net_memif", EPERM).find("role=server"), std::string::npos);
  EXPECT_NE(advice_on_device_start("net_af_packet", EPERM).find("setcap"), std::string::npos);
  EXPECT_EQ(advice_on_device_start("net_af_packet", EIO), "; see DPDK's messages above");
  EXPECT_NE(advice_on_device_start("net_af_xdp", EINVAL).find("SYS_ADMIN"), std::string::npos);
}

TEST(DpdkAdvice, knows_pci_addresses_and_lcore_arguments) {
  for (const char* name : {"0000:3b:00.0", "3b:00.1", "10000:e1:00.0"})
    EXPECT_TRUE(is_pci_address(name)) << name;
  for (const char* name : {"net_tap0", "", "fe80::1", "0000:3b:00", "a:b.c"})
    EXPECT_FALSE(is_pci_address(name)) << name;
  EXPECT_TRUE(names_lcores(std::vector<std::string>{"--no-huge", "-l", "0,1"}));
  EXPECT_TRUE(names_lcores(std::vector<std::string>{"--lcores=0@1"}));
  EXPECT_FALSE(names_lcores(std::vector<std::string>{"--no-huge", "-m", "64"}));
}

}  // namespace
}  // namespace ringwire::port
