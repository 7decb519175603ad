// One process that the demo starts and ends: an engine, a server program, a hashing tool. Ends with
// the demo, however the demo ends, unless it is told to outlive it. Main thread only: the kernel
// ties the end of a child to the thread that made it. Cold.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace ringwire::demo {

struct ChildOptions {
  std::vector<std::string> command;  ///< program and its arguments
  std::string output_path{};         ///< standard output is appended there
  std::string error_path{};          ///< standard error; empty: as standard output
  bool outlives = false;             ///< keeps running when the demo ends
};

class Child {
 public:
  Child() = default;
  ~Child() { kill_now(); }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  Child(Child&& other) noexcept { *this = std::move(other); }
  Child& operator=(Child&& other) noexcept;

  /// Start it. Returns false when no process could be made (errno tells why); a program that cannot
  /// be run ends at once with exit code 127.
  bool start(const ChildOptions& options);

  /// Whether it has not ended; collects its exit status when it has.
  bool running();
  [[nodiscard]] pid_t pid() const { return pid_; }
  /// How it ended, for a person: "exit code 1", "signal 9".
  [[nodiscard]] std::string ending() const;
  [[nodiscard]] bool ended_well() const;

  /// SIGKILL, and wait until it is gone.
  void kill_now();
  void ask_to_end();  ///< SIGTERM, without waiting
  /// Wait for its end; SIGKILL after `patience`. Returns whether it ended by itself with code 0.
  bool await_end(std::chrono::milliseconds patience);
  /// Forget it: it goes on without us.
  void release() { pid_ = 0; }

 private:
  pid_t pid_ = 0;  // 0: none, or ended
  int status_ = 0;
};

}  // namespace ringwire::demo
