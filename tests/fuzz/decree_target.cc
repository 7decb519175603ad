// What voters say to each other and keep on disk (docs/membership.md M-10 to M-16): any bytes are a
// message, a record or an error; what is decoded is within its limits and encodes to the very same
// bytes; one bit changed is seen. What decodes goes on to a voter: whatever its peers say, it says
// and writes only what can be read again, and its epoch never falls.
//
// An input is a story of units: how, two bytes of length, that many raw bytes. They are decoded as
// they are, or sealed first, like those of a peer that lies.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "base/check.h"
#include "base/hash.h"
#include "ring/agreement.h"
#include "ring/decree_codec.h"
#include "tests/fuzz/input.h"

namespace {

using namespace ringwire;
using namespace ringwire::ring;
using Bytes = std::vector<std::byte>;

constexpr std::size_t kVersionAt = 4;  // behind the magic number
constexpr std::size_t kClusterAt = 6;
constexpr std::size_t kFromAt = 22;
constexpr std::size_t kToAt = 38;
constexpr std::size_t kFixedBytes = 54;
constexpr Id128 kCluster{.high = 0, .low = 77};

Id128 voter(std::uint64_t number) { return {.high = 0, .low = number}; }

// How a unit becomes bytes.
enum How : std::uint8_t { kAsRecord = 1, kSealed = 2, kAddressed = 4, kKeepsSender = 8 };

void store_id(Bytes& bytes, std::size_t at, const Id128& id) {
  store_le(bytes.data() + at, id.high);
  store_le(bytes.data() + at + 8, id.low);
}

// Magic, version and checksum as they should be; a message may also be from one of us to another.
Bytes sealed(std::uint8_t how, std::span<const std::byte> raw) {
  Bytes bytes(raw.begin(), raw.end());
  bytes.resize(std::max<std::size_t>(bytes.size(), kVersionAt + 2));
  std::memcpy(bytes.data(), (how & kAsRecord) != 0 ? "RWAR" : "RWAM", kVersionAt);
  bytes[kVersionAt] = std::byte{kAgreementVersion};
  if ((how & kAddressed) != 0 && bytes.size() >= kFixedBytes) {
    store_id(bytes, kClusterAt, kCluster);
    if ((how & kAsRecord) == 0) store_id(bytes, kToAt, voter(1));
    if ((how & kKeepsSender) == 0) store_id(bytes, kFromAt, voter(2 + how / 16U % 2));
  }
  const std::uint64_t checksum = key_hash(bytes);
  bytes.resize(bytes.size() + sizeof checksum);
  store_le(bytes.data() + bytes.size() - sizeof checksum, checksum);
  return bytes;
}

void check_decree(const Decree& decree) { RW_CHECK(decree == Decree{} || is_well_formed(decree)); }

// Every single change is seen: most by the checksum, those of the first bytes by themselves.
void check_changed(Bytes bytes, std::size_t where) {
  bytes[where % bytes.size()] ^= std::byte{1};
  RW_CHECK(!decode_message(bytes).ok());
  RW_CHECK(!decode_record(bytes).ok());
}

std::optional<Message> message_of(std::span<const std::byte> bytes) {
  auto decoded = decode_message(bytes);
  if (!decoded) return std::nullopt;
  const Message& message = decoded.value();
  RW_CHECK(message.epoch < kMaxEpoch);
  RW_CHECK(message.ballot.round < kMaxRound);
  RW_CHECK(message.other.round < kMaxRound);
  check_decree(message.decree);
  const Bytes again = encode_message(message);
  RW_CHECK(std::ranges::equal(again, bytes));
  RW_CHECK(!decode_record(bytes).ok());
  return std::move(decoded).value();
}

std::optional<Record> record_of(std::span<const std::byte> bytes) {
  auto decoded = decode_record(bytes);
  if (!decoded) return std::nullopt;
  const Record& record = decoded.value();
  RW_CHECK(record.epoch < kMaxEpoch);
  RW_CHECK(record.promised.round < kMaxRound);
  RW_CHECK(record.accepted <= record.promised);
  RW_CHECK(record.accepted.empty() == record.accepted_decree.voters.empty());
  check_decree(record.decree);
  check_decree(record.accepted_decree);
  const Bytes again = encode_record(record);
  RW_CHECK(std::ranges::equal(again, bytes));
  RW_CHECK(!decode_message(bytes).ok());
  return std::move(decoded).value();
}

Record founder() {
  Record record;
  record.cluster = kCluster;
  record.self = voter(1);
  record.epoch = 1;
  record.decree.voters = {voter(1), voter(2), voter(3)};
  return record;
}

// A voter with a disk that writes at once.
class Voter {
 public:
  explicit Voter(Record record)
      : grants_(-kGrantNs), agreement_(std::move(record), AgreementTunables{}, 1, grants_) {
    settle();
  }

  void hear(const Message& message) {
    now_ += kMillisecondNs;
    static_cast<void>(agreement_.on_message(now_, message));
    settle();
  }
  void act(std::uint8_t what) {
    if (what % 4 == 0) agreement_.prepare(now_);
    if (what % 4 == 1) static_cast<void>(agreement_.propose(now_, agreement_.decree()));
    if (what % 4 == 2) agreement_.cancel();
    if (what % 4 == 3 && agreement_.next_deadline_ns() != kNeverNs) {
      now_ = std::max(now_, agreement_.next_deadline_ns());
      agreement_.on_timer(now_);
    }
    settle();
  }

 private:
  void settle() {
    // Writing may bring its own votes, which make another record.
    while (const auto record = agreement_.take_record()) {
      RW_CHECK(decode_record(record->bytes).ok());
      agreement_.on_durable(now_, record->version);
    }
    const std::vector<Message> said = agreement_.take_messages();
    RW_CHECK(said.size() <= kMaxHeldMessages);
    for (const Message& message : said) RW_CHECK(decode_message(encode_message(message)).ok());
    RW_CHECK(agreement_.epoch() >= epoch_);
    epoch_ = agreement_.epoch();
    static_cast<void>(agreement_.take_ending());
  }

  TimeNs now_ = 0;
  std::uint64_t epoch_ = 0;
  Grants grants_;
  Agreement agreement_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  auto self = std::make_unique<Voter>(founder());
  while (!input.empty()) {
    const std::uint8_t how = input.u8();
    self->act(how / 32);
    const auto raw = input.raw(input.u16());
    // A copy of exactly its size: one byte too many is seen.
    const Bytes bytes = (how & kSealed) != 0 ? sealed(how, raw) : Bytes(raw.begin(), raw.end());
    const std::optional<Message> message = message_of(bytes);
    const std::optional<Record> record = record_of(bytes);
    if (message || record) check_changed(bytes, how * 7U);
    if (message) self->hear(*message);
    if (record) self = std::make_unique<Voter>(*record);
  }
  return 0;
}
