// The thread under one worker: runs its turns, sleeps when nothing is to be done, and is woken by a
// packet, a program's bell, a command or a deadline. The worker itself knows none of this. Owned by
// the ring manager; start, stop and the readers below are called by it.
//
// Shared fields: stop_ (written by the manager, read by the thread), busy_ns_ and sleeping_
// (written by the thread, read by the manager for display). Commands and notices go through the
// mailboxes; the descriptors only wake.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "engine/node/descriptor.h"
#include "engine/worker/worker.h"

namespace ringwire::node {

/// 100 us: a reply over a kernel socket comes back within about 50 us, and waking up costs as much.
inline constexpr DurationNs kPollAfterWorkNs = 100 * kMicrosecondNs;
/// A sleeping worker looks around at least ten times a second; it costs nothing measurable.
inline constexpr DurationNs kMaxSleepNs = 100 * kMillisecondNs;
/// A port that cannot wake us is polled at least this often.
inline constexpr DurationNs kPollOnlyNapNs = 50 * kMicrosecondNs;

struct WorkerThreadOptions {
  std::uint32_t index = 0;
  bool spin = false;  ///< never sleep: the core is ours alone
  int core = -1;      ///< to pin to, -1 = any
};

class WorkerThread {
 public:
  /// All must outlive the thread. `notice_event` is the ring manager's, written when notices wait.
  WorkerThread(const WorkerThreadOptions& options, worker::Worker& worker, port::Port& port,
               worker::CommandBox& commands, worker::NoticeBox& notices, int notice_event);
  ~WorkerThread();
  WorkerThread(const WorkerThread&) = delete;
  WorkerThread& operator=(const WorkerThread&) = delete;

  /// Errors: StartError when the core cannot be had or a descriptor cannot be made.
  void start();
  /// The threads of all workers, by index, which it wakes when its worker has sent to one that
  /// sleeps. Before start(); they outlive its run.
  void know_siblings(std::vector<WorkerThread*> siblings) { siblings_ = std::move(siblings); }
  /// Wake the thread after commands were pushed. Any thread.
  void wake();
  /// End the thread and wait for it.
  void stop();

  [[nodiscard]] DurationNs busy_ns() const;
  [[nodiscard]] bool sleeping() const;

 private:
  void run();
  void apply_bell_changes();
  void wake_siblings();
  void tell_manager(TimeNs now);
  void look_at_bells();
  /// True when something happened, false when only the time had come.
  bool sleep_until_needed(TimeNs now);
  int wait(DurationNs timeout_ns);

  WorkerThreadOptions options_;
  worker::Worker& worker_;
  port::Port& port_;
  worker::CommandBox& commands_;
  worker::NoticeBox& notices_;
  int notice_event_;
  std::vector<WorkerThread*> siblings_;
  Descriptor epoll_;
  Descriptor command_event_;
  std::vector<int> bells_;  ///< by channel index, -1 = none
  std::uint32_t bells_count_ = 0;
  TimeNs told_ns_ = 0;
  std::thread thread_;
  std::atomic<bool> stop_{false};
  std::atomic<DurationNs> busy_ns_{0};
  std::atomic<bool> sleeping_{false};
};

}  // namespace ringwire::node
