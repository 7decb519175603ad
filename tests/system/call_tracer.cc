#include "tests/system/call_tracer.h"

#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <stdexcept>

namespace ringwire::system_test {
namespace {

constexpr std::size_t kMostCalls = 1'024;
// So often the tracer looks whether it is to end, while its thread calls nothing.
constexpr timeval kLookAgain{0, 20'000};

enum Step : int { kIdle, kAsked, kTraces, kRefused, kEnds, kEnded };

const std::map<long, std::string> kNames = {
    {SYS_recvmmsg, "recvmmsg"}, {SYS_epoll_pwait2, "epoll_pwait2"}, {SYS_write, "write"},
    {SYS_getppid, "getppid"},   {SYS_sched_yield, "sched_yield"},
};

void on_alarm(int) {}

}  // namespace

struct CallTracer::Shared {
  std::atomic<int> step{kIdle};
  pid_t thread = 0;
  std::array<std::uint64_t, kMostCalls> counts{};
};

CallTracer::CallTracer() {
  void* at =
      ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) throw std::runtime_error("no memory for the tracer");
  shared_ = new (at) Shared;
  child_ = ::fork();
  if (child_ < 0) throw std::runtime_error("no process for the tracer");
  if (child_ == 0) trace(*shared_);
  // Where only ancestors may trace (Yama): this child, too.
  ::prctl(PR_SET_PTRACER, child_, 0, 0, 0);
}

CallTracer::~CallTracer() {
  ::kill(child_, SIGKILL);
  ::waitpid(child_, nullptr, 0);
  ::munmap(shared_, sizeof(Shared));
}

bool CallTracer::start(pid_t thread) {
  shared_->thread = thread;
  shared_->step = kAsked;
  while (shared_->step == kAsked) ::sched_yield();
  return shared_->step == kTraces;
}

std::map<std::string, std::uint64_t> CallTracer::stop() {
  if (shared_->step == kTraces) {
    shared_->step = kEnds;
    while (shared_->step == kEnds) ::sched_yield();
  }
  std::map<std::string, std::uint64_t> calls;
  for (std::size_t number = 0; number < kMostCalls; ++number) {
    if (shared_->counts[number] == 0) continue;
    const auto name = kNames.find(static_cast<long>(number));
    calls[name == kNames.end() ? std::to_string(number) : name->second] = shared_->counts[number];
  }
  return calls;
}

// In the child of a process with threads: system calls only.
void CallTracer::trace(Shared& shared) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  struct sigaction action {};
  action.sa_handler = on_alarm;  // without SA_RESTART: it ends a wait
  ::sigaction(SIGALRM, &action, nullptr);
  while (shared.step != kAsked) ::usleep(1'000);
  const itimerval timer{kLookAgain, kLookAgain};
  ::setitimer(ITIMER_REAL, &timer, nullptr);
  const pid_t thread = shared.thread;
  if (::ptrace(PTRACE_SEIZE, thread, nullptr, PTRACE_O_TRACESYSGOOD) != 0 ||
      ::ptrace(PTRACE_INTERRUPT, thread, nullptr, nullptr) != 0) {
    shared.step = kRefused;
    ::_exit(0);
  }
  bool asked_to_stop = false;
  for (;;) {
    int status = 0;
    if (::waitpid(thread, &status, __WALL) != thread) {
      if (shared.step == kEnds && !asked_to_stop)
        asked_to_stop = ::ptrace(PTRACE_INTERRUPT, thread, nullptr, nullptr) == 0;
      continue;
    }
    if (!WIFSTOPPED(status)) break;
    if (shared.step == kEnds) {
      ::ptrace(PTRACE_DETACH, thread, nullptr, nullptr);
      break;
    }
    int signal = 0;
    if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
      __ptrace_syscall_info info{};
      ::ptrace(PTRACE_GET_SYSCALL_INFO, thread, sizeof info, &info);
      if (info.op == PTRACE_SYSCALL_INFO_ENTRY && info.entry.nr < kMostCalls)
        ++shared.counts[info.entry.nr];
    } else if (status >> 16 == 0) {
      signal = WSTOPSIG(status);
    }
    ::ptrace(PTRACE_SYSCALL, thread, nullptr, signal);
    int traced = kAsked;
    shared.step.compare_exchange_strong(traced, kTraces);
  }
  shared.step = kEnded;
  ::_exit(0);
}

}  // namespace ringwire::system_test
