// The receiving half of a session against a naive twin: a set of fragment indices per message.
// Whatever order, repetition and lie the fragments come with, a byte is written only inside the
// extent, into a range that was not received yet, below the grant; a message is complete exactly
// when its set is; and when all is released, a window takes exactly as many messages as it says
// (docs/wire.md W-6, W-11, W-13, W-14, W-18, W-40, W-42).
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "base/check.h"
#include "engine/transport/receiver.h"
#include "tests/fuzz/input.h"

namespace {

using namespace ringwire;
using namespace ringwire::transport;
using fuzz::Input;
using wire::ItemType;

constexpr std::uint32_t kSlots = 1'024;
constexpr std::uint32_t kFragmentBytes = fragment_bytes(kMinPacketBytes);
constexpr std::uint32_t kUsedSlots = 4;

SessionConfig config() {
  SessionConfig config;
  config.message_slots = kSlots;
  return config;
}

std::byte fill_of(std::uint32_t number, std::uint64_t fragment) {
  return static_cast<std::byte>(number * 31 + fragment * 7 + 1);
}

struct Twin {
  std::uint32_t number = 0;
  std::uint64_t bytes = 0;
  std::uint64_t fragments = 0;
  std::uint64_t granted = 0;  ///< as told by GRANT items; unscheduled: all
  std::set<std::uint64_t> arrived;
  std::unique_ptr<std::byte[]> extent;
  bool announced = false;
  bool whole = false;
  bool gone = false;  ///< withdrawn
};

class Story {
 public:
  explicit Story(Input input) : input_(input), receiver_(config()) {}

  void tell() {
    for (int step = 0; step < 600 && !input_.empty() && !violated_; ++step) {
      act();
      write();
    }
    if (!violated_) check_credit();
  }

 private:
  Twin* pick() {
    if (open_.empty()) return nullptr;
    auto at = open_.begin();
    std::advance(at, input_.below(static_cast<std::uint32_t>(open_.size())));
    return &at->second;
  }

  void act() {
    switch (input_.below(8)) {
      case 0:
        return open();
      case 1:
        return accept();
      case 2:
        return release();
      case 3:
        return withdraw();
      default:
        return fragment();
    }
  }

