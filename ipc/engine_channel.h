// The engine's end of one channel (docs/segment.md): takes submissions and releases out of the
// program's up file, puts deliveries into the engine's down file, parks and wakes. Nothing that the
// program writes is trusted: its indices are shadowed privately and checked for impossible steps,
// each entry is copied once. After a violation the channel yields nothing more and says why.
//
// Threads: open/close by the ring manager; the submission calls by the home worker only; every call
// with a worker index by that worker only. Hot; no allocation after open; the only system call is
// the event write: in wake_if_waiting, and in publish_submissions and publish_releases when the
// program sleeps for room in the queue.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>

#include "base/result.h"
#include "ipc/attach_protocol.h"
#include "ipc/doorbell.h"
#include "ipc/layout.h"
#include "ipc/spsc_queue.h"

namespace ringwire::ipc {

class EngineChannel {
 public:
  /// Make the engine's end. `up_descriptor` is checked for kind, seals (shrink, grow) and size,
  /// mapped read-only, and closed. Cold. Errors: kMalformed,
  /// kVersion (magic, layout version or features of the file), kNoMemory, kInternal.
  static Result<std::unique_ptr<EngineChannel>, AttachStatus> open(
      int up_descriptor, const ChannelOpenRequest& request, std::uint32_t worker_count,
      std::uint32_t home_worker);
  ~EngineChannel();
  EngineChannel(const EngineChannel&) = delete;
  EngineChannel& operator=(const EngineChannel&) = delete;

  /// Shared memory bytes that a channel of these capacities costs the engine, for the budget.
  static std::uint64_t down_file_bytes(std::uint32_t delivery_entries, std::uint32_t worker_count);

  // Descriptors for ChannelOpenAnswer; owned by this object.
  [[nodiscard]] int down_descriptor_read_only() const;
  /// Becomes readable when the engine wakes the program: the reading end of a pipe, because the
  /// writing end must be ours alone. (The two sides of an eventfd share their O_NONBLOCK flag: a
  /// program could clear it, fill the counter, and block a worker in write.)
  [[nodiscard]] int program_event() const;
  /// An eventfd that the program writes; add it to epoll with EPOLLET, or call clear_bell.
  [[nodiscard]] int worker_bell(std::uint32_t worker) const;
  /// Take the bell's count away without ever blocking. One system call.
  void clear_bell(std::uint32_t worker);
  [[nodiscard]] std::uint32_t home_worker() const { return home_worker_; }
  [[nodiscard]] std::uint32_t delivery_entries() const { return delivery_entries_; }

  // --- home worker: submissions ---

  /// Copy the next submission's fields out, all but its inline bytes, and tell where those stand:
  /// to be copied at most once, no more than used_inline_bytes of the copied fields. nullptr: none.
  const std::byte* peek_submission(Submission& fields) {
    const Submission* const shared = submissions_.peek();
    if (shared == nullptr) {
      if (submissions_.broken()) violated_.set();
      return nullptr;
    }
    copy_once(&fields, shared, offsetof(Submission, inline_bytes));
    return violated() ? nullptr : shared->inline_bytes;
  }
  /// Done with what was peeked at. The slot is given back by publish_submissions.
  void skip_submission() { submissions_.skip(); }
  /// Copy the next submission out, with those of its inline bytes that it says it has. False: none.
  bool poll_submission(Submission& submission) {
    const std::byte* const inline_bytes = peek_submission(submission);
    if (inline_bytes == nullptr) return false;
    copy_once(submission.inline_bytes, inline_bytes, used_inline_bytes(submission));
    skip_submission();
    return true;
  }
  /// Give the slots of all polled submissions back to the program. Once per turn.
  void publish_submissions() {
    if (submissions_.publish()) wake(kAsleepForRoom);
  }
  [[nodiscard]] bool submission_waits() {
    if (submissions_.peek() != nullptr) return !violated();
    if (submissions_.broken()) violated_.set();
    return false;
  }

  // --- worker w: deliveries ---

  /// Entries that can be claimed now.
  std::uint32_t delivery_room(std::uint32_t worker) {
    WorkerSide& side = workers_[worker];
    const std::uint32_t room = side.deliveries.room();
    if (room == 0) side.refused = true;
    if (side.deliveries.broken()) violated_.set();
    return violated() ? 0 : room;
  }
  /// The next entry to fill in, all fields up to the inline bytes: it holds what was in it before.
  /// nullptr when the queue is full.
  Delivery* claim_delivery(std::uint32_t worker) {
    return delivery_room(worker) == 0 ? nullptr : workers_[worker].deliveries.claim();
  }
  /// Make all claimed entries visible. True when there were any (then call wake_if_waiting once).
  bool publish_deliveries(std::uint32_t worker) { return workers_[worker].deliveries.publish(); }
  /// Write the program's event descriptor if it sleeps: once per sleep. Any worker.
  void wake_if_waiting() { wake(kAsleep); }

  // --- worker w: releases ---

  [[nodiscard]] bool release_waits(std::uint32_t worker) {
    SpscConsumer<Release>& queue = workers_[worker].releases;
    if (queue.peek() != nullptr) return !violated();
    if (queue.broken()) violated_.set();
    return false;
  }
  bool poll_release(std::uint32_t worker, Release& release) {
    SpscConsumer<Release>& queue = workers_[worker].releases;
    if (queue.poll(release)) return !violated();
    if (queue.broken()) violated_.set();
    return false;
  }
  void publish_releases(std::uint32_t worker) {
    if (workers_[worker].releases.publish()) wake(kAsleepForRoom);
  }

  // --- parking ---

  /// Ask the program to ring `worker`'s bell from now on: for submissions, releases, and room in a
  /// delivery queue that was found full. Returns true when nothing waits; false when something
  /// came, or was found broken, meanwhile (then the channel is not parked).
  bool park(std::uint32_t worker);
  void unpark(std::uint32_t worker) { workers_[worker].parked.disarm(); }

  /// Set by any call that met an impossible value: nothing is yielded any more.
  [[nodiscard]] bool violated() const { return violated_.is_set(); }
  /// Tell the program that the channel is closed (down file word + event).
  void mark_closed();

 private:
  /// What one worker touches; a line of its own, so that workers do not share any.
  struct alignas(kLineBytes) WorkerSide {
    SpscProducer<Delivery> deliveries;
    SpscConsumer<Release> releases;
    Sleeper parked;
    bool refused = false;  // the delivery queue was full since the last park
  };
  struct Cold;  // files and descriptors

  EngineChannel();
  void attach(std::byte* up, std::byte* down, const ChannelOpenRequest& request,
              std::uint32_t worker_count);
  void wake(std::uint32_t kind) {
    if (program_.must_ring(kind)) ring_program();
  }
  void ring_program();

  SpscConsumer<Submission> submissions_;
  Ringer program_;
  Latch violated_;
  std::uint32_t violated_word_ = 0;
  std::uint32_t home_worker_ = 0;
  std::uint32_t delivery_entries_ = 0;
  std::array<WorkerSide, kMaxWorkers> workers_;
  std::unique_ptr<Cold> cold_;
};

}  // namespace ringwire::ipc
