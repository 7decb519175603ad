#include "engine/wire/run_codec.h"

#include "base/check.h"

namespace ringwire::wire {
namespace {

void put_handle(ByteWriter& writer, const HandleUse& use) {
  writer.varint(std::uint64_t{use.handle} << 1 | (use.define ? 1U : 0U));
}

bool known_ending(std::uint8_t ending) {
  return ending <= static_cast<std::uint8_t>(Ending::kUnknown);
}

}  // namespace

bool valid_run_body(std::span<const std::byte> body, std::uint32_t count, std::uint64_t first) {
  if (count == 0 || count > kMaxRunMessages) return false;
  std::size_t at = 0;
  std::uint32_t newest = 0;
  for (std::uint32_t index = 0; index < count; ++index) {
    if (body.size() - at < kRunEntryHeaderBytes) return false;
    const RunEntry entry = run_entry_at(body.data() + at);
    if (entry.used_bytes() > kMaxRunEntryBytes || body.size() - at < entry.whole_bytes())
      return false;
    if (index == 0 ? entry.sequence_offset != 0 : entry.sequence_offset <= newest) return false;
    newest = entry.sequence_offset;
    at += entry.whole_bytes();
  }
  return at == body.size() && first > 0 && first + newest <= kMaxSequence;
}

void encode_run(ByteWriter& target, std::uint32_t number, const RunHeader& header,
                const MessageHandles& handles, std::span<const std::byte> body) {
  ByteWriter writer = target;  // in registers
  writer.u8(static_cast<std::uint8_t>(ItemType::kRun));
  writer.varint(number);
  writer.varint(header.after);
  writer.u8(static_cast<std::uint8_t>(header.level));
  writer.varint(header.flags);
  put_handle(writer, handles.attachment);
  if (handles.attachment.define || handles.attachment.handle == 0) {
    writer.u64(header.id.attachment.high);
    writer.u64(header.id.attachment.low);
  }
  writer.varint(header.id.channel);
  writer.varint(header.id.sequence);
  writer.varint(header.epoch);
  writer.varint(header.generation);
  put_handle(writer, handles.service);
  if (handles.service.define || handles.service.handle == 0) {
    writer.u8(static_cast<std::uint8_t>(header.service.size()));
    writer.bytes(as_bytes(header.service));
  }
  writer.u8(static_cast<std::uint8_t>(header.count));
  writer.varint(body.size());
  writer.bytes(body);
  target = writer;
}

bool decode_run(ByteReader& source, DecodedRun& run, RunHeader& header) {
  ByteReader reader = source;  // in registers
  run.number = varint32(reader);
  header.after = varint32(reader);
  const unsigned level = reader.u8();
  const std::uint64_t flags = reader.varint();
  if (level > 2 || (flags & ~std::uint64_t{kRunFlags}) != 0) reader.fail();
  header.level = static_cast<Level>(level);
  header.flags = static_cast<std::uint16_t>(flags);
  if (decode_handle(reader, run.handles.attachment)) {
    header.id.attachment.high = reader.u64();
    header.id.attachment.low = reader.u64();
  }
  header.id.channel = varint32(reader);
  header.id.sequence = reader.varint();
  header.epoch = reader.varint();
  header.generation = varint32(reader);
  if (decode_handle(reader, run.handles.service)) {
    const std::size_t bytes = reader.u8();
    if (bytes > kMaxNameBytes) reader.fail();
    header.service = as_text(reader.view(bytes));
  }
  header.count = reader.u8();
  const std::uint64_t body_bytes = reader.varint();
  run.body =
      reader.view(body_bytes <= reader.remaining_bytes() ? static_cast<std::size_t>(body_bytes)
                                                         : reader.remaining_bytes() + 1);
  if (!reader.ok() || header.id.sequence > kMaxSequence ||
      !valid_run_body(run.body, header.count, header.id.sequence))
    reader.fail();
  source = reader;
  return reader.ok();
}

void encode_run_result(ByteWriter& target, const RunResultItem& result,
                       const RunFailures& failures) {
  ByteWriter writer = target;  // in registers
  writer.u8(static_cast<std::uint8_t>(ItemType::kRunResult));
  writer.varint(result.number);
  writer.varint(result.settled);
  writer.varint(result.released);
  writer.varint(result.failed);
  for (std::uint32_t left = result.failed; left != 0; left &= left - 1) {
    const auto index = static_cast<std::size_t>(std::countr_zero(left));
    writer.u8(static_cast<std::uint8_t>(failures.ending[index]));
    writer.u8(static_cast<std::uint8_t>(failures.reason[index]));
  }
  target = writer;
}

bool decode_run_result(ByteReader& source, RunResultItem& result, RunFailures& failures) {
  ByteReader reader = source;  // in registers
  result.number = varint32(reader);
  result.settled = varint32(reader);
  result.released = varint32(reader);
  result.failed = varint32(reader);
  if ((result.failed & ~result.settled) != 0) reader.fail();
  for (std::uint32_t left = reader.ok() ? result.failed : 0; left != 0; left &= left - 1) {
    const auto index = static_cast<std::size_t>(std::countr_zero(left));
    const std::uint8_t ending = reader.u8();
    const std::uint8_t reason = reader.u8();
    if (!known_ending(ending) || reason > kMaxReason) reader.fail();
    failures.ending[index] = static_cast<Ending>(ending);
    failures.reason[index] = static_cast<Reason>(reason);
  }
  source = reader;
  return reader.ok();
}

void encode_run_withdraw(ByteWriter& writer, std::uint32_t number, std::uint32_t mask) {
  writer.u8(static_cast<std::uint8_t>(ItemType::kRunWithdraw));
  writer.varint(number);
  writer.varint(mask);
}

bool decode_run_withdraw(ByteReader& reader, std::uint32_t& number, std::uint32_t& mask) {
  number = varint32(reader);
  mask = varint32(reader);
  return reader.ok();
}

}  // namespace ringwire::wire
