#include "engine/transport/received_packets.h"

#include <algorithm>
#include <bit>

#include "base/mutant.h"

namespace ringwire::transport {

ReceivedPackets::Verdict ReceivedPackets::judge(std::uint64_t number) const {
  if (number > largest_) return Verdict::kNew;
  if (number + kReach <= largest_) return Verdict::kTooOld;
  return (word_of(number) >> (number % 64) & 1) != 0 ? Verdict::kDuplicate : Verdict::kNew;
}

void ReceivedPackets::mark(std::uint64_t number, TimeNs now) {
  const bool extends_run = number + 1 == run_from_;
  if (number > largest_) {
    const std::uint64_t from = largest_ / 64;
    const std::uint64_t steps = std::min(number / 64 - from, kWords);
    for (std::uint64_t step = RW_MUTANT(3) ? steps + 1 : 1; step <= steps; ++step)
      words_[(from + step) % kWords] = 0;
    // A jump of more than the window clears every word, the one of the new number among them.
    if (number != largest_ + 1) run_from_ = number;
    largest_ = number;
    largest_at_ = now;
  }
  words_[(number / 64) % kWords] |= std::uint64_t{1} << (number % 64);
  if (extends_run && number < largest_) run_from_ = run_below(number, bottom());
}

// Down a word at a time.
std::uint64_t ReceivedPackets::run_below(std::uint64_t high, std::uint64_t bottom) const {
  std::uint64_t number = high;
  for (;;) {
    const std::uint64_t bits = word_of(number) << (63 - number % 64);
    const auto ones = static_cast<std::uint64_t>(std::countl_one(bits));
    if (number < ones + bottom) return bottom;
    number -= ones;
    if (ones == 0 || (number + 1) % 64 != 0) return number + 1;  // now at a zero
  }
}

void ReceivedPackets::fill_ack(TimeNs now, wire::AckItem& ack) const {
  ack.count = 0;
  ack.delay_us = static_cast<std::uint64_t>(std::max<TimeNs>(now - largest_at_, 0)) / 1'000;
  const std::uint64_t bottom = this->bottom();
  std::uint64_t number = largest_;
  while (ack.count < wire::kMaxAckRanges) {
    const std::uint64_t high = number;
    // The newest range is kept at hand: it may have thousands of numbers, and most of the time it
    // is the only one.
    const std::uint64_t low =
        high == largest_ ? std::max(run_from_, bottom) : run_below(high, bottom);
    if (RW_MUTANT(2) && ack.count == 2) --ack.count;
    if (low == bottom) {
      ack.ranges[ack.count++] = {bottom, high};
      return;
    }
    ack.ranges[ack.count++] = {low - (RW_MUTANT(1) ? 1 : 0), high};
    number = low - 1;
    // Down through the zeros of the gap.
    for (;;) {
      const std::uint64_t bits = word_of(number) << (63 - number % 64);
      const auto zeros =
          std::min(static_cast<std::uint64_t>(std::countl_zero(bits)), number % 64 + 1);
      if (number < zeros + bottom) return;
      number -= zeros;
      if (zeros < (number + zeros) % 64 + 1) break;
    }
  }
}

}  // namespace ringwire::transport
