// Sleep and wake between a program and a worker through one shared word, without a lost wake-up and
// with at most one ring per sleep (docs/segment.md, S-20 to S-24). Hot.
//
//   field          | written by                  | read by        | line
//   waiting        | the program (Sleeper)       | every worker   | up file 192
//   parked[w]      | worker w (Sleeper)          | the program    | down file 2304 + 64 w
//   closed         | ring manager                | the program    | down file 192
//   Ringer::rung_  | the ringing side, privately | the same       | private
//
// Invariant (Dekker's argument): the sleeper stores its word, then reads the queue indices; the
// publisher stores an index, then reads the word; all four accesses are seq_cst. In their single
// total order one of the two stores comes first, so that either the sleeper sees the entries or the
// publisher sees the sleeper. An exchange and not a fence orders store and load: ThreadSanitizer
// understands it.
//
// Word: bit 0 asleep, bit 1 asleep for room too, bits 2.. a generation that changes with each
// sleep. A publisher rings once for a value: until the sleeper has run (tens of microseconds) it
// makes no further system call. If the sleeper wakes for another's ring before it sees a
// publication, its next sleep has a new value and re-reads the indices.
//
// A sleeper that dies leaves its word set: publishers ring once, nobody waits for it. A publisher
// that dies between index and ring leaves a sleeper asleep: it learns of the death from the socket.
#pragma once

#include <atomic>
#include <cstdint>

namespace ringwire::ipc {

inline constexpr std::uint32_t kAsleep = 1;         ///< wake me for entries
inline constexpr std::uint32_t kAsleepForRoom = 3;  ///< wake me for entries and for room

/// The accesses to shared words. A parameter of the classes here and of the queue, so that a test
/// can stop a side before any of them, take turns at each, or keep stores back as a processor does
/// (tests/ipc/interleave.h); this one is the access and nothing else. Why an order is enough stands
/// where it is asked for.
struct SharedWords {
  template <typename Word>
  [[nodiscard]] static Word load(const Word* word, std::memory_order order) {
    return std::atomic_ref(*const_cast<Word*>(word)).load(order);  // may be mapped read-only
  }
  template <typename Word>
  static void store(Word* word, Word value, std::memory_order order) {
    std::atomic_ref(*word).store(value, order);
  }
  template <typename Word>
  static Word exchange(Word* word, Word value, std::memory_order order) {
    return std::atomic_ref(*word).exchange(value, order);
  }
};

/// Store a queue index such that it comes before the publisher's read of a waiting word.
template <typename Words = SharedWords>
void store_index_before_ringing(std::uint64_t* word, std::uint64_t index) {
  // seq_cst, a superset of release: publishes the entries (or our having copied them) to the
  // acquire of the other end, and takes the publisher's place in the total order above.
  Words::store(word, index, std::memory_order_seq_cst);
}
/// Load a queue index such that it comes after Sleeper::arm.
template <typename Words = SharedWords>
[[nodiscard]] std::uint64_t load_index_after_arming(const std::uint64_t* word) {
  // seq_cst, a superset of acquire: the re-check of the total order above.
  return Words::load(word, std::memory_order_seq_cst);
}

/// The side that goes to sleep. One thread.
template <typename Words>
class BasicSleeper {
 public:
  void attach(std::uint32_t* word) { word_ = word; }

  /// Announce the sleep. The caller then re-checks its queues with the seq_cst reads (waits_now,
  /// room_now) and sleeps only when they have nothing.
  void arm(std::uint32_t kind) {
    generation_ += 4;
    // seq_cst: this store must come before the index reads that follow (see above). Exchange,
    // because a store alone may be passed by a later load.
    Words::exchange(word_, generation_ | kind, std::memory_order_seq_cst);
    armed_ = true;
  }
  void disarm() {
    if (!armed_) return;
    // relaxed: nothing is ordered by it; a ring that comes too late is one needless wake-up.
    Words::store(word_, std::uint32_t{0}, std::memory_order_relaxed);
    armed_ = false;
  }
  [[nodiscard]] bool armed() const { return armed_; }

 private:
  std::uint32_t* word_ = nullptr;
  std::uint32_t generation_ = 0;
  bool armed_ = false;
};
using Sleeper = BasicSleeper<SharedWords>;

/// The side that publishes. Any thread, when several workers may wake one program.
template <typename Words>
class BasicRinger {
 public:
  void attach(const std::uint32_t* word) { word_ = word; }

  /// True when the caller has to ring now: the other side sleeps for what `kind` says and nobody
  /// has rung for this sleep yet. Call after the index was published.
  [[nodiscard]] bool must_ring(std::uint32_t kind) {
    // seq_cst: pairs with Sleeper::arm; must not come before our index store.
    const std::uint32_t word = Words::load(word_, std::memory_order_seq_cst);
    if ((word & kind) != kind) return false;
    // acq_rel: only decides who rings; the total order above carries the argument.
    return Words::exchange(&rung_, word, std::memory_order_acq_rel) != word;
  }

 private:
  const std::uint32_t* word_ = nullptr;
  std::uint32_t rung_ = 0;  // shared by the engine's threads
};
using Ringer = BasicRinger<SharedWords>;

/// Read and publish one word of a page that one process writes and many read (the status page).
template <typename Words = SharedWords, typename Word>
[[nodiscard]] Word load_published(const Word& word) {
  // acquire: pairs with store_published; makes what was written before it visible.
  return Words::load(&word, std::memory_order_acquire);
}
template <typename Words = SharedWords, typename Word>
void store_published(Word& word, Word value) {
  // release: publishes what was written before it.
  Words::store(&word, value, std::memory_order_release);
}

/// A flag that goes up once: shared (the closed word) or private to the engine.
class Latch {
 public:
  void attach(std::uint32_t* word) { word_ = word; }
  void set() {
    // release: publishes what was written before it to a reader that sees the flag.
    std::atomic_ref(*word_).store(1, std::memory_order_release);
  }
  [[nodiscard]] bool is_set() const {
    // acquire: pairs with the release in set().
    return std::atomic_ref(*word_).load(std::memory_order_acquire) != 0;
  }

 private:
  std::uint32_t* word_ = nullptr;
};

}  // namespace ringwire::ipc
