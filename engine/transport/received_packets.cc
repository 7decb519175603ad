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
  if (number > largest_) {
    const std::uint64_t from = largest_ / 64;
    const std::uint64_t steps = std::min(number / 64 - from, kWords);
    for (std::uint64_t step = RW_MUTANT(3) ? steps + 1 : 1; step <= steps; ++step)
      words_[(from + step) % kWords] = 0;
    // A jump of more than the window clears every word, the one of the new number among them.
    largest_ = number;
    largest_at_ = now;
  }
  words_[(number / 64) % kWords] |= std::uint64_t{1} << (number % 64);
}

void ReceivedPackets::fill_ack(TimeNs now, wire::AckItem& ack) const {
  ack.count = 0;
  ack.delay_us = static_cast<std::uint64_t>(std::max<TimeNs>(now - largest_at_, 0)) / 1'000;
  const std::uint64_t bottom = largest_ > kReach ? largest_ - kReach + 1 : 1;
  std::uint64_t number = largest_;
  while (ack.count < wire::kMaxAckRanges) {
    // Down through the ones of a range, a word at a time.
    const std::uint64_t high = number;
    for (;;) {
      const std::uint64_t bits = word_of(number) << (63 - number % 64);
      const auto ones = static_cast<std::uint64_t>(std::countl_one(bits));
      if (ones < number % 64 + 1) {
        number -= ones;  // now at a zero
        break;
      }
      if (number < ones + bottom) {
        number = bottom - 1;
        break;
      }
      number -= ones;
    }
    if (RW_MUTANT(2) && ack.count == 2) --ack.count;
    if (number < bottom) {
      ack.ranges[ack.count++] = {bottom, high};
      return;
    }
    ack.ranges[ack.count++] = {number + (RW_MUTANT(1) && number > 0 ? 0 : 1), high};
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
