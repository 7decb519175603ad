// A peer that seals its frames well and lies in them: makes frames out of a fuzzer's bytes that are
// nearly right, so that a lie is met behind all the doors that an honest frame passes. Fuzz targets
// only; one thread.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "engine/transport/message_numbers.h"
#include "engine/wire/frame.h"
#include "engine/wire/items.h"
#include "engine/wire/message_codec.h"
#include "engine/wire/run_codec.h"
#include "tests/fuzz/input.h"

namespace ringwire::fuzz {

class Forger {
 public:
  Forger(std::uint64_t connection_id, std::uint32_t message_slots, std::uint32_t max_packet_bytes)
      : connection_id_(connection_id),
        numbers_(message_slots),
        max_packet_bytes_(max_packet_bytes),
        fragment_bytes_(transport::fragment_bytes(max_packet_bytes)) {}

  // What an attentive liar knows of the session that it talks to.
  std::uint64_t their_newest_packet = 0;
  std::vector<std::uint32_t> their_numbers;  ///< of messages that were sent to it

  /// A frame of 1 to 4 items, each made from the input.
  std::span<const std::byte> mixed(Input& input) {
    ByteWriter writer(body());
    for (std::uint32_t items = 1 + input.below(4); items > 0; --items) write_item(writer, input);
    return seal(wire::FrameKind::kMixed, input, writer.written_bytes());
  }

  /// A fragment of one of its own messages, of the right length unless the input has it otherwise.
  std::span<const std::byte> bulk(Input& input) {
    const Own& own = own_[input.below(kOwn)];
    ByteWriter writer(body());
    const std::uint32_t lie = input.u8();
    writer.u32(lie == 1 ? input.u32() : own.number);
    const std::uint64_t fragment = lie == 2 ? input.near(own.payload_bytes) : input.below(64);
    writer.u64(fragment);
    const std::uint64_t offset = fragment * fragment_bytes_;
    std::uint64_t bytes = own.payload_bytes > offset
                              ? std::min<std::uint64_t>(fragment_bytes_, own.payload_bytes - offset)
                              : fragment_bytes_;
    if (lie == 3) bytes = input.u16() % (fragment_bytes_ + 1);
    for (std::uint64_t at = 0; at < bytes; ++at) writer.u8(static_cast<std::uint8_t>(fragment));
    return seal(wire::FrameKind::kBulk, input, writer.written_bytes());
  }

  /// Any body, sealed.
  std::span<const std::byte> raw(Input& input) {
    ByteWriter writer(body());
    const auto kind = input.flag() ? wire::FrameKind::kBulk : wire::FrameKind::kMixed;
    writer.bytes(input.raw(input.u8()));
    return seal(kind, input, writer.written_bytes());
  }

  /// Acknowledges all that came: what an honest peer would do.
  std::span<const std::byte> honest_ack() {
    ByteWriter writer(body());
    wire::AckItem ack;
    ack.count = 1;
    ack.ranges[0] = {1, std::max<std::uint64_t>(their_newest_packet, 1)};
    wire::encode_ack(writer, ack);
    return finish(wire::FrameKind::kMixed, ++packet_number_, writer.written_bytes());
  }

 private:
  static constexpr std::uint32_t kOwn = 8;
  struct Own {
    std::uint32_t number = 0;
    std::uint64_t payload_bytes = 0;
  };

  std::span<std::byte> body() {
    return std::span(frame_).subspan(wire::kFrameHeaderBytes,
                                     max_packet_bytes_ - wire::kFrameOverheadBytes);
  }
  std::span<const std::byte> seal(wire::FrameKind kind, Input& input, std::size_t body_bytes) {
    const std::uint8_t lie = input.u8();
    std::uint64_t number = ++packet_number_;
    if (lie == 1) number = input.near(packet_number_);
    if (lie == 2) number = packet_number_ += input.u16();
    return finish(kind, number, body_bytes);
  }
  std::span<const std::byte> finish(wire::FrameKind kind, std::uint64_t number,
                                    std::size_t body_bytes) {
    const auto frame = std::span(frame_).first(body_bytes + wire::kFrameOverheadBytes);
    wire::encode_frame_header({kind, connection_id_, number}, frame);
    wire::seal_clear(frame);
    return frame;
  }

  std::uint32_t their_number(Input& input) {
    if (their_numbers.empty() || input.u8() == 255) return input.u32();
    return their_numbers[input.below(static_cast<std::uint32_t>(their_numbers.size()))];
  }

  void write_item(ByteWriter& writer, Input& input) {
    switch (input.below(12)) {
      case 0:
        return write_ack(writer, input);
      case 1:
      case 2:
        return write_message(writer, input, wire::ItemType::kMessage);
      case 3:
        return write_message(writer, input, wire::ItemType::kOpen);
      case 4:
        return write_message(writer, input, wire::ItemType::kOpenAnnounced);
      case 5:
        return wire::encode_grant(writer, {their_number(input), input.near(16)});
      case 6: {
        const auto messages = static_cast<std::uint32_t>(input.near(64));
        return wire::encode_credit(writer, {static_cast<std::uint8_t>(input.below(66)), messages,
                                            static_cast<std::uint32_t>(input.near(1 << 18))});
      }
      case 7: {
        writer.u8(static_cast<std::uint8_t>(wire::ItemType::kResult));
        writer.varint(their_number(input));
        writer.u8(static_cast<std::uint8_t>(input.below(17)));
        return writer.u8(static_cast<std::uint8_t>(input.below(21)));
      }
      case 8:
        if (input.flag()) return write_named_withdraw(writer, input);
        return wire::encode_withdraw(writer, own_number(input));
      case 9:
        if (input.flag()) return write_run_item(writer, input);
        return wire::encode_ping(writer);
      case 10:
        if (input.u8() != 1) return;  // a close ends the story: rare
        writer.u8(static_cast<std::uint8_t>(wire::ItemType::kClose));
        return writer.u8(static_cast<std::uint8_t>(input.below(21)));
      default:
        return writer.bytes(input.raw(input.below(8)));
    }
  }

