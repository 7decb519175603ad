// The rules that a device is given, as a device sees them: in place of DPDK's rte_flow calls stands
// a device of ours, which writes down what it is told and takes what the test lets it.
#include "engine/port/dpdk_steering.h"

#include <gtest/gtest.h>
#include <rte_errno.h>
#include <rte_flow.h>

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "base/endpoint_text.h"

namespace {

constexpr std::uint16_t kDevice = 7;

std::string bytes_as_text(const void* bytes, std::size_t count) {
  std::string text;
  const auto* byte = static_cast<const std::uint8_t*>(bytes);
  for (std::size_t i = 0; i < count; ++i)
    text.append(i == 0 ? "" : ".").append(std::to_string(byte[i]));
  return text;
}

bool is_all(const void* bytes, std::size_t count, std::uint8_t value) {
  const auto* byte = static_cast<const std::uint8_t*>(bytes);
  return std::all_of(byte, byte + count, [value](std::uint8_t one) { return one == value; });
}

/// " name value" where `mask` is full, nothing where it is empty, else what no device takes.
std::string field(const char* name, const std::string& value, const void* mask, std::size_t size) {
  if (is_all(mask, size, 0)) return "";
  return is_all(mask, size, 0xff) ? std::string(" ") + name + " " + value : " half a mask";
}

std::string words_of(const rte_flow_item& item) {
  if (item.last != nullptr) return "range";
  if ((item.spec == nullptr) != (item.mask == nullptr)) return "a value without a mask";
  const bool is_bare = item.spec == nullptr;
  switch (item.type) {
    case RTE_FLOW_ITEM_TYPE_ETH:
      return is_bare ? "eth" : "eth with something";
    case RTE_FLOW_ITEM_TYPE_IPV4: {
      if (is_bare) return "ipv4";
      const auto& ip = static_cast<const rte_flow_item_ipv4*>(item.spec)->hdr;
      const auto& mask = static_cast<const rte_flow_item_ipv4*>(item.mask)->hdr;
      return "ipv4" + field("proto", std::to_string(ip.next_proto_id), &mask.next_proto_id, 1) +
             field("dst", bytes_as_text(&ip.dst_addr, 4), &mask.dst_addr, 4) +
             field("src", "any", &mask.src_addr, 4);
    }
    case RTE_FLOW_ITEM_TYPE_IPV6: {
      if (is_bare) return "ipv6";
      const auto& ip = static_cast<const rte_flow_item_ipv6*>(item.spec)->hdr;
      const auto& mask = static_cast<const rte_flow_item_ipv6*>(item.mask)->hdr;
      return "ipv6" + field("proto", std::to_string(ip.proto), &mask.proto, 1) +
             field("dst", bytes_as_text(&ip.dst_addr, 16), &mask.dst_addr, 16) +
             field("src", "any", &mask.src_addr, 16);
    }
    case RTE_FLOW_ITEM_TYPE_UDP: {
      if (is_bare) return "udp";
      const auto& udp = static_cast<const rte_flow_item_udp*>(item.spec)->hdr;
      const auto& mask = static_cast<const rte_flow_item_udp*>(item.mask)->hdr;
      return "udp" +
             field("dst", std::to_string(rte_be_to_cpu_16(udp.dst_port)), &mask.dst_port, 2) +
             field("src", "any", &mask.src_port, 2) + field("length", "any", &mask.dgram_len, 2);
    }
    default:
      return "something else";
  }
}

/// "eth / ipv4 / udp dst 3200 -> queue 0".
std::string words_of(const rte_flow_item* pattern, const rte_flow_action* actions) {
  std::string words;
  for (; pattern->type != RTE_FLOW_ITEM_TYPE_END; ++pattern)
    words.append(words.empty() ? "" : " / ").append(words_of(*pattern));
  for (; actions->type != RTE_FLOW_ACTION_TYPE_END; ++actions)
    words +=
        actions->type != RTE_FLOW_ACTION_TYPE_QUEUE
            ? " -> something else"
            : " -> queue " +
                  std::to_string(static_cast<const rte_flow_action_queue*>(actions->conf)->index);
  return words;
}

/// The device of ours: there is one, as rte_flow is called without one.
struct Device {
  /// Its word on a rule: 0, or an error number; and what it says with it.
  std::function<int(const std::string&)> validates = [](const std::string&) { return 0; };
  std::function<int(const std::string&)> creates = [](const std::string&) { return 0; };
  const char* says = nullptr;
  std::vector<std::string> asked;
  std::vector<std::string> rules;
  int flushes = 0;
};
Device device;

int refuse(int number, rte_flow_error* error) {
  if (number == 0) return 0;
  rte_errno = number;
  error->message = device.says;
  return -number;
}

}  // namespace

extern "C" {

int rte_flow_validate(std::uint16_t port, const rte_flow_attr* attributes,
                      const rte_flow_item pattern[], const rte_flow_action actions[],
                      rte_flow_error* error) {
  EXPECT_EQ(port, kDevice);
  EXPECT_EQ(attributes->ingress, 1U);
  EXPECT_EQ(attributes->group + attributes->priority + attributes->egress + attributes->transfer,
            0U);
  device.asked.push_back(words_of(pattern, actions));
  return refuse(device.validates(device.asked.back()), error);
}

rte_flow* rte_flow_create(std::uint16_t port, const rte_flow_attr*, const rte_flow_item pattern[],
                          const rte_flow_action actions[], rte_flow_error* error) {
  EXPECT_EQ(port, kDevice);
  const std::string words = words_of(pattern, actions);
  // Nothing is made that was not asked about before.
  EXPECT_EQ(device.asked.back(), words);
  if (refuse(device.creates(words), error) != 0) return nullptr;
  device.rules.push_back(words);
  return reinterpret_cast<rte_flow*>(&device);
}

int rte_flow_flush(std::uint16_t port, rte_flow_error*) {
  EXPECT_EQ(port, kDevice);
  ++device.flushes;
  device.rules.clear();
  return 0;
}

}  // extern "C"

