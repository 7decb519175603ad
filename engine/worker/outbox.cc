#include "engine/worker/outbox.h"

#include <utility>

#include "base/check.h"

namespace ringwire::worker {

void Outbox::flush() {
  while (!waiting_.empty() && box_.try_push(waiting_.front())) waiting_.pop_front();
}

void Outbox::tell(Notice notice) {
  if (waiting_.empty() && box_.try_push(notice)) return;
  RW_CHECK(!waiting_.full());
  waiting_.push_back(std::move(notice));
}

bool Outbox::try_tell(Notice notice) { return waiting_.empty() && box_.try_push(notice); }

}  // namespace ringwire::worker
