// One worker: a thread's worth of engine. It owns its port queue, its sessions, the channels that
// are at home with it, and its share of every consumer; it shares nothing with other workers but
// mailboxes. turn(now) is one visible pass: inbound, timers, mailbox, programs, outbound, flush.
// The same object runs under the engine's thread, in the simulated world, and on a program's own
// thread; so it reads no clock, starts no thread and assumes no process of its own. Hot. One
// thread.
#pragma once

#include <cstdint>
#include <memory>

#include "base/ids.h"
#include "base/time.h"
#include "engine/port/port.h"
#include "engine/worker/commands.h"
#include "engine/worker/mailbox.h"

namespace ringwire::worker {

using CommandBox = Mailbox<Command>;
using NoticeBox = Mailbox<Notice>;

class Crossing;

struct WorkerConfig {
  std::uint32_t index = 0;
  std::uint32_t worker_count = 1;
  NodeIndex self = 0;
  bool server = true;                   ///< serves slots (a slave does not)
  std::uint64_t incarnation_low = 0;    ///< of this engine
  std::uint64_t origin_secret[2] = {};  ///< seals origin tokens; the same at all workers
  std::uint32_t out_messages = 16'384;  ///< submissions without an outcome at once
  std::uint32_t in_messages = 16'384;   ///< received messages not yet released at once
  std::uint32_t duplicate_windows = 1'024;
  std::uint32_t max_deliveries = 5;
  std::uint64_t queue_bytes = 1ULL << 30;  ///< held for programs that are away
  DurationNs program_grace_ns = 2 * kSecondNs;
  bool reject_when_full = false;  ///< [limits] queue_full = "reject"
  bool drop_oldest = false;       ///< [limits] queue_full = "drop_oldest"
  std::uint64_t seed = 1;
  Crossing* crossing = nullptr;  ///< the way to the other workers; must be there if there are any
};

/// Bytes that a worker of this configuration allocates at start, for the memory sum.
[[nodiscard]] std::uint64_t worker_memory_bytes(const WorkerConfig& config);

class Worker {
 public:
  /// `port`, `commands`, `notices` must outlive the worker. Allocates all that it will ever need.
  Worker(const WorkerConfig& config, port::Port& port, CommandBox& commands, NoticeBox& notices,
         TimeNs now);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  /// One pass. Returns true when it did or found any work.
  bool turn(TimeNs now);
  /// True if the last turn put something into a program's queue.
  [[nodiscard]] bool handed_over() const;

  /// When the next turn must be at the latest, kNeverNs if only an event needs one.
  [[nodiscard]] TimeNs next_deadline_ns() const;

  /// Before sleeping: ask all programs to ring. False when something came meanwhile: do not sleep.
  [[nodiscard]] bool prepare_sleep();
  /// Bit w: worker w sleeps over packets that the last turns gave it; the caller wakes it now.
  [[nodiscard]] std::uint32_t take_wakes();
  /// After sleeping, or when a bell rang while awake: look at all / at this channel again.
  void wake();
  void wake_channel(ChannelIndex index);

  /// Descriptors of channels that were added or removed since the last call, for the thread's epoll
  /// set: the caller polls worker_bell(index) of every live channel.
  struct BellChange {
    ChannelIndex index;
    int descriptor;  ///< -1: removed
  };
  [[nodiscard]] std::vector<BellChange>& bell_changes();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// File numbers: the ring manager's extent files use 1 .. 2^30-1, and those of programs 2^30 ..
/// 2^31-1; worker w makes its own from (2^31 + w * 2^26).
inline constexpr std::uint32_t kProgramFileBase = 0x4000'0000;
inline constexpr std::uint32_t kWorkerFileBase = 0x8000'0000;
inline constexpr std::uint32_t kWorkerFileSpan = 0x0400'0000;

}  // namespace ringwire::worker
