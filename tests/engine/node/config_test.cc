#include "engine/node/config.h"

#include <gtest/gtest.h>

#include "tests/engine/node/config_helpers.h"

namespace ringwire::node {
namespace {

TEST(Config, without_anything_is_a_developer_node_on_loopback) {
  const Config config = from_text("");
  EXPECT_EQ(config.cluster.name, "local");
  EXPECT_EQ(config.cluster.type, ClusterType::kHash);
  EXPECT_EQ(config.cluster.secondaries, 0U);
  EXPECT_TRUE(config.cluster.members.empty());
  EXPECT_EQ(config.cluster.auto_leave_ns, kNeverNs);
  EXPECT_EQ(config.node.name, "local");
  EXPECT_EQ(config.node.role, NodeRole::kServer);
  EXPECT_EQ(config.node.weight, 65'536U);
  EXPECT_EQ(config.node.control, (HostPort{"127.0.0.1", 3100}));
  EXPECT_FALSE(config.node.advertise.has_value());
  EXPECT_EQ(config.node.workers, 1U);
  EXPECT_EQ(config.node.idle, IdlePolicy::kAdaptive);
  EXPECT_EQ(config.port.kind, PortKind::kAuto);
  EXPECT_EQ(config.port.udp_base, 3200);
  EXPECT_FALSE(config.port.has_fault);
  EXPECT_EQ(config.limits.memory_bytes, 0U);
  EXPECT_EQ(config.limits.message_bytes, kUnlimitedBytes);
  EXPECT_EQ(config.limits.queue_bytes, 1ULL << 30);
  EXPECT_EQ(config.limits.hold_ns, 30 * kSecondNs);
  EXPECT_EQ(config.limits.program_grace_ns, 2 * kSecondNs);
  EXPECT_EQ(config.limits.max_deliveries, 5U);
  EXPECT_EQ(config.limits.attachments, 1'024U);
  EXPECT_FALSE(config.metrics.listen.has_value());
  EXPECT_EQ(config.timing.heartbeat_ns, 100 * kMillisecondNs);
  EXPECT_EQ(config.timing.suspect_after_ns, 80 * kMillisecondNs);
}

TEST(Config, reads_every_key_of_a_full_file) {
  const Config config = from_text(R"(
[cluster]
name = "orders"
type = "hash"
secondaries = 1
members = ["a", "b", "c"]
seeds = ["a.example:3100", "[2001:db8::2]:3100"]
auto_join = false
auto_leave = "30s"
without_majority = "refuse"
[node]
name = "a"
role = "server"
vote = false
zone = "rack-1"
weight = 1.5
state = "/var/lib/ringwire/a"
control = "0.0.0.0:3100"
advertise = "10.0.0.1:3100"
socket = "/run/ringwire/a.sock"
workers = 2
cores = [2, 3]
idle = "spin"
[[port]]
kind = "dpdk"
address = "10.0.0.1"
udp_base = 4000
advertise = "192.0.2.7"
device = "0000:3b:00.0"
gateway = "10.0.0.254"
mtu = 9000
vlan = 100
receive_buffer = "4MiB"
fault = "loss=0.05,seed=3"
[tls]
enabled = false
ca = "ca.pem"
cert = "a.pem"
key = "a.key"
[limits]
memory = "4GiB"
message = 1000000
queue = "2GiB"
queue_full = "drop_oldest"
hold = "never"
program_grace = "0"
max_deliveries = 9
attachments = 10
[allow]
users = ["alice", "1001"]
nodes = ["b", "c*"]
addresses = ["10.0.0.0/8"]
[metrics]
listen = "127.0.0.1:9464"
[dpdk]
eal = ["--vdev", "net_ring0", "--vdev", "net_ring1"]
[timing]
heartbeat = "50ms"
suspect_after = "60ms"
idle_silence = "200ms"
handshake = "1s"
reconnect = "10ms"
drain = "5s"
)");
  EXPECT_EQ(config.cluster.name, "orders");
  EXPECT_EQ(config.cluster.secondaries, 1U);
  EXPECT_EQ(config.cluster.members, (std::vector<std::string>{"a", "b", "c"}));
  EXPECT_EQ(config.cluster.seeds,
            (std::vector<HostPort>{{"a.example", 3100}, {"2001:db8::2", 3100}}));
  EXPECT_FALSE(config.cluster.auto_join);
  EXPECT_EQ(config.cluster.auto_leave_ns, 30 * kSecondNs);
  EXPECT_EQ(config.cluster.without_majority, WithoutMajority::kRefuse);
  EXPECT_EQ(config.node.name, "a");
  EXPECT_FALSE(config.node.vote);
  EXPECT_EQ(config.node.zone, "rack-1");
  EXPECT_EQ(config.node.weight, 98'304U);
  EXPECT_EQ(config.node.state, "/var/lib/ringwire/a");
  EXPECT_EQ(config.node.advertise, (HostPort{"10.0.0.1", 3100}));
  EXPECT_EQ(config.node.socket, "/run/ringwire/a.sock");
  EXPECT_EQ(config.node.workers, 2U);
  EXPECT_EQ(config.node.cores, (std::vector<std::uint32_t>{2, 3}));
  EXPECT_EQ(config.node.idle, IdlePolicy::kSpin);
  EXPECT_EQ(config.port.kind, PortKind::kDpdk);
  EXPECT_EQ(config.port.address, "10.0.0.1");
  EXPECT_EQ(config.port.udp_base, 4000);
  EXPECT_EQ(config.port.advertise, "192.0.2.7");
  EXPECT_EQ(config.port.device, "0000:3b:00.0");
  EXPECT_EQ(config.port.gateway, "10.0.0.254");
  EXPECT_EQ(config.port.mtu, 9000U);
  EXPECT_EQ(config.port.vlan, 100U);
  EXPECT_EQ(config.port.receive_buffer_bytes, 4ULL << 20);
  EXPECT_TRUE(config.port.has_fault);
  EXPECT_DOUBLE_EQ(config.port.fault.loss, 0.05);
  EXPECT_EQ(config.port.fault.seed, 3U);
  EXPECT_EQ(config.tls.key, "a.key");
  EXPECT_EQ(config.limits.memory_bytes, 4ULL << 30);
  EXPECT_EQ(config.limits.message_bytes, 1'000'000U);
  EXPECT_EQ(config.limits.queue_bytes, 2ULL << 30);
  EXPECT_EQ(config.limits.queue_full, QueueFull::kDropOldest);
  EXPECT_EQ(config.limits.hold_ns, kNeverNs);
  EXPECT_EQ(config.limits.program_grace_ns, 0);
  EXPECT_EQ(config.limits.max_deliveries, 9U);
  EXPECT_EQ(config.limits.attachments, 10U);
  EXPECT_EQ(config.allow.users, (std::vector<std::string>{"alice", "1001"}));
  EXPECT_EQ(config.allow.nodes, (std::vector<std::string>{"b", "c*"}));
  EXPECT_EQ(config.allow.addresses, (std::vector<std::string>{"10.0.0.0/8"}));
  EXPECT_EQ(config.metrics.listen, (HostPort{"127.0.0.1", 9464}));
  EXPECT_EQ(config.dpdk.eal.size(), 4U);
  EXPECT_EQ(config.timing.idle_silence_ns, 200 * kMillisecondNs);
  EXPECT_EQ(config.timing.drain_ns, 5 * kSecondNs);
}

struct Row {
  const char* text;
  const char* problems;
};

TEST(Config, each_mistake_in_a_file_has_its_place_and_its_sentence) {
  const Row rows[] = {
      {"[cluster\n", "n.toml:1:9: "},
      {"a = 1\nb = \n", "n.toml:2:"},
      {"[clustre]\n",
       "n.toml:1:2: clustre: unknown section \"clustre\"; did you mean \"cluster\"?\n"},
      {"name = \"a\"\n", "n.toml:1:1: name: unknown section \"name\"; did you mean \"node\"?\n"},
      {"cluster = 1\n", "n.toml:1:1: cluster: is a section: write [cluster]\n"},
      {"[cluster]\n  nmae = \"x\"\n",
       "n.toml:2:3: cluster.nmae: unknown key \"nmae\" in [cluster]; did you mean \"name\"?\n"},
      {"[cluster]\nzzzzzzzz = 1\n",
       "n.toml:2:1: cluster.zzzzzzzz: unknown key \"zzzzzzzz\" in [cluster]\n"},
      {"[cluster]\nname = 5\n",
       "n.toml:2:8: cluster.name: wants a name of 1 to 63 characters A-Z a-z 0-9 . _ -, found 5\n"},
      {"[cluster]\nname = \"a b\"\n",
       "n.toml:2:8: cluster.name: wants a name of 1 to 63 characters A-Z a-z 0-9 . _ -, found \"a "
       "b\"\n"},
      {"[cluster]\ntype = \"hsah\"\n",
       "n.toml:2:8: cluster.type: wants \"hash\" or \"random\", found \"hsah\"\n"},
      {"[cluster]\nsecondaries = -1\n",
       "n.toml:2:15: cluster.secondaries: wants a whole number from 0 to 15, found -1\n"},
      {"[cluster]\nsecondaries = \"1\"\n",
       "n.toml:2:15: cluster.secondaries: wants a whole number from 0 to 15, found \"1\"\n"},
      {"[cluster]\nmembers = \"a\"\n",
       "n.toml:2:11: cluster.members: wants a list in [ ], found \"a\"\n"},
      {"[cluster]\nmembers = [\"local\", \"local\"]\n",
       "n.toml:2:11: cluster.members: names local twice\n"},
      {"[cluster]\nmembers = [[\"local\"]]\n",
       "n.toml:2:11: cluster.members: wants a name of 1 to 63 characters A-Z a-z 0-9 . _ -, found "
       "a list\n"},
      {"[cluster]\nseeds = [\"a\"]\n",
       "n.toml:2:9: cluster.seeds: wants \"host:port\" (IPv6 as \"[::1]:3100\"), found \"a\"\n"},
      {"[cluster]\nseeds = [\"a:0\"]\n",
       "n.toml:2:9: cluster.seeds: wants \"host:port\" (IPv6 as \"[::1]:3100\"), found \"a:0\"\n"},
      {"[cluster]\nauto_join = \"true\"\n",
       "n.toml:2:13: cluster.auto_join: wants true or false, found \"true\"\n"},
      {"[cluster]\nauto_leave = 30\n",
       "n.toml:2:14: cluster.auto_leave: wants a duration such as \"80ms\" or \"30s\", at least "
       "1s, "
       "or \"never\", found 30\n"},
      {"[node]\nweight = 0\n",
       "n.toml:2:10: node.weight: wants a number from 1/256 to 1024, found 0\n"},
      {"[node]\nweight = nan\n",
       "n.toml:2:10: node.weight: wants a number from 1/256 to 1024, found nan\n"},
      {"[node]\nworkers = 17\n",
       "n.toml:2:11: node.workers: wants a whole number from 1 to 16, found 17\n"},
      {"[node]\nworkers = 1979-05-27\n",
       "n.toml:2:11: node.workers: wants a whole number from 1 to 16, found something else\n"},
      {"[node]\ncores = [1, 1]\n", "n.toml:2:9: node.cores: names 1 twice\n"},
      {"[node]\nzone = \"0123456789012345678901234567890123456789012345678901234567890123\"\n",
       "n.toml:2:8: node.zone: must not be longer than 63 bytes\n"},
      {"[node]\nstate = \"a\\u0000b\"\n",
       "n.toml:2:9: node.state: must not contain a NUL character\n"},
      {"[node]\ncontrol = \"3100\"\n",
       "n.toml:2:11: node.control: wants \"host:port\" (IPv6 as \"[::1]:3100\"), found \"3100\"\n"},
      {"[port]\nkind = \"socket\"\n", "n.toml:1:2: port: is a list of ports: write [[port]]\n"},
      {"[[port]]\n[[port]]\n", "n.toml:2:1: port: exactly one [[port]] for now\n"},
      {"[[port]]\naddress = \"\"\n",
       "n.toml:2:11: port.0.address: wants a text in quotes, found \"\"\n"},
      {"[[port]]\nudp_base = 65536\n",
       "n.toml:2:12: port.0.udp_base: wants a whole number from 0 to 65535, found 65536\n"},
      {"[[port]]\nmtu = 1279\n",
       "n.toml:2:7: port.0.mtu: wants a whole number from 1280 to 65535, found 1279\n"},
      {"[[port]]\nadvertise = \"here\"\n",
       "n.toml:2:13: port.0.advertise: wants an IPv4 or IPv6 address, found \"here\"\n"},
      {"[[port]]\nfault = 5\n",
       "n.toml:2:9: port.0.fault: wants a text such as \"loss=0.05,seed=3\", found 5\n"},
      {"[limits]\nmemory = \"4GB\"\n",
       "n.toml:2:10: limits.memory: wants a size such as \"64KiB\" or \"1GiB\", at least 1MiB, or "
       "\"auto\", found \"4GB\"\n"},
      {"[limits]\nmessage = 0\n",
       "n.toml:2:11: limits.message: wants a size such as \"64KiB\" or \"1GiB\", at least 1, or "
       "\"unlimited\", found 0\n"},
      {"[limits]\nqueue = 1.5\n",
       "n.toml:2:9: limits.queue: wants a size such as \"64KiB\" or \"1GiB\", at least 0, found "
       "1.5\n"},
      {"[limits]\nqueue_full = \"drop\"\n",
       "n.toml:2:14: limits.queue_full: wants \"block\" or \"reject\" or \"drop_oldest\", found "
       "\"drop\"\n"},
      {"[allow]\naddresses = [\"10.0.0.0/99\"]\n",
       "n.toml:2:13: allow.addresses: wants a network such as \"10.0.0.0/8\", found "
       "\"10.0.0.0/99\"\n"},
      {"[timing]\nsuspect_after = \"19ms\"\n",
       "n.toml:2:17: timing.suspect_after: wants a duration such as \"80ms\" or \"30s\", at least "
       "20ms, found \"19ms\"\n"},
      // between keys
      {"[cluster]\ntype = \"random\"\nsecondaries = 1\n",
       "n.toml:3:15: cluster.secondaries: a random cluster has no secondaries\n"},
      {"[cluster]\nsecondaries = 2\nmembers = [\"local\", \"b\"]\n",
       "n.toml:2:15: cluster.secondaries: at most 1: of 2 members, so many are left for a key "
       "beside its owner\n"},
      {"[cluster]\nsecondaries = 1\n",
       "n.toml:2:15: cluster.secondaries: at most 0: of 1 member, so many are left for a key "
       "beside its owner\n"},
      {"[cluster]\nsecondaries = 3\nbootstrap_expect = 3\n",
       "n.toml:2:15: cluster.secondaries: at most 2: of 3 members, so many are left for a key "
       "beside its owner\n"},
      {"[cluster]\nsecondaries = 2\nmembers = [\"local\", \"b\", \"c\"]\n", ""},
      {"[cluster]\nmembers = [\"local\"]\nbootstrap_expect = 3\n",
       "n.toml:3:20: cluster.bootstrap_expect: members are listed already: use one of the two\n"},
      {"[cluster]\nmembers = [\"a\", \"b\"]\n",
       "n.toml:2:11: cluster.members: this server node, \"local\", is not among the members\n"},
      {"[cluster]\nmembers = [\"local\"]\nseeds = [\"a:1\"]\n[node]\nrole = \"slave\"\n",
       "n.toml:2:11: cluster.members: this node, \"local\", is a slave and cannot be a member\n"},
      {"[node]\nrole = \"slave\"\n",
       "cluster.seeds: a slave node needs the control address of a server node\n"},
      {"[node]\nworkers = 2\ncores = [1]\n",
       "n.toml:3:9: node.cores: names 1 cores for 2 workers\n"},
      {"[node]\ncores = [0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]\n",
       "n.toml:2:9: node.cores: at most 16 workers\n"},
      {"[node]\nworkers = 2\n[[port]]\nudp_base = 65535\n",
       "n.toml:4:12: port.0.udp_base: leaves no port for worker 1\n"},
      {"[[port]]\nkind = \"dpdk\"\n", "port.0.device: kind = \"dpdk\" needs a device\n"},
      {"[[port]]\nkind = \"socket\"\nvlan = 5\n",
       "n.toml:3:8: port.0.vlan: is for kind = \"dpdk\" only\n"},
      {"[tls]\nenabled = true\n", "n.toml:2:11: tls.enabled: this build has no TLS yet\n"},
      {"[cluster]\nmembers = [\"local\", \"b\", \"web-1\"]\n[allow]\nnodes = [\"web-*\"]\n",
       "n.toml:4:9: allow.nodes: does not admit \"b\", which is a member\n"},
      {"[[port]]\nkind = \"auto\"\nvlan = 5\n",
       "n.toml:3:8: port.0.vlan: is for kind = \"dpdk\" only\n"},
      {"[timing]\nidle_silence = \"150ms\"\n",
       "n.toml:2:16: timing.idle_silence: must be at least twice timing.heartbeat\n"},
  };
  for (const Row& row : rows) {
    const std::string found = problems(file(row.text));
    const std::string_view expected = row.problems;
    if (expected.ends_with('\n'))
      EXPECT_EQ(found, expected) << row.text;
    else  // the sentence is the TOML parser's
      EXPECT_EQ(found.substr(0, expected.size()), expected) << row.text;
  }
}

TEST(Config, a_bad_fault_is_explained) {
  EXPECT_NE(problems(file("[[port]]\nfault = \"lost=1\"\n")).find("n.toml:2:9: port.0.fault: "),
            std::string::npos);
}

TEST(Config, all_mistakes_are_reported_at_once_in_order) {
  EXPECT_EQ(problems(file("[node]\nweight = 0\nidle = \"no\"\n[cluster]\nname = \"\"\n")),
            "n.toml:2:10: node.weight: wants a number from 1/256 to 1024, found 0\n"
            "n.toml:3:8: node.idle: wants \"adaptive\" or \"spin\", found \"no\"\n"
            "n.toml:5:8: cluster.name: wants a name of 1 to 63 characters A-Z a-z 0-9 . _ -, "
            "found \"\"\n");
}

TEST(Config, mistakes_of_every_kind_are_reported_at_once) {
  EXPECT_EQ(problems(file("[cluster]\nnmae = \"x\"\ntype = \"random\"\nsecondaries = 1\n[node]\n"
                          "weight = 0\n[nonsense]\n[tls]\nenabled = true\n")),
            "n.toml:2:1: cluster.nmae: unknown key \"nmae\" in [cluster]; did you mean \"name\"?\n"
            "n.toml:4:15: cluster.secondaries: a random cluster has no secondaries\n"
            "n.toml:6:10: node.weight: wants a number from 1/256 to 1024, found 0\n"
            "n.toml:7:2: nonsense: unknown section \"nonsense\"\n"
            "n.toml:9:11: tls.enabled: this build has no TLS yet\n");
}

TEST(Config, what_follows_from_a_mistake_is_no_second_one) {
  // Without seeds a slave is refused, and idle_silence = 0 would be too short: both are only
  // unknown here.
  EXPECT_EQ(problems(file("[cluster]\nsedes = [\"a:1\"]\n[node]\nrole = \"slave\"\n")),
            "n.toml:2:1: cluster.sedes: unknown key \"sedes\" in [cluster]; did you mean "
            "\"seeds\"?\n");
  EXPECT_EQ(problems(file("[timing]\nidle_silence = 5\n")),
            "n.toml:2:16: timing.idle_silence: wants a duration such as \"80ms\" or \"30s\", at "
            "least 20ms, found 5\n");
  EXPECT_EQ(problems({"n.toml", "[node]\nrole = \"slave\"\n[cluster\n", {}, {"node.workers=0"}})
                .find("seeds"),
            std::string::npos);
}

// As the engine takes it: what belongs to a later version is refused, its default is not.
TEST(Config, a_setting_of_a_later_version_is_refused_never_ignored) {
  const struct {
    const char* option;
    const char* says;
  } rows[] = {
      {"cluster.without_majority=refuse", "only \"serve\""},
      {"cluster.auto_leave=30s", "only \"never\""},
      {"cluster.auto_join=false", "only true"},
      {"node.vote=false", "only true"},
      {"metrics.listen=127.0.0.1:0", "only \"off\""},
      {"tls.ca=ca.pem", "no TLS yet"},
      {"tls.enabled=true", "no TLS yet"},
      {"cluster.seeds=127.0.0.1:1", "list the names of all server nodes"},
      {"cluster.bootstrap_expect=3", "list the names of all server nodes"},
  };
  for (const auto& row : rows) {
    const auto config = load_config(std::nullopt, {}, {row.option});
    ASSERT_FALSE(config.ok()) << row.option;
    ASSERT_EQ(config.error().size(), 1U) << row.option;
    const std::string text = config.error().front().to_text();
    EXPECT_NE(text.find(row.says), std::string::npos) << text;
    EXPECT_TRUE(parse_config(options_only({row.option})).ok() ||
                std::string_view(row.option) == "tls.enabled=true")
        << row.option;
  }
  for (const char* option :
       {"cluster.without_majority=serve", "cluster.auto_leave=never", "cluster.auto_join=true",
        "node.vote=true", "metrics.listen=off", "tls.enabled=false", "cluster.bootstrap_expect=1"})
    EXPECT_TRUE(load_config(std::nullopt, {}, {option}).ok()) << option;
}

TEST(Config, eal_arguments_of_the_command_line_are_taken_as_they_are) {
  const std::vector<std::string> eal = {"-l", "0,1", "--vdev=net_memif0,role=client", "--vdev=x"};
  const std::vector<std::string> options = {"port.address=10.0.0.1", "dpdk.eal=--no-huge"};
  const auto config = load_config(std::nullopt, {}, options, eal);
  ASSERT_TRUE(config.ok()) << config.error().front().to_text();
  EXPECT_EQ(config.value().dpdk.eal, eal);
  EXPECT_TRUE(uses_dpdk(config.value()));
  EXPECT_EQ(origin_of(config.value(), "dpdk.eal"),
            "[-l, 0,1, --vdev=net_memif0,role=client, --vdev=x] from command line");
}

TEST(Config, a_dpdk_port_needs_a_device_an_address_and_udp_ports) {
  const struct {
    std::vector<std::string> options;
    const char* says;
  } rows[] = {
      {{"port.kind=dpdk", "port.address=10.0.0.1"}, "port.0.device: kind = \"dpdk\" needs"},
      {{"port.kind=dpdk", "port.device=net_tap0"}, "port.0.address: a DPDK port needs an address"},
      {{"dpdk.eal=--no-huge"}, "port.0.address: a DPDK port needs an address"},
      {{"dpdk.eal=--no-huge", "port.address=::1", "port.gateway=10.0.0.1"}, "another family"},
      {{"dpdk.eal=--no-huge", "port.address=::1", "port.udp_base=0"}, "not 0"},
      {{"dpdk.eal=--no-huge", "port.kind=socket"}, "dpdk.eal: is for kind = \"dpdk\" or"},
  };
  for (const auto& row : rows) {
    const auto config = load_config(std::nullopt, {}, row.options);
    ASSERT_FALSE(config.ok()) << row.says;
    ASSERT_EQ(config.error().size(), 1U) << row.says;
    const std::string text = config.error().front().to_text();
    EXPECT_NE(text.find(row.says), std::string::npos) << text;
  }
}

TEST(Config, a_problem_found_later_has_the_place_of_its_setting) {
  const Config config = from_text("[node]\nname = \"x\"\n");
  EXPECT_EQ(problem_at(config, "node.name", "is odd").to_text(), "n.toml:2:8: node.name: is odd");
  EXPECT_EQ(problem_at(config, "node.zone", "is odd").to_text(), "node.zone: is odd");
}

TEST(Config, cores_alone_say_how_many_workers) {
  const Config config = from_text("[node]\ncores = [4, 5, 6]\n");
  EXPECT_EQ(config.node.workers, 3U);
  EXPECT_EQ(origin_of(config, "node.workers"), "3 from node.cores");
}

}  // namespace
}  // namespace ringwire::node
