#include "engine/node/engine.h"

#include <gtest/gtest.h>
#include <netinet/in.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "engine/node/start_error.h"
#include "tests/engine/node/engine_world.h"

namespace ringwire::node {
namespace {

/// Two free TCP ports, so that two engines can name each other before they run.
std::vector<std::string> free_addresses() {
  std::vector<Descriptor> sockets;
  std::vector<std::string> addresses;
  for (int count = 0; count < 2; ++count) {
    sockets.emplace_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t bytes = sizeof address;
    EXPECT_EQ(::bind(sockets.back().get(), reinterpret_cast<sockaddr*>(&address), bytes), 0);
    ::getsockname(sockets.back().get(), reinterpret_cast<sockaddr*>(&address), &bytes);
    addresses.push_back("127.0.0.1:" + std::to_string(ntohs(address.sin_port)));
  }
  return addresses;
}

class TwoEngines : public testing::Test {
 protected:
  [[nodiscard]] std::vector<std::string> options(std::size_t which) const {
    return {"cluster.members=a,b", "cluster.seeds=" + addresses_[0] + "," + addresses_[1],
            "node.control=" + addresses_[which]};
  }
  [[nodiscard]] EngineWorld::Node start(const std::string& name) const {
    return world_.start_ready(name, options(name == "a" ? 0 : 1));
  }
  [[nodiscard]] bool sees(const EngineWorld::Node& node, const std::string& name,
                          const std::string& state) const {
    return wait_until([&] { return state_seen(node.socket, name) == state; });
  }

