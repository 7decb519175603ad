#include "apps/cli/child_process.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <string>

namespace ringwire::cli {
namespace {

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

std::string text_of(const ChildResult& result) {
  return {reinterpret_cast<const char*>(result.output.data()), result.output.size()};
}

// As in main: a command that does not read its input must not end the server.
class ChildProcess : public ::testing::Test {
 protected:
  ChildProcess() : old_handler_(::signal(SIGPIPE, SIG_IGN)) {}
  ~ChildProcess() override { ::signal(SIGPIPE, old_handler_); }

 private:
  void (*old_handler_)(int);
};

TEST_F(ChildProcess, gets_the_input_and_gives_the_output) {
  const ChildResult result = run_child("tr a-z A-Z", bytes_of("hello"), {});
  EXPECT_EQ(result.exit_status, 0);
  EXPECT_EQ(text_of(result), "HELLO");
}

TEST_F(ChildProcess, may_write_while_it_reads) {
  // More than the pipes hold in both directions.
  const std::string input(3 << 20, 'x');
  EXPECT_EQ(text_of(run_child("cat", bytes_of(input), {})), input);
}

TEST_F(ChildProcess, need_not_read_its_input) {
  const ChildResult result = run_child("exit 0", bytes_of(std::string(3 << 20, 'x')), {});
  EXPECT_EQ(result.exit_status, 0);
  EXPECT_EQ(text_of(result), "");
}

TEST_F(ChildProcess, sees_the_end_of_an_empty_input) {
  EXPECT_EQ(text_of(run_child("wc -c | tr -d ' '", {}, {})), "0\n");
}

TEST_F(ChildProcess, tells_its_exit_status) {
  EXPECT_EQ(run_child("exit 7", {}, {}).exit_status, 7);
  EXPECT_EQ(run_child("kill -9 $$", {}, {}).exit_status, 137);
  EXPECT_EQ(run_child("/no/such/program 2> /dev/null", {}, {}).exit_status, 127);
}

TEST_F(ChildProcess, sees_the_added_environment) {
  const ChildResult result =
      run_child("printf %s \"$RINGWIRE_KEY\"", {}, {"RINGWIRE_KEY=a key; with 'quotes'"});
  EXPECT_EQ(text_of(result), "a key; with 'quotes'");
}

TEST_F(ChildProcess, has_ordinary_signals) {
  // With SIGPIPE ignored, `yes` would complain on and on instead of ending.
  const ChildResult result = run_child("yes | head -n 1", {}, {});
  EXPECT_EQ(text_of(result), "y\n");
  EXPECT_EQ(run_child("kill -13 $$", {}, {}).exit_status, 141);
}

}  // namespace
}  // namespace ringwire::cli
