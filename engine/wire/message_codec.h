// Encodes and decodes what travels with a message beside its payload (docs/wire.md W-10 to W-16).
// Attachments and services appear as handles of a session's dictionaries, as a definition (handle
// and full form), or in full without a handle; which one, and what a handle stands for, is the
// caller's (transport/dictionary.h). Any thread; hot; no allocation.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/bytes.h"
#include "engine/wire/items.h"
#include "engine/wire/message_header.h"

namespace ringwire::wire {

/// How a dictionary entry is written: handle 0 = in full, without a handle.
struct HandleUse {
  std::uint32_t handle = 0;
  bool define = false;  ///< the full form stands beside the handle
};

struct MessageHandles {
  HandleUse attachment;
  HandleUse service;
  HandleUse reply_attachment;
};

/// A handle as it stands in a message. True when the full form follows.
inline bool decode_handle(ByteReader& reader, HandleUse& use) {
  const std::uint64_t value = reader.varint();
  if (value > 0x1'ffff'ffffU || value == 1) {
    reader.fail();
    return false;
  }
  use.handle = static_cast<std::uint32_t>(value >> 1);
  use.define = (value & 1) != 0;
  return use.define || use.handle == 0;
}

/// All but the variable parts: type, number, bits, flags, attachment, channel, sequence,
/// predecessor, hash, epoch, payload bytes, attempt, priority, service handle and length, key
/// length, in_reply_to.
inline constexpr std::size_t kMaxFixedMessageBytes =
    1 + 5 + 1 + 2 + (5 + 16) + 5 + 10 + 10 + 8 + 10 + 10 + 5 + 1 + (5 + 1) + 2 + (5 + 16 + 5 + 10);

/// What encode_message can take at most, payload not counted.
[[nodiscard]] inline std::size_t max_message_bytes(const MessageHeader& header) {
  return kMaxFixedMessageBytes + header.key.size() + header.service.size();
}

/// What encode_message takes, payload not counted.
[[nodiscard]] std::size_t message_bytes(std::uint32_t number, const MessageHeader& header,
                                        const MessageHandles& handles);

/// True when a header keeps the rules that decode_message checks (W-16).
[[nodiscard]] bool valid_header(const MessageHeader& header);

/// Write type byte, number and header. The payload of a kMessage follows, written by the caller.
/// Precondition: valid_header, and room for max_message_bytes().
void encode_message(ByteWriter& writer, ItemType type, std::uint32_t number,
                    const MessageHeader& header, const MessageHandles& handles);

/// The header as decoded; attachments and service are filled in only where they stood in full.
struct DecodedMessage {
  std::uint32_t number = 0;
  MessageHandles handles;
};

/// Read what follows the type byte; for a kMessage the payload follows in the reader. The header's
/// spans point into the reader's bytes. False and !reader.ok() when a rule is broken.
bool decode_message(ByteReader& reader, DecodedMessage& message, MessageHeader& header);

/// W-28: the withdrawal of a message that may never have arrived, whose receiver is to know who
/// need not wait for it.
struct NamedWithdrawItem {
  std::uint32_t number = 0;
  HandleUse attachment;
  MessageId id;  ///< decoded: with its attachment only where that stood in full
  std::uint64_t predecessor = 0;
};

/// Its largest encoded form, type byte included.
inline constexpr std::size_t kMaxNamedWithdrawBytes = 1 + 5 + (5 + 16) + 5 + 10 + 10;

void encode_named_withdraw(ByteWriter& writer, const NamedWithdrawItem& item);
/// Reads what follows the type byte; false and !reader.ok() when a rule is broken.
bool decode_named_withdraw(ByteReader& reader, NamedWithdrawItem& item);

}  // namespace ringwire::wire
