#include <algorithm>
#include <utility>

#include "base/mutant.h"
#include "engine/transport/session_state.h"

namespace ringwire::transport {

using wire::FrameKind;
using wire::ItemType;

bool Session::State::on_packet(TimeNs at, std::span<const std::byte> packet, EventBatch& events) {
  events.clear();
  note_time(at);
  if (closed) return false;
  const auto header = wire::decode_frame_header(packet);
  // W-2, W-3
  if (!header || header->connection_id != config.local_connection_id) {
    ++counters.dropped_bad_packet;
    return false;
  }
  switch (received.judge(header->packet_number)) {
    case ReceivedPackets::Verdict::kNew:
      break;
    case ReceivedPackets::Verdict::kDuplicate:
      ++counters.dropped_duplicate_packet;
      return false;
    case ReceivedPackets::Verdict::kTooOld:
      ++counters.dropped_old_packet;
      return false;
  }
  const bool taken = header->kind == FrameKind::kBulk ? on_bulk(*header, packet, events)
                                                      : on_mixed(*header, packet, events);
  check_path(events);
  if (!closed && sender.has_events()) sender.flush_events(events);
  return taken;
}

// W-6: the payload goes straight to where it belongs while the checksum is computed. That place is
// of a range not yet received, so that a forged or damaged frame leaves nothing that is not
// overwritten before it counts.
bool Session::State::on_bulk(const wire::FrameHeader& header, std::span<const std::byte> packet,
                             EventBatch& events) {
  const auto sealed = wire::sealed_part(packet);
  constexpr std::size_t kBefore = wire::kFrameHeaderBytes + wire::kBulkHeaderBytes;
  Receiver::Placement placement{ItemVerdict::kViolation, nullptr};
  std::uint32_t number = 0;
  std::uint64_t fragment = 0;
  std::uint32_t crc = 0;
  if (sealed.size() > kBefore) {
    number = load_le<std::uint32_t>(sealed.data() + wire::kFrameHeaderBytes);
    fragment = load_le<std::uint64_t>(sealed.data() + wire::kFrameHeaderBytes + 4);
    const auto payload = sealed.subspan(kBefore);
    placement = receiver.place(number, fragment, payload.size());
    crc = wire::crc32c(0, sealed.first(kBefore));
    crc = placement.target != nullptr ? wire::copy_with_crc32c(crc, placement.target, payload)
                                      : wire::crc32c(crc, payload);
  } else {
    crc = wire::crc32c(0, sealed);
  }
  if (!wire::clear_tag_matches(crc, sealed.data() + sealed.size()) && !RW_MUTANT(4)) {
    ++counters.dropped_bad_packet;
    return false;
  }
  last_heard = now;
  if (placement.verdict == ItemVerdict::kNotYet) {
    if (RW_MUTANT(6)) received_packet(header, true);
    ++counters.dropped_early_fragment;
    return false;
  }
  if (placement.verdict == ItemVerdict::kViolation) {
    ++counters.dropped_malformed;
    shut(Reason::kBadMessage, true, &events);
    return false;
  }
  counters.bytes_received += packet.size();
  received_packet(header, true);
  if (placement.target != nullptr) receiver.commit(number, fragment, events);
  return true;
}

bool Session::State::on_mixed(const wire::FrameHeader& header, std::span<const std::byte> packet,
                              EventBatch& events) {
  if (!wire::verify_clear(packet) && !RW_MUTANT(5)) {
    ++counters.dropped_bad_packet;
    return false;
  }
  last_heard = now;
  ByteReader reader(wire::sealed_part(packet).subspan(wire::kFrameHeaderBytes));
  bool eliciting = false;
  std::size_t items = 0;
  std::size_t acks = 0;
  while (!reader.at_end()) {
    const auto type = static_cast<ItemType>(reader.u8());
    if (type == ItemType::kPadding) continue;
    ItemVerdict verdict = ItemVerdict::kViolation;
    const bool in_bounds =
        type == ItemType::kAck ? ++acks <= 1 : ++items <= kMaxItemsPerFrame;  // W-7
    if (in_bounds) verdict = on_item(type, reader, events);
    if (verdict == ItemVerdict::kNotYet) {
      // Everything before this item is idempotent, so that the repetition does no harm (W-34).
      ++counters.dropped_early_fragment;
      return false;
    }
    if (verdict == ItemVerdict::kViolation || !reader.ok()) {
      ++counters.dropped_malformed;
      shut(Reason::kBadMessage, true, &events);
      return false;
    }
    if (closed) break;  // by the peer
    eliciting |= type != ItemType::kAck && type != ItemType::kClose;
  }
  counters.bytes_received += packet.size();
  received_packet(header, eliciting);
  return true;
}

ItemVerdict Session::State::on_item(ItemType type, ByteReader& reader, EventBatch& events) {
  const auto verdict = [](bool ok) { return ok ? ItemVerdict::kOk : ItemVerdict::kViolation; };
  switch (type) {
    case ItemType::kPadding:
    case ItemType::kPing:  // W-26: being taken in is the answer, and the peer waits for it
      ack_waiting = kAckEveryBulk;
      return ItemVerdict::kOk;
    case ItemType::kAck: {
      wire::AckItem ack;
      return wire::decode_ack(reader, ack) ? on_ack(ack) : ItemVerdict::kViolation;
    }
    case ItemType::kMessage:
    case ItemType::kOpen:
    case ItemType::kOpenAnnounced:
      return receiver.on_message(type, reader, events);
    case ItemType::kGrant: {
      wire::GrantItem grant;
      return verdict(wire::decode_grant(reader, grant) && sender.on_grant(grant));
    }
    case ItemType::kCredit: {
      wire::CreditItem credit;
      return verdict(wire::decode_credit(reader, credit) && sender.on_credit(credit));
    }
    case ItemType::kResult: {
      wire::ResultItem result;
      return verdict(wire::decode_result(reader, result) && sender.on_result(result));
    }
    case ItemType::kWithdraw: {
      std::uint32_t number = 0;
      return wire::decode_withdraw(reader, number) ? receiver.on_withdraw(number, events)
                                                   : ItemVerdict::kViolation;
    }
    case ItemType::kWithdrawNamed:
      return receiver.on_named_withdraw(reader, events);
    case ItemType::kRun:
      return receiver.on_run(reader, events);
    case ItemType::kRunResult:
      return verdict(sender.on_run_result(reader));
    case ItemType::kRunWithdraw: {
      std::uint32_t number = 0;
      std::uint32_t mask = 0;
      return wire::decode_run_withdraw(reader, number, mask)
                 ? receiver.on_run_withdraw(number, mask, events)
                 : ItemVerdict::kViolation;
    }
    case ItemType::kClose: {
      Reason reason{};
      if (!wire::decode_close(reader, reason)) return ItemVerdict::kViolation;
      swallowed = reason == Reason::kTooLarge;  // W-54
      shut(reason, false, &events);
      return ItemVerdict::kOk;
    }
  }
  return ItemVerdict::kViolation;
}

void Session::State::received_packet(const wire::FrameHeader& header, bool eliciting) {
  ++counters.packets_received;
  came = true;
  const bool in_order = header.packet_number == received.largest() + 1;
  if (in_order || !RW_MUTANT(7)) received.mark(header.packet_number, now - waited);
  if (!eliciting) return;
  ack_due = true;
  // A gap is news that the sender can use at once (RFC 9000 13.2.1).
  if (in_order && !header.ack_now)
    ack_waiting += header.kind == FrameKind::kBulk ? 1 : kAckEveryBulk / kAckEveryMixed;
  else
    ack_waiting = kAckEveryBulk;
  note_lazy();
}

ItemVerdict Session::State::on_ack(const wire::AckItem& ack) {
  const std::uint64_t newest = ack.ranges[0].high;
  if (newest >= sent.next_number()) return ItemVerdict::kViolation;  // never sent
  const bool newest_is_new = sent.outstanding(newest);
  const TimeNs newest_sent_at = newest_is_new ? sent.packet(newest).sent_at : 0;
  bool progress = false;
  for (std::size_t index = 0; index < (RW_MUTANT(9) ? 1 : ack.count); ++index) {
    const wire::PacketRange& range = ack.ranges[index];
    for (std::uint64_t number = sent.find_open(range.low, range.high); number != 0;
         number = sent.find_open(number + 1, range.high)) {
      if (sent.outstanding(number)) progress = true;
      acked(number);
    }
  }
  largest_acked = RW_MUTANT(8) ? sent.next_number() - 1 : std::max(largest_acked, newest);
  if (newest_is_new) {
    const auto delay =
        static_cast<DurationNs>(std::min<std::uint64_t>(ack.delay_us, 1'000'000)) * kMicrosecondNs;
    const DurationNs sample = now - newest_sent_at;
    rtt.on_sample(sample, sample - delay - waited, now);
    congestion.on_rtt(std::max(sample - delay - waited, rtt.minimum_ns()));
  }
  if (!progress) return ItemVerdict::kOk;
  if (lazy_blocked) lazy_at = now;
  lazy_blocked = false;
  probes = 0;
  unanswered_since = sent.oldest() < sent.next_number() ? now : kNeverNs;
  detect_loss();
  if (largest_acked >= round_end) {
    round_end = sent.next_number();
    if (reorder_step > 0 && ++quiet_rounds >= kReorderQuietRounds) {
      --reorder_step;
      reorder_delay_ns = reorder_step == 0 ? 0 : reorder_delay_ns - reorder_delay_ns / 8;
      quiet_rounds = 0;
    }
  }
  if (largest_acked >= congestion.round_end()) {
    // Senders that never met an idle path would take each other's queue for its length, and those
    // that did would give way to them.
    const DurationNs path_ns =
        config.idle_rtt_ns > 0 ? std::min(rtt.minimum_ns(), config.idle_rtt_ns) : rtt.minimum_ns();
    if (congestion.end_round(sent.next_number(), path_ns)) ++counters.congestion_events;
    held_back = false;
  }
  return ItemVerdict::kOk;
}

void Session::State::acked(std::uint64_t number) {
  const SentPacket packet = sent.packet(number);
  if (packet.bytes > kMinPacketBytes)
    swallowed_rounds = 0;
  else if (swallowed_rounds > 0 && number >= small_from)
    ++small_arrived;
  if (!sent.outstanding(number)) {
    ++counters.packets_spurious;
    congestion.on_spurious();
    sent.forget_lost(number);
    if (!packet.timed_out) {
      // A step at most once per round trip: what was sent before the last step is no news.
      if (number >= reorder_from && reorder_step < kMaxReorderStep) {
        ++reorder_step;
        reorder_from = sent.next_number();
      }
      // How late it was, but bounded, so that a pause of the peer is not taken for its path.
      reorder_delay_ns = std::max(
          reorder_delay_ns, std::min(now - packet.sent_at, kReorderDelayFactor * rtt.latest_ns()));
    }
    quiet_rounds = 0;
    return;
  }
  congestion.on_acked(packet.bytes, held_back);
  if (!packet.bulk)
    for (std::uint32_t index = 0; index < packet.item_count; ++index) {
      const SentItem item = sent.item(packet, index);
      if (item.kind == SentKind::kHeader) sender.on_header_acked(item.value);
      if (item.kind == SentKind::kResult) receiver.on_result_acked(item.value, item.released);
    }
  sent.resolve_acked(number);
}

// RFC 9002 section 6.1. Packets are looked at from the oldest on; the first that is not lost ends
// the search, because all after it were sent later and have higher numbers.
void Session::State::detect_loss() {
  loss_deadline = kNeverNs;
  const std::uint64_t threshold = kPacketThreshold << (2 * reorder_step);
  const DurationNs delay = loss_delay_ns();
  while (sent.oldest() < sent.next_number() && sent.oldest() < largest_acked) {
    const SentPacket& packet = sent.packet(sent.oldest());
    if (packet.number + threshold > largest_acked && packet.sent_at + delay > now) {
      loss_deadline = packet.sent_at + delay;
      return;
    }
    congestion.on_lost(1);
    lose(packet.number, false);
  }
}

void Session::State::note_large_lost(std::uint64_t number) {
  if (number < swallowed_until) return;
  if (swallowed_rounds++ == 0) {
    small_from = sent.next_number();
    small_arrived = 0;
    swallowed_since = now;
  }
  swallowed_until = sent.next_number();
}

// W-54
void Session::State::check_path(EventBatch& events) {
  if (closed || swallowed_rounds < kSwallowedRounds || small_arrived < kSmallArrived ||
      now - swallowed_since < kSwallowedNs)
    return;
  swallowed = true;
  shut(Reason::kTooLarge, true, &events);
}

void Session::State::lose(std::uint64_t number, bool by_time_out) {
  const SentPacket packet = sent.packet(number);
  ++counters.packets_lost;
  counters.bytes_retransmitted += packet.bytes;
  if (packet.bytes > kMinPacketBytes) note_large_lost(number);
  if (packet.bulk) {
    if (!RW_MUTANT(11)) sender.on_fragment_lost(packet.message, packet.fragment);
  } else {
    for (std::uint32_t index = 0; index < packet.item_count; ++index) {
      const SentItem item = sent.item(packet, index);
      switch (item.kind) {
        case SentKind::kHeader:
          if (!RW_MUTANT(12)) sender.on_header_lost(item.value);
          break;
        case SentKind::kWithdraw:
          if (!RW_MUTANT(15)) sender.on_withdraw_lost(item.value);
          break;
        case SentKind::kResult:
          if (!RW_MUTANT(13)) receiver.on_result_lost(item.value, item.released);
          break;
        case SentKind::kGrant:
          if (!RW_MUTANT(14)) receiver.on_grant_lost(item.value);
          break;
        case SentKind::kCredit:
          receiver.on_credit_lost(item.value);
          break;
        case SentKind::kPing:
          ping_due = true;
          break;
      }
    }
  }
  sent.resolve_lost(number, by_time_out);
}

void Session::State::on_timer(TimeNs at, EventBatch& events) {
  events.clear();
  note_time(at);
  if (closed) {
    static_cast<void>(drain(events));
    return;
  }
  if (loss_deadline <= now) detect_loss();
  if (probe_deadline_ns() <= now) probe();
  sender.flush_events(events);
}

// W-52: the first time-out repeats the two oldest packets, which mends a lost tail within a round
// trip. Later ones only ask for a sign of life: what it answers tells what was lost.
void Session::State::probe() {
  ++counters.probes_sent;
  ++probes;
  last_sent = now;  // the next time-out counts from here even if nothing can be sent
  if (probes > 1) {
    ping_due = true;
    probe_allowance = 1;
    // In a receive queue that is full as far as we know, the oldest gives way.
    while (room_for_data() <= wire::kFrameOverheadBytes + wire::kMaxAckBytes &&
           sent.oldest() < sent.next_number())
      lose(sent.oldest(), true);
    return;
  }
  probe_allowance = 2;
  for (int count = 0; count < 2 && sent.oldest() < sent.next_number(); ++count)
    lose(sent.oldest(), true);
}

void Session::State::note_time(TimeNs at) {
  pulse.see(at);
  if (std::exchange(pulse.paused, false)) congestion.on_pause();
  now = std::max(now, at);
}

}  // namespace ringwire::transport
