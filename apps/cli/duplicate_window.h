// Which of a stream's sequence numbers have been seen: a sliding bitmap, so that a receiver can
// count duplicates of an endless stream in constant memory. One thread at a time.
#pragma once

#include <array>
#include <cstdint>

namespace ringwire::cli {

class DuplicateWindow {
 public:
  /// A sender of `ringwire bench` keeps at most this many outstanding, so a repeat can only be of
  /// one of the last so many numbers.
  static constexpr std::uint64_t kWindow = 65'536;

  /// Note a sequence number. Returns true the first time, false for a repeat. A number that has
  /// fallen out of the window counts as a repeat: it is older than anything still outstanding.
  bool record(std::uint64_t sequence) {
    if (sequence >= next_) {
      advance(sequence);
    } else if (next_ - sequence > kWindow) {
      return false;
    }
    std::uint64_t& word = words_[sequence % kWindow / 64];
    const std::uint64_t bit = std::uint64_t{1} << (sequence % 64);
    if ((word & bit) != 0) return false;
    word |= bit;
    return true;
  }

 private:
  void advance(std::uint64_t sequence) {
    if (sequence - next_ >= kWindow) {
      words_.fill(0);
    } else {
      for (std::uint64_t i = next_; i <= sequence; ++i) {
        words_[i % kWindow / 64] &= ~(std::uint64_t{1} << (i % 64));
      }
    }
    next_ = sequence + 1;
  }

  std::array<std::uint64_t, kWindow / 64> words_{};
  std::uint64_t next_ = 0;  // one above the highest number seen
};

}  // namespace ringwire::cli
