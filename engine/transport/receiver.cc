#include "engine/transport/receiver.h"

#include <algorithm>
#include <bit>
#include <memory>

#include "base/check.h"
#include "base/mutant.h"

namespace ringwire::transport {

using wire::ItemType;

Receiver::Receiver(const SessionConfig& config)
    : numbers_(config.message_slots),
      fragment_bytes_(fragment_bytes(config.max_packet_bytes)),
      grant_fragments_(std::max(static_cast<std::uint32_t>(kGrantWindowBytes / fragment_bytes_),
                                kMinGrantFragments)),
      max_reply_slots_(reply_slots(config.message_slots)),
      max_window_messages_(config.message_slots / 4),
      max_windows_sum_(request_slots(config.message_slots)),
      slots_(config.message_slots, config.memory),
      failures_(config.message_slots, config.memory),
      windows_(std::size_t{2} * kMaxAnnounced, config.memory),
      classes_(kServiceClasses),
      attachments_(config.memory),
      services_(config.memory) {
  free_windows_.reserve(windows_.size());
  for (std::size_t index = windows_.size(); index-- > 0;)
    free_windows_.push_back(static_cast<std::uint8_t>(index));
  for (ServiceClass& service : classes_) {
    service.window_messages = initial_window_messages(config.message_slots);
    service.window_bytes = kInitialWindowBytes;
    windows_sum_ += service.window_messages;
  }
}

std::uint64_t Receiver::memory_bytes(std::uint32_t message_slots) {
  return message_slots * sizeof(Slot) +               //
         message_slots * sizeof(wire::RunFailures) +  //
         2 * kMaxAnnounced * (sizeof(Window) + 1) +   //
         kServiceClasses * sizeof(ServiceClass) +     //
         AttachmentReceiver::memory_bytes() +         //
         ServiceReceiver::memory_bytes();
}

ItemVerdict Receiver::on_message(ItemType type, ByteReader& reader, EventBatch& events) {
  Event& event = events.add();  // decoded in place; taken back unless there is something to tell
  wire::DecodedMessage message;
  const bool small = type == ItemType::kMessage;
  if (!wire::decode_message(reader, message, event.header)) {
    events.drop_last();
    return ItemVerdict::kViolation;
  }
  wire::MessageHeader& header = event.header;
  if (small) event.payload = reader.view(static_cast<std::size_t>(header.payload_bytes));
  const bool sizes_ok =
      small ? reader.ok()
            : header.payload_bytes > 0 &&
                  (type == ItemType::kOpenAnnounced) == (header.payload_bytes > kUnscheduledBytes);
  // All uses are resolved, also those of a repeated message: it may carry a definition.
  using Resolved = AttachmentReceiver::Verdict;
  const Resolved attachment =
      attachments_.resolve(message.handles.attachment, header.id.attachment);
  const Resolved reply_attachment =
      attachments_.resolve(message.handles.reply_attachment, header.in_reply_to.attachment);
  const bool service_ok = services_.resolve(message.handles.service, header.service);
  if (!sizes_ok || !service_ok || attachment == Resolved::kViolation ||
      reply_attachment == Resolved::kViolation) {
    events.drop_last();
    return ItemVerdict::kViolation;
  }
  Slot& slot = slots_[numbers_.slot_of(message.number)];
  const std::uint32_t generation = numbers_.generation_of(message.number);
  if (numbers_.compare(generation, slot.generation) <= (RW_MUTANT(39) ? -1 : 0)) {
    events.drop_last();  // repeated, or of a message long finished
    return ItemVerdict::kOk;
  }
  if (attachment == Resolved::kStale || reply_attachment == Resolved::kStale) {
    events.drop_last();
    return ItemVerdict::kNotYet;
  }
  if (slot.phase != Phase::kFree) {
    events.drop_last();
    return ItemVerdict::kViolation;  // W-11: not released yet
  }
  unlist_result(index_of(slot));
  std::construct_at(&slot);
  slot.generation = generation;
  slot.payload_bytes = header.payload_bytes;
  slot.level = header.level;
  slot.reply = (header.flags & wire::kReply) != 0;
  slot.announced = type == ItemType::kOpenAnnounced;
  slot.service_class =
      slot.reply ? std::uint8_t{0} : static_cast<std::uint8_t>(message.handles.service.handle);
  if (!small) slot.fragment_count = (header.payload_bytes - 1) / fragment_bytes_ + 1;
  if (!charge(slot)) {
    events.drop_last();
    return ItemVerdict::kViolation;
  }
  slot.phase = small ? Phase::kWhole : Phase::kOpened;
  ++messages_received;
  event.kind = small ? EventKind::kMessage : EventKind::kOpen;
  event.announced = slot.announced;
  event.number = static_cast<MessageNumber>(message.number);
  return ItemVerdict::kOk;
}

// Reserves what the sender must have had: slot, credit, window (W-40 to W-44).
bool Receiver::charge(Slot& slot) {
  if (slot.announced &&
      (open_announced_[slot.reply ? 1 : 0] >= kMaxAnnounced || !take_window(slot)))
    return false;
  if (slot.reply) {
    if (open_replies_ >= max_reply_slots_) return false;
    ++open_replies_;
  } else {
    ServiceClass& service = classes_[slot.service_class];
    slot.charge_bytes =
        slot.announced ? 0
                       : std::max(kMinChargeBytes, static_cast<std::uint32_t>(slot.payload_bytes));
    if (service.open_messages >= service.window_messages ||
        slot.charge_bytes > service.window_bytes - service.open_bytes)
      return false;
    service.open_messages += RW_MUTANT(40) ? 2 : 1;
    service.open_bytes += slot.charge_bytes;
    // Three quarters in use count as "short": the sender's view lags by a round trip.
    if (service.open_messages >= service.window_messages / 4 * 3) service.short_of_messages = true;
    if (service.open_bytes >= service.window_bytes / 4 * 3) service.short_of_bytes = true;
  }
  if (slot.announced) ++open_announced_[slot.reply ? 1 : 0];
  return true;
}

void Receiver::discharge(Slot& slot) {
  RW_DCHECK(!slot.run);
  if (slot.announced) {
    --open_announced_[slot.reply ? 1 : 0];
    drop_window(slot);
  }
  if (slot.reply) {
    open_replies_ -= RW_MUTANT(41) ? 0 : 1;
    return;
  }
  ServiceClass& service = classes_[slot.service_class];
  --service.open_messages;
  service.open_bytes -= slot.charge_bytes;
  if (++service.released >= service.window_messages) grow(slot.service_class);
}

// A service that used its whole window and released as much again gets twice as much, as long as
// all windows together leave the replies' quarter of the slots alone (W-43).
void Receiver::grow(std::uint8_t service_class) {
  ServiceClass& service = classes_[service_class];
  service.released = 0;
  bool grown = false;
  if (service.short_of_messages) {
    const std::uint32_t more =
        std::min({service.window_messages, max_window_messages_ - service.window_messages,
                  max_windows_sum_ - windows_sum_});
    service.window_messages += more;
    windows_sum_ += more;
    grown = more > 0;
  }
  if (service.short_of_bytes && service.window_bytes < kMaxWindowBytes) {
    service.window_bytes = std::min(2 * service.window_bytes, kMaxWindowBytes);
    grown = true;
  }
  service.short_of_messages = false;
  service.short_of_bytes = false;
  if (grown) credits_ |= std::uint64_t{1} << service_class;
}

bool Receiver::take_window(Slot& slot) {
  if (free_windows_.empty()) return false;
  slot.window = free_windows_.back();
  free_windows_.pop_back();
  windows_[slot.window] = Window{};
  windows_[slot.window].slot = index_of(slot);
  return true;
}

void Receiver::drop_window(Slot& slot) {
  grants_.remove(windows_, slot.window);
  windows_[slot.window].slot = kNoIndex;
  if (!RW_MUTANT(42)) free_windows_.push_back(slot.window);
}

// W-18, W-28
ItemVerdict Receiver::on_withdraw(std::uint32_t number, EventBatch& events) {
  Slot& slot = slots_[numbers_.slot_of(number)];
  const std::uint32_t generation = numbers_.generation_of(number);
  const std::int32_t order = numbers_.compare(generation, slot.generation);
  if (order < 0) return ItemVerdict::kOk;
  if (order > 0) {
    if (slot.phase != Phase::kFree) return ItemVerdict::kViolation;
    // It never arrived and, its number being used up now, never will (W-18).
    unlist_result(index_of(slot));
    slot = Slot{};
    slot.generation = generation;
    slot.settled = true;
    slot.ending = Ending::kFailed;
    slot.reason = Reason::kCancelled;
    if (!RW_MUTANT(44)) queue_result(slot);
    return ItemVerdict::kOk;
  }
  if (slot.phase == Phase::kFree || slot.settled || slot.withdrawn) return ItemVerdict::kOk;
  if (slot.run) return ItemVerdict::kViolation;
  slot.withdrawn = true;
  if (RW_MUTANT(46)) settle(number, Ending::kFailed, Reason::kCancelled);
  if (slot.phase != Phase::kWhole) slot.phase = Phase::kGone;
  if (RW_MUTANT(45)) return ItemVerdict::kOk;
  Event& event = events.add();
  event.kind = EventKind::kWithdrawn;
  event.number = static_cast<MessageNumber>(number);
  event.cookie = slot.tag;
  return ItemVerdict::kOk;
}

// Who waits for a message that never came must be told, and its number alone names it to nobody.
ItemVerdict Receiver::on_named_withdraw(ByteReader& reader, EventBatch& events) {
  wire::NamedWithdrawItem item;
  if (!wire::decode_named_withdraw(reader, item)) return ItemVerdict::kViolation;
  using Resolved = AttachmentReceiver::Verdict;
  const Resolved attachment = attachments_.resolve(item.attachment, item.id.attachment);
  if (attachment == Resolved::kViolation) return ItemVerdict::kViolation;
  const Slot& slot = slots_[numbers_.slot_of(item.number)];
  const bool never_came =
      numbers_.compare(numbers_.generation_of(item.number), slot.generation) > 0;
  if (never_came && attachment == Resolved::kStale) return ItemVerdict::kNotYet;
  const ItemVerdict verdict = on_withdraw(item.number, events);
  if (verdict != ItemVerdict::kOk || !never_came || RW_MUTANT(162)) return verdict;
  Event& event = events.add();
  event.kind = EventKind::kNeverCame;
  event.number = static_cast<MessageNumber>(item.number);
  event.header.id = item.id;
  event.header.predecessor = item.predecessor;
  return ItemVerdict::kOk;
}

Receiver::Placement Receiver::place(std::uint32_t number, std::uint64_t fragment,
                                    std::size_t bytes) const {
  const Slot& slot = slots_[numbers_.slot_of(number)];
  const std::int32_t order = numbers_.compare(numbers_.generation_of(number), slot.generation);
  if (order > 0) return {ItemVerdict::kNotYet, nullptr};
  if (order < 0) return {};
  // Nothing of an announced message goes ahead of its grant (W-14).
  if (slot.phase == Phase::kOpened)
    return {slot.announced ? ItemVerdict::kViolation : ItemVerdict::kNotYet, nullptr};
  if (slot.phase != Phase::kReceiving) return {};
  if (fragment >= slot.fragment_count) return {ItemVerdict::kViolation, nullptr};
  const std::uint64_t offset = fragment * fragment_bytes_;
  if (bytes != std::min<std::uint64_t>(fragment_bytes_, slot.payload_bytes - offset))
    return {ItemVerdict::kViolation, nullptr};
  if (slot.announced) {
    const Window& window = windows_[slot.window];
    if (fragment >= window.granted) return {ItemVerdict::kViolation, nullptr};
    if (fragment < slot.arrived || (window.test(fragment) && !RW_MUTANT(47))) return {};
  } else if ((slot.arrived >> fragment & 1) != 0) {
    return {};
  }
  return {ItemVerdict::kOk, slot.extent + offset};
}

void Receiver::commit(std::uint32_t number, std::uint64_t fragment, EventBatch& events) {
  Slot& slot = slots_[numbers_.slot_of(number)];
  bool complete = false;
  if (slot.announced) {
    Window& window = windows_[slot.window];
    window.flip(fragment);
    while (window.test(slot.arrived)) window.flip(slot.arrived++);
    complete = slot.arrived + (RW_MUTANT(49) ? 1 : 0) >= slot.fragment_count;
    if (!complete && !RW_MUTANT(50)) update_grant(slot);
  } else {
    slot.arrived |= std::uint64_t{1} << fragment;
    complete = static_cast<std::uint64_t>(std::popcount(slot.arrived)) + (RW_MUTANT(48) ? 1 : 0) ==
               slot.fragment_count;
  }
  if (!complete) return;
  slot.phase = Phase::kWhole;
  if (slot.announced) grants_.remove(windows_, slot.window);
  Event& event = events.add();
  event.kind = EventKind::kComplete;
  event.number = static_cast<MessageNumber>(number);
  event.cookie = slot.tag;
  // At level none arrival is the end; nobody settles it (W-19).
  if (slot.level == Level::kNone) settle(number, Ending::kDone, Reason::kNone);
}

// W-14
void Receiver::update_grant(Slot& slot) {
  Window& window = windows_[slot.window];
  const std::uint64_t wanted = std::min(slot.fragment_count, slot.arrived + grant_fragments_);
  if (wanted <= window.granted) return;
  if (wanted - window.granted < grant_fragments_ / 4 && wanted < slot.fragment_count) return;
  window.granted = wanted;
  if (window.grant_link.list == 0) grants_.push_back(windows_, slot.window);
}

// W-15
void Receiver::accept(std::uint32_t number, std::byte* extent) {
  Slot* slot = find(number);
  if (slot == nullptr || slot->phase != Phase::kOpened) return;  // withdrawn meanwhile
  slot->extent = extent;
  slot->phase = Phase::kReceiving;
  if (slot->announced) update_grant(*slot);
  if (RW_MUTANT(55)) slot->arrived |= 1;
}

void Receiver::tag(std::uint32_t number, std::uint32_t cookie) {
  if (Slot* slot = find(number); slot != nullptr) slot->tag = cookie;
}

void Receiver::settle(std::uint32_t number, Ending ending, Reason reason) {
  Slot* slot = find(number);
  if (slot == nullptr || slot->phase == Phase::kFree || slot->settled) return;
  slot->settled = true;
  slot->ending = ending;
  slot->reason = reason;
  queue_result(*slot);
}

void Receiver::release(std::uint32_t number) {
  Slot* slot = find(number);
  if (slot == nullptr || slot->phase == Phase::kFree) return;
  if (!slot->settled)
    settle(number, slot->level == Level::kNone ? Ending::kDone : Ending::kUnknown,
           slot->level == Level::kNone ? Reason::kNone : Reason::kUnprocessed);
  slot->phase = Phase::kFree;
  slot->extent = nullptr;
  discharge(*slot);
  queue_result(*slot);
}

void Receiver::queue_result(Slot& slot) {
  slot.result_acked = false;
  if (slot.result_link.list == 0) results_.push_back(slots_, index_of(slot));
  const bool urgent = !slot.reply && slot.reason != Reason::kReplyFollows;
  if (urgent == slot.result_urgent) return;
  slot.result_urgent = urgent;
  urgent ? ++urgent_results_ : --urgent_results_;
}

void Receiver::on_result_acked(std::uint32_t number, bool released) {
  Slot* slot = find(number);
  // Which of its results that was is not known: one that was lost is repeated.
  if (slot == nullptr || slot->run || (slot->phase == Phase::kFree) != released) return;
  slot->result_acked = true;
  unlist_result(index_of(*slot));
}

void Receiver::unlist_result(std::uint32_t index) {
  results_.remove(slots_, index);
  Slot& slot = slots_[index];
  if (slot.run) {
    const Run run{slot};
    urgent_results_ -= run.waiting();
    run.waiting() = 0;
    return;
  }
  if (!slots_[index].result_urgent) return;
  slots_[index].result_urgent = false;
  --urgent_results_;
}

void Receiver::on_result_lost(std::uint32_t number, bool released) {
  Slot* slot = find(number);
  if (slot != nullptr && slot->run) return queue_run_result(*slot, 1);
  // A newer state of the same result is under way by itself.
  if (slot == nullptr || slot->result_acked || (slot->phase == Phase::kFree) != released ||
      (RW_MUTANT(51) && released))
    return;
  queue_result(*slot);
}

void Receiver::on_grant_lost(std::uint32_t number) {
  Slot* slot = find(number);
  if (slot == nullptr || !slot->announced || slot->phase != Phase::kReceiving) return;
  Window& window = windows_[slot->window];
  if (window.grant_link.list == 0) grants_.push_back(windows_, slot->window);
}

void Receiver::on_credit_lost(std::uint32_t service_class) {
  credits_ |= std::uint64_t{1} << service_class;
}

std::size_t Receiver::write_items(ByteWriter& writer, SentPackets& sent, std::size_t max_items) {
  std::size_t items = 0;
  while (credits_ != 0 && items < max_items && sent.item_room() > 0 &&
         writer.room_bytes() >= wire::kMaxCreditBytes) {
    const auto service_class = static_cast<std::uint8_t>(std::countr_zero(credits_));
    credits_ &= credits_ - 1;
    const ServiceClass& service = classes_[service_class];
    wire::encode_credit(writer, {service_class, service.window_messages + (RW_MUTANT(43) ? 8 : 0),
                                 service.window_bytes});
    sent.add_item({service_class, SentKind::kCredit, false});
    ++items;
  }
  while (!grants_.empty() && items < max_items && sent.item_room() > 0 &&
         writer.room_bytes() >= wire::kMaxGrantBytes) {
    const std::uint32_t index = grants_.front();
    grants_.remove(windows_, index);
    const std::uint32_t number = number_of(slots_[windows_[index].slot]);
    wire::encode_grant(writer, {number, windows_[index].granted});
    sent.add_item({number, SentKind::kGrant, false});
    ++items;
  }
  while (!results_.empty() && items < max_items && sent.item_room() > 0 &&
         writer.room_bytes() >= wire::kMaxRunResultBytes) {
    const std::uint32_t index = results_.front();
    unlist_result(index);
    if (slots_[index].run) {
      write_run_result(slots_[index], writer, sent);
      ++items;
      continue;
    }
    const Slot& slot = slots_[index];
    const bool released = slot.phase == Phase::kFree;
    const std::uint32_t number = number_of(slot);
    wire::encode_result(
        writer, {number, slot.settled && !(RW_MUTANT(52) && released), released || RW_MUTANT(53),
                 RW_MUTANT(54) ? Ending::kDone : slot.ending, slot.reason});
    sent.add_item({number, SentKind::kResult, released});
    ++items;
  }
  return items;
}

Receiver::Slot* Receiver::find(std::uint32_t number) {
  Slot& slot = slots_[numbers_.slot_of(number)];
  return slot.generation == numbers_.generation_of(number) ? &slot : nullptr;
}

}  // namespace ringwire::transport
