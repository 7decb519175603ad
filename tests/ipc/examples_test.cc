// Each example is run as its own process against an engine of one thread.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <future>
#include <string>

#include "tests/ipc/fake_engine.h"

namespace ringwire::ipc {
namespace {

struct Ran {
  int exit_code = -1;
  std::string output;
};

struct Examples : testing::Test {
  Examples() : engine(folder.socket()) {
    setenv("RINGWIRE_SOCKET", folder.socket().c_str(), 1);
    // Set by meson: where the examples were built.
    if (const char* set = std::getenv("RINGWIRE_EXAMPLES")) programs = set;
  }
  ~Examples() override { unsetenv("RINGWIRE_SOCKET"); }

  Ran run(const std::string& command) {
    Ran ran;
    std::string line = programs;
    line.append("/").append(command).append(" 2>&1");
    FILE* pipe = popen(line.c_str(), "r");
    if (pipe == nullptr) return ran;
    std::array<char, 256> part{};
    while (std::fgets(part.data(), part.size(), pipe) != nullptr) ran.output += part.data();
    const int status = pclose(pipe);
    ran.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return ran;
  }
  /// Runs `server` until it has had its one message, which `client` sends once it serves.
  Ran serve_with(const std::string& server, const std::string& client) {
    auto serving = std::async(std::launch::async, [&] { return run(server); });
    EXPECT_TRUE(engine.wait_until_served());
    last = run(client);
    return serving.get();
  }

  TemporaryFolder folder;
  FakeEngine engine;
  std::string programs = ".";
  Ran last;
};

TEST_F(Examples, hello_send_says_done) {
  const Ran ran = run("hello_send key text");
  EXPECT_EQ(ran.exit_code, 0);
  EXPECT_EQ(ran.output, "done at beta (none)\n");
  EXPECT_EQ(engine.seen().at(0).payload, "text");
}

TEST_F(Examples, hello_send_cpp_says_done) {
  const Ran ran = run("hello_send_cpp key text");
  EXPECT_EQ(ran.exit_code, 0);
  EXPECT_EQ(ran.output, "done at beta\n");
}

TEST_F(Examples, examples_say_that_there_is_no_engine) {
  engine.crash();
  for (const char* name : {"hello_send", "hello_send_cpp", "hello_serve", "hello_serve_cpp", "call",
                           "answer", "file_drop", "event_loop"}) {
    const Ran ran = run(name);
    EXPECT_EQ(ran.exit_code, 1) << name;
    EXPECT_NE(ran.output.find("no engine at"), std::string::npos) << name << ": " << ran.output;
  }
}

TEST_F(Examples, hello_serve_prints_a_message) {
  const Ran ran = serve_with("hello_serve 1", "hello_send apples pears");
  EXPECT_EQ(ran.exit_code, 0);
  EXPECT_EQ(ran.output, "apples: pears\n");
}

TEST_F(Examples, hello_serve_cpp_prints_a_message) {
  const Ran ran = serve_with("hello_serve_cpp 1", "hello_send_cpp apples pears");
  EXPECT_EQ(ran.exit_code, 0);
  EXPECT_EQ(ran.output, "apples: pears\n");
}

TEST_F(Examples, call_prints_the_reply) {
  const Ran ran = serve_with("answer 1", "call key question");
  EXPECT_EQ(ran.exit_code, 0) << ran.output;
  EXPECT_EQ(last.exit_code, 0);
  EXPECT_EQ(last.output, "alpha says: question\n");
}

TEST_F(Examples, file_drop_sends_each_file_and_tells_of_missing_ones) {
  const std::string path = folder.socket() + ".txt";
  std::ofstream(path) << "content";
  std::string command = "file_drop ";
  command.append(path).append(" /no/such/file");
  const Ran ran = run(command);
  unlink(path.c_str());
  EXPECT_EQ(ran.exit_code, 1);
  EXPECT_NE(ran.output.find(": done at beta"), std::string::npos) << ran.output;
  EXPECT_NE(ran.output.find("/no/such/file: cannot be read"), std::string::npos) << ran.output;
  ASSERT_EQ(engine.seen().size(), 1u);
  EXPECT_EQ(engine.seen().at(0).payload, "content");
  EXPECT_EQ(engine.seen().at(0).key, path);
}

TEST_F(Examples, event_loop_sends_its_input_and_prints_the_outcomes) {
  const Ran piped = run("event_loop key < /dev/null");
  EXPECT_EQ(piped.exit_code, 0) << piped.output;
  programs = "echo one line | " + programs;
  const Ran ran = run("event_loop key");
  EXPECT_EQ(ran.exit_code, 0);
  EXPECT_EQ(ran.output, "send 1: done\n");
  EXPECT_EQ(engine.seen().at(0).payload, "one line\n");
}

}  // namespace
}  // namespace ringwire::ipc
