#include "engine/wire/message_codec.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/random.h"

namespace ringwire::wire {
namespace {

struct Sample {
  MessageHeader header;
  MessageHandles handles;
  std::string service;
  std::vector<std::byte> key;
};

HandleUse random_use(Random& random, std::uint32_t most) {
  if (random.chance(0.3)) return {};
  return {static_cast<std::uint32_t>(random.between(1, most)), random.chance(0.5)};
}

// A number of a random length, so that all lengths of encodings occur.
std::uint64_t random_number(Random& random) { return random.next() >> random.below(64); }

void fill(Random& random, Sample& sample) {
  sample.service.assign(random.below(kMaxNameBytes + 1), 's');
  sample.key.assign(random.chance(0.1) ? kMaxKeyBytes : random.below(40), std::byte{3});
  MessageHeader& header = sample.header;
  header.id = {{random.next(), random.next()},
               static_cast<std::uint32_t>(random_number(random)),
               random_number(random) & kMaxSequence};
  if (header.id.sequence > 1 && random.chance(0.5))
    header.predecessor = random.between(1, header.id.sequence - 1);
  header.hash = random.next();
  header.epoch = random_number(random);
  header.payload_bytes = random_number(random) & kMaxPayloadBytes;
  header.attempt = random.chance(0.5) ? 1 : static_cast<std::uint32_t>(random_number(random) | 1);
  header.flags = static_cast<std::uint16_t>(random.below(256));
  header.level = static_cast<Level>(random.below(3));
  header.priority = static_cast<std::uint8_t>(random.chance(0.5) ? 0 : random.below(256));
  if (random.chance(0.5) || (header.flags & (kReply | kToOrigin)) != 0)
    header.in_reply_to = {{random.next(), random.next()}, 5, random_number(random)};
  header.key = sample.key;
  header.service = sample.service;
  sample.handles.attachment = random_use(random, 0xffff'ffff);
  sample.handles.service = random_use(random, 63);
  sample.handles.reply_attachment = random_use(random, 0xffff'ffff);
}

bool in_full(const HandleUse& use) { return use.define || use.handle == 0; }

void expect_same_use(const HandleUse& left, const HandleUse& right) {
  ASSERT_EQ(left.handle, right.handle);
  if (left.handle != 0) {
    ASSERT_EQ(left.define, right.define);
  }
}

TEST(MessageCodec, encodes_the_same_into_all_the_room_it_needs_and_no_more) {
  Random random(5);
  std::vector<std::byte> wide(2'000);
  std::vector<std::byte> narrow(2'000);
  for (int round = 0; round < 10'000; ++round) {
    Sample sample;
    fill(random, sample);
    const std::size_t bytes = message_bytes(77, sample.header, sample.handles);
    ByteWriter first(wide);
    encode_message(first, ItemType::kMessage, 77, sample.header, sample.handles);
    ByteWriter second{std::span(narrow).first(bytes)};
    encode_message(second, ItemType::kMessage, 77, sample.header, sample.handles);
    ASSERT_TRUE(second.ok());
    ASSERT_EQ(second.room_bytes(), 0U);
    ASSERT_TRUE(std::ranges::equal(first.written(), second.written()));
    ByteWriter third{std::span(narrow).first(bytes - 1)};
    encode_message(third, ItemType::kMessage, 77, sample.header, sample.handles);
    ASSERT_FALSE(third.ok());
  }
}

// W-12 to W-16
TEST(MessageCodec, decodes_what_was_encoded) {
  Random random(1);
  std::vector<std::byte> buffer(2'000);
  for (int round = 0; round < 20'000; ++round) {
    Sample sample;
    fill(random, sample);
    const MessageHeader& header = sample.header;
    ASSERT_TRUE(valid_header(header));
    const auto number = static_cast<std::uint32_t>(random.next());
    ByteWriter writer{std::span(buffer).first(max_message_bytes(header))};
    encode_message(writer, ItemType::kOpen, number, header, sample.handles);
    ASSERT_TRUE(writer.ok());
    ASSERT_EQ(writer.written_bytes(), message_bytes(number, header, sample.handles));

    ByteReader reader(writer.written());
    ASSERT_EQ(reader.u8(), static_cast<std::uint8_t>(ItemType::kOpen));
    DecodedMessage decoded;
    MessageHeader back;
    ASSERT_TRUE(decode_message(reader, decoded, back));
    ASSERT_TRUE(reader.at_end());
    ASSERT_EQ(decoded.number, number);
    expect_same_use(decoded.handles.attachment, sample.handles.attachment);
    expect_same_use(decoded.handles.service, sample.handles.service);
    if (in_full(sample.handles.attachment)) {
      ASSERT_EQ(back.id.attachment, header.id.attachment);
    }
    if (in_full(sample.handles.service)) {
      ASSERT_EQ(back.service, header.service);
    }
    if (!header.in_reply_to.attachment.empty()) {
      expect_same_use(decoded.handles.reply_attachment, sample.handles.reply_attachment);
      if (in_full(sample.handles.reply_attachment)) {
        ASSERT_EQ(back.in_reply_to.attachment, header.in_reply_to.attachment);
      }
    }
    ASSERT_EQ(back.in_reply_to.channel, header.in_reply_to.channel);
    ASSERT_EQ(back.in_reply_to.sequence, header.in_reply_to.sequence);
    ASSERT_EQ(back.id.channel, header.id.channel);
    ASSERT_EQ(back.id.sequence, header.id.sequence);
    ASSERT_EQ(back.predecessor, header.predecessor);
    ASSERT_EQ(back.hash, header.hash);
    ASSERT_EQ(back.epoch, header.epoch);
    ASSERT_EQ(back.payload_bytes, header.payload_bytes);
    ASSERT_EQ(back.attempt, header.attempt);
    ASSERT_EQ(back.flags, header.flags);
    ASSERT_EQ(back.level, header.level);
    ASSERT_EQ(back.priority, header.priority);
    ASSERT_TRUE(std::ranges::equal(back.key, header.key));
  }
}

// W-16
TEST(MessageCodec, any_truncation_is_refused) {
  Random random(2);
  std::vector<std::byte> buffer(2'000);
  for (int round = 0; round < 500; ++round) {
    Sample sample;
    fill(random, sample);
    ByteWriter writer(buffer);
    encode_message(writer, ItemType::kMessage, 1, sample.header, sample.handles);
    for (std::size_t bytes = 1; bytes < writer.written_bytes(); ++bytes) {
      ByteReader reader(writer.written().first(bytes).subspan(1));
      DecodedMessage decoded;
      MessageHeader back;
      ASSERT_FALSE(decode_message(reader, decoded, back)) << bytes;
    }
  }
}

// W-16
TEST(MessageCodec, any_bytes_decode_to_a_valid_header_or_an_error) {
  Random random(3);
  std::vector<std::byte> buffer(2'000);
  int good = 0;
  for (int round = 0; round < 100'000; ++round) {
    Sample sample;
    fill(random, sample);
    ByteWriter writer(buffer);
    encode_message(writer, ItemType::kMessage, 1, sample.header, sample.handles);
    const auto bytes = writer.written();
    for (std::uint64_t change = random.below(4); change > 0; --change)
      bytes[random.below(std::min<std::size_t>(bytes.size(), 60))] ^=
          static_cast<std::byte>(1U << random.below(8));
    ByteReader reader(bytes.subspan(1));
    DecodedMessage decoded;
    MessageHeader back;
    if (!decode_message(reader, decoded, back)) continue;
    ++good;
    ASSERT_TRUE(valid_header(back));
  }
  EXPECT_GT(good, 10'000);
  EXPECT_LT(good, 100'000);
}

// W-16
TEST(MessageCodec, knows_which_headers_keep_the_rules) {
  const std::vector<std::byte> key(kMaxKeyBytes + 1);
  const std::string service(kMaxNameBytes + 1, 's');
  MessageHeader header;
  header.id.sequence = 5;
  header.predecessor = 4;
  header.key = std::span(key).first(kMaxKeyBytes);
  header.service = std::string_view(service).substr(1);
  EXPECT_TRUE(valid_header(header));
  auto broken = header;
  broken.key = key;
  EXPECT_FALSE(valid_header(broken));
  broken = header;
  broken.service = service;
  EXPECT_FALSE(valid_header(broken));
  broken = header;
  broken.predecessor = 5;
  EXPECT_FALSE(valid_header(broken));
  broken = header;
  broken.attempt = 0;
  EXPECT_FALSE(valid_header(broken));
  broken = header;
  broken.flags = 512;
  EXPECT_FALSE(valid_header(broken));
  broken = header;
  broken.level = static_cast<Level>(3);
  EXPECT_FALSE(valid_header(broken));
}

// W-16: numbers that a receiver adds to must leave room for the sum
TEST(MessageCodec, refuses_sequences_and_sizes_that_could_overflow) {
  struct Row {
    std::uint64_t sequence;
    std::uint64_t payload_bytes;
    bool good;
  };
  constexpr std::uint64_t kMost = (std::uint64_t{1} << 62) - 1;
  for (const Row& row :
       {Row{kMost, kMost, true}, Row{kMost + 1, 1, false}, Row{1, kMost + 1, false},
        Row{1, ~std::uint64_t{0} - 9, false}, Row{~std::uint64_t{0}, 1, false}}) {
    MessageHeader header;
    header.id.sequence = row.sequence;
    header.payload_bytes = row.payload_bytes;
    EXPECT_EQ(valid_header(header), row.good);
    std::vector<std::byte> buffer(200);
    ByteWriter writer(buffer);
    encode_message(writer, ItemType::kOpenAnnounced, 1, header, {});
    ByteReader reader(writer.written().subspan(1));
    DecodedMessage decoded;
    MessageHeader back;
    EXPECT_EQ(decode_message(reader, decoded, back), row.good) << row.sequence;
  }
}

// W-28
TEST(MessageCodec, a_named_withdrawal_comes_back_as_it_was) {
  Random random(5);
  for (int round = 0; round < 10'000; ++round) {
    Sample sample;
    fill(random, sample);
    NamedWithdrawItem item{static_cast<std::uint32_t>(random.next()), sample.handles.attachment,
                           sample.header.id, sample.header.predecessor};
    std::array<std::byte, kMaxNamedWithdrawBytes> buffer;
    ByteWriter writer{buffer};
    encode_named_withdraw(writer, item);
    ASSERT_TRUE(writer.ok());
    ByteReader reader(writer.written().subspan(1));
    NamedWithdrawItem decoded;
    ASSERT_TRUE(decode_named_withdraw(reader, decoded));
    ASSERT_TRUE(reader.at_end());
    if (!in_full(item.attachment)) item.id.attachment = {};
    EXPECT_EQ(decoded.number, item.number);
    EXPECT_EQ(decoded.id, item.id);
    EXPECT_EQ(decoded.predecessor, item.predecessor);
    expect_same_use(decoded.attachment, item.attachment);
    // Cut off anywhere it is none.
    ByteReader half(writer.written().subspan(1, random.below(writer.written().size() - 1)));
    EXPECT_FALSE(decode_named_withdraw(half, decoded));
  }
}

}  // namespace
}  // namespace ringwire::wire
