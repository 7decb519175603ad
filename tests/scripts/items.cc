#include "tests/scripts/items.h"

#include <algorithm>
#include <sstream>

#include "engine/wire/frame.h"
#include "engine/wire/items.h"
#include "engine/wire/message_codec.h"
#include "engine/wire/run_codec.h"

namespace ringwire::scripts {
namespace {

using wire::ItemType;

std::string number_text(std::uint32_t number, std::uint32_t slots) {
  return std::to_string(number % slots) + "." + std::to_string(number / slots);
}

// "5-7" or "5", joined by "+", newest first.
wire::AckItem read_ack(Words& words) {
  wire::AckItem ack;
  std::istringstream ranges(words.next());
  for (std::string range; std::getline(ranges, range, '+');) {
    const std::size_t dash = range.find('-');
    if (ack.count == ack.ranges.size()) throw BadScript("too many ranges");
    const auto low = std::stoull(range.substr(0, dash));
    const auto high = dash == std::string::npos ? low : std::stoull(range.substr(dash + 1));
    ack.ranges[ack.count++] = {low, high};
  }
  if (words.take("delay")) ack.delay_us = static_cast<std::uint64_t>(words.time()) / 1'000;
  return ack;
}

Id128 attachment_of(const std::string& name) {
  Id128 id{0x5c41'0000, 0};
  for (const char letter : name) id.low = id.low << 8 | static_cast<unsigned char>(letter);
  return id;
}

std::string attachment_name(const Id128& id) {
  std::string name;
  for (std::uint64_t left = id.low; left != 0; left >>= 8)
    name.insert(name.begin(), static_cast<char>(left & 0xff));
  return name.empty() ? "nobody" : name;
}

// "as HANDLE": defined with it; "handle HANDLE": the handle alone.
void read_use(Words& words, wire::HandleUse& use) {
  if (words.take("as")) use = {static_cast<std::uint32_t>(words.number()), true};
}

void write_message(Words& words, ByteWriter& writer, ItemType type, std::uint32_t slots) {
  const std::uint32_t number = words.message_number(slots);
  wire::MessageHeader header;
  header.id = {attachment_of("a"), 0, 1};
  wire::MessageHandles handles;
  std::string service;
  std::string key;
  while (!words.empty() && words.peek() != ",") {
    const std::string word = words.next();
    if (word == "bytes") {
      header.payload_bytes = words.number();
    } else if (word == "by") {
      header.id.attachment = attachment_of(words.next());
      read_use(words, handles.attachment);
    } else if (word == "by-handle") {
      handles.attachment = {static_cast<std::uint32_t>(words.number()), false};
    } else if (word == "to") {
      service = words.next();
      read_use(words, handles.service);
    } else if (word == "to-handle") {
      handles.service = {static_cast<std::uint32_t>(words.number()), false};
    } else if (word == "sequence") {
      header.id.sequence = words.number();
    } else if (word == "after") {
      header.predecessor = words.number();
    } else if (word == "level") {
      header.level = words.level();
    } else if (word == "flags") {
      header.flags = static_cast<std::uint16_t>(words.number());
    } else if (word == "key") {
      key.assign(words.number(), 'k');
    } else if (word == "reply-to") {
      header.flags |= wire::kReply;
      header.in_reply_to = {attachment_of(words.next()), 0, 1};
    } else {
      throw BadScript("a message has no '" + word + "'");
    }
  }
  header.service = service;
  header.key = as_bytes(key);
  wire::encode_message(writer, type, number, header, handles);
  if (type != ItemType::kMessage) return;
  for (std::uint64_t at = 0; at < header.payload_bytes; ++at) writer.u8(0x70);
}

void write_result(Words& words, ByteWriter& writer, std::uint32_t slots) {
  wire::ResultItem result;
  result.number = words.message_number(slots);
  result.settled = words.take("settled");
  result.released = words.take("released");
  result.ending = words.ending();
  if (!words.empty() && words.peek() != ",") result.reason = words.reason();
  wire::encode_result(writer, result);
}

// Each message of a run has `bytes` bytes of 0x70.
void write_run(Words& words, ByteWriter& writer, std::uint32_t slots) {
  const std::uint32_t number = words.message_number(slots);
  words.need("of");
  wire::RunHeader header;
  header.id = {attachment_of("a"), 0, 1};
  header.generation = 1;
  header.count = static_cast<std::uint32_t>(words.number());
  std::uint64_t bytes = 0;
  while (!words.empty() && words.peek() != ",") {
    const std::string word = words.next();
    if (word == "bytes") {
      bytes = words.number();
    } else if (word == "sequence") {
      header.id.sequence = words.number();
    } else if (word == "after") {
      header.after = words.message_number(slots);
    } else if (word == "level") {
      header.level = words.level();
    } else {
      throw BadScript("a run has no '" + word + "'");
    }
  }
  std::vector<std::byte> body;
  for (std::uint32_t index = 0; index < header.count; ++index) {
    const std::size_t at = body.size();
    body.resize(at + wire::kRunEntryHeaderBytes + bytes, std::byte{0x70});
    wire::put_run_entry(&body[at], {0, index, static_cast<std::uint16_t>(bytes), 0, nullptr});
  }
  wire::encode_run(writer, number, header, {}, body);
}

std::string read_run(ByteReader& reader, std::uint32_t slots) {
  wire::DecodedRun decoded;
  wire::RunHeader header;
  if (!wire::decode_run(reader, decoded, header)) throw BadScript("a bad RUN");
  return "RUN " + number_text(decoded.number, slots) + " of " + std::to_string(header.count) +
         " sequence " + std::to_string(header.id.sequence) +
         (header.after == 0 ? "" : " after " + number_text(header.after, slots));
}

void write_run_result(Words& words, ByteWriter& writer, std::uint32_t slots) {
  wire::RunResultItem result;
  result.number = words.message_number(slots);
  if (words.take("settled")) result.settled = static_cast<std::uint32_t>(words.number());
  if (words.take("released")) result.released = static_cast<std::uint32_t>(words.number());
  wire::encode_run_result(writer, result, {});
}

std::string read_run_result(ByteReader& reader, std::uint32_t slots) {
  wire::RunResultItem result;
  wire::RunFailures failures;
  if (!wire::decode_run_result(reader, result, failures)) throw BadScript("a bad RUN RESULT");
  std::ostringstream text;
  text << "RUN-RESULT " << number_text(result.number, slots) << " settled " << result.settled
       << " released " << result.released;
  for (std::uint32_t index = 0; index < wire::kMaxRunMessages; ++index)
    if ((result.failed >> index & 1) != 0)
      text << " #" << index << " " << name_of(failures.ending[index]) << " "
           << name_of(failures.reason[index]);
  return text.str();
}

std::string use_text(const std::string& what, const std::string& name, const wire::HandleUse& use) {
  if (use.handle != 0 && !use.define) return what + "-handle " + std::to_string(use.handle);
  return what + " " + name + (use.handle == 0 ? "" : " as " + std::to_string(use.handle));
}

std::string read_message(ByteReader& reader, ItemType type, std::uint32_t slots) {
  wire::DecodedMessage decoded;
  wire::MessageHeader header;
  if (!wire::decode_message(reader, decoded, header)) throw BadScript("a bad message item");
  std::ostringstream text;
  text << (type == ItemType::kMessage ? "MESSAGE "
           : type == ItemType::kOpen  ? "OPEN "
                                      : "ANNOUNCE ")
       << number_text(decoded.number, slots) << " bytes " << header.payload_bytes;
  text << " " << use_text("by", attachment_name(header.id.attachment), decoded.handles.attachment);
  text << " "
       << use_text("to", header.service.empty() ? "nothing" : std::string(header.service),
                   decoded.handles.service);
  text << " sequence " << header.id.sequence;
  if (header.predecessor != 0) text << " after " << header.predecessor;
  if (header.flags != 0) text << " flags " << header.flags;
  if (!header.key.empty()) text << " key " << header.key.size();
  if (type == ItemType::kMessage)
    static_cast<void>(reader.view(static_cast<std::size_t>(header.payload_bytes)));
  return text.str();
}

std::string read_item(ItemType type, ByteReader& reader, std::uint32_t slots) {
  std::ostringstream text;
  switch (type) {
    case ItemType::kPadding:
      return "PADDING";
    case ItemType::kPing:
      return "PING";
    case ItemType::kAck: {
      wire::AckItem ack;
      if (!wire::decode_ack(reader, ack)) throw BadScript("a bad ACK");
      text << "ACK ";
      for (std::size_t at = 0; at < ack.count; ++at) {
        text << (at > 0 ? "+" : "") << ack.ranges[at].low;
        if (ack.ranges[at].low != ack.ranges[at].high) text << "-" << ack.ranges[at].high;
      }
      text << " delay " << ack.delay_us << "us";
      return text.str();
    }
    case ItemType::kMessage:
    case ItemType::kOpen:
    case ItemType::kOpenAnnounced:
      return read_message(reader, type, slots);
    case ItemType::kGrant: {
      wire::GrantItem grant;
      if (!wire::decode_grant(reader, grant)) throw BadScript("a bad GRANT");
      text << "GRANT " << number_text(grant.number, slots) << " " << grant.fragments;
      return text.str();
    }
    case ItemType::kCredit: {
      wire::CreditItem credit;
      if (!wire::decode_credit(reader, credit)) throw BadScript("a bad CREDIT");
      text << "CREDIT " << unsigned{credit.service} << " messages " << credit.window_messages
           << " bytes " << credit.window_bytes;
      return text.str();
    }
    case ItemType::kResult: {
      wire::ResultItem result;
      if (!wire::decode_result(reader, result)) throw BadScript("a bad RESULT");
      text << "RESULT " << number_text(result.number, slots) << (result.settled ? " settled" : "")
           << (result.released ? " released" : "") << " " << name_of(result.ending) << " "
           << name_of(result.reason);
      return text.str();
    }
    case ItemType::kWithdraw: {
      std::uint32_t number = 0;
      if (!wire::decode_withdraw(reader, number)) throw BadScript("a bad WITHDRAW");
      return "WITHDRAW " + number_text(number, slots);
    }
    case ItemType::kWithdrawNamed: {
      wire::NamedWithdrawItem item;
      if (!wire::decode_named_withdraw(reader, item)) throw BadScript("a bad WITHDRAW-NAMED");
      text << "WITHDRAW-NAMED " << number_text(item.number, slots) << " "
           << use_text("by", attachment_name(item.id.attachment), item.attachment) << " sequence "
           << item.id.sequence << " after " << item.predecessor;
      return text.str();
    }
    case ItemType::kRun:
      return read_run(reader, slots);
    case ItemType::kRunResult:
      return read_run_result(reader, slots);
    case ItemType::kRunWithdraw: {
      std::uint32_t number = 0;
      std::uint32_t mask = 0;
      if (!wire::decode_run_withdraw(reader, number, mask)) throw BadScript("a bad RUN WITHDRAW");
      return "RUN-WITHDRAW " + number_text(number, slots) + " bits " + std::to_string(mask);
    }
    case ItemType::kClose: {
      Reason reason{};
      if (!wire::decode_close(reader, reason)) throw BadScript("a bad CLOSE");
      return "CLOSE " + std::string(name_of(reason));
    }
  }
  throw BadScript("an item of a type that docs/wire.md does not know");
}

}  // namespace

bool write_items(Words& words, ByteWriter& writer, std::uint32_t slots,
                 std::uint32_t fragment_bytes) {
  do {
    const std::string kind = words.next();
    if (kind == "FRAGMENT") {
      const std::uint32_t number = words.message_number(slots);
      const std::string index = words.next();
      writer.u32(number);
      writer.u64(std::stoull(index.at(0) == '#' ? index.substr(1) : index));
      const std::uint64_t bytes = words.take("bytes") ? words.number() : fragment_bytes;
      for (std::uint64_t at = 0; at < bytes; ++at) writer.u8(0x70);
      return true;
    }
    if (kind == "PADDING") {
      writer.u8(0);
    } else if (kind == "ACK") {
      wire::encode_ack(writer, read_ack(words));
    } else if (kind == "MESSAGE") {
      write_message(words, writer, ItemType::kMessage, slots);
    } else if (kind == "OPEN") {
      write_message(words, writer, ItemType::kOpen, slots);
    } else if (kind == "ANNOUNCE") {
      write_message(words, writer, ItemType::kOpenAnnounced, slots);
    } else if (kind == "GRANT") {
      const std::uint32_t number = words.message_number(slots);
      wire::encode_grant(writer, {number, words.number()});
    } else if (kind == "CREDIT") {
      const auto service = static_cast<std::uint8_t>(words.number());
      words.need("messages");
      const auto messages = static_cast<std::uint32_t>(words.number());
      words.need("bytes");
      wire::encode_credit(writer, {service, messages, static_cast<std::uint32_t>(words.number())});
    } else if (kind == "RESULT") {
      write_result(words, writer, slots);
    } else if (kind == "RUN") {
      write_run(words, writer, slots);
    } else if (kind == "RUN-RESULT") {
      write_run_result(words, writer, slots);
    } else if (kind == "RUN-WITHDRAW") {
      const std::uint32_t number = words.message_number(slots);
      words.need("bits");
      wire::encode_run_withdraw(writer, number, static_cast<std::uint32_t>(words.number()));
    } else if (kind == "WITHDRAW") {
      wire::encode_withdraw(writer, words.message_number(slots));
    } else if (kind == "WITHDRAW-NAMED") {
      wire::NamedWithdrawItem item;
      item.number = words.message_number(slots);
      words.need("by");
      item.id.attachment = attachment_of(words.next());
      read_use(words, item.attachment);
      words.need("sequence");
      item.id.sequence = words.number();
      words.need("after");
      item.predecessor = words.number();
      wire::encode_named_withdraw(writer, item);
    } else if (kind == "PING") {
      wire::encode_ping(writer);
    } else if (kind == "CLOSE") {
      wire::encode_close(writer, words.reason());
    } else if (kind == "BYTES") {
      while (!words.empty() && words.peek() != ",")
        writer.u8(static_cast<std::uint8_t>(std::stoul(words.next(), nullptr, 16)));
    } else {
      throw BadScript("there is no item '" + kind + "'");
    }
  } while (words.take(","));
  return false;
}

FrameText read_items(std::span<const std::byte> body, bool bulk, std::uint32_t slots) {
  FrameText frame;
  frame.bulk = bulk;
  if (bulk) {
    const auto number = load_le<std::uint32_t>(body.data());
    const auto index = load_le<std::uint64_t>(body.data() + 4);
    frame.items.push_back("FRAGMENT " + number_text(number, slots) + " #" + std::to_string(index) +
                          " bytes " + std::to_string(body.size() - wire::kBulkHeaderBytes));
    return frame;
  }
  ByteReader reader(body);
  while (!reader.at_end()) {
    const auto type = static_cast<ItemType>(reader.u8());
    frame.items.push_back(read_item(type, reader, slots));
  }
  return frame;
}

bool matches(const std::vector<std::string>& expected, const FrameText& frame) {
  if (expected.size() != frame.items.size()) return false;
  for (std::size_t at = 0; at < expected.size(); ++at) {
    // The words of the line stand in the item in this order; the item may say more.
    std::istringstream wanted(expected[at]);
    std::istringstream found(frame.items[at]);
    for (std::string word; wanted >> word;) {
      std::string other;
      do {
        if (!(found >> other)) return false;
      } while (other != word);
    }
  }
  return true;
}

}  // namespace ringwire::scripts
