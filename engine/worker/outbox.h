// What a worker says to the ring manager, in order, when the mailbox is full as well. Bounded in
// two ways: what can be said later, or be done without, is not taken while anything waits; and
// while anything waits the worker obeys no command (an answer to each would be one more), so that
// only what has a limit of its own can come to it: see Outbox(). Nothing is dropped. One thread.
#pragma once

#include <cstddef>

#include <boost/circular_buffer.hpp>

#include "engine/worker/worker.h"

namespace ringwire::worker {

class Outbox {
 public:
  /// `most_waiting`: the sum of what tell() may be given while the mailbox is full.
  Outbox(NoticeBox& box, std::size_t most_waiting) : box_(box), waiting_(most_waiting) {}

  /// Moves what waits into the mailbox, as far as it goes.
  void flush();
  /// Nothing waits.
  [[nodiscard]] bool clear() const { return waiting_.empty(); }

  /// Something that must be said: it waits if it has to.
  void tell(Notice notice);
  /// Something that the caller can do without, or try again. False when it was not taken.
  [[nodiscard]] bool try_tell(Notice notice);
  /// The next try_tell() will be taken.
  [[nodiscard]] bool has_room() const { return waiting_.empty() && !box_.full(); }

 private:
  NoticeBox& box_;
  boost::circular_buffer<Notice> waiting_;
};

}  // namespace ringwire::worker
