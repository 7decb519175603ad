// The real program, as a shell sees it: exit codes, and what is said on standard error.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

namespace ringwire::cli {
namespace {

struct Ran {
  int exit_code = -1;
  std::string output;
};

// RINGWIRE_COMMAND is the program that was built, handed in by the build.
Ran run(const std::string& arguments) {
  const std::string line = std::string(RINGWIRE_COMMAND) + " " + arguments + " 2>&1 < /dev/null";
  Ran ran;
  std::FILE* pipe = ::popen(line.c_str(), "r");
  if (pipe == nullptr) return ran;
  std::array<char, 4'096> buffer;
  std::size_t got = 0;
  while ((got = std::fread(buffer.data(), 1, buffer.size(), pipe)) > 0) {
    ran.output.append(buffer.data(), got);
  }
  const int status = ::pclose(pipe);
  if (WIFEXITED(status)) ran.exit_code = WEXITSTATUS(status);
  return ran;
}

bool says(const Ran& ran, const std::string& text) {
  return ran.output.find(text) != std::string::npos;
}

constexpr const char* kNoSocket = "/nowhere/ringwire-test.sock";

TEST(Command, without_an_engine_exits_3_and_names_the_socket) {
  for (const std::string verb : {"status", "nodes", "slots", "slots --key k", "attachments",
                                 "drops", "send --key k", "send --key k --call", "serve --echo",
                                 "bench echo --count 1", "wait --state up --timeout 20ms"}) {
    const Ran ran = run(verb + " --socket " + kNoSocket);
    EXPECT_EQ(ran.exit_code, 3) << verb << "\n" << ran.output;
    EXPECT_TRUE(says(ran, kNoSocket)) << verb << "\n" << ran.output;
    EXPECT_TRUE(says(ran, "ringwire-engine")) << verb << "\n" << ran.output;
  }
}

TEST(Command, takes_the_socket_from_the_environment) {
  ::setenv("RINGWIRE_SOCKET", "/nowhere/from-environment.sock", 1);
  const Ran ran = run("status");
  ::unsetenv("RINGWIRE_SOCKET");
  EXPECT_EQ(ran.exit_code, 3);
  EXPECT_TRUE(says(ran, "/nowhere/from-environment.sock")) << ran.output;
}

TEST(Command, exits_2_for_wrong_usage_and_says_what_is_wrong) {
  struct Row {
    const char* arguments;
    const char* says;
  };
  const Row rows[] = {
      {"", "subcommand"},
      {"nonsense", "\"nonsense\""},
      {"status --nonsense", "--nonsense"},
      {"slots --hash twelve", "twelve"},
      {"slots --hash 1 --key k", "--key"},
      {"send /dev/null", "--key"},
      {"send --key k --ack maybe", "maybe"},
      {"send --key k --timeout 5", "duration"},
      {"send --key k --call --ack none", "reply"},
      {"send --key k --random --broadcast", "only one"},
      {"send --key k a b", "--key-name"},
      {"send --key k --hash 3", "not both"},
      {"send --key-name --hash 3 a", "not both"},
      {"serve", "--echo"},
      {"serve --echo --sink", "--echo"},
      {"serve --echo --threads 0", "--threads"},
      {"serve --echo --order sideways", "sideways"},
      {"bench", "subcommand"},
      {"bench sideways", "\"bench sideways\""},
      {"bench echo --size 1K", "size"},
      {"bench echo --duration 3", "duration"},
      {"bench echo --threads 0", "--threads"},
      {"bench stream --window 1000000", "--window"},
      {"bench stream --window 0", "--window"},
      {"bench large --count 0", "--count"},
      {"bench echo --ack none", "--ack"},
      {"bench echo --deadline 3", "duration"},
      {"bench echo --count 2 --threads 3", "--count"},
      {"conf", "subcommand"},
      {"conf check", "FILE"},
      {"wait", "--state"},
      {"wait --state asleep", "asleep"},
  };
  for (const Row& row : rows) {
    const Ran ran = run(row.arguments);
    EXPECT_EQ(ran.exit_code, 2) << row.arguments << "\n" << ran.output;
    EXPECT_TRUE(says(ran, row.says)) << row.arguments << "\n" << ran.output;
    EXPECT_TRUE(says(ran, "--help")) << row.arguments << "\n" << ran.output;
  }
}

TEST(Command, has_help_everywhere) {
  for (const std::string verb :
       {"", "status", "nodes", "slots", "attachments", "drops", "send", "serve", "bench",
        "bench echo", "bench stream", "bench large", "bench failover", "wait", "conf", "conf new",
        "conf check", "conf show", "version"}) {
    const Ran ran = run(verb + " --help");
    EXPECT_EQ(ran.exit_code, 0) << verb;
    EXPECT_TRUE(says(ran, "Usage")) << verb << "\n" << ran.output;
  }
}

TEST(Command, tells_its_version_without_an_engine) {
  const Ran ran = run(std::string("version --json --socket ") + kNoSocket);
  EXPECT_EQ(ran.exit_code, 0);
  EXPECT_TRUE(says(ran, "\"command\":\"" RINGWIRE_VERSION "\"")) << ran.output;
  EXPECT_TRUE(says(ran, "\"engine\":null")) << ran.output;
}

TEST(Command, refuses_a_key_beyond_the_limit) {
  const Ran ran = run("send --key " + std::string(1'025, 'k'));
  EXPECT_EQ(ran.exit_code, 2);
  EXPECT_TRUE(says(ran, "1024 at most")) << ran.output;
}

// A file in a directory of its own, gone with the test.
class FileOfText {
 public:
  explicit FileOfText(const std::string& text) {
    std::string pattern = ::testing::TempDir() + "ringwire-XXXXXX";
    const int fd = ::mkstemp(pattern.data());
    EXPECT_GE(fd, 0);
    ::close(fd);
    path_ = pattern;
    std::ofstream(path_) << text;
  }
  ~FileOfText() { std::remove(path_.c_str()); }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

TEST(Conf, check_tells_the_place_and_the_nearest_name) {
  const FileOfText file("[cluster]\nnmae = \"orders\"\n");
  const Ran ran = run("conf check " + file.path());
  EXPECT_EQ(ran.exit_code, 2);
  EXPECT_TRUE(says(ran, ":2:1")) << ran.output;
  EXPECT_TRUE(says(ran, "\"name\"")) << ran.output;
}

TEST(Conf, check_accepts_what_new_writes) {
  const Ran fresh = run("conf new");
  EXPECT_EQ(fresh.exit_code, 0);
  const FileOfText file(fresh.output);
  const Ran ran = run("conf check --json " + file.path());
  EXPECT_EQ(ran.exit_code, 0) << ran.output;
  EXPECT_TRUE(says(ran, "\"valid\":true")) << ran.output;
}

TEST(Conf, check_names_a_file_that_is_not_there) {
  const Ran ran = run("conf check /nowhere/node.toml");
  EXPECT_EQ(ran.exit_code, 2);
  EXPECT_TRUE(says(ran, "/nowhere/node.toml")) << ran.output;
}

TEST(Conf, check_tells_all_that_an_engine_would_refuse) {
  const FileOfText file(
      "[cluster]\nnmae = \"orders\"\nwithout_majority = \"refuse\"\n[node]\nworkers = 0\n");
  const Ran ran = run("conf check " + file.path());
  EXPECT_EQ(ran.exit_code, 2);
  for (const char* place :
       {":2:1: cluster.nmae", ":3:20: cluster.without_majority", ":5:11: node.workers"})
    EXPECT_TRUE(says(ran, place)) << place << "\n" << ran.output;
  const FileOfText small("[limits]\nmemory = \"1MiB\"\n[allow]\nusers = [\"no-such-user\"]\n");
  const Ran machine = run("conf check " + small.path());
  EXPECT_EQ(machine.exit_code, 2);
  EXPECT_TRUE(says(machine, ":2:10: limits.memory: is too small")) << machine.output;
  EXPECT_TRUE(says(machine, "\n  workers: ")) << machine.output;
  EXPECT_TRUE(says(machine, ":4:9: allow.users: names no-such-user")) << machine.output;
}

TEST(Conf, check_refuses_a_file_with_nothing_in_it) {
  const FileOfText file("\n  \n");
  const Ran ran = run("conf check " + file.path());
  EXPECT_EQ(ran.exit_code, 2);
  EXPECT_TRUE(says(ran, "is empty")) << ran.output;
  EXPECT_TRUE(says(ran, "ringwire conf new")) << ran.output;
}

TEST(Conf, check_says_that_a_folder_is_no_file) {
  const Ran ran = run("conf check /");
  EXPECT_EQ(ran.exit_code, 2);
  EXPECT_TRUE(says(ran, "/: is a directory")) << ran.output;
}

TEST(Conf, show_tells_where_each_setting_comes_from) {
  const FileOfText file("[cluster]\nname = \"orders\"\n");
  const Ran ran = run("conf show --json -f " + file.path() + " -o node.name=b");
  EXPECT_EQ(ran.exit_code, 0) << ran.output;
  EXPECT_TRUE(says(ran, R"({"key":"node.name","value":"b","origin":"-o"})")) << ran.output;
  EXPECT_TRUE(says(ran, R"("key":"cluster.name","value":"orders","origin":")")) << ran.output;
  EXPECT_TRUE(says(ran, R"(/b.sock","origin":"default"})")) << ran.output;
}

}  // namespace
}  // namespace ringwire::cli
