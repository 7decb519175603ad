#include "engine/port/dpdk_lcore.h"

#include <rte_lcore.h>

#include <array>
#include <mutex>

namespace ringwire::port {
namespace {

struct Lcores {
  std::mutex mutex;
  std::array<bool, RTE_MAX_LCORE> taken{};
};

/// Never destroyed: threads end after it.
Lcores& lcores() {
  static Lcores& instance = *new Lcores;
  return instance;
}

class Lcore {
 public:
  Lcore() {
    if (rte_lcore_id() != LCORE_ID_ANY) return;  // it was given one elsewhere
    Lcores& all = lcores();
    const std::lock_guard lock(all.mutex);
    for (unsigned number = 0; number < RTE_MAX_LCORE; ++number) {
      // Not those of registered threads, which are no lcores of the arguments.
      if (rte_lcore_is_enabled(number) == 0 || all.taken[number]) continue;
      all.taken[number] = true;
      number_ = number;
      RTE_PER_LCORE(_lcore_id) = number;
      return;
    }
    is_registered_ = rte_thread_register() == 0;
  }
  ~Lcore() {
    if (is_registered_) rte_thread_unregister();
    if (number_ == LCORE_ID_ANY) return;
    Lcores& all = lcores();
    const std::lock_guard lock(all.mutex);
    all.taken[number_] = false;
    RTE_PER_LCORE(_lcore_id) = LCORE_ID_ANY;
  }
  Lcore(const Lcore&) = delete;
  Lcore& operator=(const Lcore&) = delete;

 private:
  unsigned number_ = LCORE_ID_ANY;
  bool is_registered_ = false;
};

}  // namespace

void leave_main_lcore() { RTE_PER_LCORE(_lcore_id) = LCORE_ID_ANY; }

void take_lcore() { static thread_local const Lcore lcore; }

}  // namespace ringwire::port
