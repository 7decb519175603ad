#include "engine/port/dpdk_steering.h"

#include <rte_errno.h>
#include <rte_flow.h>

#include <array>

namespace ringwire::port {
namespace {

/// Why not, or nothing.
std::optional<std::string> add_rule(std::uint16_t device, const FrameRules& rules,
                                    std::uint32_t worker) {
  rte_flow_attr attributes{};
  attributes.ingress = 1;
  rte_flow_item_udp port{};
  rte_flow_item_udp mask{};
  port.hdr.dst_port = rte_cpu_to_be_16(static_cast<std::uint16_t>(rules.local.port + worker));
  mask.hdr.dst_port = 0xffff;
  std::array<rte_flow_item, 4> pattern{};
  pattern[0].type = RTE_FLOW_ITEM_TYPE_ETH;
  pattern[1].type = rules.is_ipv4 ? RTE_FLOW_ITEM_TYPE_IPV4 : RTE_FLOW_ITEM_TYPE_IPV6;
  pattern[2].type = RTE_FLOW_ITEM_TYPE_UDP;
  pattern[2].spec = &port;
  pattern[2].mask = &mask;
  pattern[3].type = RTE_FLOW_ITEM_TYPE_END;
  rte_flow_action_queue queue{};
  queue.index = static_cast<std::uint16_t>(worker);
  std::array<rte_flow_action, 2> actions{};
  actions[0].type = RTE_FLOW_ACTION_TYPE_QUEUE;
  actions[0].conf = &queue;
  actions[1].type = RTE_FLOW_ACTION_TYPE_END;
  rte_flow_error error{};
  if (rte_flow_validate(device, &attributes, pattern.data(), actions.data(), &error) == 0 &&
      rte_flow_create(device, &attributes, pattern.data(), actions.data(), &error) != nullptr)
    return std::nullopt;
  return error.message == nullptr ? rte_strerror(rte_errno) : error.message;
}

}  // namespace

std::optional<std::string> steer_by_port(std::uint16_t device, const FrameRules& rules) {
  for (std::uint32_t worker = 0; worker < rules.workers_count; ++worker) {
    std::optional<std::string> refusal = add_rule(device, rules, worker);
    if (!refusal) continue;
    // Some or all: of a part nobody could say what it does.
    rte_flow_error error{};
    rte_flow_flush(device, &error);
    return refusal;
  }
  return std::nullopt;
}

}  // namespace ringwire::port
