#include <algorithm>
#include <bit>
#include <memory>

#include "base/check.h"
#include "base/mutant.h"
#include "engine/transport/sender.h"

namespace ringwire::transport {

SendVerdict Sender::send_run(const wire::RunHeader& header, std::span<const std::byte> body,
                             std::uint32_t cookie, MessageNumber& number) {
  RW_DCHECK(body.size() <= max_run_bytes());
  RW_DCHECK(wire::valid_run_body(body, header.count, header.id.sequence));
  const std::uint8_t service_class = services_.class_of(header.service);
  ServiceClass& service = classes_[service_class];
  const std::uint32_t charge_bytes = header.count * kMinChargeBytes;
  if (service.open_messages + header.count > service.window_messages ||
      service.open_bytes + charge_bytes > service.window_bytes) {
    service.refused = true;
    return SendVerdict::kNoCredit;
  }
  if (!has_free_slot()) {
    refused_slot_ = true;
    return SendVerdict::kNoSlot;
  }
  const std::uint32_t index = take_slot();
  Slot& slot = slots_[index];
  const std::uint32_t generation = slot.sent || slot.generation == 0
                                       ? numbers_.next_generation(slot.generation)
                                       : slot.generation;
  std::construct_at(&slot);
  slot.generation = generation;
  slot.header.id = header.id;
  slot.header.predecessor = header.after;
  slot.header.hash = header.generation;
  slot.header.epoch = header.epoch;
  slot.header.payload_bytes = body.size();
  slot.header.flags = header.flags;
  slot.header.level = header.level;
  slot.header.service = header.service;
  slot.payload = body.data();
  slot.cookie = cookie;
  slot.active = true;
  slot.service_class = service_class;
  slot.charge_bytes = charge_bytes;
  slot.run_count = header.count;
  slot.attachment = attachments_.acquire(header.id.attachment);
  open_ += header.count;
  service.open_messages += header.count;
  service.open_bytes += charge_bytes;
  number = static_cast<MessageNumber>(numbers_.number_of(index, generation));
  normal_.push_back(slots_, index);
  return SendVerdict::kTaken;
}

bool Sender::write_run(Slot& slot, ByteWriter& writer, SentPackets& sent) {
  const auto body_bytes = static_cast<std::size_t>(slot.header.payload_bytes);
  if (wire::kMaxFixedRunBytes + slot.header.service.size() + body_bytes > writer.room_bytes())
    return false;
  const std::uint32_t number = numbers_.number_of(index_of(slot), slot.generation);
  const wire::RunHeader header{slot.header.id,
                               slot.header.epoch,
                               static_cast<std::uint32_t>(slot.header.predecessor),
                               static_cast<std::uint32_t>(slot.header.hash),
                               slot.run_count,
                               slot.header.flags,
                               slot.header.level,
                               slot.header.service};
  wire::encode_run(writer, number, header,
                   {attachments_.use(slot.attachment), services_.use(slot.service_class), {}},
                   {slot.payload, body_bytes});
  sent.add_item({number, SentKind::kHeader, false});
  if (!slot.sent) messages_sent += slot.run_count;
  slot.sent = true;
  return true;
}

// Asked back at once, before any of it goes again by itself; and again when the peer has told that
// it has the run, which may come again until then (W-77).
void Sender::withdraw_run(std::uint32_t number, std::uint32_t mask) {
  Slot* slot = find(number);
  if (slot == nullptr) return;
  mask &= ~(slot->run_settled | slot->run_withdrawn);
  if (mask == 0) return;
  slot->run_withdrawn |= mask;
  if (slot->sent && slot->attention.list == 0) withdraw_.push_back(slots_, index_of(*slot));
}

// W-76
bool Sender::on_run_result(ByteReader& reader) {
  wire::RunResultItem result;
  wire::RunFailures failures;
  if (!wire::decode_run_result(reader, result, failures)) return false;
  const std::uint32_t index = numbers_.slot_of(result.number);
  Slot& slot = slots_[index];
  const std::int32_t order =
      numbers_.compare(numbers_.generation_of(result.number), slot.generation);
  if (order > 0) return false;
  if (order < 0) return slot.generation != 0;
  if (!slot.active) return true;  // repeated
  if (!slot.sent || slot.run_count == 0) return false;
  if (((result.settled | result.released) & ~wire::run_mask(slot.run_count)) != 0) return false;
  on_header_acked(result.number);  // its packet's acknowledgement is still to come
  std::uint32_t news = (result.settled | result.released) & ~slot.run_settled;
  for (std::uint32_t left = news & result.failed; left != 0; left &= left - 1) {
    const auto at = static_cast<std::size_t>(std::countr_zero(left));
    // That a session was lost is for its own end to find out.
    if (failures.reason[at] == Reason::kSessionLost) return false;
    failures_[index].ending[at] = failures.ending[at];
    failures_[index].reason[at] = failures.reason[at];
  }
  slot.run_failed |= news & result.failed;
  settle_run(slot, news);
  release_run(slot, result.released & ~slot.run_released);
  return true;
}

void Sender::settle_run(Slot& slot, std::uint32_t mask) {
  mask &= ~slot.run_settled;
  if (mask == 0) return;
  slot.run_settled |= mask;
  if (slot.bulk.list == 0) run_events_.push_back(slots_, index_of(slot));
  if ((slot.run_withdrawn & ~slot.run_settled) == 0) withdraw_.remove(slots_, index_of(slot));
}

void Sender::release_run(Slot& slot, std::uint32_t mask) {
  if (mask == 0) return;
  slot.run_released |= mask;
  const auto count = static_cast<std::uint32_t>(std::popcount(mask));
  ServiceClass& service = classes_[slot.service_class];
  service.open_messages -= count;
  service.open_bytes -= count * kMinChargeBytes;
  wake_refused(service);
  free_run_if_over(slot);
}

void Sender::free_run_if_over(Slot& slot) {
  const std::uint32_t all = wire::run_mask(slot.run_count);
  if (slot.run_released != all || slot.run_told != all) return;
  attachments_.release(slot.attachment);
  if (refused_slot_) {
    refused_slot_ = false;
    wake_refused_ = true;
  }
  unlink(slot);
  free(slot);
}

void Sender::flush_run_events(EventBatch& events) {
  while (!run_events_.empty() && !events.full()) {
    const std::uint32_t index = run_events_.front();
    run_events_.remove(slots_, index);
    Slot& slot = slots_[index];
    Event& event = events.add();
    event.kind = EventKind::kRunResult;
    event.cookie = slot.cookie;
    event.mask = slot.run_settled & ~slot.run_told;
    event.failed = slot.run_failed & event.mask;
    event.failures = &failures_[index];
    slot.run_told |= event.mask;
    open_ -= static_cast<std::uint32_t>(std::popcount(event.mask));
    slot.reported = slot.run_told == wire::run_mask(slot.run_count);
    free_run_if_over(slot);
  }
}

}  // namespace ringwire::transport
