// Where the two processes of a run meet: a page that both map. Each scene begins and ends with a
// meeting, at which both have done all that stands before it. Whoever waits polls, and gives up
// with a message when the other is gone. One thread in each process.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "base/time.h"
#include "engine/node/clock.h"

namespace ringwire::load {

/// A asks the questions and measures times; B answers, and counts what arrives.
enum class Side : std::uint32_t { kA = 0, kB = 1 };

struct Page {
  struct alignas(64) Count {
    std::atomic<std::uint64_t> value{0};
  };
  std::array<Count, 2> arrived;
  Count stop;                                   ///< the number of the scene that A has ended
  Count failed;                                 ///< not 0: one of the two gave up
  alignas(64) std::array<double, 8> figures{};  ///< of B, for A to read after a meeting
};

class Meeting {
 public:
  Meeting(Page& page, Side side) : page_(page), side_(side) {}

  [[nodiscard]] Side side() const { return side_; }
  [[nodiscard]] bool is_a() const { return side_ == Side::kA; }
  [[nodiscard]] std::array<double, 8>& figures() { return page_.figures; }

  /// Until the other is here, too, with `meanwhile()` over and over.
  template <typename Meanwhile>
  void meet(Meanwhile&& meanwhile) {
    ++number_;
    // Release: publishes all that this side wrote to the other's load below.
    own().store(number_, std::memory_order_release);
    const TimeNs deadline = node::clock_now_ns() + kPatienceNs;
    // Acquire: pairs with the store above; makes the other's figures visible.
    while (other().load(std::memory_order_acquire) < number_) {
      meanwhile();
      check(deadline);
    }
  }
  void meet() {
    meet([] {});
  }

  /// A: the scene is over. B sees it in stopped().
  // Relaxed: the meeting behind it orders everything else.
  void stop() { page_.stop.value.store(++scene_, std::memory_order_relaxed); }
  [[nodiscard]] bool stopped() {
    if (page_.stop.value.load(std::memory_order_relaxed) == scene_) return false;
    ++scene_;
    return true;
  }

  /// Ends this process with a message if `deadline` has passed, or the other side gave up. Looks
  /// at that once in a thousand calls: the look would cost more than what is measured.
  void check(TimeNs deadline) {
    if (++checks_ % 1'024 == 0) look(deadline);
  }
  [[noreturn]] void give_up(const char* what);
  [[nodiscard]] static TimeNs deadline() { return node::clock_now_ns() + kPatienceNs; }

 private:
  static constexpr DurationNs kPatienceNs = 60 * kSecondNs;
  void look(TimeNs deadline);
  [[nodiscard]] std::atomic<std::uint64_t>& own() {
    return page_.arrived[static_cast<std::size_t>(side_)].value;
  }
  [[nodiscard]] std::atomic<std::uint64_t>& other() {
    return page_.arrived[1 - static_cast<std::size_t>(side_)].value;
  }

  Page& page_;
  Side side_;
  std::uint64_t number_ = 0;
  std::uint64_t scene_ = 0;
  std::uint32_t checks_ = 0;
};

}  // namespace ringwire::load
