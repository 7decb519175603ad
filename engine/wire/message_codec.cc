#include "engine/wire/message_codec.h"

#include <array>
#include <cstring>

#include "base/check.h"

namespace ringwire::wire {
namespace {

// The bits byte: level in the two lowest, then what is present (W-12).
constexpr unsigned kLevelMask = 3;
constexpr unsigned kHasPredecessor = 1U << 2;
constexpr unsigned kHasAttempt = 1U << 3;
constexpr unsigned kHasPriority = 1U << 4;
constexpr unsigned kHasReplyTo = 1U << 5;
constexpr unsigned kAllBits = (1U << 6) - 1;

constexpr std::uint16_t kKnownFlags = (1U << 9) - 1;

// Writes where there is room for the longest message, and need not ask for each number.
struct Pen {
  std::byte* at;

  template <typename T>
  void write(T value) {
    store_le(at, value);
    at += sizeof(T);
  }
  void varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) *at++ = static_cast<std::byte>(value | 0x80);
    *at++ = static_cast<std::byte>(value);
  }
  void bytes(std::span<const std::byte> source) {
    if (source.empty()) return;
    std::memcpy(at, source.data(), source.size());
    at += source.size();
  }
  void handle(const HandleUse& use) {
    varint(std::uint64_t{use.handle} << 1 | (use.define ? 1U : 0U));
  }
  void attachment(const HandleUse& use, const Id128& id) {
    handle(use);
    if (!use.define && use.handle != 0) return;
    write(id.high);
    write(id.low);
  }
};

inline void decode_attachment(ByteReader& reader, HandleUse& use, Id128& id) {
  if (!decode_handle(reader, use)) return;
  id.high = reader.u64();
  id.low = reader.u64();
}

bool has_reply_to(const MessageHeader& header) {
  return (header.flags & (kReply | kToOrigin)) != 0 || !header.in_reply_to.attachment.empty();
}

/// The end of what was written.
std::byte* put_message(std::byte* start, ItemType type, std::uint32_t number,
                       const MessageHeader& header, const MessageHandles& handles) {
  Pen pen{start};
  const bool reply = has_reply_to(header);
  pen.write(static_cast<std::uint8_t>(type));
  pen.varint(number);
  pen.write(static_cast<std::uint8_t>(
      static_cast<unsigned>(header.level) | (header.predecessor != 0 ? kHasPredecessor : 0) |
      (header.attempt != 1 ? kHasAttempt : 0) | (header.priority != 0 ? kHasPriority : 0) |
      (reply ? kHasReplyTo : 0)));
  pen.varint(header.flags);
  pen.attachment(handles.attachment, header.id.attachment);
  pen.varint(header.id.channel);
  pen.varint(header.id.sequence);
  if (header.predecessor != 0) pen.varint(header.id.sequence - header.predecessor);
  pen.write(header.hash);
  pen.varint(header.epoch);
  pen.varint(header.payload_bytes);
  if (header.attempt != 1) pen.varint(header.attempt);
  if (header.priority != 0) pen.write(header.priority);
  pen.handle(handles.service);
  if (handles.service.define || handles.service.handle == 0) {
    pen.write(static_cast<std::uint8_t>(header.service.size()));
    pen.bytes(as_bytes(header.service));
  }
  if (reply) {
    pen.attachment(handles.reply_attachment, header.in_reply_to.attachment);
    pen.varint(header.in_reply_to.channel);
    pen.varint(header.in_reply_to.sequence);
  }
  pen.varint(header.key.size());
  pen.bytes(header.key);
  return pen.at;
}

}  // namespace

bool valid_header(const MessageHeader& header) {
  return header.key.size() <= kMaxKeyBytes && header.service.size() <= kMaxNameBytes &&
         (header.flags & ~kKnownFlags) == 0 && header.level <= Level::kProcessed &&
         header.id.sequence <= kMaxSequence && header.payload_bytes <= kMaxPayloadBytes &&
         header.attempt > 0 && (header.predecessor == 0 || header.predecessor < header.id.sequence);
}

std::size_t message_bytes(std::uint32_t number, const MessageHeader& header,
                          const MessageHandles& handles) {
  const auto handle_bytes = [](const HandleUse& use, std::size_t full_bytes) {
    const bool full = use.define || use.handle == 0;
    return varint_bytes(std::uint64_t{use.handle} << 1) + (full ? full_bytes : 0);
  };
  std::size_t bytes = 1 + varint_bytes(number) + 1 + varint_bytes(header.flags) +
                      handle_bytes(handles.attachment, sizeof(Id128)) +
                      varint_bytes(header.id.channel) + varint_bytes(header.id.sequence) + 8 +
                      varint_bytes(header.epoch) + varint_bytes(header.payload_bytes) +
                      handle_bytes(handles.service, 1 + header.service.size()) +
                      varint_bytes(header.key.size()) + header.key.size();
  if (header.predecessor != 0) bytes += varint_bytes(header.id.sequence - header.predecessor);
  if (header.attempt != 1) bytes += varint_bytes(header.attempt);
  if (header.priority != 0) ++bytes;
  if (has_reply_to(header))
    bytes += handle_bytes(handles.reply_attachment, sizeof(Id128)) +
             varint_bytes(header.in_reply_to.channel) + varint_bytes(header.in_reply_to.sequence);
  return bytes;
}

