// The two ends of a single-producer single-consumer queue in shared memory (docs/segment.md, S-10
// to S-15). Entries and tail are written by the producer, the head by the consumer; the two words
// may lie in different files. Neither end trusts the other: its index is read once, checked against
// a private shadow, and an impossible step breaks this end for good (it then yields nothing). Hot;
// no system call, no allocation; one thread per end.
//
//   field     | written by | read by  | line
//   entry[i]  | producer   | consumer | its own place in the queue
//   tail      | producer   | consumer | a line of its own
//   head      | consumer   | producer | a line of its own
//
// Invariants: head <= tail <= head + capacity, free-running; entries in [head, tail) are complete
// and the consumer's; the others are the producer's.
//
// Death between two stores: a producer that dies before the tail store leaves entries that nobody
// sees; a consumer that dies before the head store has taken entries that stay in the queue: they
// are given back with the queue's memory. No store leaves a state that the other end waits on.
#pragma once

#include "ipc/doorbell.h"

#include <atomic>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace ringwire::ipc {

/// Copy shared memory such that what follows sees the copy: a compiler that knows where a value
/// came from may otherwise read it there again, and the other side may have changed it meanwhile.
inline void copy_once(void* to, const void* shared, std::size_t bytes) {
  std::memcpy(to, shared, bytes);
  std::atomic_signal_fence(std::memory_order_acq_rel);  // for the compiler alone
}

template <typename Entry, typename Words = SharedWords>
class SpscProducer {
  static_assert(std::is_trivially_copyable_v<Entry>);

 public:
  /// `capacity` is a power of two. Both indices stand at 0.
  void attach(Entry* entries, std::uint32_t capacity, std::uint64_t* tail,
              const std::uint64_t* head) {
    entries_ = entries;
    capacity_ = capacity;
    tail_word_ = tail;
    head_word_ = head;
    next_ = published_ = head_ = 0;
    broken_ = false;
  }

  /// Entries that can be claimed now.
  [[nodiscard]] std::uint32_t room() {
    if (full()) {
      // acquire: pairs with the release in SpscConsumer::publish; the consumer has copied the
      // entries before it, so that they may be overwritten.
      refresh(Words::load(head_word_, std::memory_order_acquire));
    }
    return broken_ ? 0 : capacity_ - static_cast<std::uint32_t>(next_ - head_);
  }
  /// As room() > 0, ordered after Sleeper::arm.
  [[nodiscard]] bool room_now() {
    refresh(load_index_after_arming<Words>(head_word_));
    return !broken_ && next_ - head_ < capacity_;
  }
  /// The next entry to write; nullptr when the queue is full.
  [[nodiscard]] Entry* claim() {
    if (room() == 0) return nullptr;
    return &entries_[next_++ & (capacity_ - 1)];
  }
  /// Make all claimed entries visible. True when there were any: then ring the other side's bell.
  bool publish() {
    if (next_ == published_) return false;
    // Publishes the entries to SpscConsumer::poll.
    store_index_before_ringing<Words>(tail_word_, next_);
    published_ = next_;
    return true;
  }
  [[nodiscard]] bool broken() const { return broken_; }

 private:
  [[nodiscard]] bool full() const { return next_ - head_ >= capacity_; }
  void refresh(std::uint64_t head) {
    // Forward only, and never past what was published: then head_ <= published_ <= next_ holds and
    // the subtractions cannot wrap.
    if (head - head_ > published_ - head_) broken_ = true;
    if (!broken_) head_ = head;
  }

  Entry* entries_ = nullptr;
  std::uint64_t* tail_word_ = nullptr;
  const std::uint64_t* head_word_ = nullptr;
  std::uint64_t next_ = 0;       // claimed so far
  std::uint64_t published_ = 0;  // last tail stored
  std::uint64_t head_ = 0;       // shadow of the consumer's index
  std::uint32_t capacity_ = 0;
  bool broken_ = false;
};

template <typename Entry, typename Words = SharedWords>
class SpscConsumer {
  static_assert(std::is_trivially_copyable_v<Entry>);

 public:
  void attach(const Entry* entries, std::uint32_t capacity, const std::uint64_t* tail,
              std::uint64_t* head) {
    entries_ = entries;
    capacity_ = capacity;
    tail_word_ = tail;
    head_word_ = head;
    next_ = published_ = tail_ = 0;
    broken_ = false;
  }

  /// Copy the next entry out, once. False: none. Its slot is given back by publish().
  bool poll(Entry& entry) {
    const Entry* shared = peek();
    if (shared == nullptr) return false;
    copy_once(&entry, shared, sizeof entry);
    ++next_;
    return true;
  }
  /// The next entry in place; nullptr: none. For a reader that trusts the writer not to change it,
  /// or that copies each byte at most once (copy_once) before it looks at it.
  [[nodiscard]] const Entry* peek() {
    if (next_ == tail_) {
      // acquire: pairs with the store in SpscProducer::publish; makes the entries visible.
      refresh(Words::load(tail_word_, std::memory_order_acquire));
    }
    if (next_ == tail_ || broken_) return nullptr;
    return &entries_[next_ & (capacity_ - 1)];
  }
  void skip() { ++next_; }
  /// Give the slots of all taken entries back. True when there were any.
  bool publish() {
    if (next_ == published_) return false;
    // Our copies are done: the producer may overwrite.
    store_index_before_ringing<Words>(head_word_, next_);
    published_ = next_;
    return true;
  }
  /// As publish(); true when the queue was full until now: its producer may sleep for room.
  bool publish_noting_full() {
    const std::uint64_t before = published_;
    if (!publish()) return false;
    // Ordered after the head store: a producer that fills the queue later than this load finds the
    // new head when it looks for room.
    refresh(load_index_after_arming<Words>(tail_word_));
    return tail_ - before >= capacity_;
  }
  /// Entries wait, ordered after Sleeper::arm.
  [[nodiscard]] bool waits_now() {
    refresh(load_index_after_arming<Words>(tail_word_));
    return !broken_ && next_ != tail_;
  }
  [[nodiscard]] bool broken() const { return broken_; }

 private:
  void refresh(std::uint64_t tail) {
    // Forward only, and at most one queue ahead of what we gave back.
    if (tail - tail_ > published_ + capacity_ - tail_) broken_ = true;
    if (!broken_) tail_ = tail;
  }

  const Entry* entries_ = nullptr;
  const std::uint64_t* tail_word_ = nullptr;
  std::uint64_t* head_word_ = nullptr;
  std::uint64_t next_ = 0;       // taken so far
  std::uint64_t published_ = 0;  // last head stored
  std::uint64_t tail_ = 0;       // shadow of the producer's index
  std::uint32_t capacity_ = 0;
  bool broken_ = false;
};

}  // namespace ringwire::ipc
