// Counts the system calls of one thread of this process, as a debugger would (ptrace): a child of
// this process stops it at each. The thread runs on, much slower.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <map>
#include <string>

namespace ringwire::system_test {

class CallTracer {
 public:
  /// Forks: before this process has threads of its own, or while they hold no locks.
  CallTracer();
  ~CallTracer();
  CallTracer(const CallTracer&) = delete;
  CallTracer& operator=(const CallTracer&) = delete;

  /// From now on `thread` is traced. False: this process may not.
  [[nodiscard]] bool start(pid_t thread);
  /// No more; returns how often which was called, by name where the test needs one, else by number.
  std::map<std::string, std::uint64_t> stop();

 private:
  struct Shared;
  [[noreturn]] static void trace(Shared& shared);

  Shared* shared_;
  pid_t child_;
};

}  // namespace ringwire::system_test
