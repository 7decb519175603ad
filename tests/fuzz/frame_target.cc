// The frame decoder (docs/wire.md W-1 to W-7, W-12, W-16, W-21 to W-29): any bytes are a frame or
// none, what is decoded encodes to the very same bytes, and a reader never leaves its range.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <vector>

#include "base/check.h"
#include "engine/wire/frame.h"
#include "engine/wire/items.h"
#include "engine/wire/message_codec.h"
#include "engine/wire/run_codec.h"

namespace {

using namespace ringwire;
using namespace ringwire::wire;
using Bytes = std::span<const std::byte>;

constexpr std::size_t kMaxBytes = 9'216;
/// Longer ones are not sealed again: nothing new would be learned, for most of the time.
constexpr std::size_t kSealedBytes = 96;

bool same(Bytes left, Bytes right) {
  return left.size() == right.size() &&
         (left.empty() || std::memcmp(left.data(), right.data(), left.size()) == 0);
}

bool same(const MessageHeader& left, const MessageHeader& right) {
  return left.id == right.id && left.predecessor == right.predecessor && left.hash == right.hash &&
         left.epoch == right.epoch && left.payload_bytes == right.payload_bytes &&
         left.attempt == right.attempt && left.flags == right.flags && left.level == right.level &&
         left.priority == right.priority && same(left.key, right.key) &&
         left.service == right.service && left.in_reply_to == right.in_reply_to;
}

// The encoder says who is replied to exactly when the flags or the identity ask for it; a sender of
// another kind may say it at other times.
bool says_reply_as_we_do(Bytes item, const MessageHeader& header) {
  const bool ours =
      (header.flags & (kReply | kToOrigin)) != 0 || !header.in_reply_to.attachment.empty();
  ByteReader reader(item.subspan(1));
  static_cast<void>(reader.varint());
  return ours == ((reader.u8() & 0x20) != 0);
}

void check_message(ItemType type, Bytes item, const DecodedMessage& decoded,
                   const MessageHeader& header) {
  RW_CHECK(valid_header(header));
  RW_CHECK(item.size() <= max_message_bytes(header));
  static std::array<std::byte, kMaxBytes> room;
  ByteWriter writer(room);
  encode_message(writer, type, decoded.number, header, decoded.handles);
  RW_CHECK(writer.ok());
  if (says_reply_as_we_do(item, header)) {
    RW_CHECK(same(writer.written(), item));
    RW_CHECK(message_bytes(decoded.number, header, decoded.handles) == item.size());
    return;
  }
  ByteReader again(writer.written().subspan(1));
  DecodedMessage decoded_again;
  MessageHeader header_again;
  RW_CHECK(decode_message(again, decoded_again, header_again));
  RW_CHECK(again.at_end());
  // Said where nothing asks for it: identity and handle are left out by the encoder.
  MessageHeader expected = header;
  if ((header.flags & (kReply | kToOrigin)) == 0) expected.in_reply_to = {};
  RW_CHECK(same(header_again, expected));
}

template <typename Item, typename Encode>
void check_item(Bytes item, const Item& decoded, Encode encode) {
  static std::array<std::byte, kMaxAckBytes> room;
  ByteWriter writer(room);
  encode(writer, decoded);
  RW_CHECK(writer.ok());
  RW_CHECK(same(writer.written(), item));
}

// Decodes one item behind its type byte and encodes it again. Each kind in a function of its own:
// most items are short, and the sanitizer makes every byte of a stack frame cost.
template <typename Item, typename Decode, typename Encode>
[[gnu::noinline]] bool walk_plain(Bytes body, ByteReader& reader, Decode decode, Encode encode) {
  const std::size_t start = reader.offset_bytes() - 1;
  Item item{};
  if (!decode(reader, item)) return false;
  check_item(body.subspan(start, reader.offset_bytes() - start), item, encode);
  return true;
}

[[gnu::noinline]] bool walk_ack(Bytes body, ByteReader& reader) {
  const std::size_t start = reader.offset_bytes() - 1;
  AckItem ack;
  if (!decode_ack(reader, ack)) return false;
  for (std::size_t at = 0; at < ack.count; ++at) {
    RW_CHECK(ack.ranges[at].low >= 1);
    RW_CHECK(ack.ranges[at].low <= ack.ranges[at].high);
    RW_CHECK(at == 0 || ack.ranges[at].high + 1 < ack.ranges[at - 1].low);
  }
  check_item(body.subspan(start, reader.offset_bytes() - start), ack, encode_ack);
  return true;
}

[[gnu::noinline]] bool walk_message(ItemType type, Bytes body, ByteReader& reader) {
  const std::size_t start = reader.offset_bytes() - 1;
  DecodedMessage decoded;
  MessageHeader header;
  if (!decode_message(reader, decoded, header)) return false;
  check_message(type, body.subspan(start, reader.offset_bytes() - start), decoded, header);
  if (type == ItemType::kMessage)
    static_cast<void>(reader.view(static_cast<std::size_t>(header.payload_bytes)));
  return reader.ok();
}

[[gnu::noinline]] bool walk_run(Bytes body, ByteReader& reader) {
  const std::size_t start = reader.offset_bytes() - 1;
  DecodedRun run;
  RunHeader header;
  if (!decode_run(reader, run, header)) return false;
  RW_CHECK(valid_run_body(run.body, header.count, header.id.sequence));
  const Bytes item = body.subspan(start, reader.offset_bytes() - start);
  std::vector<std::byte> again(item.size());
  ByteWriter writer(again);
  encode_run(writer, run.number, header, run.handles, run.body);
  RW_CHECK(writer.ok());
  RW_CHECK(std::ranges::equal(again, item));
  return true;
}

[[gnu::noinline]] bool walk_run_result(Bytes body, ByteReader& reader) {
  const std::size_t start = reader.offset_bytes() - 1;
  RunResultItem result;
  RunFailures failures;
  if (!decode_run_result(reader, result, failures)) return false;
  const Bytes item = body.subspan(start, reader.offset_bytes() - start);
  std::vector<std::byte> again(item.size());
  ByteWriter writer(again);
  encode_run_result(writer, result, failures);
  RW_CHECK(writer.ok());
  RW_CHECK(std::ranges::equal(again, item));
  return true;
}

[[gnu::noinline]] bool walk_named_withdraw(Bytes body, ByteReader& reader) {
  const std::size_t start = reader.offset_bytes() - 1;
  NamedWithdrawItem item;
  if (!decode_named_withdraw(reader, item)) return false;
  RW_CHECK(item.predecessor == 0 || item.predecessor < item.id.sequence);
  RW_CHECK(reader.offset_bytes() - start <= kMaxNamedWithdrawBytes);
  check_item(body.subspan(start, reader.offset_bytes() - start), item, encode_named_withdraw);
  return true;
}

bool walk_item(ItemType type, Bytes body, ByteReader& reader) {
  switch (type) {
    case ItemType::kPadding:
    case ItemType::kPing:
      return true;
    case ItemType::kAck:
      return walk_ack(body, reader);
    case ItemType::kMessage:
    case ItemType::kOpen:
    case ItemType::kOpenAnnounced:
      return walk_message(type, body, reader);
    case ItemType::kGrant:
      return walk_plain<GrantItem>(body, reader, decode_grant, encode_grant);
    case ItemType::kCredit:
      return walk_plain<CreditItem>(body, reader, decode_credit, encode_credit);
    case ItemType::kResult:
      return walk_plain<ResultItem>(body, reader, decode_result, encode_result);
    case ItemType::kWithdraw:
      return walk_plain<std::uint32_t>(body, reader, decode_withdraw, encode_withdraw);
    case ItemType::kWithdrawNamed:
      return walk_named_withdraw(body, reader);
    case ItemType::kRun:
      return walk_run(body, reader);
    case ItemType::kRunResult:
      return walk_run_result(body, reader);
    case ItemType::kRunWithdraw: {
      std::uint32_t number = 0;
      std::uint32_t mask = 0;
      return decode_run_withdraw(reader, number, mask);
    }
    case ItemType::kClose:
      return walk_plain<Reason>(body, reader, decode_close, encode_close);
  }
  return false;
}

void walk_body(Bytes body) {
  ByteReader reader(body);
  while (!reader.at_end()) {
    const std::size_t before = reader.offset_bytes();
    const auto type = static_cast<ItemType>(reader.u8());
    if (type == ItemType::kPadding || type == ItemType::kPing) continue;
    const bool good = walk_item(type, body, reader);
    // Every item takes at least its type byte, and a refused one ends the walk: O(bytes).
    RW_CHECK(reader.offset_bytes() > before);
    RW_CHECK(good || !reader.ok() || static_cast<std::uint8_t>(type) > 10);
    if (!good) return;
  }
}

// A frame that is sealed verifies, and whatever bit of it changes, the tag tells: a CRC finds every
// single error.
void check_seal(Bytes bytes, std::uint64_t which) {
  static std::array<std::byte, kSealedBytes> room;
  std::memcpy(room.data(), bytes.data(), bytes.size());
  const auto frame = std::span<std::byte>(room).first(bytes.size());
  seal_clear(frame);
  RW_CHECK(verify_clear(frame));
  frame[which % frame.size()] ^= std::byte{1};
  RW_CHECK(!verify_clear(frame));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Bytes bytes(reinterpret_cast<const std::byte*>(data), std::min(size, kMaxBytes));
  const auto header = decode_frame_header(bytes);
  if (!header) {
    walk_body(bytes);
    return 0;
  }
  std::array<std::byte, kFrameHeaderBytes> encoded;
  encode_frame_header(*header, encoded);
  RW_CHECK(same(encoded, bytes.first(kFrameHeaderBytes)));

  if (bytes.size() <= kSealedBytes) check_seal(bytes, header->packet_number);
  walk_body(sealed_part(bytes).subspan(kFrameHeaderBytes));
  return 0;
}
