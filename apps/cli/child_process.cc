#include "apps/cli/child_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "apps/cli/exit_code.h"
#include "apps/cli/payload_file.h"

namespace ringwire::cli {
namespace {

constexpr std::size_t kReadBytes = 64 * 1024;

[[noreturn]] void fail(std::string_view doing, int error) {
  throw CommandError(ExitCode::kFailed,
                     fmt::format("cannot {} the command: {}", doing, std::strerror(error)));
}

struct Pipe {
  OwnedFd read_end;
  OwnedFd write_end;

  Pipe() {
    std::array<int, 2> fds{-1, -1};
    if (::pipe2(fds.data(), O_CLOEXEC) != 0) fail("make a pipe for", errno);
    read_end = OwnedFd(fds[0]);
    write_end = OwnedFd(fds[1]);
  }
};

class SpawnSettings {
 public:
  SpawnSettings(int input_fd, int output_fd) {
    posix_spawn_file_actions_init(&actions_);
    posix_spawnattr_init(&attributes_);
    posix_spawn_file_actions_adddup2(&actions_, input_fd, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions_, output_fd, STDOUT_FILENO);
    // The command starts with ordinary signals: the server blocks some and ignores SIGPIPE.
    sigset_t none;
    sigset_t all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes_, &none);
    posix_spawnattr_setsigdefault(&attributes_, &all);
    posix_spawnattr_setpgroup(&attributes_, 0);
    posix_spawnattr_setflags(
        &attributes_,
        static_cast<short>(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP));
  }
  ~SpawnSettings() {
    posix_spawn_file_actions_destroy(&actions_);
    posix_spawnattr_destroy(&attributes_);
  }
  SpawnSettings(const SpawnSettings&) = delete;
  SpawnSettings& operator=(const SpawnSettings&) = delete;

  pid_t spawn(const std::string& command, const std::vector<std::string>& extra_environment) {
    std::string shell = "sh";
    std::string flag = "-c";
    std::string text = command;
    const std::array<char*, 4> arguments{shell.data(), flag.data(), text.data(), nullptr};
    std::vector<std::string> extra = extra_environment;
    std::vector<char*> environment;
    for (char** at = environ; *at != nullptr; ++at) environment.push_back(*at);
    for (std::string& variable : extra) environment.push_back(variable.data());
    environment.push_back(nullptr);
    pid_t child = -1;
    const int error = posix_spawn(&child, "/bin/sh", &actions_, &attributes_, arguments.data(),
                                  environment.data());
    if (error != 0) fail("start", error);
    return child;
  }

 private:
  posix_spawn_file_actions_t actions_{};
  posix_spawnattr_t attributes_{};
};

int wait_for_child(pid_t child) {
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) fail("wait for", errno);
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// A command need not read its input: then the rest of it is dropped.
void feed(OwnedFd& pipe, std::span<const std::byte>& input) {
  const ssize_t wrote = ::write(pipe.get(), input.data(), input.size());
  if (wrote > 0) input = input.subspan(static_cast<std::size_t>(wrote));
  const bool gone = wrote < 0 && errno != EAGAIN && errno != EINTR;
  if (gone || input.empty()) pipe.reset();
}

void drain(OwnedFd& pipe, std::vector<std::byte>& output) {
  std::array<std::byte, kReadBytes> buffer;
  const ssize_t got = ::read(pipe.get(), buffer.data(), buffer.size());
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) {
    pipe.reset();
    return;
  }
  output.insert(output.end(), buffer.begin(), buffer.begin() + got);
}

// Both directions at once: a command that prints while it reads would otherwise stop for ever.
bool exchange(OwnedFd to_child, OwnedFd from_child, std::span<const std::byte> input,
              std::vector<std::byte>& output) {
  ::fcntl(to_child.get(), F_SETFL, O_NONBLOCK);
  if (input.empty()) to_child.reset();
  while (!from_child.empty()) {
    // poll() leaves negative descriptors out.
    std::array<pollfd, 2> ready{pollfd{to_child.get(), POLLOUT, 0},
                                pollfd{from_child.get(), POLLIN, 0}};
    if (::poll(ready.data(), ready.size(), -1) < 0) {
      if (errno == EINTR) continue;
      fail("talk to", errno);
    }
    if (ready[0].revents != 0) feed(to_child, input);
    if (ready[1].revents != 0) drain(from_child, output);
    if (output.size() > kMaxOutputBytes) return false;
  }
  return true;
}

}  // namespace

ChildResult run_child(const std::string& command, std::span<const std::byte> input,
                      const std::vector<std::string>& extra_environment) {
  Pipe to_child;
  Pipe from_child;
  const pid_t child = SpawnSettings(to_child.read_end.get(), from_child.write_end.get())
                          .spawn(command, extra_environment);
  to_child.read_end.reset();
  from_child.write_end.reset();
  ChildResult result;
  const bool within_limit =
      exchange(std::move(to_child.write_end), std::move(from_child.read_end), input, result.output);
  if (!within_limit) ::kill(-child, SIGKILL);
  result.exit_status = wait_for_child(child);
  if (!within_limit) {
    throw CommandError(ExitCode::kFailed, "the command printed more than 1 GiB",
                       "a command whose output is a reply");
  }
  return result;
}

}  // namespace ringwire::cli
