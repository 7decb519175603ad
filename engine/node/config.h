// The settings of one engine: defaults < file (TOML) < environment (RINGWIRE_SECTION_KEY) < command
// line (-o section.key=value). Every key is typed; every mistake is a problem with its place, and
// all of them are reported at once. Cold, start-up and `ringwire conf` only; does not look at the
// machine (what fits is the node's business).
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "base/time.h"
#include "engine/node/config_text.h"
#include "engine/port/fault_port.h"

namespace ringwire::node {

enum class ClusterType : std::uint8_t { kHash, kRandom };
enum class WithoutMajority : std::uint8_t { kServe, kRefuse };
enum class NodeRole : std::uint8_t { kServer, kSlave };
enum class IdlePolicy : std::uint8_t { kAdaptive, kSpin };
enum class PortKind : std::uint8_t { kAuto, kSocket, kDpdk };
enum class QueueFull : std::uint8_t { kBlock, kReject, kDropOldest };

inline constexpr std::uint64_t kUnlimitedBytes = std::numeric_limits<std::int64_t>::max();

/// One setting as in force, and where it came from.
struct Setting {
  std::string key;     ///< "cluster.name", "port.0.kind"
  std::string value;   ///< as it would stand in a file, unquoted
  std::string origin;  ///< "default", "node.toml:3", "RINGWIRE_CLUSTER_NAME", "-o"
  std::string file{};  ///< place of the value, as in ConfigProblem
  std::uint32_t line = 0;
  std::uint32_t column = 0;
};

struct ConfigProblem {
  std::string file;        ///< file name, "RINGWIRE_..." or "-o"
  std::uint32_t line = 0;  ///< from 1; 0 = the problem has no place in a file
  std::uint32_t column = 0;
  std::string key;  ///< "cluster.name"; empty when the file could not be read at all
  std::string text;

  /// "node.toml:3:8: cluster.name: ..."
  [[nodiscard]] std::string to_text() const;
};

/// Defaults are those of a developer node: a cluster of one server on loopback.
struct Config {
  struct Cluster {
    std::string name;
    ClusterType type{};
    std::uint32_t secondaries = 0;
    std::vector<std::string> members;    ///< empty: this node alone, or bootstrap_expect, or a join
    std::uint32_t bootstrap_expect = 0;  ///< 0: not used
    std::vector<HostPort> seeds;
    bool auto_join = true;
    DurationNs auto_leave_ns = kNeverNs;
    WithoutMajority without_majority{};
  } cluster;
  struct Node {
    std::string name;
    NodeRole role{};
    bool vote = true;
    std::string zone;
    std::uint32_t weight = 0;  ///< 16 fraction bits, as in ring::Member
    std::string state;         ///< empty: the node's choice
    HostPort control;          ///< port 0: any free one
    std::optional<HostPort> advertise;
    std::string socket;  ///< empty: the default path for the node's name
    std::uint32_t workers = 1;
    std::vector<std::uint32_t> cores;  ///< empty: not pinned; else one per worker
    IdlePolicy idle{};
  } node;
  struct Port {
    PortKind kind{};
    std::string address;         ///< an address, an interface name, or "auto"
    std::uint16_t udp_base = 0;  ///< worker i on udp_base + i; 0: any free ones
    std::string advertise;       ///< an address; empty: `address`
    std::string device;          ///< DPDK
    std::string gateway;
    std::uint32_t mtu = 0;                   ///< 0: the device's
    std::uint32_t vlan = 0;                  ///< 0: none
    std::uint64_t receive_buffer_bytes = 0;  ///< 0: what the kernel gives by default
    port::FaultOptions fault;                ///< for tests
    bool has_fault = false;
  } port;
  struct Tls {
    bool enabled = false;
    std::string ca, cert, key;
  } tls;
  struct Limits {
    std::uint64_t memory_bytes = 0;  ///< 0: auto
    std::uint64_t message_bytes = kUnlimitedBytes;
    std::uint64_t queue_bytes = 0;
    QueueFull queue_full{};
    DurationNs hold_ns = 0;
    DurationNs program_grace_ns = 0;
    std::uint32_t max_deliveries = 0;
    std::uint32_t attachments = 0;
  } limits;
  struct Allow {
    std::vector<std::string> users;  ///< empty: the engine's own user
    std::vector<std::string> nodes;
    std::vector<std::string> addresses;  ///< empty: all
  } allow;
  struct Metrics {
    std::optional<HostPort> listen;
  } metrics;
  struct Dpdk {
    std::vector<std::string> eal;
  } dpdk;
  struct Timing {
    DurationNs heartbeat_ns = 0;
    DurationNs suspect_after_ns = 0;
    DurationNs idle_silence_ns = 0;
    DurationNs handshake_ns = 0;
    DurationNs reconnect_ns = 0;
    DurationNs drain_ns = 0;
  } timing;

  std::vector<Setting> settings;  ///< all keys in the order of the documentation, see show()
};

/// What becomes of settings that belong to a later version.
enum class Accept : std::uint8_t { kWhatThisVersionDoes, kEverything };

using Environment = std::vector<std::pair<std::string, std::string>>;

struct ConfigInput {
  std::string file_name;  ///< for messages
  std::string file_text;
  Environment environment;             ///< names outside of RINGWIRE_<section>_ are ignored
  std::vector<std::string> overrides;  ///< "section.key=value"
  Accept accept = Accept::kEverything;
  std::vector<std::string> eal{};  ///< EAL arguments of the command line; override [dpdk] eal
};

using ConfigResult = Result<Config, std::vector<ConfigProblem>>;

/// Read settings from texts. Lists from environment and command line are "a,b,c"; an element of a
/// list is set by index: RINGWIRE_CLUSTER_SEEDS_0, -o cluster.seeds.0=... Port keys may leave the
/// index out on the command line: port.kind = port.0.kind.
[[nodiscard]] ConfigResult parse_config(const ConfigInput& input);

/// The same with a file, as an engine of this version takes it: what it cannot do yet is a problem.
/// No path: only defaults, environment and overrides. A file that cannot be read is a problem.
[[nodiscard]] ConfigResult load_config(const std::optional<std::string>& path,
                                       const Environment& environment,
                                       const std::vector<std::string>& overrides,
                                       const std::vector<std::string>& eal = {});

/// Whether the data port is a DPDK device: said so, or EAL arguments are given.
[[nodiscard]] inline bool uses_dpdk(const Config& config) {
  return config.port.kind == PortKind::kDpdk ||
         (config.port.kind == PortKind::kAuto && !config.dpdk.eal.empty());
}

/// Effective values and where each came from, for `ringwire conf show`: the socket and state paths
/// that the node chooses when none is given, too.
[[nodiscard]] std::vector<Setting> show(const Config& config);

/// A problem with a setting of a configuration that was read, at the place that it came from.
[[nodiscard]] ConfigProblem problem_at(const Config& config, std::string_view key,
                                       std::string text);

/// A commented file with all keys, for `ringwire conf new`. Passes parse_config itself.
[[nodiscard]] std::string new_file_text();

}  // namespace ringwire::node
