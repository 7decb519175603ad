#include "engine/node/config_rules.h"

#include <algorithm>
#include <utility>

#include "base/endpoint_text.h"
#include "engine/control/messages.h"
#include "engine/node/name_list.h"

namespace ringwire::node {
namespace {

using Rules = std::vector<BrokenRule>;

std::string quoted(std::string_view text) {
  std::string result = "\"";
  result.append(text).append("\"");
  return result;
}

void add(Rules& rules, std::vector<std::string_view> keys, std::string text) {
  rules.push_back({std::move(keys), std::move(text)});
}

void check_secondaries(const Config& config, Rules& rules) {
  const Config::Cluster& cluster = config.cluster;
  if (cluster.type == ClusterType::kRandom && cluster.secondaries > 0)
    add(rules, {"cluster.secondaries", "cluster.type"}, "a random cluster has no secondaries");
  // Who has no list does not know how many there will be: a slave, or a server that is to join.
  const bool is_alone = config.node.role == NodeRole::kServer && cluster.seeds.empty() &&
                        cluster.bootstrap_expect <= 1;
  const std::size_t members = !cluster.members.empty()       ? cluster.members.size()
                              : cluster.bootstrap_expect > 1 ? cluster.bootstrap_expect
                              : is_alone                     ? 1
                                                             : 0;
  if (members != 0 && cluster.secondaries >= members)
    add(rules, {"cluster.secondaries", "cluster.members"},
        "at most " + std::to_string(members - 1) + ": of " + std::to_string(members) + " member" +
            (members == 1 ? "" : "s") + ", so many are left for a key beside its owner");
}

void check_members(const Config& config, Rules& rules) {
  const Config::Cluster& cluster = config.cluster;
  if (!cluster.members.empty() && cluster.bootstrap_expect > 0)
    add(rules, {"cluster.bootstrap_expect", "cluster.members"},
        "members are listed already: use one of the two");
  if (cluster.members.size() > control::kMaxNodes)
    add(rules, {"cluster.members"}, "at most 1024 members");
  const bool is_listed = std::find(cluster.members.begin(), cluster.members.end(),
                                   config.node.name) != cluster.members.end();
  const bool is_server = config.node.role == NodeRole::kServer;
  if (is_server && !cluster.members.empty() && !is_listed)
    add(rules, {"cluster.members", "node.name", "node.role"},
        "this server node, " + quoted(config.node.name) + ", is not among the members");
  if (!is_server && is_listed)
    add(rules, {"cluster.members", "node.name", "node.role"},
        "this node, " + quoted(config.node.name) + ", is a slave and cannot be a member");
  if (!is_server && cluster.seeds.empty())
    add(rules, {"cluster.seeds", "node.role"},
        "a slave node needs the control address of a server node");
  for (const std::string& member : cluster.members)
    if (member != config.node.name && !admits_name(config.allow.nodes, member))
      add(rules, {"allow.nodes", "cluster.members"},
          "does not admit " + quoted(member) + ", which is a member");
}

void check_dpdk_port(const Config& config, Rules& rules) {
  const Config::Port& port = config.port;
  if (port.kind == PortKind::kDpdk && port.device.empty())
    return add(rules, {"port.device", "port.kind"}, "kind = \"dpdk\" needs a device");
  const auto address = parse_address(port.address);
  if (!address)
    add(rules, {"port.address", "port.kind"},
        "a DPDK port needs an address of its own, such as \"10.0.0.1\"");
  const auto gateway = parse_address(port.gateway);
  if (address && gateway && address->is_ipv4() != gateway->is_ipv4())
    add(rules, {"port.gateway", "port.address"}, "is of another family than the address");
  if (port.udp_base == 0)
    add(rules, {"port.udp_base", "port.kind"}, "a DPDK port needs UDP ports: not 0");
}

void check_port(const Config& config, const IsGiven& is_given, Rules& rules) {
  const Config::Port& port = config.port;
  if (port.udp_base + config.node.workers - 1 > 65'535)
    add(rules, {"port.udp_base", "node.workers"},
        "leaves no port for worker " + std::to_string(config.node.workers - 1));
  if (port.kind == PortKind::kSocket && !config.dpdk.eal.empty())
    add(rules, {"dpdk.eal", "port.kind"}, "is for kind = \"dpdk\" or \"auto\" only");
  if (uses_dpdk(config)) return check_dpdk_port(config, rules);
  for (const std::string_view key : {"port.device", "port.gateway", "port.vlan"})
    if (is_given(key)) add(rules, {key, "port.kind"}, "is for kind = \"dpdk\" only");
}

}  // namespace

std::vector<BrokenRule> broken_rules(const Config& config, const IsGiven& is_given) {
  Rules rules;
  check_secondaries(config, rules);
  check_members(config, rules);
  const std::size_t cores = config.node.cores.size();
  if (cores > kMaxWorkers)
    add(rules, {"node.cores"}, "at most " + std::to_string(kMaxWorkers) + " workers");
  else if (cores != 0 && cores != config.node.workers)
    add(rules, {"node.cores", "node.workers"},
        "names " + std::to_string(cores) + " cores for " + std::to_string(config.node.workers) +
            " workers");
  check_port(config, is_given, rules);
  if (config.tls.enabled) add(rules, {"tls.enabled"}, "this build has no TLS yet");
  if (config.timing.idle_silence_ns < 2 * config.timing.heartbeat_ns)
    add(rules, {"timing.idle_silence", "timing.heartbeat"},
        "must be at least twice timing.heartbeat");
  return rules;
}

std::vector<BrokenRule> unsupported_settings(const Config& config, const IsGiven& is_given) {
  Rules rules;
  const auto refuse = [&rules](std::string_view key, std::string text) {
    add(rules, {key}, std::move(text));
  };
  const Config::Cluster& cluster = config.cluster;
  if (config.node.role == NodeRole::kServer && cluster.members.empty() &&
      (!cluster.seeds.empty() || cluster.bootstrap_expect > 1))
    add(rules, {"cluster.members", "cluster.seeds", "cluster.bootstrap_expect", "node.role"},
        "is missing: list the names of all server nodes, the same on each (joining a running "
        "cluster comes later)");
  if (cluster.without_majority == WithoutMajority::kRefuse)
    refuse("cluster.without_majority",
           "this version has no agreement among nodes yet: only \"serve\"");
  if (cluster.auto_leave_ns != kNeverNs)
    refuse("cluster.auto_leave", "this version plans no node out by itself yet: only \"never\"");
  if (!cluster.auto_join)
    refuse("cluster.auto_join",
           "this version takes every listed member in service at once: only true");
  if (!config.node.vote)
    refuse("node.vote", "this version has no agreement among nodes yet, so no votes: only true");
  if (config.metrics.listen)
    refuse("metrics.listen", "this version has no metrics page yet: only \"off\"");
  for (const std::string_view key : {"tls.ca", "tls.cert", "tls.key"})
    if (is_given(key)) refuse(key, "this build has no TLS yet: leave it out");
  return rules;
}

}  // namespace ringwire::node