void encode_message(ByteWriter& writer, ItemType type, std::uint32_t number,
                    const MessageHeader& header, const MessageHandles& handles) {
  if (writer.room_bytes() >= max_message_bytes(header)) [[likely]] {
    std::byte* const start = writer.claim(0);
    const std::byte* const end = put_message(start, type, number, header, handles);
    static_cast<void>(writer.claim(static_cast<std::size_t>(end - start)));
    return;
  }
  // The last message of a packet, which fits because it does not need the most.
  std::array<std::byte, kMaxFixedMessageBytes + kMaxKeyBytes + kMaxNameBytes> longest;
  RW_CHECK(max_message_bytes(header) <= longest.size());
  const std::byte* const end = put_message(longest.data(), type, number, header, handles);
  writer.bytes(std::span(longest).first(static_cast<std::size_t>(end - longest.data())));
}

bool decode_message(ByteReader& source, DecodedMessage& message, MessageHeader& header) {
  ByteReader reader = source;  // in registers
  message.number = varint32(reader);
  const unsigned bits = reader.u8();
  const std::uint64_t flags = reader.varint();
  if ((bits & ~kAllBits) != 0 || (bits & kLevelMask) > 2 || (flags & ~std::uint64_t{kKnownFlags}))
    reader.fail();
  header.level = static_cast<Level>(bits & kLevelMask);
  header.flags = static_cast<std::uint16_t>(flags);
  decode_attachment(reader, message.handles.attachment, header.id.attachment);
  header.id.channel = varint32(reader);
  header.id.sequence = reader.varint();
  if (header.id.sequence > kMaxSequence) reader.fail();
  if ((bits & kHasPredecessor) != 0) {
    const std::uint64_t back = reader.varint();
    if (back == 0 || back >= header.id.sequence) reader.fail();
    header.predecessor = header.id.sequence - back;
  }
  header.hash = reader.u64();
  header.epoch = reader.varint();
  header.payload_bytes = reader.varint();
  if (header.payload_bytes > kMaxPayloadBytes) reader.fail();
  if ((bits & kHasAttempt) != 0) {
    header.attempt = varint32(reader);
    if (header.attempt < 2) reader.fail();
  }
  if ((bits & kHasPriority) != 0) {
    header.priority = reader.u8();
    if (header.priority == 0) reader.fail();
  }
  if (decode_handle(reader, message.handles.service)) {
    const std::size_t bytes = reader.u8();
    if (bytes > kMaxNameBytes) reader.fail();
    header.service = as_text(reader.view(bytes));
  }
  if ((bits & kHasReplyTo) != 0) {
    decode_attachment(reader, message.handles.reply_attachment, header.in_reply_to.attachment);
    header.in_reply_to.channel = varint32(reader);
    header.in_reply_to.sequence = reader.varint();
  }
  const std::uint64_t key_bytes = reader.varint();
  if (key_bytes > kMaxKeyBytes) reader.fail();
  header.key = reader.view(reader.ok() ? static_cast<std::size_t>(key_bytes) : 0);
  source = reader;
  return reader.ok();
}

void encode_named_withdraw(ByteWriter& writer, const NamedWithdrawItem& item) {
  std::array<std::byte, kMaxNamedWithdrawBytes> longest;
  Pen pen{longest.data()};
  pen.write(static_cast<std::uint8_t>(ItemType::kWithdrawNamed));
  pen.varint(item.number);
  pen.attachment(item.attachment, item.id.attachment);
  pen.varint(item.id.channel);
  pen.varint(item.id.sequence);
  pen.varint(item.predecessor == 0 ? 0 : item.id.sequence - item.predecessor);
  writer.bytes(std::span(longest).first(static_cast<std::size_t>(pen.at - longest.data())));
}

bool decode_named_withdraw(ByteReader& source, NamedWithdrawItem& item) {
  ByteReader reader = source;  // in registers
  item.number = varint32(reader);
  decode_attachment(reader, item.attachment, item.id.attachment);
  item.id.channel = varint32(reader);
  item.id.sequence = reader.varint();
  if (item.id.sequence > kMaxSequence) reader.fail();
  if (const std::uint64_t back = reader.varint(); back != 0) {
    if (back >= item.id.sequence) reader.fail();
    item.predecessor = item.id.sequence - back;
  }
  source = reader;
  return reader.ok();
}

}  // namespace ringwire::wire
