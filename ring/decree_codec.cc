#include "ring/decree_codec.h"

#include <optional>

#include "base/bytes.h"
#include "base/check.h"
#include "base/hash.h"

namespace ringwire::ring {
namespace {

constexpr std::uint32_t kMessageMagic = 0x4d415752;  // "RWAM"
constexpr std::uint32_t kRecordMagic = 0x52415752;   // "RWAR"
constexpr std::size_t kChecksumBytes = 8;
constexpr std::size_t kIdBytes = 16;
constexpr std::size_t kBallotBytes = 8 + kIdBytes;
// Of magic, version and the byte after it.
constexpr std::size_t kPrefixBytes = 6;
// Three ids, epoch, two ballots: more than either form has beside its decrees.
constexpr std::size_t kFixedBytes =
    kPrefixBytes + 3 * kIdBytes + 8 + 2 * kBallotBytes + kChecksumBytes;

// Which optional parts a kind of message has.
struct Parts {
  bool ballot;
  bool other;
  bool decree;
};

std::optional<Parts> parts_of(MessageKind kind) {
  switch (kind) {
    case MessageKind::kPrepare:
    case MessageKind::kAccepted:
      return Parts{.ballot = true, .other = false, .decree = false};
    case MessageKind::kPromise:
      return Parts{.ballot = true, .other = true, .decree = true};
    case MessageKind::kAccept:
      return Parts{.ballot = true, .other = false, .decree = true};
    case MessageKind::kReject:
      return Parts{.ballot = true, .other = true, .decree = false};
    case MessageKind::kLearn:
      return Parts{.ballot = false, .other = false, .decree = true};
    case MessageKind::kAsk:
      return Parts{.ballot = false, .other = false, .decree = false};
  }
  return std::nullopt;
}

std::size_t decree_bytes(const Decree& decree) {
  return 1 + decree.voters.size() * kIdBytes + 1 + decree.losers.size() * kIdBytes + 4 +
         decree.description.size();
}

void write_id(ByteWriter& writer, const Id128& id) {
  writer.u64(id.high);
  writer.u64(id.low);
}

void write_ballot(ByteWriter& writer, const Ballot& ballot) {
  writer.u64(ballot.round);
  write_id(writer, ballot.proposer);
}

void write_ids(ByteWriter& writer, const IdSet& ids) {
  writer.u8(static_cast<std::uint8_t>(ids.size()));
  for (const Id128& id : ids) write_id(writer, id);
}

void write_decree(ByteWriter& writer, const Decree& decree) {
  write_ids(writer, decree.voters);
  write_ids(writer, decree.losers);
  writer.u32(static_cast<std::uint32_t>(decree.description.size()));
  writer.bytes(decree.description);
}

Id128 read_id(ByteReader& reader) {
  Id128 id;
  id.high = reader.u64();
  id.low = reader.u64();
  return id;
}

// A ballot that is there has a proposer; one that is not is all zeros, so that there is one form.
Ballot read_ballot(ByteReader& reader) {
  Ballot ballot;
  ballot.round = reader.u64();
  ballot.proposer = read_id(reader);
  if (ballot.round >= kMaxRound || ballot.empty() != ballot.proposer.empty()) reader.fail();
  return ballot;
}

IdSet read_ids(ByteReader& reader, std::size_t max_count) {
  IdSet ids;
  const std::size_t count = reader.u8();
  if (count > max_count || count * kIdBytes > reader.remaining_bytes()) {
    reader.fail();
    return ids;
  }
  ids.reserve(count);
  for (std::size_t i = 0; i < count; ++i) ids.push_back(read_id(reader));
  return ids;
}

// A decree may be empty where none is known; anything else must be well-formed.
Decree read_decree(ByteReader& reader) {
  Decree decree;
  decree.voters = read_ids(reader, kMaxVoters);
  decree.losers = read_ids(reader, kMaxLosers);
  const std::size_t description_bytes = reader.u32();
  const auto description = reader.view(description_bytes);
  if (!reader.ok() || description_bytes > kMaxDescriptionBytes) {
    reader.fail();
    return {};
  }
  decree.description.assign(description.begin(), description.end());
  if (decree != Decree{} && !is_well_formed(decree)) reader.fail();
  return decree;
}

std::vector<std::byte> seal(ByteWriter& writer, std::vector<std::byte>& buffer) {
  writer.u64(key_hash(writer.written()));
  RW_CHECK(writer.ok());
  buffer.resize(writer.written_bytes());
  return std::move(buffer);
}

// What lies between prefix and checksum, after both were looked at.
Result<std::span<const std::byte>, CodecError> unseal(std::span<const std::byte> bytes,
                                                      std::uint32_t magic) {
  if (bytes.size() < kPrefixBytes + kChecksumBytes) return Failure{CodecError::kDamaged};
  const auto covered = bytes.first(bytes.size() - kChecksumBytes);
  if (load_le<std::uint32_t>(bytes.data()) != magic) return Failure{CodecError::kNotOurs};
  if (load_le<std::uint64_t>(bytes.data() + covered.size()) != key_hash(covered))
    return Failure{CodecError::kDamaged};
  if (bytes[4] != std::byte{kAgreementVersion}) return Failure{CodecError::kOtherVersion};
  return covered.subspan(5);
}

}  // namespace

std::vector<std::byte> encode_message(const Message& message) {
  const auto parts = parts_of(message.kind);
  RW_CHECK(parts.has_value());
  std::vector<std::byte> buffer(kFixedBytes + decree_bytes(message.decree));
  ByteWriter writer(buffer);
  writer.u32(kMessageMagic);
  writer.u8(kAgreementVersion);
  writer.u8(static_cast<std::uint8_t>(message.kind));
  write_id(writer, message.cluster);
  write_id(writer, message.from);
  write_id(writer, message.to);
  writer.u64(message.epoch);
  if (parts->ballot) write_ballot(writer, message.ballot);
  if (parts->other) write_ballot(writer, message.other);
  if (parts->decree) write_decree(writer, message.decree);
  return seal(writer, buffer);
}

Result<Message, CodecError> decode_message(std::span<const std::byte> bytes) {
  const auto body = unseal(bytes, kMessageMagic);
  if (!body) return Failure{body.error()};
  ByteReader reader(body.value());
  Message message;
  message.kind = static_cast<MessageKind>(reader.u8());
  const auto parts = parts_of(message.kind);
  if (!parts) return Failure{CodecError::kBadContent};
  message.cluster = read_id(reader);
  message.from = read_id(reader);
  message.to = read_id(reader);
  message.epoch = reader.u64();
  if (message.epoch >= kMaxEpoch) reader.fail();
  if (parts->ballot) message.ballot = read_ballot(reader);
  if (parts->other) message.other = read_ballot(reader);
  if (parts->decree) message.decree = read_decree(reader);
  if (parts->ballot && message.ballot.empty()) reader.fail();
  if (message.kind == MessageKind::kLearn && message.epoch == 0) reader.fail();
  // Only a promise may come without a decree: when nothing was voted for.
  const bool wants_decree =
      parts->decree && (message.kind != MessageKind::kPromise || !message.other.empty());
  if (wants_decree == message.decree.voters.empty()) reader.fail();
  if (!reader.ok() || !reader.at_end()) return Failure{CodecError::kBadContent};
  return message;
}

std::vector<std::byte> encode_record(const Record& record) {
  std::vector<std::byte> buffer(kFixedBytes + decree_bytes(record.decree) +
                                decree_bytes(record.accepted_decree));
  ByteWriter writer(buffer);
  writer.u32(kRecordMagic);
  writer.u8(kAgreementVersion);
  writer.u8(record.accepted.empty() ? 0 : 1);
  write_id(writer, record.cluster);
  write_id(writer, record.self);
  writer.u64(record.epoch);
  write_decree(writer, record.decree);
  write_ballot(writer, record.promised);
  if (!record.accepted.empty()) {
    write_ballot(writer, record.accepted);
    write_decree(writer, record.accepted_decree);
  }
  return seal(writer, buffer);
}

Result<Record, CodecError> decode_record(std::span<const std::byte> bytes) {
  const auto body = unseal(bytes, kRecordMagic);
  if (!body) return Failure{body.error()};
  ByteReader reader(body.value());
  Record record;
  const std::uint8_t has_accepted = reader.u8();
  record.cluster = read_id(reader);
  record.self = read_id(reader);
  record.epoch = reader.u64();
  record.decree = read_decree(reader);
  record.promised = read_ballot(reader);
  if (has_accepted == 1) {
    record.accepted = read_ballot(reader);
    record.accepted_decree = read_decree(reader);
    if (record.accepted.empty() || record.accepted_decree.voters.empty()) reader.fail();
  }
  if (!reader.ok() || !reader.at_end() || has_accepted > 1 || record.epoch >= kMaxEpoch ||
      (record.epoch == 0) != record.decree.voters.empty() || record.promised < record.accepted)
    return Failure{CodecError::kBadContent};
  return record;
}

}  // namespace ringwire::ring