  EngineWorld world_;
  std::vector<std::string> addresses_ = free_addresses();
};

TEST_F(TwoEngines, find_each_other_see_the_death_of_one_and_its_return) {
  const auto a = start("a");
  auto b = start("b");
  EXPECT_TRUE(sees(a, "b", "serving"));
  EXPECT_TRUE(sees(b, "a", "serving"));
  // Stopped without a goodbye: its connections end, as after a kill.
  b.engine.reset();
  EXPECT_TRUE(sees(a, "b", "down"));
  const auto again = start("b");
  EXPECT_TRUE(sees(a, "b", "serving"));
  EXPECT_TRUE(sees(again, "a", "serving"));
}

TEST_F(TwoEngines, agree_on_the_owner_of_a_key) {
  const auto a = start("a");
  const auto b = start("b");
  const std::string question = R"({"verb":"slots","key":"apples"})";
  const auto at_a = ask_admin(a.socket, question);
  const auto at_b = ask_admin(b.socket, question);
  EXPECT_EQ(at_a["digest"], at_b["digest"]);
  EXPECT_EQ(at_a["key"]["replicas"], at_b["key"]["replicas"]);
  EXPECT_EQ(at_a["members"].size(), 2u);
  EXPECT_EQ(at_a["members"][0]["primary"].get<int>() + at_a["members"][1]["primary"].get<int>(),
            65'536);
}

TEST_F(TwoEngines, a_drained_engine_says_goodbye_and_ends) {
  const auto a = start("a");
  auto b = start("b");
  ASSERT_TRUE(sees(a, "b", "serving"));
  b.engine->drain();
  EXPECT_EQ(b.ended.wait_for(kPatience), std::future_status::ready);
  b.engine.reset();
  EXPECT_TRUE(sees(a, "b", "down"));
}

TEST_F(TwoEngines, a_slave_learns_the_members_from_one_seed) {
  const auto a = start("a");
  const auto b = start("b");
  ASSERT_TRUE(sees(a, "b", "serving"));
  const auto slave = world_.start_ready("c", {"node.role=slave", "cluster.seeds=" + addresses_[0]});
  EXPECT_TRUE(sees(slave, "a", "serving"));
  EXPECT_TRUE(sees(slave, "b", "serving"));
  EXPECT_TRUE(sees(b, "c", "up"));
  const std::string question = R"({"verb":"slots","key":"apples"})";
  EXPECT_TRUE(wait_until([&] {
    return ask_admin(slave.socket, question)["digest"] == ask_admin(a.socket, question)["digest"];
  }));
}

TEST_F(TwoEngines, of_different_member_lists_refuse_each_other) {
  const auto a = start("a");
  auto other = options(1);
  other[0] = "cluster.members=b,x";
  const auto b = world_.start_ready("b", other);
  // "x" counts as down once members that were never heard of are given up: by then both have
  // dialled, and "b" is still unknown or down at a.
  EXPECT_TRUE(sees(b, "x", "down"));
  EXPECT_TRUE(sees(a, "b", "down"));
}

TEST_F(TwoEngines, that_are_not_admitted_by_name_stay_apart) {
  auto strict = options(0);
  strict.emplace_back("allow.nodes=b,web-*");
  const auto a = world_.start_ready("a", strict);
  const auto b = start("b");
  const std::string seeds = "cluster.seeds=" + addresses_[0] + "," + addresses_[1];
  const auto web = world_.start_ready("web-1", {"node.role=slave", seeds});
  const auto other = world_.start_ready("other", {"node.role=slave", seeds});
  EXPECT_TRUE(sees(a, "b", "serving"));
  EXPECT_TRUE(sees(a, "web-1", "up"));
  EXPECT_TRUE(sees(b, "web-1", "up"));
  // It is told of "a" by "b", and gives up on it only when it had its chance.
  EXPECT_TRUE(sees(other, "b", "serving"));
  EXPECT_TRUE(sees(other, "a", "down"));
  EXPECT_EQ(state_seen(a.socket, "other"), "");
}

TEST_F(TwoEngines, a_second_engine_of_one_name_waits_until_the_first_is_gone) {
  const auto a = start("a");
  auto first = world_.start_ready("c", {"node.role=slave", "cluster.seeds=" + addresses_[0]});
  ASSERT_TRUE(sees(a, "c", "up"));
  const auto incarnation_seen = [&] {
    const auto answer = ask_admin(a.socket, R"({"verb":"nodes"})");
    for (const auto& node : answer["nodes"])
      if (node["name"] == "c") return node["incarnation"].get<std::string>();
    return std::string();
  };
  const std::string incarnation = incarnation_seen();
  const auto second =
      world_.start_ready("c", {"node.role=slave", "cluster.seeds=" + addresses_[0],
                               "node.state=" + world_.folder().path() + "/other",
                               "node.socket=" + world_.folder().path() + "/other.sock"});
  // Time enough to dial, be challenged and be refused, several times over.
  EXPECT_TRUE(wait_until([&] {
    return ask_admin(second.socket, R"({"verb":"status"})")["uptime_ns"] > kSecondNs / 2;
  }));
  EXPECT_EQ(incarnation_seen(), incarnation);
  first.engine.reset();
  EXPECT_TRUE(wait_until(
      [&] { return incarnation_seen() != incarnation && state_seen(a.socket, "c") == "up"; }));
}

TEST(Engine, answers_the_status_that_the_command_line_shows) {
  EngineWorld world;
  const auto node = world.start_ready("a", {"cluster.name=orders"});
  const auto status = ask_admin(node.socket, R"({"verb":"status"})");
  EXPECT_EQ(status["node"], "a");
  EXPECT_EQ(status["cluster"], "orders");
  EXPECT_EQ(status["state"], "serving");
  EXPECT_EQ(status["epoch"], 1);
  EXPECT_EQ(status["memory"]["budget_bytes"], 512u << 20);
  EXPECT_EQ(status["workers"].size(), 1u);
  EXPECT_EQ(status["nodes"]["serving"], 1);
  EXPECT_EQ(status["messages"]["taken"], 0);
}

TEST(Engine, lists_its_programs_and_drops) {
  EngineWorld world;
  const auto node = world.start_ready("a");
  AttachCaller caller(node.socket);
  ASSERT_TRUE(caller.attach(1).has_value());
  const auto programs = ask_admin(node.socket, R"({"verb":"attachments"})");
  ASSERT_EQ(programs["attachments"].size(), 1u);
  EXPECT_EQ(programs["attachments"][0]["label"], "test");
  EXPECT_EQ(programs["attachments"][0]["pid"], ::getpid());
  EXPECT_TRUE(ask_admin(node.socket, R"({"verb":"drops"})")["drops"].empty());
  EXPECT_FALSE(ask_admin(node.socket, R"({"verb":"drops","all":true})")["drops"].empty());
}

TEST(Engine, refuses_admin_requests_that_make_no_sense) {
  EngineWorld world;
  const auto node = world.start_ready("a");
  for (const char* request : {"", "{", "[]", "{}", R"({"verb":7})", R"({"verb":"dance"})",
                              R"({"verb":"slots","key":7})", R"({"verb":"slots","hash":-1})"}) {
    std::uint32_t exit_code = 0;
    const auto answer = ask_admin(node.socket, request, &exit_code);
    EXPECT_EQ(exit_code, 2u) << request;
    EXPECT_TRUE(answer.contains("error")) << request;
  }
}

TEST(Engine, drains_when_the_command_line_asks) {
  EngineWorld world;
  const auto node = world.start_ready("a");
  EXPECT_TRUE(ask_admin(node.socket, R"({"verb":"drain"})")["draining"].get<bool>());
  EXPECT_EQ(node.ended.wait_for(kPatience), std::future_status::ready);
}

/// The sentence with which an engine refuses to start; empty when it does not.
std::string refusal(const Config& config) {
  try {
    Engine engine(config);
  } catch (const StartError& error) {
    return error.what();
  }
  return "";
}

TEST(EngineStart, names_what_is_in_use) {
  EngineWorld world;
  const auto node = world.start_ready("a", {"port.udp_base=0"});
  const std::string folder = world.folder().path();
  const std::string state = folder + "/a";
  EXPECT_NE(refusal(world.make_config("a", {})).find("state directory " + state),
            std::string::npos);
  EXPECT_NE(refusal(world.make_config("a", {"node.state=" + folder + "/z"}))
                .find("socket " + node.socket + " is in use"),
            std::string::npos);
  EXPECT_NE(refusal(world.make_config("b", {"node.control=" + node.engine->control_address()}))
                .find("control address " + node.engine->control_address() + " is in use"),
            std::string::npos);
}

TEST(EngineStart, replaces_the_socket_of_a_dead_engine_but_no_other_file) {
  EngineWorld world;
  const std::string path = world.folder().path() + "/a.sock";
  std::ofstream(path) << "precious";
  EXPECT_NE(refusal(world.make_config("a", {})).find("is no socket"), std::string::npos);
  std::filesystem::remove(path);
  {
    // Bound and never removed, as by an engine that was killed.
    const Descriptor dead(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.data(), path.size());
    ASSERT_EQ(::bind(dead.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  }
  ASSERT_TRUE(std::filesystem::exists(path));
  EXPECT_EQ(refusal(world.make_config("a", {})), "");
}

TEST(EngineStart, shows_the_sum_when_memory_is_too_small) {
  EngineWorld world;
  const std::string sentence = refusal(world.make_config("a", {"limits.memory=32MiB"}));
  EXPECT_NE(sentence.find("limits.memory: is too small"), std::string::npos) << sentence;
  EXPECT_NE(sentence.find("attachments: "), std::string::npos) << sentence;
  EXPECT_NE(sentence.find("of 33554432 bytes"), std::string::npos) << sentence;
}

TEST(EngineStart, refuses_the_state_directory_of_another_node) {
  EngineWorld world;
  const std::string state = "node.state=" + world.folder().path() + "/shared";
  EXPECT_EQ(refusal(world.make_config("a", {state})), "");
  EXPECT_NE(refusal(world.make_config("b", {state})).find("belongs to node a"), std::string::npos);
}

TEST(EngineStart, says_what_is_wrong_with_a_setting) {
  EngineWorld world;
  EXPECT_NE(refusal(world.make_config("a", {"port.address=no-such-interface"}))
                .find("-o: port.0.address: [[port]] address = no-such-interface is neither"),
            std::string::npos);
  EXPECT_NE(refusal(world.make_config("a", {"allow.users=no-such-user-here"}))
                .find("-o: allow.users: names no-such-user-here"),
            std::string::npos);
}

/// Mode bits of a file, as `stat -c %a` prints them.
unsigned mode_of(const std::string& path) {
  return static_cast<unsigned>(std::filesystem::status(path).permissions());
}

TEST(EngineStart, opens_the_socket_folder_to_the_users_that_may_attach) {
  EngineWorld world;
  const std::string open = world.folder().path() + "/open";
  const std::string closed = world.folder().path() + "/closed";
  EXPECT_EQ(refusal(world.make_config("a", {"node.socket=" + open + "/a.sock", "allow.users=1"})),
            "");
  EXPECT_EQ(refusal(world.make_config("b", {"node.socket=" + closed + "/b.sock"})), "");
  EXPECT_EQ(mode_of(open), 0755u);
  EXPECT_EQ(mode_of(closed) & 7u, 0u);
}

}  // namespace
}  // namespace ringwire::node
