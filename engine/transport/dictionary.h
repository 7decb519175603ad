// What is constant is sent once: handles for attachments and services, per session and direction
// (docs/wire.md W-30 to W-35). A definition travels inside each message until a packet with it was
// acknowledged, so that no order between packets is needed. Attachment handles are reused when no
// open message needs them; they carry a generation, so that a late packet cannot be misread. One
// thread; hot; no allocation after construction.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/mutant.h"
#include "base/zeroed_array.h"
#include "engine/transport/limits.h"
#include "engine/wire/message_codec.h"

namespace ringwire::transport {

/// Index of a sending dictionary's entry; kNoEntry: sent in full without a handle.
using EntryIndex = std::uint16_t;
inline constexpr EntryIndex kNoEntry = 0xffff;

class AttachmentSender {
 public:
  explicit AttachmentSender(const ZeroedMemory& memory = {});
  [[nodiscard]] static std::uint64_t memory_bytes();

  /// Find or make the entry of an attachment and hold it; kNoEntry when all entries are held.
  [[nodiscard]] EntryIndex acquire(const Id128& id);
  /// A message with it no longer needs it.
  void release(EntryIndex entry);
  [[nodiscard]] wire::HandleUse use(EntryIndex entry) const;
  /// A packet with a message that names this held entry was acknowledged.
  void on_acked(EntryIndex entry) {
    if (entry != kNoEntry) entries_[entry].known = true;
  }

 private:
  struct Entry {
    Id128 id;
    std::uint32_t holds = 0;
    std::uint16_t generation = 0;
    std::uint16_t next = kNoEntry;  ///< in its bucket
    bool used = false;
    bool known = false;  ///< the peer has the definition
  };
  static constexpr std::size_t kBuckets = 2 * kAttachmentHandles;
  [[nodiscard]] static std::size_t bucket_of(const Id128& id);
  [[nodiscard]] EntryIndex take_entry();
  void unlink(EntryIndex entry);

  ZeroedArray<Entry> entries_;
  std::vector<std::uint16_t> buckets_;
  EntryIndex last_ = kNoEntry;  ///< most messages are of the attachment of the one before
  std::uint16_t hand_ = 0;      ///< where the search for an entry to reuse goes on
};

class AttachmentReceiver {
 public:
  enum class Verdict : std::uint8_t { kOk, kStale, kViolation };
  explicit AttachmentReceiver(const ZeroedMemory& memory = {});
  [[nodiscard]] static std::uint64_t memory_bytes();
  /// Fill in (or learn) the id of a decoded use. kStale: the handle means something else by now;
  /// the packet must not count as received (W-34).
  [[nodiscard]] Verdict resolve(const wire::HandleUse& use, Id128& id);

 private:
  struct Entry {
    Id128 id;
    std::uint16_t generation = 0;
    bool used = false;
  };
  ZeroedArray<Entry> entries_;
};

class ServiceSender {
 public:
  explicit ServiceSender(const ZeroedMemory& memory = {});
  [[nodiscard]] static std::uint64_t memory_bytes();
  /// Credit class (and handle, unless 0) of a service; makes one while there is room.
  [[nodiscard]] std::uint8_t class_of(std::string_view service);
  [[nodiscard]] wire::HandleUse use(std::uint8_t service_class) const {
    return {service_class, service_class != 0 && !entries_[service_class].known && !RW_MUTANT(36)};
  }
  void on_acked(std::uint8_t service_class) { entries_[service_class].known = true; }

 private:
  struct Entry {
    std::array<char, kMaxNameBytes> name{};
    std::uint8_t bytes = 0;
    bool known = false;
    [[nodiscard]] std::string_view text() const { return {name.data(), bytes}; }
  };
  ZeroedArray<Entry> entries_;
  std::uint8_t count_ = 1;  ///< entry 0 stands for "no handle"
  std::uint8_t last_ = 0;
};

class ServiceReceiver {
 public:
  explicit ServiceReceiver(const ZeroedMemory& memory = {});
  [[nodiscard]] static std::uint64_t memory_bytes();
  /// Fill in (or learn) the name of a decoded use; it then points into the dictionary, or into the
  /// packet for a use without a handle. False: a rule is broken.
  [[nodiscard]] bool resolve(const wire::HandleUse& use, std::string_view& service);

 private:
  struct Entry {
    std::array<char, kMaxNameBytes> name{};
    std::uint8_t bytes = 0;
    bool used = false;
    [[nodiscard]] std::string_view text() const { return {name.data(), bytes}; }
  };
  ZeroedArray<Entry> entries_;
};

}  // namespace ringwire::transport
