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

#include <cstdint>
#include <memory>
#include <span>

#include "base/result.h"
#include "ipc/attach_protocol.h"
#include "ipc/layout.h"

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
  [[nodiscard]] std::uint32_t home_worker() const;
  [[nodiscard]] std::uint32_t delivery_entries() const;

  // --- home worker: submissions ---

  /// Copy the next submission out. False: none. The slot is given back by publish_submissions.
  bool poll_submission(Submission& submission);
  /// Give the slots of all polled submissions back to the program. Once per turn.
  void publish_submissions();
  [[nodiscard]] bool submission_waits() const;

  // --- worker w: deliveries ---

  /// Entries that can be claimed now.
  std::uint32_t delivery_room(std::uint32_t worker);
  /// The next entry to fill in, zeroed up to its inline bytes; nullptr when the queue is full.
  Delivery* claim_delivery(std::uint32_t worker);
  /// Make all claimed entries visible. True when there were any (then call wake_if_waiting once).
  bool publish_deliveries(std::uint32_t worker);
  /// Write the program's event descriptor if it sleeps: once per sleep. Any worker.
  void wake_if_waiting();

  // --- worker w: releases ---

  bool poll_release(std::uint32_t worker, Release& release);
  void publish_releases(std::uint32_t worker);

  // --- parking ---

  /// Ask the program to ring `worker`'s bell from now on: for submissions, releases, and room in a
  /// delivery queue that was found full. Returns true when nothing waits; false when something came
  /// meanwhile (then the channel is not parked).
  bool park(std::uint32_t worker);
  void unpark(std::uint32_t worker);

  /// Set by any call that met an impossible value: nothing is yielded any more.
  [[nodiscard]] bool violated() const;
  /// Tell the program that the channel is closed (down file word + event).
  void mark_closed();

 private:
  EngineChannel();
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace ringwire::ipc
