#include "engine/transport/dictionary.h"

#include <algorithm>

#include "base/hash.h"
#include "base/mutant.h"

namespace ringwire::transport {
namespace {

// Entries looked at for one to reuse before giving up: keeps acquire() O(1).
constexpr unsigned kReuseSearch = 8;
constexpr std::uint32_t kIndexMask = (1U << kAttachmentHandleBits) - 1;

}  // namespace

AttachmentSender::AttachmentSender(const ZeroedMemory& memory)
    : entries_(kAttachmentHandles, memory), buckets_(kBuckets, kNoEntry) {}

std::uint64_t AttachmentSender::memory_bytes() {
  return kAttachmentHandles * sizeof(Entry) + kBuckets * sizeof(std::uint16_t);
}

std::size_t AttachmentSender::bucket_of(const Id128& id) {
  return mix64(id.low ^ (id.high * 0x9e3779b97f4a7c15ULL)) % kBuckets;
}

EntryIndex AttachmentSender::acquire(const Id128& id) {
  if (last_ != kNoEntry && (entries_[last_].id == id || RW_MUTANT(38))) [[likely]] {
    ++entries_[last_].holds;
    return last_;
  }
  std::uint16_t& bucket = buckets_[bucket_of(id)];
  for (EntryIndex at = bucket; at != kNoEntry; at = entries_[at].next)
    if (entries_[at].id == id) {
      ++entries_[at].holds;
      return last_ = at;
    }
  const EntryIndex fresh = take_entry();
  if (fresh == kNoEntry) return kNoEntry;
  Entry& entry = entries_[fresh];
  entry = Entry{id, 1, entry.generation, bucket, true, false};
  bucket = fresh;
  return last_ = fresh;
}

EntryIndex AttachmentSender::take_entry() {
  for (unsigned step = 0; step < kReuseSearch; ++step) {
    const EntryIndex at = hand_;
    hand_ = static_cast<std::uint16_t>((hand_ + 1) % kAttachmentHandles);
    Entry& entry = entries_[at];
    if (!entry.used) return at;
    if (entry.holds > 0) continue;
    unlink(at);
    ++entry.generation;
    return at;
  }
  return kNoEntry;
}

void AttachmentSender::unlink(EntryIndex entry) {
  std::uint16_t* link = &buckets_[bucket_of(entries_[entry].id)];
  while (*link != entry) link = &entries_[*link].next;
  *link = entries_[entry].next;
  if (last_ == entry) last_ = kNoEntry;
}

void AttachmentSender::release(EntryIndex entry) {
  if (entry != kNoEntry) --entries_[entry].holds;
}

wire::HandleUse AttachmentSender::use(EntryIndex entry) const {
  if (entry == kNoEntry) return {};
  const Entry& at = entries_[entry];
  return {static_cast<std::uint32_t>(at.generation) << kAttachmentHandleBits | (entry + 1U),
          !at.known && !RW_MUTANT(37)};
}

AttachmentReceiver::AttachmentReceiver(const ZeroedMemory& memory)
    : entries_(kAttachmentHandles + 1, memory) {}

std::uint64_t AttachmentReceiver::memory_bytes() {
  return (kAttachmentHandles + 1) * sizeof(Entry);
}

AttachmentReceiver::Verdict AttachmentReceiver::resolve(const wire::HandleUse& use, Id128& id) {
  if (use.handle == 0) return Verdict::kOk;
  const std::uint32_t index = use.handle & kIndexMask;
  const std::uint32_t generation = use.handle >> kAttachmentHandleBits;
  if (index == 0 || index > kAttachmentHandles || generation > 0xffff) return Verdict::kViolation;
  Entry& entry = entries_[index];
  const auto ahead = static_cast<std::int16_t>(generation - entry.generation);
  if (use.define && (!entry.used || ahead > 0)) {
    entry = Entry{id, static_cast<std::uint16_t>(generation), true};
    return Verdict::kOk;
  }
  if (!entry.used || ahead > 0) return Verdict::kViolation;  // never defined
  if (use.define) return ahead == 0 && entry.id != id ? Verdict::kViolation : Verdict::kOk;
  if (ahead < 0) return Verdict::kStale;
  id = entry.id;
  return Verdict::kOk;
}

ServiceSender::ServiceSender(const ZeroedMemory& memory) : entries_(kServiceClasses, memory) {}

std::uint64_t ServiceSender::memory_bytes() { return kServiceClasses * sizeof(Entry); }

std::uint8_t ServiceSender::class_of(std::string_view service) {
  if (last_ != 0 && entries_[last_].text() == service) [[likely]]
    return last_;
  for (std::uint8_t at = 1; at < count_; ++at)
    if (entries_[at].text() == service) return last_ = at;
  if (count_ == kServiceClasses) return 0;
  Entry& entry = entries_[count_];
  std::copy(service.begin(), service.end(), entry.name.begin());
  entry.bytes = static_cast<std::uint8_t>(service.size());
  return last_ = count_++;
}

ServiceReceiver::ServiceReceiver(const ZeroedMemory& memory) : entries_(kServiceClasses, memory) {}

std::uint64_t ServiceReceiver::memory_bytes() { return kServiceClasses * sizeof(Entry); }

bool ServiceReceiver::resolve(const wire::HandleUse& use, std::string_view& service) {
  if (use.handle == 0) return true;
  if (use.handle >= kServiceClasses) return false;
  Entry& entry = entries_[use.handle];
  if (use.define) {
    if (entry.used) return entry.text() == service;
    std::copy(service.begin(), service.end(), entry.name.begin());
    entry.bytes = static_cast<std::uint8_t>(service.size());
    entry.used = true;
  }
  service = entry.text();
  return entry.used;
}

}  // namespace ringwire::transport
