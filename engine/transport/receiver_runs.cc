#include <algorithm>
#include <bit>
#include <memory>

#include "base/mutant.h"
#include "engine/transport/receiver.h"

namespace ringwire::transport {

// W-70 to W-74
ItemVerdict Receiver::on_run(ByteReader& reader, EventBatch& events) {
  Event& event = events.add();  // decoded in place; taken back unless there is something to tell
  wire::DecodedRun decoded;
  using Resolved = AttachmentReceiver::Verdict;
  const bool read = wire::decode_run(reader, decoded, event.run);
  const Resolved attachment =
      read ? attachments_.resolve(decoded.handles.attachment, event.run.id.attachment)
           : Resolved::kViolation;
  if (attachment == Resolved::kViolation ||
      !services_.resolve(decoded.handles.service, event.run.service)) {
    events.drop_last();
    return ItemVerdict::kViolation;
  }
  Slot& slot = slots_[numbers_.slot_of(decoded.number)];
  const std::uint32_t generation = numbers_.generation_of(decoded.number);
  if (numbers_.compare(generation, slot.generation) <= (RW_MUTANT(39) ? -1 : 0)) {
    events.drop_last();  // repeated, or of a run long finished
    return ItemVerdict::kOk;
  }
  if (attachment == Resolved::kStale) {
    events.drop_last();
    return ItemVerdict::kNotYet;
  }
  const auto service_class = static_cast<std::uint8_t>(decoded.handles.service.handle);
  const std::uint32_t count = event.run.count;
  ServiceClass& service = classes_[service_class];
  if (slot.phase != Phase::kFree || service.open_messages + count > service.window_messages ||
      count * kMinChargeBytes > service.window_bytes - service.open_bytes) {
    events.drop_last();
    return ItemVerdict::kViolation;
  }
  service.open_messages += count;
  service.open_bytes += count * kMinChargeBytes;
  if (service.open_messages >= service.window_messages / 4 * 3) service.short_of_messages = true;
  if (service.open_bytes >= service.window_bytes / 4 * 3) service.short_of_bytes = true;
  unlist_result(index_of(slot));
  std::construct_at(&slot);
  slot.run = true;
  slot.generation = generation;
  slot.payload_bytes = count;
  slot.level = event.run.level;
  slot.service_class = service_class;
  slot.phase = Phase::kWhole;
  messages_received += count;
  event.kind = EventKind::kRun;
  event.number = static_cast<MessageNumber>(decoded.number);
  event.waits = event.run.after != 0 && !has_come(event.run.after);
  event.payload = decoded.body;
  return ItemVerdict::kOk;
}

// W-77
ItemVerdict Receiver::on_run_withdraw(std::uint32_t number, std::uint32_t mask,
                                      EventBatch& events) {
  Slot& slot = slots_[numbers_.slot_of(number)];
  const std::int32_t order = numbers_.compare(numbers_.generation_of(number), slot.generation);
  if (order != 0) return ItemVerdict::kOk;  // of a run that is over, or has not come yet
  if (!slot.run) return ItemVerdict::kViolation;
  const Run run{slot};
  if ((mask & ~wire::run_mask(run.count())) != 0) return ItemVerdict::kViolation;
  mask &= ~run.settled();
  if (slot.phase == Phase::kFree || mask == 0) return ItemVerdict::kOk;
  Event& event = events.add();
  event.kind = EventKind::kRunWithdrawn;
  event.number = static_cast<MessageNumber>(number);
  event.cookie = slot.tag;
  event.mask = mask;
  return ItemVerdict::kOk;
}

bool Receiver::has_come(std::uint32_t number) const {
  const Slot& slot = slots_[numbers_.slot_of(number)];
  return numbers_.compare(numbers_.generation_of(number), slot.generation) <= 0;
}

void Receiver::settle_run(std::uint32_t number, std::uint32_t mask, Ending ending, Reason reason) {
  Slot* slot = find(number);
  if (slot == nullptr || slot->phase == Phase::kFree || !slot->run) return;
  mask &= ~Run{*slot}.settled();
  if (mask == 0) return;
  slot->arrived |= mask;
  if (ending != Ending::kDone || reason != Reason::kNone) {
    slot->fragment_count |= mask;
    wire::RunFailures& failures = failures_[index_of(*slot)];
    for (std::uint32_t left = mask; left != 0; left &= left - 1) {
      failures.ending[static_cast<std::size_t>(std::countr_zero(left))] = ending;
      failures.reason[static_cast<std::size_t>(std::countr_zero(left))] = reason;
    }
  }
  queue_run_result(*slot, static_cast<std::uint32_t>(std::popcount(mask)));
}

void Receiver::release_run(std::uint32_t number, std::uint32_t mask) {
  Slot* slot = find(number);
  if (slot == nullptr || slot->phase == Phase::kFree || !slot->run) return;
  const Run run{*slot};
  mask &= ~run.released();
  if (mask == 0) return;
  const std::uint32_t unsettled = mask & ~run.settled();
  if (unsettled != 0 && slot->level != Level::kNone)
    settle_run(number, unsettled, Ending::kUnknown, Reason::kUnprocessed);
  slot->arrived |= std::uint64_t{mask} << 32;
  const auto count = static_cast<std::uint32_t>(std::popcount(mask));
  ServiceClass& service = classes_[slot->service_class];
  service.open_messages -= count;
  service.open_bytes -= count * kMinChargeBytes;
  service.released += count;
  if (service.released >= service.window_messages) grow(slot->service_class);
  if (run.released() == wire::run_mask(run.count())) slot->phase = Phase::kFree;
  queue_run_result(*slot, count);
}

void Receiver::queue_run_result(Slot& slot, std::uint32_t news) {
  if (slot.result_link.list == 0) results_.push_back(slots_, index_of(slot));
  const Run run{slot};
  const std::uint32_t waiting =
      std::min<std::uint32_t>(run.waiting() + news, wire::kMaxRunMessages);
  urgent_results_ += waiting - run.waiting();
  run.waiting() = static_cast<std::uint8_t>(waiting);
}

void Receiver::write_run_result(Slot& slot, ByteWriter& writer, SentPackets& sent) {
  const Run run{slot};
  wire::encode_run_result(writer, {number_of(slot), run.settled(), run.released(), run.failed()},
                          failures_[index_of(slot)]);
  sent.add_item({number_of(slot), SentKind::kResult, slot.phase == Phase::kFree});
}

}  // namespace ringwire::transport
