// What a receiving program (`serve --echo`, `serve --sink`) has seen of each bench stream:
// messages, repeats, damaged ones, redeliveries. The sender asks for it at the end, so that lost
// and duplicated messages are counted where they arrive and not guessed where they start. Several
// serving threads share one ledger: any thread; a mutex, held for tens of nanoseconds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "apps/cli/duplicate_window.h"
#include "apps/cli/stamp.h"

namespace ringwire::cli {

struct StreamCounts {
  std::uint64_t received = 0;     ///< intact, repeats included
  std::uint64_t duplicated = 0;   ///< of those, repeats
  std::uint64_t damaged = 0;      ///< failed the checksum
  std::uint64_t redelivered = 0;  ///< of those received, flagged as such by the engine
};

class StreamLedger {
 public:
  /// Streams remembered at once; the one unused for longest makes room. 256: four runs of 64
  /// threads. 256 x 8 KiB of window = 2 MiB.
  static constexpr std::size_t kMaxStreams = 256;

  enum class Delivery { kFirst, kRedelivered };

  /// Note one stamped message.
  void note(const CheckedStamp& checked, Delivery delivery);

  /// What was seen of a stream; zeros for an unknown one.
  [[nodiscard]] StreamCounts counts_of(std::uint64_t stream) const;

 private:
  struct Entry {
    StreamCounts counts;
    DuplicateWindow window;
    std::uint64_t last_use = 0;
  };

  Entry& entry_of(std::uint64_t stream);

  mutable std::mutex mutex_;
  std::unordered_map<std::uint64_t, std::unique_ptr<Entry>> entries_;
  std::uint64_t uses_ = 0;
};

}  // namespace ringwire::cli
