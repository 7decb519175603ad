#include "engine/node/config_keys.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "base/endpoint_text.h"
#include "engine/control/messages.h"

namespace ringwire::node {
namespace {

using Kind = ConfigValue::Kind;

std::string quoted(std::string_view text) {
  std::string result = "\"";
  result.append(text).append("\"");
  return result;
}

std::string found(const ConfigValue& value) {
  if (value.kind == Kind::kList) return "found a list";
  if (value.kind == Kind::kOther) return "found something else";
  std::string result = "found ";
  result.append(value.kind == Kind::kText ? quoted(value.text) : value.text);
  return result;
}

std::string wants(std::string_view what, const ConfigValue& value) {
  std::string result = "wants ";
  result.append(what).append(", ").append(found(value));
  return result;
}

bool is_text(const ConfigValue& value) { return value.kind == Kind::kText; }

std::string read_text(const ConfigValue& value, std::string& target) {
  if (!is_text(value)) return wants("a text in quotes", value);
  if (value.text.find('\0') != std::string::npos) return "must not contain a NUL character";
  target = value.text;
  return {};
}

std::string read_name(const ConfigValue& value, std::string& target) {
  if (!is_text(value) || !control::is_valid_name(value.text))
    return wants("a name of 1 to 63 characters A-Z a-z 0-9 . _ -", value);
  target = value.text;
  return {};
}

std::string read_truth(const ConfigValue& value, bool& target) {
  const bool is_fit = value.kind == Kind::kTruth || (value.is_loose && is_text(value));
  if (!is_fit || (value.text != "true" && value.text != "false"))
    return wants("true or false", value);
  target = value.text == "true";
  return {};
}

template <typename T>
std::string read_number(const ConfigValue& value, T& target, std::uint64_t low,
                        std::uint64_t high) {
  std::uint64_t number = 0;
  const char* end = value.text.data() + value.text.size();
  const auto [stop, error] = std::from_chars(value.text.data(), end, number);
  const bool is_fit = value.kind == Kind::kInteger || (value.is_loose && is_text(value));
  if (!is_fit || error != std::errc{} || stop != end || number < low || number > high) {
    std::string what = "a whole number from ";
    what.append(std::to_string(low)).append(" to ").append(std::to_string(high));
    return wants(what, value);
  }
  target = static_cast<T>(number);
  return {};
}

std::string read_weight(const ConfigValue& value, std::uint32_t& target) {
  double number = 0;
  const char* end = value.text.data() + value.text.size();
  const auto [stop, error] = std::from_chars(value.text.data(), end, number);
  const bool is_fit = value.kind == Kind::kInteger || value.kind == Kind::kFloat ||
                      (value.is_loose && is_text(value));
  if (!is_fit || error != std::errc{} || stop != end || !(number >= 1.0 / 256 && number <= 1'024))
    return wants("a number from 1/256 to 1024", value);
  target = static_cast<std::uint32_t>(std::lround(number * 65'536));
  return {};
}

// `word`, if not empty, stands for `word_value`.
std::string read_size(const ConfigValue& value, std::uint64_t& target, std::string_view word,
                      std::uint64_t word_value, std::uint64_t low) {
  if (is_text(value) && !word.empty() && value.text == word) {
    target = word_value;
    return {};
  }
  const bool is_fit = value.kind == Kind::kInteger || is_text(value);
  const auto bytes = is_fit ? parse_size(value.text) : std::nullopt;
  if (!bytes || *bytes < low) {
    std::string what = "a size such as \"64KiB\" or \"1GiB\", at least ";
    what.append(size_text(low));
    if (!word.empty()) what.append(", or ").append(quoted(word));
    return wants(what, value);
  }
  target = *bytes;
  return {};
}

std::string read_duration(const ConfigValue& value, DurationNs& target, DurationNs low,
                          std::string_view word = {}) {
  if (is_text(value) && !word.empty() && value.text == word) {
    target = kNeverNs;
    return {};
  }
  const auto duration = is_text(value) ? parse_duration(value.text) : std::nullopt;
  if (!duration || *duration < low) {
    std::string what = "a duration such as \"80ms\" or \"30s\", at least ";
    what.append(duration_text(low));
    if (!word.empty()) what.append(", or ").append(quoted(word));
    return wants(what, value);
  }
  target = *duration;
  return {};
}

template <typename T, std::size_t kCount>
std::string read_choice(const ConfigValue& value, T& target,
                        const std::array<std::pair<std::string_view, T>, kCount>& choices) {
  std::string names;
  for (const auto& [name, chosen] : choices) {
    if (is_text(value) && value.text == name) {
      target = chosen;
      return {};
    }
    names.append(names.empty() ? "" : " or ").append(quoted(name));
  }
  return wants(names, value);
}

enum class AnyPort { kAllowed, kNot };

std::string read_host_port(const ConfigValue& value, HostPort& target, AnyPort any_port) {
  const auto parsed = is_text(value) ? parse_host_port(value.text) : std::nullopt;
  if (!parsed || (any_port == AnyPort::kNot && parsed->port == 0))
    return wants("\"host:port\" (IPv6 as \"[::1]:3100\")", value);
  target = *parsed;
  return {};
}

std::string read_optional_host_port(const ConfigValue& value, std::optional<HostPort>& target,
                                    std::string_view none, AnyPort any_port) {
  target.reset();
  if (is_text(value) && value.text == none) return {};
  HostPort parsed;
  std::string problem = read_host_port(value, parsed, any_port);
  if (problem.empty()) target = parsed;
  return problem;
}

template <typename T, typename Read>
std::string read_list(const ConfigValue& value, std::vector<T>& target, Read read) {
  if (value.kind != Kind::kList) return wants("a list in [ ]", value);
  target.clear();
  for (const ConfigValue& item : value.items) {
    T one{};
    if (std::string problem = read(item, one); !problem.empty()) return problem;
    if (std::find(target.begin(), target.end(), one) != target.end())
      return "names " + item.text + " twice";
    target.push_back(std::move(one));
  }
  return {};
}

std::string read_address(const ConfigValue& value, std::string& target) {
  if (!is_text(value) || (!value.text.empty() && !parse_address(value.text)))
    return wants("an IPv4 or IPv6 address", value);
  target = value.text;
  return {};
}

std::string read_network(const ConfigValue& value, std::string& target) {
  if (!is_text(value) || !is_network(value.text))
    return wants("a network such as \"10.0.0.0/8\"", value);
  target = value.text;
  return {};
}

std::string read_filled_text(const ConfigValue& value, std::string& target) {
  if (!is_text(value) || value.text.empty()) return wants("a text in quotes", value);
  return read_text(value, target);
}

std::string read_fault(const ConfigValue& value, Config& config) {
  if (!is_text(value)) return wants("a text such as \"loss=0.05,seed=3\"", value);
  auto options = port::parse_fault_options(value.text);
  if (!options) return options.error();
  config.port.fault = options.value();
  config.port.has_fault = !value.text.empty();
  return {};
}

constexpr std::array<std::pair<std::string_view, ClusterType>, 2> kClusterTypes = {
    {{"hash", ClusterType::kHash}, {"random", ClusterType::kRandom}}};
constexpr std::array<std::pair<std::string_view, WithoutMajority>, 2> kWithoutMajority = {
    {{"serve", WithoutMajority::kServe}, {"refuse", WithoutMajority::kRefuse}}};
constexpr std::array<std::pair<std::string_view, NodeRole>, 2> kRoles = {
    {{"server", NodeRole::kServer}, {"slave", NodeRole::kSlave}}};
constexpr std::array<std::pair<std::string_view, IdlePolicy>, 2> kIdlePolicies = {
    {{"adaptive", IdlePolicy::kAdaptive}, {"spin", IdlePolicy::kSpin}}};
constexpr std::array<std::pair<std::string_view, PortKind>, 3> kPortKinds = {
    {{"auto", PortKind::kAuto}, {"socket", PortKind::kSocket}, {"dpdk", PortKind::kDpdk}}};
constexpr std::array<std::pair<std::string_view, QueueFull>, 3> kQueueFull = {
    {{"block", QueueFull::kBlock},
     {"reject", QueueFull::kReject},
     {"drop_oldest", QueueFull::kDropOldest}}};

constexpr ConfigKey kKeys[] = {
    {"cluster.name", "local", false, "\"orders\"", "nodes of other clusters are refused",
     [](const ConfigValue& value, Config& config) -> std::string {
       return read_name(value, config.cluster.name);
     }},
    {"cluster.type", "hash", false, "\"hash\"", "\"hash\": a key has its node; or \"random\"",
     [](const ConfigValue& value, Config& config) -> std::string {
       return read_choice(value, config.cluster.type, kClusterTypes);
     }},
    {"cluster.secondaries", "0", false, "1", "secondary server nodes per key; 0 if \"random\"",
     [](const ConfigValue& value, Config& config) -> std::string {
       return read_number(value, config.cluster.secondaries, 0, 15);
     }},
    {"cluster.members", "", true, "[\"a\", \"b\", \"c\"]", "the first server nodes, by name",
     [](const ConfigValue& value, Config& config) -> std::string {
       return read_list(value, config.cluster.members, read_name);
     }},
    {"cluster.bootstrap_expect", "0", false, "3", "instead of members: wait for so many servers",
     [](const ConfigValue& value, Config& config) -> std::string {
       return read_number(value, config.cluster.bootstrap_expect, 0, control::kMaxNodes);
     }},
    {"cluster.seeds", "", true, "[\"a.example:3100\", \"b.example:3100\"]",
     "control addresses to find the others by",
     [](const ConfigValue& value, Config& config) -> std::string {
       return read_list(value, config.cluster.seeds, [](const ConfigValue& item, HostPort& one) {
         return read_host_port(item, one, AnyPort::kNot);
       });
     }},
    {"cluster.auto_join", "true", false, "true", "joins, merges and goes in service by itself",
     [](const ConfigValue& value, Config& config) -> std::string {
       return read_truth(value, config.cluster.auto_join);
     }},
    {"cluster.auto_leave", "never", false, "\"30s\"",
     "a node that stays down so long is planned out",
     [](const ConfigValue& value, Config& config) -> std::string {
       return read_duration(value, config.cluster.auto_leave_ns, kSecondNs, "never");
     }},
    {"cluster.without_majority", "serve", false, "\"serve\"",
     "\"serve\": by each node's own judgement; or \"refuse\"",
     [](const ConfigValue& value, Config& config) -> std::string {
       return read_choice(value, config.cluster.without_majority, kWithoutMajority);
     }},

    {"node.name", "local", false, "\"a\"", "unique in the cluster",
     [](const ConfigValue& value, Config& config) -> std::string {
       return read_name(value, config.node.name);
     }},
    {"node.role", "server", false, "\"server\"", "or \"slave\": sends only, owns nothing",
     [](const ConfigValue& value, Config& config) -> std::string {
       return read_choice(value, config.node.role, kRoles);
     }},
    {"node.vote", "true", false, "true", "counts for the majority",
     [](const ConfigValue& value, Config& config) -> std::string {
       return read_truth(value, config.node.vote);
     }},
    {"node.zone", "", false, "\"rack-1\"", "replicas go to different zones where they can",
     [](const ConfigValue& value, Config& config) -> std::string {
       if (value.text.size() > kMaxNameBytes) return "must not be longer than 63 bytes";
       return read_text(value, config.node.zone);
     }},
    {"node.weight", "1.0", false, "1.0", "share of the keys, relative to the others",
     [](const ConfigValue& value, Config& config) -> std::string {
       return read_weight(value, config.node.weight);
     }},
    {"node.state", "", false, "\"/var/lib/ringwire/a\"", "directory: identity, votes, last view",
     [](const ConfigValue& value, Config& config) -> std::string {
       return read_text(value, config.node.state);
     }},
    {"node.control", "127.0.0.1:3100", false, "\"0.0.0.0:3100\"", "TCP: other nodes",
     [](const ConfigValue& value, Config& config) -> std::string {
       return read_host_port(value, config.node.control, AnyPort::kAllowed);
     }},
    {"node.advertise", "", false, "\"10.0.0.1:3100\"",
     "what others should dial; default: control, if it names an address",
     [](const ConfigValue& value, Config& config) -> std::string {
       return read_optional_host_port(value, config.node.advertise, "", AnyPort::kNot);
     }},
    {"node.socket", "", false, "\"/run/ringwire/a.sock\"",
     "UNIX: local programs and the command line",
     [](const ConfigValue& value, Config& config) -> std::string {
       return read_text(value, config.node.socket);
     }},
    {"node.workers", "1", false, "2", "threads that carry messages",
     [](const ConfigValue& value, Config& config) -> std::string {
       return read_number(value, config.node.workers, 1, kMaxWorkers);
     }},
    {"node.cores", "", true, "[2, 3]", "one per worker, to pin them",
     [](const ConfigValue& value, Config& config) -> std::string {
       return read_list(value, config.node.cores, [](const ConfigValue& item, std::uint32_t& one) {
         return read_number(item, one, 0, 4'095);
       });
     }},
    {"node.idle", "adaptive", false, "\"adaptive\"", "or \"spin\", for cores of their own",
     [](const ConfigValue& value, Config& config) -> std::string {
       return read_choice(value, config.node.idle, kIdlePolicies);
     }},

    {"port.kind", "auto", false, "\"auto\"", "dpdk if EAL arguments are given, else socket",
     [](const ConfigValue& value, Config& config) -> std::string {
       return read_choice(value, config.port.kind, kPortKinds);
     }},
    {"port.address", "auto", false, "\"10.0.0.1\"", "or an interface name, or \"auto\"",
     [](const ConfigValue& value, Config& config) -> std::string {
       return read_filled_text(value, config.port.address);
     }},
    {"port.udp_base", "3200", false, "3200", "worker i listens on udp_base + i; 0: any free ports",
     [](const ConfigValue& value, Config& config) -> std::string {
       return read_number(value, config.port.udp_base, 0, 65'535);
     }},
    {"port.advertise", "", false, "\"192.0.2.7\"", "the address that others should send to",
     [](const ConfigValue& value, Config& config) -> std::string {
       return read_address(value, config.port.advertise);
     }},
    {"port.device", "", false, "\"0000:3b:00.0\"", "dpdk: PCI address or vdev name",
     [](const ConfigValue& value, Config& config) -> std::string {
       return read_text(value, config.port.device);
     }},
    {"port.gateway", "", false, "\"10.0.0.254\"", "dpdk: the next hop to other networks",
     [](const ConfigValue& value, Config& config) -> std::string {
       return read_address(value, config.port.gateway);
     }},
    {"port.mtu", "0", false, "9000", "0: the device's",
     [](const ConfigValue& value, Config& config) -> std::string {
       if (value.text == "0") return read_number(value, config.port.mtu, 0, 0);
       return read_number(value, config.port.mtu, 1'280, 65'535);
     }},
    {"port.vlan", "0", false, "100", "dpdk: 802.1Q tag; 0: none",
     [](const ConfigValue& value, Config& config) -> std::string {
       return read_number(value, config.port.vlan, 0, 4'094);
     }},
    {"port.receive_buffer", "auto", false, "\"4MiB\"",
     "kernel sockets: SO_RCVBUF; \"auto\": the system's default",
     [](const ConfigValue& value, Config& config) -> std::string {
       return read_size(value, config.port.receive_buffer_bytes, "auto", 0, 64 * 1'024);
     }},
    {"port.fault", "", false, "\"loss=0.05,seed=3\"", "for tests: seeded faults on this port",
     [](const ConfigValue& value, Config& config) -> std::string {
       return read_fault(value, config);
     }},

    {"tls.enabled", "false", false, "false", "mutual TLS between nodes",
     [](const ConfigValue& value, Config& config) -> std::string {
       return read_truth(value, config.tls.enabled);
     }},
    {"tls.ca", "", false, "\"ca.pem\"", "who signs the nodes' certificates",
     [](const ConfigValue& value, Config& config) -> std::string {
       return read_text(value, config.tls.ca);
     }},
    {"tls.cert", "", false, "\"a.pem\"", "this node's certificate",
     [](const ConfigValue& value, Config& config) -> std::string {
       return read_text(value, config.tls.cert);
     }},
    {"tls.key", "", false, "\"a.key\"", "its private key",
     [](const ConfigValue& value, Config& config) -> std::string {
       return read_text(value, config.tls.key);
     }},

    {"limits.memory", "auto", false, "\"4GiB\"",
     "\"auto\": the smaller of 16 GiB and half of the machine",
     [](const ConfigValue& value, Config& config) -> std::string {
       return read_size(value, config.limits.memory_bytes, "auto", 0, 1 << 20);
     }},
    {"limits.message", "unlimited", false, "\"1GiB\"",
     "largest message; \"unlimited\" within memory",
     [](const ConfigValue& value, Config& config) -> std::string {
       return read_size(value, config.limits.message_bytes, "unlimited", kUnlimitedBytes, 1);
     }},
    {"limits.queue", "1GiB", false, "\"1GiB\"", "held for programs that are away",
     [](const ConfigValue& value, Config& config) -> std::string {
       return read_size(value, config.limits.queue_bytes, {}, 0, 0);
     }},
    {"limits.queue_full", "block", false, "\"block\"",
     "or \"reject\"; \"drop_oldest\" for ack level none only",
     [](const ConfigValue& value, Config& config) -> std::string {
       return read_choice(value, config.limits.queue_full, kQueueFull);
     }},
    {"limits.hold", "30s", false, "\"30s\"", "then what a stopped program reads goes to others",
     [](const ConfigValue& value, Config& config) -> std::string {
       return read_duration(value, config.limits.hold_ns, kMillisecondNs, "never");
     }},
    {"limits.program_grace", "2s", false, "\"2s\"", "the node queues so long without a program",
     [](const ConfigValue& value, Config& config) -> std::string {
       return read_duration(value, config.limits.program_grace_ns, 0, "never");
     }},
    {"limits.max_deliveries", "5", false, "5", "a message is handed out so often at most",
     [](const ConfigValue& value, Config& config) -> std::string {
       return read_number(value, config.limits.max_deliveries, 1, 255);
     }},
    {"limits.attachments", "1024", false, "1024", "programs attached at once",
     [](const ConfigValue& value, Config& config) -> std::string {
       return read_number(value, config.limits.attachments, 1, 4'096);
     }},

    {"allow.users", "", true, "[\"alice\", \"1001\"]",
     "who may attach; default: the engine's own user",
     [](const ConfigValue& value, Config& config) -> std::string {
       return read_list(value, config.allow.users, read_filled_text);
     }},
    {"allow.nodes", "", true, "[\"*.orders\"]", "nodes admitted, by name; default: all",
     [](const ConfigValue& value, Config& config) -> std::string {
       return read_list(value, config.allow.nodes, read_filled_text);
     }},
    {"allow.addresses", "", true, "[\"10.0.0.0/8\"]",
     "networks that may dial control; default: all",
     [](const ConfigValue& value, Config& config) -> std::string {
       return read_list(value, config.allow.addresses, read_network);
     }},

    {"metrics.listen", "off", false, "\"127.0.0.1:9464\"", "OpenMetrics at /metrics; or \"off\"",
     [](const ConfigValue& value, Config& config) -> std::string {
       return read_optional_host_port(value, config.metrics.listen, "off", AnyPort::kAllowed);
     }},

    {"dpdk.eal", "", true, "[\"-l\", \"0,1\", \"--no-huge\"]", "EAL arguments",
     [](const ConfigValue& value, Config& config) -> std::string {
       // An argument may well stand twice ("--vdev", ... "--vdev", ...), so not read_list.
       if (value.kind != Kind::kList) return wants("a list in [ ]", value);
       config.dpdk.eal.clear();
       for (const ConfigValue& item : value.items) {
         std::string one;
         if (std::string problem = read_filled_text(item, one); !problem.empty()) return problem;
         config.dpdk.eal.push_back(std::move(one));
       }
       return {};
     }},

    {"timing.heartbeat", "100ms", false, "\"100ms\"", "between nodes that have nothing to say",
     [](const ConfigValue& value, Config& config) -> std::string {
       return read_duration(value, config.timing.heartbeat_ns, kMillisecondNs);
     }},
    {"timing.suspect_after", "80ms", false, "\"80ms\"", "unanswered for so long: use the next node",
     [](const ConfigValue& value, Config& config) -> std::string {
       return read_duration(value, config.timing.suspect_after_ns, 20 * kMillisecondNs);
     }},
    {"timing.idle_silence", "400ms", false, "\"400ms\"", "silent for so long without being asked",
     [](const ConfigValue& value, Config& config) -> std::string {
       return read_duration(value, config.timing.idle_silence_ns, 20 * kMillisecondNs);
     }},
    {"timing.handshake", "5s", false, "\"5s\"", "for a connection between nodes to come up",
     [](const ConfigValue& value, Config& config) -> std::string {
       return read_duration(value, config.timing.handshake_ns, 10 * kMillisecondNs);
     }},
    {"timing.reconnect", "200ms", false, "\"200ms\"", "between two tries to reach a node",
     [](const ConfigValue& value, Config& config) -> std::string {
       return read_duration(value, config.timing.reconnect_ns, kMillisecondNs);
     }},
    {"timing.drain", "30s", false, "\"30s\"", "for outstanding messages at the end",
     [](const ConfigValue& value, Config& config) -> std::string {
       return read_duration(value, config.timing.drain_ns, 0, "never");
     }},
};

}  // namespace

std::span<const ConfigKey> config_keys() { return kKeys; }

}  // namespace ringwire::node