  void write_named_withdraw(ByteWriter& writer, Input& input) {
    wire::NamedWithdrawItem item;
    item.number = own_number(input);
    item.attachment = {input.below(4), input.flag()};
    item.id = {{7, input.below(3)}, input.below(2), 1 + input.near(100)};
    item.predecessor = input.below(4) == 0 ? 0 : input.near(item.id.sequence);
    wire::encode_named_withdraw(writer, item);
  }

  void write_run_item(ByteWriter& writer, Input& input) {
    switch (input.below(3)) {
      case 0: {
        wire::RunHeader header;
        header.id = {{7, 1}, 0, 1 + input.near(100)};
        header.count = input.below(34);
        header.after = input.below(3) == 0 ? own_number(input) : 0;
        header.level = static_cast<Level>(input.below(3));
        std::vector<std::byte> body;
        for (std::uint32_t index = 0; index < header.count; ++index) {
          const std::size_t at = body.size();
          const auto bytes = static_cast<std::uint16_t>(input.below(20));
          body.resize(at + wire::kRunEntryHeaderBytes + bytes);
          wire::put_run_entry(&body[at], {index, index, bytes, 0, nullptr});
        }
        return wire::encode_run(writer, own_number(input), header, {}, body);
      }
      case 1:
        return wire::encode_run_result(writer, {their_number(input), input.u8(), input.u8(), 0},
                                       {});
      default:
        return wire::encode_run_withdraw(writer, own_number(input), input.u8());
    }
  }

  void write_ack(ByteWriter& writer, Input& input) {
    writer.u8(static_cast<std::uint8_t>(wire::ItemType::kAck));
    writer.varint(input.near(their_newest_packet));
    writer.varint(input.u8());
    const std::uint32_t ranges = 1 + input.below(4);
    writer.u8(static_cast<std::uint8_t>(ranges));
    for (std::uint32_t at = 0; at < ranges; ++at) {
      if (at > 0) writer.varint(input.below(4));
      writer.varint(input.below(4));
    }
  }

  // An own number: mostly the one of a slot as it was last used, or its next.
  std::uint32_t own_number(Input& input) {
    const std::uint8_t how = input.u8();
    const Own& own = own_[how % kOwn];
    return how < 250 ? own.number + (how & 64) / 64 * numbers_.slots() : input.u32();
  }

  void write_message(ByteWriter& writer, Input& input, wire::ItemType type) {
    static constexpr std::array<std::uint64_t, 8> kOpenBytes{1'000,  5'000,  65'536, 65'537,
                                                             70'000, 12'345, 0,      1};
    static constexpr std::array<std::string_view, 3> kServices{"", "a", "bb"};
    const std::uint32_t slot = input.below(kOwn);
    Own& own = own_[slot];
    const std::uint32_t generation = numbers_.generation_of(own.number);
    // Mostly the next of its slot; sometimes a repetition, or any.
    const std::uint8_t how = input.u8();
    std::uint32_t number = numbers_.number_of(slot, numbers_.next_generation(generation));
    if (how < 16 && own.number != 0) number = own.number;
    if (how == 255) number = input.u32();
    wire::MessageHeader header;
    header.id = {{1, input.below(4) + 1}, input.below(2), input.near(8)};
    if (input.below(4) == 0) header.predecessor = header.id.sequence - input.below(3);
    header.hash = input.below(4);
    header.level = static_cast<Level>(input.below(3));
    header.flags = input.below(4) == 0 ? static_cast<std::uint16_t>(input.u16() & 0x3ff) : 0;
    header.attempt = input.below(8) == 0 ? input.u32() : 1;
    header.service = kServices[input.below(3)];
    header.key = input.raw(input.below(5));
    if (type == wire::ItemType::kMessage) header.payload_bytes = input.below(48);
    if (type == wire::ItemType::kOpen) header.payload_bytes = kOpenBytes[input.below(8)];
    if (type == wire::ItemType::kOpenAnnounced)
      header.payload_bytes = input.u8() == 1 ? input.u64() : kOpenBytes[3 + input.below(2)];
    if ((header.flags & wire::kReply) != 0) header.in_reply_to = {{1, 9}, 0, input.near(1)};
    wire::MessageHandles handles;
    if (const std::uint32_t handle = input.below(6); handle != 0)
      handles.attachment = {(handle & 1) << transport::kAttachmentHandleBits | (1 + handle % 3),
                            input.below(8) != 0};
    if (const std::uint32_t handle = input.below(5); handle != 0)
      handles.service = {handle, input.below(8) != 0};
    // The name and the handle fit each other, mostly.
    if (handles.service.handle != 0 && input.below(8) != 0)
      header.service = kServices[handles.service.handle % 3];
    if (handles.attachment.handle != 0 && input.below(8) != 0)
      header.id.attachment = {1, handles.attachment.handle};
    encode_message(writer, type, number, header, handles);
    own = {number, header.payload_bytes};
    if (type == wire::ItemType::kMessage)
      for (std::uint64_t at = 0; at < header.payload_bytes; ++at) writer.u8(0xbb);
  }

  std::uint64_t connection_id_;
  transport::MessageNumbers numbers_;
  std::uint32_t max_packet_bytes_;
  std::uint32_t fragment_bytes_;
  std::uint64_t packet_number_ = 0;
  std::array<Own, kOwn> own_{};
  std::array<std::byte, 9'216> frame_{};
};

}  // namespace ringwire::fuzz
