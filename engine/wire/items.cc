#include "engine/wire/items.h"

#include "base/mutant.h"
#include "engine/wire/frame.h"

namespace ringwire::wire {
namespace {

void type(ByteWriter& writer, ItemType item) { writer.u8(static_cast<std::uint8_t>(item)); }

bool known_reason(std::uint8_t reason) { return reason <= kMaxReason; }

}  // namespace

void encode_ack(ByteWriter& target, const AckItem& ack) {
  ByteWriter writer = target;  // in registers
  type(writer, ItemType::kAck);
  writer.varint(ack.ranges[0].high);
  writer.varint(ack.delay_us);
  writer.u8(static_cast<std::uint8_t>(ack.count));
  for (std::size_t index = 0; index < ack.count; ++index) {
    const PacketRange& range = ack.ranges[index];
    // Between two ranges at least one number is missing: a gap of one is written as 0 (W-21).
    if (index > 0) writer.varint(ack.ranges[index - 1].low - range.high - 2);
    writer.varint(range.high - range.low);
  }
  target = writer;
}

bool decode_ack(ByteReader& source, AckItem& ack) {
  ByteReader reader = source;  // in registers
  std::uint64_t high = reader.varint();
  ack.delay_us = reader.varint();
  ack.count = reader.u8();
  if (ack.count == 0 || ack.count > kMaxAckRanges || high > kMaxPacketNumber) {
    source.fail();
    return false;
  }
  for (std::size_t index = 0; index < ack.count; ++index) {
    if (index > 0) {
      const std::uint64_t gap = reader.varint();
      const std::uint64_t low = ack.ranges[index - 1].low;
      if (low < 2 || gap > low - 2) {
        source.fail();
        return false;
      }
      high = low - (RW_MUTANT(126) ? 1 : 2) - gap;
    }
    const std::uint64_t more = reader.varint();
    if (!reader.ok() || high == 0 || more >= high) {
      source.fail();
      return false;
    }
    ack.ranges[index] = {high - more, high};
  }
  source = reader;
  return true;
}

void encode_grant(ByteWriter& writer, const GrantItem& grant) {
  type(writer, ItemType::kGrant);
  writer.varint(grant.number);
  writer.varint(grant.fragments - (RW_MUTANT(127) ? 1 : 0));
}

bool decode_grant(ByteReader& reader, GrantItem& grant) {
  grant.number = varint32(reader);
  grant.fragments = reader.varint();
  return reader.ok();
}

void encode_credit(ByteWriter& writer, const CreditItem& credit) {
  type(writer, ItemType::kCredit);
  writer.u8(credit.service);
  writer.varint(credit.window_messages);
  writer.varint(credit.window_bytes);
}

bool decode_credit(ByteReader& reader, CreditItem& credit) {
  credit.service = reader.u8();
  credit.window_messages = varint32(reader);
  credit.window_bytes = varint32(reader);
  return reader.ok();
}

void encode_result(ByteWriter& target, const ResultItem& result) {
  ByteWriter writer = target;  // in registers
  type(writer, ItemType::kResult);
  writer.varint(result.number);
  writer.u8(static_cast<std::uint8_t>(static_cast<unsigned>(result.ending) |
                                      (result.settled ? 4U : 0U) | (result.released ? 8U : 0U)));
  writer.u8(static_cast<std::uint8_t>(result.reason));
  target = writer;
}

bool decode_result(ByteReader& source, ResultItem& result) {
  ByteReader reader = source;  // in registers
  result.number = varint32(reader);
  const std::uint8_t code = reader.u8();
  const std::uint8_t reason = reader.u8();
  if (!reader.ok() || code > 15 || code < 4 || (code & 3) > 2 || !known_reason(reason)) {
    source.fail();
    return false;
  }
  result.ending = static_cast<Ending>(code & 3);
  result.settled = (code & 4) != 0;
  result.released = (code & 8) != 0;
  result.reason = static_cast<Reason>(reason);
  source = reader;
  return true;
}

void encode_withdraw(ByteWriter& writer, std::uint32_t number) {
  type(writer, ItemType::kWithdraw);
  writer.varint(number);
}

bool decode_withdraw(ByteReader& reader, std::uint32_t& number) {
  number = varint32(reader);
  return reader.ok();
}

void encode_ping(ByteWriter& writer) { type(writer, ItemType::kPing); }

void encode_close(ByteWriter& writer, Reason reason) {
  type(writer, ItemType::kClose);
  writer.u8(static_cast<std::uint8_t>(reason));
}

bool decode_close(ByteReader& reader, Reason& reason) {
  const std::uint8_t value = reader.u8();
  if (!reader.ok() || !known_reason(value)) {
    reader.fail();
    return false;
  }
  reason = static_cast<Reason>(value);
  return true;
}

}  // namespace ringwire::wire
