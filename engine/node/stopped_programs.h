// Finds server programs that are stopped (SIGSTOP, a debugger) for longer than [limits] hold, and
// has what they hold given to others; gives them their place back when they run again. A program in
// another PID namespace is never found: only its end is seen. Ring manager only; cold.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>

#include "base/time.h"
#include "engine/node/attachments.h"

namespace ringwire::node {

struct ProcessState {
  bool stopped = false;
  std::uint64_t ran_ticks = 0;  ///< of CPU, in all; says whether it ran between two looks
};

/// From /proc/PID/stat; nothing if there is no such process here.
[[nodiscard]] std::optional<ProcessState> look_at_process(std::uint64_t pid);

class StoppedPrograms {
 public:
  using Look = std::function<std::optional<ProcessState>(std::uint64_t pid)>;
  /// `hold_ns`: kNeverNs looks at nobody.
  StoppedPrograms(boost::asio::io_context& manager, Attachments& attachments, DurationNs hold_ns,
                  Look look = look_at_process);

  void start();
  void cancel();
  /// One round; start() has it done every quarter of `hold`, at least every 5 s; every
  /// 100 ms at least while a program has lost its place.
  void look_at_all(TimeNs now);

 private:
  struct Stopped {
    TimeNs since_ns = 0;
    std::uint64_t ran_ticks = 0;
    bool over = false;  ///< longer than `hold`
  };

  boost::asio::steady_timer timer_;
  Attachments& attachments_;
  DurationNs hold_ns_;
  Look look_;
  std::map<AttachmentId, Stopped> stopped_;
};

}  // namespace ringwire::node
