#include "engine/port/dpdk_steering.h"

#include <netinet/in.h>
#include <rte_errno.h>
#include <rte_flow.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace ringwire::port {
namespace {

/// What a rule says besides the destination port. Drivers of 22.11 differ in what they take: mlx5,
/// i40e, ice, iavf, ixgbe, igc, bnxt, hns3 and net_tap no more than they need, igb wants the
/// protocol named, firmware of sfc may want the address. None names a VLAN: NICs look behind a tag
/// by themselves, and some drivers take no tag together with a port.
enum class Form { kPort, kProtocol, kAddress };
constexpr std::array kForms = {Form::kPort, Form::kProtocol, Form::kAddress};

/// Ethernet / IP / UDP to one port: into one queue. Not copyable: it points at itself.
class Rule {
 public:
  Rule(const FrameRules& rules, Form form, std::uint32_t worker) {
    attributes_.ingress = 1;
    add(RTE_FLOW_ITEM_TYPE_ETH);
    if (rules.is_ipv4)
      add_ipv4(rules, form);
    else
      add_ipv6(rules, form);
    udp_.hdr.dst_port = rte_cpu_to_be_16(static_cast<std::uint16_t>(rules.local.port + worker));
    udp_mask_.hdr.dst_port = 0xffff;
    add(RTE_FLOW_ITEM_TYPE_UDP, &udp_, &udp_mask_);
    add(RTE_FLOW_ITEM_TYPE_END);
    queue_.index = static_cast<std::uint16_t>(worker);
    actions_[0] = {RTE_FLOW_ACTION_TYPE_QUEUE, &queue_};
    actions_[1] = {RTE_FLOW_ACTION_TYPE_END, nullptr};
  }
  Rule(const Rule&) = delete;
  Rule& operator=(const Rule&) = delete;

  bool is_understood_by(std::uint16_t device, rte_flow_error& error) const {
    return rte_flow_validate(device, &attributes_, pattern_.data(), actions_.data(), &error) == 0;
  }
  bool is_taken_by(std::uint16_t device, rte_flow_error& error) const {
    return rte_flow_create(device, &attributes_, pattern_.data(), actions_.data(), &error) !=
           nullptr;
  }

 private:
  void add(rte_flow_item_type type, const void* spec = nullptr, const void* mask = nullptr) {
    pattern_.at(items_count_++) = {type, spec, nullptr, mask};
  }

  void add_ipv4(const FrameRules& rules, Form form) {
    if (form == Form::kPort) {
      add(RTE_FLOW_ITEM_TYPE_IPV4);
      return;
    }
    ipv4_.hdr.next_proto_id = IPPROTO_UDP;
    ipv4_mask_.hdr.next_proto_id = 0xff;
    if (form == Form::kAddress) {
      std::memcpy(&ipv4_.hdr.dst_addr, rules.local.address.data() + 12, 4);
      ipv4_mask_.hdr.dst_addr = 0xffffffff;
    }
    add(RTE_FLOW_ITEM_TYPE_IPV4, &ipv4_, &ipv4_mask_);
  }

  void add_ipv6(const FrameRules& rules, Form form) {
    if (form == Form::kPort) {
      add(RTE_FLOW_ITEM_TYPE_IPV6);
      return;
    }
    ipv6_.hdr.proto = IPPROTO_UDP;
    ipv6_mask_.hdr.proto = 0xff;
    if (form == Form::kAddress) {
      std::memcpy(&ipv6_.hdr.dst_addr, rules.local.address.data(), sizeof ipv6_.hdr.dst_addr);
      std::memset(&ipv6_mask_.hdr.dst_addr, 0xff, sizeof ipv6_mask_.hdr.dst_addr);
    }
    add(RTE_FLOW_ITEM_TYPE_IPV6, &ipv6_, &ipv6_mask_);
  }

  rte_flow_attr attributes_{};
  rte_flow_item_ipv4 ipv4_{};
  rte_flow_item_ipv4 ipv4_mask_{};
  rte_flow_item_ipv6 ipv6_{};
  rte_flow_item_ipv6 ipv6_mask_{};
  rte_flow_item_udp udp_{};
  rte_flow_item_udp udp_mask_{};
  rte_flow_action_queue queue_{};
  std::array<rte_flow_item, 4> pattern_{};
  std::size_t items_count_ = 0;
  std::array<rte_flow_action, 2> actions_{};
};

struct Refusal {
  std::string words;
  bool is_final = false;  ///< another form would fare no better
};

/// All workers' rules of one form; why not, and then none of them is left.
std::optional<Refusal> steer(std::uint16_t device, const FrameRules& rules, Form form) {
  for (std::uint32_t worker = 0; worker < rules.workers_count; ++worker) {
    const Rule rule(rules, form, worker);
    rte_flow_error error{};
    const bool is_understood = rule.is_understood_by(device, error);
    if (is_understood && rule.is_taken_by(device, error)) continue;
    const int number = rte_errno;
    // What was understood and is not taken lacks room, or the help of a kernel; and some devices
    // know of no rules.
    const Refusal refusal{error.message == nullptr ? rte_strerror(number) : error.message,
                          is_understood || number == ENOSYS};
    // All rules of a device are its one owner's: ours. One that stays all the same tells no lies.
    if (worker != 0) rte_flow_flush(device, &error);
    return refusal;
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::string> steer_by_port(std::uint16_t device, const FrameRules& rules) {
  std::optional<std::string> first_words;
  for (const Form form : kForms) {
    const std::optional<Refusal> refusal = steer(device, rules, form);
    if (!refusal) return std::nullopt;
    if (refusal->is_final) return refusal->words;
    if (!first_words) first_words = refusal->words;
  }
  return first_words;
}

}  // namespace ringwire::port
