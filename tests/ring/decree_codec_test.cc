#include "ring/decree_codec.h"

#include <gtest/gtest.h>

#include <string>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/random.h"

namespace ringwire::ring {
namespace {

using Bytes = std::vector<std::byte>;

Id128 random_id(Random& random) { return {.high = 1 + random.below(9), .low = random.next()}; }

Ballot random_ballot(Random& random) {
  return {.round = 1 + random.below(kMaxRound - 1), .proposer = random_id(random)};
}

Decree random_decree(Random& random) {
  Decree decree;
  for (std::size_t count = 1 + random.below(kMaxVoters); decree.voters.size() < count;)
    insert(decree.voters, random_id(random));
  for (std::size_t count = random.below(3); decree.losers.size() < count;)
    insert(decree.losers, random_id(random));
  decree.description.resize(random.below(200));
  for (std::byte& byte : decree.description) byte = static_cast<std::byte>(random.next());
  return decree;
}

Message random_message(Random& random) {
  Message message;
  message.kind = static_cast<MessageKind>(1 + random.below(7));
  message.cluster = random_id(random);
  message.from = random_id(random);
  message.to = random_id(random);
  message.epoch = 1 + random.below(kMaxEpoch - 1);
  const MessageKind kind = message.kind;
  if (kind != MessageKind::kLearn && kind != MessageKind::kAsk)
    message.ballot = random_ballot(random);
  if (kind == MessageKind::kReject || (kind == MessageKind::kPromise && random.chance(0.5)))
    message.other = random_ballot(random);
  if (kind == MessageKind::kAccept || kind == MessageKind::kLearn ||
      (kind == MessageKind::kPromise && !message.other.empty()))
    message.decree = random_decree(random);
  return message;
}

Record random_record(Random& random) {
  Record record;
  record.cluster = random_id(random);
  record.self = random_id(random);
  record.epoch = random.below(3);
  if (record.epoch != 0) record.decree = random_decree(random);
  if (random.chance(0.7)) record.promised = random_ballot(random);
  if (!record.promised.empty() && random.chance(0.5)) {
    record.accepted = record.promised;
    record.accepted_decree = random_decree(random);
  }
  return record;
}

// Changes bytes and puts the right checksum behind them again, like a peer that lies.
Bytes resealed(Bytes bytes) {
  const std::size_t covered = bytes.size() - 8;
  store_le(bytes.data() + covered, key_hash(std::span(bytes).first(covered)));
  return bytes;
}

std::string hex(std::span<const std::byte> bytes) {
  std::string text;
  for (const std::byte byte : bytes) {
    text += "0123456789abcdef"[std::to_integer<unsigned>(byte) >> 4];
    text += "0123456789abcdef"[std::to_integer<unsigned>(byte) & 15];
  }
  return text;
}

TEST(DecreeCodec, layout_of_a_message_is_fixed) {
  const Message ask{.kind = MessageKind::kAsk,
                    .cluster = {1, 2},
                    .from = {3, 4},
                    .to = {5, 6},
                    .epoch = 7,
                    .ballot = {},
                    .other = {},
                    .decree = {}};
  const Bytes bytes = encode_message(ask);
  EXPECT_EQ(hex(std::span(bytes).first(bytes.size() - 8)),
            "5257414d0107"
            "01000000000000000200000000000000"
            "03000000000000000400000000000000"
            "05000000000000000600000000000000"
            "0700000000000000");
}

TEST(DecreeCodec, gives_back_every_message) {
  Random random(1);
  for (int i = 0; i < 10'000; ++i) {
    const Message message = random_message(random);
    const auto decoded = decode_message(encode_message(message));
    ASSERT_TRUE(decoded.ok()) << i;
    ASSERT_EQ(decoded.value(), message) << i;
  }
}

TEST(DecreeCodec, gives_back_every_record) {
  Random random(2);
  for (int i = 0; i < 10'000; ++i) {
    const Record record = random_record(random);
    const auto decoded = decode_record(encode_record(record));
    ASSERT_TRUE(decoded.ok()) << i;
    ASSERT_EQ(decoded.value(), record) << i;
  }
}

// M-13: a record of which only a part reached the disk, or of which a bit turned, is seen.
TEST(DecreeCodec, a_torn_or_rotten_record_is_damaged) {
  Random random(3);
  const Bytes whole = encode_record(random_record(random));
  const Bytes other = encode_record(random_record(random));
  for (std::size_t bytes = 0; bytes < whole.size(); ++bytes) {
    ASSERT_FALSE(decode_record(std::span(whole).first(bytes)).ok()) << bytes;
    Bytes torn = other;  // the new bytes' beginning over the old ones
    std::copy_n(whole.begin(), std::min(bytes, torn.size()), torn.begin());
    if (torn != other && torn != whole) {
      ASSERT_FALSE(decode_record(torn).ok()) << bytes;
    }
    for (int bit = 0; bit < 8; ++bit) {
      Bytes rotten = whole;
      rotten[bytes] ^= static_cast<std::byte>(1 << bit);
      ASSERT_FALSE(decode_record(rotten).ok()) << bytes << ", bit " << bit;
    }
  }
}

TEST(DecreeCodec, any_bytes_give_a_message_or_an_error) {
  Random random(4);
  for (int i = 0; i < 20'000; ++i) {
    Bytes bytes = encode_message(random_message(random));
    for (std::size_t changes = 1 + random.below(4); changes > 0; --changes)
      bytes[6 + random.below(bytes.size() - 6)] = static_cast<std::byte>(random.next());
    bytes.resize(8 + random.below(bytes.size() - 7));
    bytes = resealed(std::move(bytes));
    const auto decoded = decode_message(bytes);
    if (decoded.ok()) {
      ASSERT_EQ(encode_message(decoded.value()), bytes) << i;
    }
    const auto record = decode_record(bytes);
    ASSERT_FALSE(record.ok());
  }
}

struct Spoiled {
  const char* what;
  std::size_t offset;
  int value;
  CodecError error;
};

TEST(DecreeCodec, names_what_is_wrong) {
  const Id128 id{1, 1};
  const Record record{.cluster = id,
                      .self = id,
                      .epoch = 1,
                      .decree = {.voters = {id, {2, 2}}, .losers = {}, .description = {}},
                      .promised = {.round = 3, .proposer = id},
                      .accepted = {},
                      .accepted_decree = {}};
  const Bytes bytes = encode_record(record);
  const Spoiled table[] = {
      {"magic", 0, 1, CodecError::kNotOurs},
      {"version", 4, 2, CodecError::kOtherVersion},
      {"accepted flag", 5, 2, CodecError::kBadContent},
      {"accepted without a vote", 5, 1, CodecError::kBadContent},
      {"epoch 0 with a view", 38, 0, CodecError::kBadContent},
      {"epoch too large", 45, 0x40, CodecError::kBadContent},
      {"no voters", 46, 0, CodecError::kBadContent},
      {"too many voters", 46, 32, CodecError::kBadContent},
      {"voters not in order", 47, 3, CodecError::kBadContent},
      {"a voter twice", 63, 1, CodecError::kBadContent},
      {"too many losers", 79, 65, CodecError::kBadContent},
      {"description beyond the end", 82, 1, CodecError::kBadContent},
      {"round too large", 91, 0x40, CodecError::kBadContent},
      {"round of nobody", 84, 0, CodecError::kBadContent},
  };
  for (const Spoiled& row : table) {
    Bytes spoiled = bytes;
    spoiled[row.offset] = static_cast<std::byte>(row.value);
    if (std::string(row.what) == "a voter twice") spoiled[71] = std::byte{1};
    const auto decoded = decode_record(resealed(std::move(spoiled)));
    ASSERT_FALSE(decoded.ok()) << row.what;
    EXPECT_EQ(decoded.error(), row.error) << row.what;
  }
  Bytes rotten = bytes;
  rotten[20] ^= std::byte{1};
  EXPECT_EQ(decode_record(rotten).error(), CodecError::kDamaged);
  EXPECT_EQ(decode_record({}).error(), CodecError::kDamaged);
}

// M-5: up to 31 voters, with all that goes with them.
TEST(DecreeCodec, the_largest_message_fits_the_control_plane) {
  Message message{.kind = MessageKind::kPromise,
                  .cluster = {1, 1},
                  .from = {2, 2},
                  .to = {3, 3},
                  .epoch = 9,
                  .ballot = {.round = 2, .proposer = {4, 4}},
                  .other = {.round = 1, .proposer = {4, 4}},
                  .decree = {}};
  for (std::uint64_t i = 0; i < kMaxVoters; ++i) insert(message.decree.voters, {i + 1, 0});
  for (std::uint64_t i = 0; i < kMaxLosers; ++i) insert(message.decree.losers, {i + 1, 0});
  message.decree.description.resize(kMaxDescriptionBytes);
  ASSERT_TRUE(is_well_formed(message.decree));
  const Bytes bytes = encode_message(message);
  EXPECT_LT(bytes.size(), 64U * 1024U - 6U);
  EXPECT_TRUE(decode_message(bytes).ok());
  message.decree.description.resize(kMaxDescriptionBytes + 1);
  EXPECT_FALSE(is_well_formed(message.decree));
}

TEST(Decree, majority_is_more_than_half_of_the_voters_themselves) {
  const IdSet voters{{1, 0}, {2, 0}, {3, 0}, {4, 0}};
  EXPECT_FALSE(is_majority(voters, {{1, 0}, {2, 0}}));
  EXPECT_TRUE(is_majority(voters, {{1, 0}, {2, 0}, {4, 0}}));
  EXPECT_FALSE(is_majority(voters, {{1, 0}, {2, 0}, {5, 0}, {6, 0}}));
  EXPECT_FALSE(is_majority({}, {{1, 0}}));
}

}  // namespace
}  // namespace ringwire::ring
