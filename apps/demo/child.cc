#include "apps/demo/child.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <utility>

namespace ringwire::demo {
namespace {

// Open to be inherited, in append mode: several children may share a log.
int open_output(const std::string& path) {
  const char* target = path.empty() ? "/dev/null" : path.c_str();
  return ::open(target, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

struct Prepared {
  std::vector<char*> arguments;
  int output = -1;
  int error = -1;
  int input = -1;
  pid_t parent = 0;
  bool outlives = false;
};

// After fork, before exec: only calls that are safe in the copy of a threaded process.
[[noreturn]] void become(const Prepared& prepared) {
  // A group of its own: Ctrl-C at the terminal is for the demo, which then ends its children.
  ::setpgid(0, 0);
  if (!prepared.outlives) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != prepared.parent) ::_exit(127);  // it died before the line above
  }
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::signal(SIGPIPE, SIG_DFL);
  ::dup2(prepared.input, STDIN_FILENO);
  ::dup2(prepared.output, STDOUT_FILENO);
  ::dup2(prepared.error, STDERR_FILENO);
  ::execvp(prepared.arguments[0], prepared.arguments.data());
  ::_exit(127);
}

}  // namespace

Child& Child::operator=(Child&& other) noexcept {
  if (this != &other) {
    kill_now();
    pid_ = std::exchange(other.pid_, 0);
    status_ = other.status_;
  }
  return *this;
}

bool Child::start(const ChildOptions& options) {
  kill_now();
  std::vector<std::string> command = options.command;
  Prepared prepared;
  for (std::string& argument : command) prepared.arguments.push_back(argument.data());
  prepared.arguments.push_back(nullptr);
  prepared.input = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  prepared.output = open_output(options.output_path);
  prepared.error =
      options.error_path.empty() ? ::dup(prepared.output) : open_output(options.error_path);
  prepared.parent = ::getpid();
  prepared.outlives = options.outlives;
  bool ok = prepared.input >= 0 && prepared.output >= 0 && prepared.error >= 0;
  if (ok) {
    const pid_t pid = ::fork();
    if (pid == 0) become(prepared);
    ok = pid > 0;
    if (ok) pid_ = pid;
  }
  for (const int descriptor : {prepared.input, prepared.output, prepared.error}) {
    if (descriptor >= 0) ::close(descriptor);
  }
  return ok;
}

bool Child::running() {
  if (pid_ == 0) return false;
  if (::waitpid(pid_, &status_, WNOHANG) != pid_) return true;
  pid_ = 0;
  return false;
}

std::string Child::ending() const {
  if (WIFSIGNALED(status_)) return "signal " + std::to_string(WTERMSIG(status_));
  return "exit code " + std::to_string(WEXITSTATUS(status_));
}

bool Child::ended_well() const { return WIFEXITED(status_) && WEXITSTATUS(status_) == 0; }

void Child::kill_now() {
  if (pid_ == 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, &status_, 0);
  pid_ = 0;
}

void Child::ask_to_end() {
  if (pid_ != 0) ::kill(pid_, SIGTERM);
}

bool Child::await_end(std::chrono::milliseconds patience) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (running()) {
    if (std::chrono::steady_clock::now() >= deadline) {
      kill_now();
      return false;
    }
    ::poll(nullptr, 0, 5);
  }
  return ended_well();
}

}  // namespace ringwire::demo
