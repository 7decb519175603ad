// What crosses between the ring manager thread and a worker: a bounded queue of small values each
// way, single producer, single consumer (Boost.Lockfree; not on the path of messages). A full
// mailbox refuses; the sender keeps the item and tries again on its next turn: nothing is dropped.
//
// Fields and order: an item lies in a slot of the box, so that neither end allocates. A slot
// belongs to the sender while its index is in `free`, to the receiver while it is in `filled`;
// boost::lockfree::spsc_queue publishes with release and consumes with acquire, so that the item
// travels with the index. Waking a sleeping receiver is the
// sender's business (an eventfd, see engine/node).
//
// SleepFlag tells senders of packets between workers whether the receiver must be woken:
//   asleep_   written by the receiver (lie_down, get_up) and by every sender (must_wake)
// All three are read-modify-writes, so that they form one order and each sees what was published
// before those that came earlier in it: either a sender finds the flag set, or the receiver's
// lie_down() came later and its look at the queues finds what that sender had put there.
#pragma once

#include <atomic>
#include <boost/lockfree/spsc_queue.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "base/check.h"

namespace ringwire::worker {

/// 1,024 items: an attachment needs about ten, so that 100 programs can attach between two turns.
inline constexpr std::size_t kMailboxItems = 1'024;

template <typename Item>
class Mailbox {
 public:
  Mailbox() : slots_(std::make_unique<Item[]>(kMailboxItems)) {
    for (std::uint32_t slot = 0; slot < kMailboxItems; ++slot) RW_CHECK(free_.push(slot));
  }
  Mailbox(const Mailbox&) = delete;
  Mailbox& operator=(const Mailbox&) = delete;

  /// False when full: the item is untouched.
  [[nodiscard]] bool try_push(Item& item) {
    std::uint32_t slot = 0;
    if (!free_.pop(slot)) return false;
    slots_[slot] = std::move(item);
    RW_CHECK(filled_.push(slot));
    return true;
  }
  [[nodiscard]] bool try_pop(Item& item) {
    std::uint32_t slot = 0;
    if (!filled_.pop(slot)) return false;
    item = std::exchange(slots_[slot], Item{});
    RW_CHECK(free_.push(slot));
    return true;
  }
  /// The next try_push() will be refused. For the sender only.
  [[nodiscard]] bool full() const { return free_.read_available() == 0; }
  [[nodiscard]] bool empty() const { return filled_.read_available() == 0; }

  /// For the memory sum.
  [[nodiscard]] static constexpr std::size_t memory_bytes() {
    return kMailboxItems * sizeof(Item) + sizeof(Mailbox);
  }

 private:
  using Indices =
      boost::lockfree::spsc_queue<std::uint32_t, boost::lockfree::capacity<kMailboxItems>>;

  Indices free_;
  Indices filled_;
  std::unique_ptr<Item[]> slots_;
};

class SleepFlag {
 public:
  /// The receiver, before its last look at what it would sleep over.
  // Release: orders our earlier reads of the queues. Acquire: pairs with must_wake(); makes what
  // its caller pushed visible.
  void lie_down() { asleep_.exchange(true, std::memory_order_acq_rel); }
  // As above: a plain store would cut the order of the senders before it from lie_down().
  void get_up() { asleep_.exchange(false, std::memory_order_acq_rel); }
  /// A sender, after it pushed: true when it has to wake the receiver. Once per sleep.
  // Release: publishes what was pushed to lie_down(). Acquire: keeps the senders in one order.
  [[nodiscard]] bool must_wake() { return asleep_.exchange(false, std::memory_order_acq_rel); }

 private:
  alignas(64) std::atomic<bool> asleep_{false};
};

}  // namespace ringwire::worker
