#include "engine/transport/sender.h"

#include <algorithm>
#include <memory>

#include "base/check.h"
#include "base/mutant.h"

namespace ringwire::transport {

using wire::ItemType;

Sender::Sender(const SessionConfig& config)
    : numbers_(config.message_slots),
      fragment_bytes_(fragment_bytes(config.max_packet_bytes)),
      body_bytes_(config.max_packet_bytes - wire::kFrameOverheadBytes),
      max_reply_slots_(reply_slots(config.message_slots)),
      slots_(config.message_slots, config.memory),
      classes_(kServiceClasses),
      failures_(config.message_slots, config.memory),
      lost_(kSentPackets, config.memory),
      attachments_(config.memory),
      services_(config.memory) {
  for (ServiceClass& service : classes_) {
    service.window_messages = initial_window_messages(config.message_slots);
    service.window_bytes = kInitialWindowBytes;
  }
}

std::uint64_t Sender::memory_bytes(std::uint32_t message_slots) {
  return message_slots * sizeof(Slot) +               //
         message_slots * sizeof(wire::RunFailures) +  //
         kServiceClasses * sizeof(ServiceClass) +     //
         kSentPackets * sizeof(LostFragment) +        //
         AttachmentSender::memory_bytes() +           //
         ServiceSender::memory_bytes();
}

// As in its first packet at worst: the longest number, everything defined with the longest handles.
std::size_t Sender::largest_header_bytes(const wire::MessageHeader& header) {
  constexpr wire::HandleUse kLongest{0xffff'ffff, true};
  return wire::message_bytes(0xffff'ffff, header, {kLongest, {kServiceClasses, true}, kLongest});
}

SendVerdict Sender::send(const wire::MessageHeader& header, const std::byte* payload,
                         std::uint32_t cookie, MessageNumber& number) {
  const bool valid = wire::valid_header(header);
  // The exact length of the header is computed only where the bound does not fit.
  const std::size_t bound_bytes = wire::max_message_bytes(header);
  bool fits = valid && bound_bytes <= body_bytes_;
  bool small = fits && header.payload_bytes <= body_bytes_ - bound_bytes;
  if (valid && !small) {
    const std::size_t header_bytes = largest_header_bytes(header);
    fits = header_bytes <= body_bytes_;
    small = fits && header.payload_bytes <= body_bytes_ - header_bytes;
  }
  // W-13
  const bool announced = !small && header.payload_bytes > kUnscheduledBytes;
  const bool reply = (header.flags & wire::kReply) != 0;
  const std::uint8_t service_class = valid && !reply ? services_.class_of(header.service) : 0;
  const auto charge_bytes =
      announced
          ? 0
          : std::max(kMinChargeBytes,
                     static_cast<std::uint32_t>(std::min(header.payload_bytes, kUnscheduledBytes)));
  ServiceClass& service = classes_[service_class];
  if (!reply && (service.open_messages + (RW_MUTANT(22) ? 0 : 1) > service.window_messages ||
                 service.open_bytes + (RW_MUTANT(23) ? 0 : charge_bytes) > service.window_bytes)) {
    service.refused = true;
    return SendVerdict::kNoCredit;
  }
  if (!has_free_slot() || (reply && open_replies_ >= max_reply_slots_) ||
      (announced && open_announced_[reply ? 1 : 0] >= kMaxAnnounced)) {
    refused_slot_ = true;
    return SendVerdict::kNoSlot;
  }
  const std::uint32_t index = take_slot();
  Slot& slot = slots_[index];
  const std::uint32_t generation =
      slot.sent || slot.generation == 0
          ? numbers_.next_generation(slot.generation - (RW_MUTANT(27) ? 1 : 0))
          : slot.generation;
  std::construct_at(&slot);
  slot.generation = generation;
  slot.header = header;
  slot.payload = payload;
  slot.cookie = cookie;
  slot.active = true;
  slot.announced = announced;
  slot.reply = reply;
  slot.service_class = service_class;
  slot.charge_bytes = reply ? 0 : charge_bytes;
  ++open_;
  open_replies_ += reply ? 1 : 0;
  open_announced_[reply ? 1 : 0] += announced ? 1 : 0;
  if (!reply) {
    ++service.open_messages;
    service.open_bytes += charge_bytes;
  }
  number = static_cast<MessageNumber>(numbers_.number_of(index, generation));
  if (!fits) {
    // Nothing of it can be sent: ended here, reported with the next events (W-17).
    release(slot);
    end(slot, Ending::kFailed, valid ? Reason::kTooLarge : Reason::kBadMessage, false);
    return SendVerdict::kTaken;
  }
  if (!small) {
    slot.fragment_count = (header.payload_bytes - 1) / fragment_bytes_ + 1;
    slot.granted = announced ? 0 : slot.fragment_count;
  }
  slot.attachment = attachments_.acquire(header.id.attachment);
  if (!header.in_reply_to.attachment.empty())
    slot.reply_attachment = attachments_.acquire(header.in_reply_to.attachment);
  header_list(slot).push_back(slots_, index);
  return SendVerdict::kTaken;
}

void Sender::withdraw(std::uint32_t number) {
  Slot* slot = find(number);
  if (slot == nullptr || slot->ended || slot->withdrawn) return;
  unlink(*slot);
  slot->withdrawn = true;
  if (slot->sent) {
    withdraw_.push_back(slots_, index_of(*slot));
    return;
  }
  release(*slot);
  end(*slot, Ending::kFailed, Reason::kCancelled, false);
}

// W-27
bool Sender::on_result(const wire::ResultItem& result) {
  // That a session was lost is for its own end to find out.
  if (result.reason == Reason::kSessionLost) return false;
  Slot& slot = slots_[numbers_.slot_of(result.number)];
  const std::int32_t order =
      numbers_.compare(numbers_.generation_of(result.number), slot.generation);
  if (order > 0) return false;
  if (order < 0 && !RW_MUTANT(28)) return slot.generation != 0;
  if (!slot.active) return true;  // repeated
  if (!slot.sent || slot.run_count != 0) return false;
  if (result.settled && !slot.ended)
    end(slot, result.ending, result.reason,
        slot.header.level == Level::kNone && result.ending == Ending::kDone && !slot.withdrawn);
  if (result.released) {
    if (!slot.ended)
      end(slot, Ending::kDone, Reason::kNone, slot.header.level == Level::kNone && !slot.withdrawn);
    release(slot);
    if (slot.reported) free(slot);
  }
  return true;
}

// W-24
bool Sender::on_grant(const wire::GrantItem& grant) {
  Slot& slot = slots_[numbers_.slot_of(grant.number)];
  const std::int32_t order =
      numbers_.compare(numbers_.generation_of(grant.number), slot.generation);
  if (order > 0) return false;
  if (order < 0 || !slot.active) return true;
  if (!slot.announced || !slot.sent || grant.fragments > slot.fragment_count) return false;
  if (slot.ended || slot.withdrawn || grant.fragments <= slot.granted ||
      (RW_MUTANT(30) && slot.granted > 0))
    return true;
  slot.granted = grant.fragments;
  if (slot.bulk.list == 0) large_.push_back(slots_, index_of(slot));
  return true;
}

// W-25, W-42
bool Sender::on_credit(const wire::CreditItem& credit) {
  if (credit.service >= kServiceClasses || credit.window_messages > numbers_.slots() ||
      credit.window_bytes > kMaxWindowBytes)
    return false;
  ServiceClass& service = classes_[credit.service];
  // An older item that was overtaken says less; windows only grow (W-42).
  service.window_messages =
      std::max(service.window_messages, credit.window_messages * (RW_MUTANT(31) ? 2 : 1));
  service.window_bytes = std::max(service.window_bytes, credit.window_bytes);
  if (service.refused) {
    service.refused = false;
    wake_refused_ = true;
  }
  return true;
}

void Sender::on_header_acked(std::uint32_t number) {
  Slot* slot = find(number);
  if (slot == nullptr || slot->acked) return;
  slot->acked = true;
  attachments_.on_acked(slot->attachment);
  attachments_.on_acked(slot->reply_attachment);
  if (slot->service_class != 0) services_.on_acked(slot->service_class);
  repeat_.remove(slots_, index_of(*slot));
  if (slot->run_count != 0) {
    // W-19
    if (slot->header.level == Level::kNone) settle_run(*slot, wire::run_mask(slot->run_count));
    if ((slot->run_withdrawn & ~slot->run_settled) != 0 && slot->attention.list == 0)
      withdraw_.push_back(slots_, index_of(*slot));
    return;
  }
  if (slot->header.level == Level::kNone && slot->fragment_count == 0 && !slot->ended &&
      !slot->withdrawn)
    end(*slot, Ending::kDone, Reason::kNone, true);
}

void Sender::on_header_lost(std::uint32_t number) {
  Slot* slot = find(number);
  if (slot == nullptr || slot->acked || slot->ended || slot->withdrawn) return;
  withdraw_.remove(slots_, index_of(*slot));  // of a run: what is called back is, once it has come
  if (slot->attention.list == 0) repeat_.push_back(slots_, index_of(*slot));
}

void Sender::on_withdraw_lost(std::uint32_t number) {
  Slot* slot = find(number);
  if (slot == nullptr || slot->ended || slot->attention.list != 0) return;
  if (slot->run_count != 0 && (slot->run_withdrawn & ~slot->run_settled) == 0) return;
  if (!RW_MUTANT(35)) withdraw_.push_back(slots_, index_of(*slot));
}

void Sender::on_fragment_lost(std::uint32_t number, std::uint64_t fragment) {
  Slot* slot = find(number);
  if (slot == nullptr || slot->ended || slot->withdrawn) return;
  // Cannot overflow: new fragments are sent only while this is empty, and every entry was in the
  // ring of sent packets, which is as large.
  RW_CHECK(lost_count_ < lost_.size());
  slot->lossy = true;
  lost_[(lost_head_ + lost_count_++) % lost_.size()] = {fragment, number};
}

bool Sender::has_items() const {
  return !withdraw_.empty() || !repeat_.empty() || !high_.empty() || !normal_.empty();
}

std::size_t Sender::write_items(ByteWriter& writer, SentPackets& sent, std::size_t max_items) {
  std::size_t items = 0;
  while (!withdraw_.empty() && items < max_items && sent.item_room() > 0 &&
         writer.room_bytes() >= wire::kMaxNamedWithdrawBytes) {
    const std::uint32_t index = withdraw_.front();
    withdraw_.remove(slots_, index);
    const Slot& slot = slots_[index];
    const std::uint32_t number = numbers_.number_of(index, slot.generation);
    if (slot.run_count != 0)
      wire::encode_run_withdraw(writer, number, slot.run_withdrawn & ~slot.run_settled);
    else if (slot.acked || (slot.header.flags & wire::kOrderNone) != 0)
      wire::encode_withdraw(writer, number);
    else
      wire::encode_named_withdraw(writer, {number, attachments_.use(slot.attachment),
                                           slot.header.id, slot.header.predecessor});
    sent.add_item({number, SentKind::kWithdraw, false});
    ++items;
  }
  for (AttentionList* list : {&repeat_, &high_, &normal_})
    while (!list->empty()) {
      const std::uint32_t index = list->front();
      if (items >= max_items || sent.item_room() == 0 || !write_header(slots_[index], writer, sent))
        return items;
      list->remove(slots_, index);
      ++items;
    }
  return items;
}

bool Sender::write_header(Slot& slot, ByteWriter& writer, SentPackets& sent) {
  if (slot.run_count != 0) return write_run(slot, writer, sent);
  const bool small = slot.fragment_count == 0;
  const auto payload_bytes = small ? static_cast<std::size_t>(slot.header.payload_bytes) : 0;
  const std::uint32_t index = index_of(slot);
  const std::uint32_t number = numbers_.number_of(index, slot.generation);
  const wire::MessageHandles handles{attachments_.use(slot.attachment),
                                     services_.use(slot.service_class),
                                     attachments_.use(slot.reply_attachment)};
  // The exact length is computed only where the bound does not fit.
  if (wire::max_message_bytes(slot.header) + payload_bytes > writer.room_bytes() &&
      wire::message_bytes(number, slot.header, handles) + payload_bytes > writer.room_bytes())
    return false;
  wire::encode_message(writer,
                       small            ? ItemType::kMessage
                       : slot.announced ? ItemType::kOpenAnnounced
                                        : ItemType::kOpen,
                       number, slot.header, handles);
  if (small) writer.bytes({slot.payload, payload_bytes});
  sent.add_item({number, SentKind::kHeader, false});
  if (!slot.sent) {
    slot.sent = true;
    ++messages_sent;
    if (slot.granted > 0) middle_.push_back(slots_, index);  // the announced wait for a grant
  }
  return true;
}

bool Sender::take_fragment(Fragment& fragment) {
  if (take_lost(fragment)) return true;
  // Shorter ones first, but never at the whole cost of the announced (W-45).
  const bool announced =
      middle_.empty() || (!large_.empty() && since_announced_ + 1 >= kBulkPacketsPerAnnounced);
  BulkList& list = announced ? large_ : middle_;
  if (list.empty()) return false;
  since_announced_ = announced ? 0 : since_announced_ + 1;
  Slot& slot = slots_[list.front()];
  fill_fragment(slot, slot.next_fragment++, fragment);
  const bool drained = slot.next_fragment == slot.granted;
  if (drained) list.remove(slots_, index_of(slot));
  if (announced && (drained || ++turn_fragments_ == kFragmentsPerTurn)) {
    if (!drained) rotate(list, slot);
    choose_large();
  }
  return true;
}

// W-45: the one with the least left to send goes first, so that each ends as early as it can; of
// every few turns one is of the message that has waited longest.
void Sender::choose_large() {
  turn_fragments_ = 0;
  if (large_.empty() || ++turns_ % kTurnsPerOldest == 0) return;
  std::uint32_t best = large_.front();
  for (std::uint32_t at = best; at != kNoIndex; at = slots_[at].bulk.next)
    if (slots_[at].fragment_count - slots_[at].next_fragment <
        slots_[best].fragment_count - slots_[best].next_fragment)
      best = at;
  if (best == large_.front()) return;
  large_.remove(slots_, best);
  large_.push_front(slots_, best);
}

bool Sender::take_lost(Fragment& fragment) {
  while (lost_count_ > 0) {
    const LostFragment lost = lost_[lost_head_];
    lost_head_ = (lost_head_ + 1) % lost_.size();
    --lost_count_;
    Slot* slot = find(lost.number);
    if (slot == nullptr || slot->ended || slot->withdrawn) continue;
    fill_fragment(*slot, RW_MUTANT(33) && lost.index > 0 ? lost.index - 1 : lost.index, fragment);
    return true;
  }
  return false;
}

void Sender::fill_fragment(const Slot& slot, std::uint64_t index, Fragment& fragment) const {
  const std::uint64_t offset = index * fragment_bytes_;
  const std::uint64_t bytes =
      std::min<std::uint64_t>(fragment_bytes_, slot.header.payload_bytes - offset);
  fragment.number = numbers_.number_of(index_of(slot), slot.generation);
  fragment.index = index;
  fragment.payload = {slot.payload + offset - (RW_MUTANT(34) && index == 3 ? 16 : 0),
                      static_cast<std::size_t>(bytes)};
  fragment.in_place = !slot.lossy && bytes >= kMinGatherBytes;
}

void Sender::rotate(BulkList& list, Slot& slot) {
  list.remove(slots_, index_of(slot));
  list.push_back(slots_, index_of(slot));
}

void Sender::flush_events(EventBatch& events) {
  while (!events_.empty() && !events.full()) {
    const std::uint32_t index = events_.front();
    events_.remove(slots_, index);
    Slot& slot = slots_[index];
    report(slot, events.add());
    if (slot.released || RW_MUTANT(29)) free(slot);
  }
  if (!run_events_.empty()) flush_run_events(events);
  if (wake_refused_ && !events.full()) {
    wake_refused_ = false;
    events.add().kind = EventKind::kCredit;
  }
}

void Sender::report(Slot& slot, Event& event) {
  slot.reported = true;
  --open_;
  event.kind = slot.as_sent ? EventKind::kSent : EventKind::kResult;
  event.ending = slot.ending;
  event.reason = slot.reason;
  event.cookie = slot.cookie;
  event.number = static_cast<MessageNumber>(numbers_.number_of(index_of(slot), slot.generation));
}

bool Sender::fail_all(EventBatch& events) {
  flush_run_events(events);
  if (!run_events_.empty()) return false;
  for (; fail_cursor_ < used_slots_; ++fail_cursor_) {
    Slot& slot = slots_[fail_cursor_];
    if (!slot.active || slot.reported) continue;
    if (events.full()) return false;
    unlink(slot);
    if (slot.run_count != 0) {
      Event& event = events.add();
      event.kind = EventKind::kRunResult;
      event.cookie = slot.cookie;
      event.mask = event.failed = wire::run_mask(slot.run_count) & ~slot.run_told;
      event.ending = slot.sent && !RW_MUTANT(32) ? Ending::kUnknown : Ending::kFailed;
      event.reason = Reason::kSessionLost;
      slot.reported = true;
      continue;
    }
    if (!slot.ended) {
      slot.ended = true;
      slot.ending = slot.sent && !RW_MUTANT(32) ? Ending::kUnknown : Ending::kFailed;
      slot.reason = Reason::kSessionLost;
    }
    report(slot, events.add());
  }
  return true;
}

Sender::Slot* Sender::find(std::uint32_t number) {
  Slot& slot = slots_[numbers_.slot_of(number)];
  return slot.active && slot.generation == numbers_.generation_of(number) ? &slot : nullptr;
}

void Sender::unlink(Slot& slot) {
  const std::uint32_t index = index_of(slot);
  for (AttentionList* list : {&repeat_, &high_, &normal_, &withdraw_, &events_})
    list->remove(slots_, index);
  middle_.remove(slots_, index);
  large_.remove(slots_, index);
  run_events_.remove(slots_, index);
}

void Sender::end(Slot& slot, Ending ending, Reason reason, bool as_sent) {
  unlink(slot);
  slot.ended = true;
  slot.ending = ending;
  slot.reason = reason;
  slot.as_sent = as_sent;
  events_.push_back(slots_, index_of(slot));
}

void Sender::release(Slot& slot) {
  if (slot.released) return;
  slot.released = true;
  if (slot.reply) {
    open_replies_ -= RW_MUTANT(25) ? 0 : 1;
  } else {
    ServiceClass& service = classes_[slot.service_class];
    service.open_messages -= RW_MUTANT(24) && service.open_messages > 1 ? 2 : 1;
    service.open_bytes -= slot.charge_bytes;
    wake_refused(service);
  }
  if (slot.announced && !RW_MUTANT(26)) --open_announced_[slot.reply ? 1 : 0];
  attachments_.release(slot.attachment);
  attachments_.release(slot.reply_attachment);
  if (refused_slot_) {
    refused_slot_ = false;
    wake_refused_ = true;
  }
}

void Sender::wake_refused(ServiceClass& service) {
  if (!service.refused) return;
  service.refused = false;
  wake_refused_ = true;
}

// The slot freed last is warm in the cache; a new one may cost a page.
std::uint32_t Sender::take_slot() {
  if (free_.empty()) return used_slots_++;
  const std::uint32_t index = free_.front();
  free_.remove(slots_, index);
  return index;
}

void Sender::free(Slot& slot) {
  slot.active = false;
  free_.push_front(slots_, index_of(slot));
}

}  // namespace ringwire::transport