namespace ringwire::port {
namespace {

using Rules = std::vector<std::string>;

bool has(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

class DpdkSteering : public testing::Test {
 protected:
  void SetUp() override { device = Device{}; }

  static std::optional<std::string> steer(const char* address = "10.1.2.3:3200",
                                          std::uint32_t workers_count = 2) {
    FrameRules rules;
    rules.local = *parse_endpoint(address);
    rules.is_ipv4 = rules.local.is_ipv4();
    rules.workers_count = workers_count;
    return steer_by_port(kDevice, rules);
  }
};

TEST_F(DpdkSteering, gives_each_worker_its_udp_port_and_says_no_more) {
  EXPECT_EQ(steer("10.1.2.3:3200", 3), std::nullopt);
  EXPECT_EQ(device.rules,
            (Rules{"eth / ipv4 / udp dst 3200 -> queue 0", "eth / ipv4 / udp dst 3201 -> queue 1",
                   "eth / ipv4 / udp dst 3202 -> queue 2"}));
  EXPECT_EQ(device.flushes, 0);
}

TEST_F(DpdkSteering, does_so_for_ipv6) {
  EXPECT_EQ(steer("[fd00::2]:3200"), std::nullopt);
  EXPECT_EQ(device.rules, (Rules{"eth / ipv6 / udp dst 3200 -> queue 0",
                                 "eth / ipv6 / udp dst 3201 -> queue 1"}));
}

TEST_F(DpdkSteering, names_the_protocol_where_a_device_wants_it) {
  device.validates = [](const std::string& rule) { return has(rule, "proto 17") ? 0 : EINVAL; };
  EXPECT_EQ(steer(), std::nullopt);
  EXPECT_EQ(device.rules, (Rules{"eth / ipv4 proto 17 / udp dst 3200 -> queue 0",
                                 "eth / ipv4 proto 17 / udp dst 3201 -> queue 1"}));
}

TEST_F(DpdkSteering, names_the_address_where_a_device_wants_it) {
  device.validates = [](const std::string& rule) {
    return has(rule, " dst 10.1.2.3 ") || has(rule, " dst 253.0.") ? 0 : EINVAL;
  };
  EXPECT_EQ(steer(), std::nullopt);
  EXPECT_EQ(device.rules, (Rules{"eth / ipv4 proto 17 dst 10.1.2.3 / udp dst 3200 -> queue 0",
                                 "eth / ipv4 proto 17 dst 10.1.2.3 / udp dst 3201 -> queue 1"}));
  EXPECT_EQ(steer("[fd00::2]:3200", 1), std::nullopt);
  EXPECT_EQ(device.rules.back(),
            "eth / ipv6 proto 17 dst 253.0.0.0.0.0.0.0.0.0.0.0.0.0.0.2 / udp dst 3200 -> queue 0");
}

TEST_F(DpdkSteering, leaves_no_rule_of_a_form_that_only_some_workers_got) {
  device.validates = [](const std::string& rule) {
    return has(rule, "proto") || has(rule, "queue 0") ? 0 : EINVAL;
  };
  EXPECT_EQ(steer(), std::nullopt);
  EXPECT_EQ(device.flushes, 1);
  EXPECT_EQ(device.rules, (Rules{"eth / ipv4 proto 17 / udp dst 3200 -> queue 0",
                                 "eth / ipv4 proto 17 / udp dst 3201 -> queue 1"}));
}

TEST_F(DpdkSteering, leaves_no_rule_of_a_device_that_has_room_for_too_few) {
  device.says = "filters are full";
  device.creates = [](const std::string& rule) { return has(rule, "queue 0") ? 0 : ENOSPC; };
  EXPECT_EQ(steer(), "filters are full");
  EXPECT_EQ(device.asked.size(), 2U);
  EXPECT_EQ(device.flushes, 1);
  EXPECT_EQ(device.rules, Rules{});
}

TEST_F(DpdkSteering, tells_what_a_device_said_of_the_plainest_rule) {
  const char* const words[] = {"no bare item", "no protocol", "no address"};
  int form = 0;
  device.validates = [&](const std::string&) {
    device.says = words[form++];
    return EINVAL;
  };
  EXPECT_EQ(steer(), "no bare item");
  EXPECT_EQ(device.asked.size(), 3U);
  EXPECT_EQ(device.flushes, 0);
}

TEST_F(DpdkSteering, tells_the_error_of_a_device_without_words) {
  device.validates = [](const std::string&) { return ENOTSUP; };
  EXPECT_EQ(steer(), rte_strerror(ENOTSUP));
}

TEST_F(DpdkSteering, asks_a_device_that_knows_no_rules_once) {
  device.says = "Function not implemented";
  device.validates = [](const std::string&) { return ENOSYS; };
  EXPECT_EQ(steer(), "Function not implemented");
  EXPECT_EQ(device.asked.size(), 1U);
}

}  // namespace
}  // namespace ringwire::port
