#include "perf/load/meeting.h"

#include <cstdio>
#include <cstdlib>

namespace ringwire::load {

void Meeting::look(TimeNs deadline) {
  // Relaxed: a flag and nothing behind it.
  if (page_.failed.value.load(std::memory_order_relaxed) != 0) std::_Exit(1);
  if (node::clock_now_ns() > deadline) give_up("the other side does not come");
}

void Meeting::give_up(const char* what) {
  std::fprintf(stderr, "ringwire-load: side %s: %s\n", is_a() ? "A" : "B", what);
  page_.failed.value.store(1, std::memory_order_relaxed);
  std::_Exit(1);
}

}  // namespace ringwire::load
