// A program's end of the two files of one channel at one engine: the queues, the bells, the event.
// Opened on a link, thrown away with it. One thread. Hot, but for open.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <utility>

#include "ipc/doorbell.h"
#include "ipc/memory_file.h"
#include "ipc/program_client.h"
#include "ipc/spsc_queue.h"

namespace ringwire::ipc {

struct QueueOptions {
  std::uint32_t submission = kDefaultSubmissionEntries;
  std::uint32_t release = kDefaultReleaseEntries;
  std::uint32_t delivery = 0;  ///< 0: default_delivery_entries()
  bool batch = false;  ///< show the engine kShownTogether entries at a time, or what flush() finds
};
/// Each index that is stored costs a line's way to the worker's core and back.
inline constexpr std::uint32_t kShownTogether = 32;

class ProgramQueues {
 public:
  static int open(ProgramClient& client, const std::shared_ptr<AttachLink>& link,
                  std::uint32_t channel, std::uint64_t next_sequence, const QueueOptions& entries,
                  std::unique_ptr<ProgramQueues>& queues);
  /// Tells the engine, if it lives, that the channel is closed.
  ~ProgramQueues();
  ProgramQueues(const ProgramQueues&) = delete;
  ProgramQueues& operator=(const ProgramQueues&) = delete;

  [[nodiscard]] std::uint32_t worker_count() const { return worker_count_; }
  [[nodiscard]] int event() const { return event_; }
  [[nodiscard]] bool closed() const { return closed_.is_set(); }
  /// The engine wrote an index that cannot be: found where a queue was looked at last.
  [[nodiscard]] bool broken() const;

  SpscProducer<Submission>& submissions() { return submissions_; }
  SpscProducer<Release>& releases(std::uint32_t worker) { return workers_[worker].releases; }
  SpscConsumer<Delivery>& deliveries(std::uint32_t worker) { return workers_[worker].deliveries; }
  Sleeper& sleeper() { return sleeper_; }

  /// Make what was claimed visible, and wake the worker if it sleeps; in a batch perhaps later.
  void publish_submissions();
  void publish_releases(std::uint32_t worker);
  /// Make all of the batch visible: before looking for what the engine says, and before waiting.
  void flush() {
    if (unshown_ != 0) show_all();
  }
  /// Give taken delivery entries back, and wake a worker that had no room.
  void publish_delivery_heads(std::uint32_t worker);
  [[nodiscard]] bool delivery_waits();
  /// As delivery_waits, ordered after Sleeper::arm.
  [[nodiscard]] bool delivery_waits_now();
  /// Take the event's bytes away.
  void clear_event();

 private:
  ProgramQueues(ProgramClient& client, std::shared_ptr<AttachLink> link, std::uint32_t channel)
      : client_(client), link_(std::move(link)), channel_(channel) {}
  int attach(const QueueOptions& entries, Datagram& answer);
  void tell_closed();
  void show_submissions();
  void show_releases(std::uint32_t worker);
  void show_all();

  struct Worker {
    SpscProducer<Release> releases;
    SpscConsumer<Delivery> deliveries;
    Ringer bell;
    int bell_descriptor = -1;
  };

  ProgramClient& client_;
  std::shared_ptr<AttachLink> link_;
  std::uint32_t channel_;
  bool batch_ = false;
  std::uint32_t unshown_ = 0;  ///< entries that were claimed, and perhaps not shown
  bool opened_ = false;        ///< the engine has it
  MemoryFile up_;
  MemoryFile down_;
  int event_ = -1;
  std::uint32_t worker_count_ = 0;
  std::uint32_t home_worker_ = 0;
  SpscProducer<Submission> submissions_;
  Sleeper sleeper_;
  Latch closed_;
  std::array<Worker, kMaxWorkers> workers_;
};

}  // namespace ringwire::ipc
