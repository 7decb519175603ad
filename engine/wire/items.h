// The items that the body of a mixed frame is made of, all but messages and runs (message_codec.h,
// run_codec.h):
// acknowledgements, results, credit, grants, withdrawals, pings, the close (docs/wire.md W-7,
// W-20 to W-29). Encoders write nothing useful when the writer runs out of room: ask for room
// first. Decoders latch the reader's failure on anything that breaks a rule. Any thread; hot.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/bytes.h"
#include "base/ids.h"

namespace ringwire::wire {

/// A varint that must fit 32 bits; latches the reader's failure otherwise.
[[nodiscard]] inline std::uint32_t varint32(ByteReader& reader) {
  const std::uint64_t value = reader.varint();
  if (value > 0xffff'ffffU) return static_cast<std::uint32_t>(reader.fail());
  return static_cast<std::uint32_t>(value);
}

enum class ItemType : std::uint8_t {
  kPadding = 0,
  kAck = 1,
  kMessage = 2,
  kOpen = 3,
  kOpenAnnounced = 4,
  kGrant = 5,
  kCredit = 6,
  kResult = 7,
  kWithdraw = 8,
  kPing = 9,
  kClose = 10,
  kRun = 11,
  kRunResult = 12,
  kRunWithdraw = 13,
  kWithdrawNamed = 14,
};

/// Ranges of packet numbers in one acknowledgement. 32: at 10 % random loss the newest 300 packets.
inline constexpr std::size_t kMaxAckRanges = 32;

/// Both ends included.
struct PacketRange {
  std::uint64_t low;
  std::uint64_t high;
};

/// Newest range first; ranges neither touch nor overlap.
struct AckItem {
  std::uint64_t delay_us = 0;  ///< between the arrival of the newest packet and this item
  std::size_t count = 0;
  std::array<PacketRange, kMaxAckRanges> ranges;  ///< the first `count`; the rest is never written
};

struct GrantItem {
  std::uint32_t number = 0;
  std::uint64_t fragments = 0;  ///< fragments 0 .. fragments-1 may flow
};

struct CreditItem {
  std::uint8_t service = 0;  ///< class: the sender's service handle, 0 for services without one
  std::uint32_t window_messages = 0;
  std::uint32_t window_bytes = 0;
};

struct ResultItem {
  std::uint32_t number = 0;
  bool settled = false;   ///< ending and reason are final
  bool released = false;  ///< slot and credit are the sender's again
  Ending ending{};
  Reason reason{};
};

/// Largest encoded forms, type byte included.
inline constexpr std::size_t kMaxResultBytes = 1 + 5 + 1 + 1;
inline constexpr std::size_t kMaxGrantBytes = 1 + 5 + 10;
inline constexpr std::size_t kMaxCreditBytes = 1 + 1 + 5 + 5;
inline constexpr std::size_t kMaxWithdrawBytes = 1 + 5;
inline constexpr std::size_t kMaxAckBytes = 1 + 10 + 10 + 1 + kMaxAckRanges * 2 * 9;

void encode_ack(ByteWriter& writer, const AckItem& ack);
void encode_grant(ByteWriter& writer, const GrantItem& grant);
void encode_credit(ByteWriter& writer, const CreditItem& credit);
void encode_result(ByteWriter& writer, const ResultItem& result);
void encode_withdraw(ByteWriter& writer, std::uint32_t number);
void encode_ping(ByteWriter& writer);
void encode_close(ByteWriter& writer, Reason reason);

/// Each decodes what follows the type byte; false and !reader.ok() when a rule is broken.
bool decode_ack(ByteReader& reader, AckItem& ack);
bool decode_grant(ByteReader& reader, GrantItem& grant);
bool decode_credit(ByteReader& reader, CreditItem& credit);
bool decode_result(ByteReader& reader, ResultItem& result);
bool decode_withdraw(ByteReader& reader, std::uint32_t& number);
bool decode_close(ByteReader& reader, Reason& reason);

}  // namespace ringwire::wire