  void open() {
    static constexpr std::uint64_t kBytes[] = {
        1,      kFragmentBytes, kFragmentBytes + 1,        9'000, kUnscheduledBytes,
        65'537, 3'000'000,      kFragmentBytes * 64ULL + 5};
    const std::uint32_t slot = input_.below(kUsedSlots);
    const std::uint32_t number = ++generation_ << 10 | slot;  // 1,024 slots: 10 bits
    Twin twin;
    twin.number = number;
    twin.bytes = kBytes[input_.below(8)];
    twin.announced = twin.bytes > kUnscheduledBytes;
    twin.fragments = (twin.bytes - 1) / kFragmentBytes + 1;
    const bool slot_taken = open_.contains(slot);
    const bool fits = twin.announced || open_bytes() + charge(twin) <= kInitialWindowBytes;
    wire::MessageHeader header;
    header.id = {{1, 1}, 0, 1};
    header.payload_bytes = twin.bytes;
    header.level = static_cast<Level>(input_.below(3));
    const auto verdict =
        offer(twin.announced ? ItemType::kOpenAnnounced : ItemType::kOpen, number, header);
    if (slot_taken || !fits) {
      RW_CHECK(verdict == ItemVerdict::kViolation);
      violated_ = true;
      return;
    }
    RW_CHECK(verdict == ItemVerdict::kOk);
    RW_CHECK(events_.size() == 1);
    RW_CHECK(events_.all()[0].kind == EventKind::kOpen);
    open_[slot] = std::move(twin);
    // Said again it is a repetition, and nothing comes of it.
    RW_CHECK(
        offer(ItemType::kOpen, number, header) ==
        (header.payload_bytes > kUnscheduledBytes ? ItemVerdict::kViolation : ItemVerdict::kOk));
    RW_CHECK(events_.size() == 0);
  }

  ItemVerdict offer(ItemType type, std::uint32_t number, const wire::MessageHeader& header) {
    std::byte room[200];
    ByteWriter writer(room);
    wire::encode_message(writer, type, number, header, {});
    ByteReader reader(writer.written().subspan(1));
    events_.clear();
    return receiver_.on_message(type, reader, events_);
  }

  static std::uint64_t charge(const Twin& twin) {
    return twin.announced ? 0 : std::max<std::uint64_t>(twin.bytes, kMinChargeBytes);
  }
  std::uint64_t open_bytes() const {
    std::uint64_t bytes = 0;
    for (const auto& [slot, twin] : open_) bytes += charge(twin);
    return bytes;
  }

  void accept() {
    Twin* twin = pick();
    if (twin == nullptr || twin->extent || twin->gone) return;
    twin->extent = std::make_unique<std::byte[]>(twin->bytes);
    receiver_.accept(twin->number, twin->extent.get());
    if (!twin->announced) twin->granted = twin->fragments;
  }

  void release() {
    Twin* twin = pick();
    if (twin == nullptr) return;
    receiver_.settle(twin->number, Ending::kDone, Reason::kNone);
    receiver_.release(twin->number);
    // What still comes of it is not wanted any more.
    RW_CHECK(receiver_.place(twin->number, 0, kFragmentBytes).target == nullptr);
    open_.erase(twin->number % kUsedSlots);
  }

  void withdraw() {
    Twin* twin = pick();
    if (twin == nullptr) return;
    events_.clear();
    RW_CHECK(receiver_.on_withdraw(twin->number, events_) == ItemVerdict::kOk);
    RW_CHECK(events_.size() <= 1);
    if (events_.size() == 1 && !twin->whole) twin->gone = true;
  }

  // Where a fragment must go, by the twin.
  struct Expected {
    bool violation = false;
    bool wanted = false;
  };
  Expected expect(const Twin& twin, std::uint64_t index, std::uint64_t bytes) const {
    if (twin.whole || twin.gone) return {};
    if (!twin.extent) return {twin.announced, false};
    if (index >= twin.fragments) return {true, false};
    const std::uint64_t right =
        std::min<std::uint64_t>(kFragmentBytes, twin.bytes - index * kFragmentBytes);
    if (bytes != right || index >= twin.granted) return {true, false};
    return {false, !twin.arrived.contains(index)};
  }

  void fragment() {
    Twin* twin = pick();
    if (twin == nullptr) return;
    const std::uint8_t how = input_.u8();
    std::uint64_t index = input_.u16() % (twin->fragments + 1);
    // Mostly the first that is missing, so that long messages come to an end.
    if (how < 128)
      for (index = 0; twin->arrived.contains(index);) ++index;
    if (how == 255) index = input_.near(~std::uint64_t{0} / kFragmentBytes);
    std::uint64_t bytes = kFragmentBytes;
    if (index < twin->fragments)
      bytes = std::min<std::uint64_t>(kFragmentBytes, twin->bytes - index * kFragmentBytes);
    if (how == 254) bytes = input_.u16();
    const Expected expected = expect(*twin, index, bytes);
    const auto placement = receiver_.place(twin->number, index, bytes);
    RW_CHECK((placement.verdict == ItemVerdict::kViolation) == expected.violation);
    RW_CHECK((placement.target != nullptr) == expected.wanted);
    if (expected.violation) {
      violated_ = true;
      return;
    }
    if (!expected.wanted) return;
    RW_CHECK(placement.target == twin->extent.get() + index * kFragmentBytes);
    std::fill_n(placement.target, bytes, fill_of(twin->number, index));
    if (how == 253) return;  // its tag was wrong: it does not count, and comes again
    events_.clear();
    receiver_.commit(twin->number, index, events_);
    twin->arrived.insert(index);
    const bool whole = twin->arrived.size() == twin->fragments;
    RW_CHECK(events_.size() == (whole ? 1U : 0U));
    if (!whole) return;
    RW_CHECK(events_.all()[0].kind == EventKind::kComplete);
    twin->whole = true;
    for (std::uint64_t at = 0; at < twin->bytes; ++at)
      RW_CHECK(twin->extent[at] == fill_of(twin->number, at / kFragmentBytes));
  }

  // Reads what it says to its peer: grants, windows.
  void write() {
    std::byte room[1'000];
    ByteWriter writer(room);
    receiver_.write_items(writer, sent_, 64);
    sent_.drop_items();
    ByteReader reader(writer.written());
    while (!reader.at_end()) {
      const auto type = static_cast<ItemType>(reader.u8());
      if (type == ItemType::kGrant) {
        wire::GrantItem grant;
        RW_CHECK(wire::decode_grant(reader, grant));
        Twin& twin = open_.at(grant.number % kUsedSlots);
        RW_CHECK(twin.number == grant.number);
        RW_CHECK(grant.fragments <= twin.fragments);
        RW_CHECK(grant.fragments >= twin.granted);
        twin.granted = grant.fragments;
      } else if (type == ItemType::kCredit) {
        wire::CreditItem credit;
        RW_CHECK(wire::decode_credit(reader, credit));
        RW_CHECK(credit.window_messages >= window_);
        if (credit.service == 0) window_ = credit.window_messages;
      } else {
        wire::ResultItem result;
        RW_CHECK(type == ItemType::kResult);
        RW_CHECK(wire::decode_result(reader, result));
      }
    }
  }

  void check_credit() {
    for (auto& [slot, twin] : open_) {
      receiver_.settle(twin.number, Ending::kDone, Reason::kNone);
      receiver_.release(twin.number);
    }
    write();
    wire::MessageHeader header;
    header.id = {{1, 1}, 0, 1};
    for (std::uint32_t at = 0; at <= window_; ++at) {
      const std::uint32_t number = ++generation_ << 10 | (kUsedSlots + at);
      RW_CHECK(offer(ItemType::kMessage, number, header) ==
               (at < window_ ? ItemVerdict::kOk : ItemVerdict::kViolation));
    }
  }

  Input input_;
  Receiver receiver_;
  SentPackets sent_;
  EventBatch events_;
  std::map<std::uint32_t, Twin> open_;  ///< by slot
  std::uint32_t generation_ = 0;
  std::uint32_t window_ = initial_window_messages(kSlots);
  bool violated_ = false;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Story(Input(data, size)).tell();
  return 0;
}
