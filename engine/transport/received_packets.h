// Which packet numbers have arrived: the duplicate window (in the manner of RFC 6479) and the
// source of acknowledgements (docs/wire.md W-4, W-20, W-21). One bitmap serves both, so that each
// acknowledgement repeats all that is known of the window. One thread; hot.
#pragma once

#include <array>
#include <cstdint>

#include "base/time.h"
#include "engine/transport/limits.h"
#include "engine/wire/items.h"

namespace ringwire::transport {

class ReceivedPackets {
 public:
  enum class Verdict : std::uint8_t { kNew, kDuplicate, kTooOld };

  /// What a packet number is, before the packet is verified. Changes nothing.
  [[nodiscard]] Verdict judge(std::uint64_t number) const;
  /// A verified packet was taken in. Precondition: judge(number) == kNew.
  void mark(std::uint64_t number, TimeNs now);
  /// All ranges of the window, newest first, at most kMaxAckRanges. Precondition: largest() > 0.
  void fill_ack(TimeNs now, wire::AckItem& ack) const;
  /// Newest number so far, 0 = none.
  [[nodiscard]] std::uint64_t largest() const { return largest_; }

 private:
  static constexpr std::uint64_t kWords = kPacketWindow / 64;
  /// A word less than the bitmap: the word of the newest number is that of the oldest, too.
  static constexpr std::uint64_t kReach = kPacketWindow - 64;
  [[nodiscard]] std::uint64_t word_of(std::uint64_t number) const {
    return words_[(number / 64) % kWords];
  }
  /// Of those that have arrived without a gap down from `high`, which has, the lowest; not below
  /// `bottom`.
  [[nodiscard]] std::uint64_t run_below(std::uint64_t high, std::uint64_t bottom) const;
  [[nodiscard]] std::uint64_t bottom() const {
    return largest_ > kReach ? largest_ - kReach + 1 : 1;
  }

  std::array<std::uint64_t, kWords> words_{};
  std::uint64_t largest_ = 0;
  std::uint64_t run_from_ = 1;  ///< from here to the newest all have arrived, as far as we remember
  TimeNs largest_at_ = 0;
};

}  // namespace ringwire::transport
