#include "engine/node/stopped_programs.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

namespace ringwire::node {
namespace {

TEST(StoppedPrograms, sees_which_process_is_stopped) {
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    while (true) pause();
  }
  const auto pid = static_cast<std::uint64_t>(child);
  ASSERT_TRUE(look_at_process(pid).has_value());
  EXPECT_FALSE(look_at_process(pid)->stopped);
  int status = 0;
  kill(child, SIGSTOP);
  ASSERT_EQ(waitpid(child, &status, WUNTRACED), child);
  EXPECT_TRUE(look_at_process(pid)->stopped);
  kill(child, SIGCONT);
  ASSERT_EQ(waitpid(child, &status, WCONTINUED), child);
  EXPECT_FALSE(look_at_process(pid)->stopped);
  kill(child, SIGKILL);
  waitpid(child, &status, 0);
  EXPECT_FALSE(look_at_process(pid).has_value());
  EXPECT_FALSE(look_at_process(0).has_value());
}

}  // namespace
}  // namespace ringwire::node
