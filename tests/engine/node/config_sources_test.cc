// Where settings come from besides the file, which source wins, and how they are shown.
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <sstream>

#include "tests/engine/node/config_helpers.h"

namespace ringwire::node {
namespace {

TEST(Config, the_environment_beats_the_file_and_the_command_line_beats_both) {
  ConfigInput input{
      .file_name = "n.toml",
      .file_text = "[cluster]\nname = \"file\"\n[node]\nname = \"file\"\nzone = \"file\"\n",
      .environment = {{"RINGWIRE_NODE_NAME", "env"}, {"RINGWIRE_NODE_ZONE", "env"}},
      .overrides = {"node.zone=option"}};
  const Config config = good(input);
  EXPECT_EQ(config.cluster.name, "file");
  EXPECT_EQ(config.node.name, "env");
  EXPECT_EQ(config.node.zone, "option");
  EXPECT_EQ(origin_of(config, "cluster.name"), "file from n.toml:2");
  EXPECT_EQ(origin_of(config, "node.name"), "env from RINGWIRE_NODE_NAME");
  EXPECT_EQ(origin_of(config, "node.zone"), "option from -o");
  EXPECT_EQ(origin_of(config, "port.0.kind"), "auto from default");
}

TEST(Config, the_environment_sets_keys_of_every_type) {
  const Config config = from_environment({{"RINGWIRE_CLUSTER_BOOTSTRAP_EXPECT", "3"},
                                          {"RINGWIRE_CLUSTER_AUTO_JOIN", "false"},
                                          {"RINGWIRE_NODE_WEIGHT", "0.5"},
                                          {"RINGWIRE_NODE_CORES", "3,4"},
                                          {"RINGWIRE_PORT_0_KIND", "socket"},
                                          {"RINGWIRE_PORT_0_UDP_BASE", "0"},
                                          {"RINGWIRE_LIMITS_QUEUE_FULL", "reject"},
                                          {"RINGWIRE_LIMITS_HOLD", "1s"},
                                          {"RINGWIRE_CLUSTER_SEEDS", "a:1,[::1]:2"},
                                          {"RINGWIRE_SOCKET", "/somewhere"},
                                          {"RINGWIRE_", "x"},
                                          {"HOME", "/root"}});
  EXPECT_EQ(config.cluster.bootstrap_expect, 3U);
  EXPECT_FALSE(config.cluster.auto_join);
  EXPECT_EQ(config.node.weight, 32'768U);
  EXPECT_EQ(config.node.cores, (std::vector<std::uint32_t>{3, 4}));
  EXPECT_EQ(config.port.kind, PortKind::kSocket);
  EXPECT_EQ(config.port.udp_base, 0);
  EXPECT_EQ(config.limits.queue_full, QueueFull::kReject);
  EXPECT_EQ(config.limits.hold_ns, kSecondNs);
  EXPECT_EQ(config.cluster.seeds, (std::vector<HostPort>{{"a", 1}, {"::1", 2}}));
}

TEST(Config, lists_are_set_whole_or_by_index) {
  Environment environment;
  for (int index = 11; index >= 0; --index)
    environment.emplace_back("RINGWIRE_CLUSTER_SEEDS_" + std::to_string(index),
                             std::string("h").append(std::to_string(index)).append(":1"));
  environment.emplace_back("RINGWIRE_CLUSTER_SEEDS", "x:1,y:1");
  const Config config = from_environment(environment);
  ASSERT_EQ(config.cluster.seeds.size(), 12U);
  EXPECT_EQ(config.cluster.seeds[0].host, "h0");
  EXPECT_EQ(config.cluster.seeds[11].host, "h11");
  EXPECT_EQ(from_overrides({"cluster.seeds=[\"a:1\", \"b:2\"]"}).cluster.seeds,
            (std::vector<HostPort>{{"a", 1}, {"b", 2}}));
  EXPECT_EQ(from_overrides({"cluster.seeds=[::1]:7"}).cluster.seeds,
            (std::vector<HostPort>{{"::1", 7}}));
  EXPECT_EQ(from_overrides({"cluster.seeds=a:1,b:2", "cluster.seeds.1=c:3"}).cluster.seeds,
            (std::vector<HostPort>{{"a", 1}, {"c", 3}}));
  EXPECT_TRUE(from_overrides({"cluster.seeds=a:1", "cluster.seeds="}).cluster.seeds.empty());
}

TEST(Config, the_command_line_names_the_port_with_or_without_index) {
  EXPECT_EQ(from_overrides({"port.udp_base=5000"}).port.udp_base, 5000);
  EXPECT_EQ(from_overrides({"port.0.udp_base=5001"}).port.udp_base, 5001);
  EXPECT_EQ(from_overrides({"port.fault=loss=0.5,seed=9"}).port.fault.seed, 9U);
}

TEST(Config, mistakes_outside_of_files_name_their_source) {
  const auto environment = [](const char* name, const char* value) {
    return problems(environment_only({{name, value}}));
  };
  const auto option = [](const char* text) { return problems(options_only({text})); };
  EXPECT_EQ(
      environment("RINGWIRE_NODE_NMAE", "x"),
      "RINGWIRE_NODE_NMAE: node.nmae: unknown key \"nmae\" in [node]; did you mean \"name\"?\n");
  EXPECT_EQ(environment("RINGWIRE_PORT_1_KIND", "socket"),
            "RINGWIRE_PORT_1_KIND: port.1_kind: exactly one port for now: index 0\n");
  EXPECT_EQ(environment("RINGWIRE_CLUSTER_SEEDS_1", "a:1"),
            "RINGWIRE_CLUSTER_SEEDS_1: cluster.seeds: sets element 1 of a list of 0\n");
  EXPECT_EQ(environment("RINGWIRE_NODE_VOTE", "yes"),
            "RINGWIRE_NODE_VOTE: node.vote: wants true or false, found \"yes\"\n");
  EXPECT_EQ(option("node.name"), "-o: node.name: wants section.key=value\n");
  EXPECT_EQ(option("name=x"), "-o: name=x: wants section.key=value\n");
  EXPECT_EQ(option("nod.name=x"),
            "-o: nod.name: unknown section \"nod\"; did you mean \"node\"?\n");
  EXPECT_EQ(option("node.names=x"),
            "-o: node.names: unknown key \"names\" in [node]; did you mean \"name\"?\n");
  EXPECT_EQ(option("node.name.0=x"),
            "-o: node.name.0: unknown key \"name.0\" in [node]; did you mean \"name\"?\n");
  EXPECT_EQ(option("tls.enabled=true"), "-o: tls.enabled: this build has no TLS yet\n");
}

TEST(Config, show_names_every_key_once_with_its_origin) {
  const auto settings = show(from_text("[node]\nname = \"x\"\n"));
  EXPECT_EQ(settings.size(), 54U);
  EXPECT_EQ(settings.front().key, "cluster.name");
  std::size_t from_file = 0;
  for (const Setting& setting : settings) from_file += setting.origin == "n.toml:2" ? 1U : 0U;
  EXPECT_EQ(from_file, 1U);
}

TEST(Config, a_new_file_passes_as_it_is_and_changes_nothing) {
  const Config plain = from_text("");
  const Config fresh = from_text(new_file_text());
  ASSERT_EQ(fresh.settings.size(), plain.settings.size());
  for (std::size_t index = 0; index < plain.settings.size(); ++index)
    EXPECT_EQ(fresh.settings[index].value, plain.settings[index].value);
}

// The examples in the comments are values that their keys take.
TEST(Config, each_example_of_a_new_file_is_accepted_by_its_key) {
  std::istringstream lines(new_file_text());
  std::string header;
  std::size_t examples = 0;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("[")) header = line;
    if (header.empty() || !line.starts_with("# ")) continue;
    ++examples;
    const std::string text = header + "\n" + line.substr(2) + "\n";
    const std::string found = problems(file(text));
    EXPECT_EQ(found.find("wants"), std::string::npos) << text << found;
    EXPECT_EQ(found.find("unknown"), std::string::npos) << text << found;
  }
  EXPECT_EQ(examples, 54U);
}

TEST(Config, a_file_is_read_and_a_missing_one_is_a_problem) {
  const std::string path = testing::TempDir() + "ringwire_config_test.toml";
  std::ofstream(path) << "[node]\nname = \"x\"\n";
  const auto config = load_config(path, {}, {"node.zone=z"});
  ASSERT_TRUE(config.ok());
  EXPECT_EQ(config.value().node.name, "x");
  EXPECT_EQ(config.value().node.zone, "z");
  std::ofstream(path, std::ios::trunc).close();
  const auto empty = load_config(path, {}, {});
  ASSERT_FALSE(empty.ok());
  EXPECT_EQ(empty.error().at(0).to_text(),
            path + ": is empty: `ringwire conf new` prints a file with every key");
  std::remove(path.c_str());
  const auto missing = load_config(path, {}, {});
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().at(0).to_text(), path + ": cannot be read: No such file or directory");
  const auto folder = load_config(testing::TempDir(), {}, {});
  ASSERT_FALSE(folder.ok());
  EXPECT_EQ(folder.error().at(0).to_text(),
            testing::TempDir() + ": is a directory: name the file in it");
  EXPECT_TRUE(load_config(std::nullopt, {}, {}).ok());
}

TEST(Config, show_names_the_paths_that_a_node_chooses) {
  const Config config = from_text("[node]\nname = \"x\"\n");
  EXPECT_NE(origin_of(config, "node.socket").find("/x.sock from default"), std::string::npos);
  EXPECT_NE(origin_of(config, "node.state").find("x from default"), std::string::npos);
  EXPECT_EQ(origin_of(from_text("[node]\nsocket = \"/s/a.sock\"\n"), "node.socket"),
            "/s/a.sock from n.toml:2");
}

}  // namespace
}  // namespace ringwire::node
