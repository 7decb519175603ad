#include <algorithm>

#include "base/check.h"
#include "base/mutant.h"
#include "engine/transport/session_state.h"

namespace ringwire::transport {

using wire::FrameKind;

// What the last call of each turn finds: nothing, or an acknowledgement that may wait.
bool Session::State::nothing_due() {
  if (sender.has_items() || sender.has_fragments() || receiver.has_items() || ping_due)
    return false;
  if (ack_due && (now >= lazy_at || ack_waiting >= kAckEveryBulk)) return false;
  if (!ack_due) lazy_at = kNeverNs;  // what was to ride along went out of date
  note_idle();
  return true;
}

// There is nothing more to send now, but perhaps what rides along with the next packet.
void Session::State::note_idle() {
  if (receiver.has_items()) note_lazy();
  came = false;
  results_until = kNeverNs;
  // What was lost is not wanted any more: no silence of the peer means anything.
  if (sent.oldest() == sent.next_number()) unanswered_since = kNeverNs;
}

std::size_t Session::State::poll_transmit(TimeNs at, std::span<std::byte> packet, Gather* gather) {
  note_time(at);
  RW_CHECK(packet.size() >= config.max_packet_bytes);
  packet = packet.first(config.max_packet_bytes);
  if (closed) return close_frame_due ? write_close(packet) : 0;
  if (nothing_due()) return 0;
  while (sent.full()) {
    congestion.on_lost(1);
    lose(sent.oldest(), true);
  }
  const std::size_t room_bytes = room_for_data();
  const bool whole = room_bytes >= packet.size();
  const bool fragments = sender.has_fragments() && whole && congestion.pace_at() <= now;
  held_back |= (sender.has_fragments() && !fragments) || (sender.has_items() && !whole);
  if (receiver.has_items())
    note_lazy();
  else if (!ack_due)
    lazy_at = kNeverNs;
  const bool lazy = now >= lazy_at;
  const bool items = sender.has_items() || ping_due || (lazy && receiver.has_items()) ||
                     (receiver.has_urgent_items() && !results_wait());
  if ((ack_due && (lazy || ack_waiting >= kAckEveryBulk)) ||
      (items && !(fragments && mixed_in_a_row >= kMixedPacketsPerBulk))) {
    const std::size_t bytes = write_mixed(packet, room_bytes);
    if (bytes > 0) {
      ++mixed_in_a_row;
      return bytes;
    }
  }
  if (!fragments) {
    came = false;
    if (receiver.urgent_results() == 0) results_until = kNeverNs;
    // What was lost is not wanted any more: no silence of the peer means anything.
    if (sent.oldest() == sent.next_number() && !items && !sender.has_fragments())
      unanswered_since = kNeverNs;
    return 0;
  }
  mixed_in_a_row = 0;
  return write_bulk(packet, gather);
}

// Who has one message under way waits for its result; of a stream the next packet brings the next
// one.
bool Session::State::results_wait() {
  if (!came || receiver.has_permits() || receiver.urgent_results() >= kResultsTogether)
    return false;
  if (results_until == kNeverNs) results_until = now + kResultPatienceNs;
  return now < results_until;
}

// Bytes that a packet with data may have now: what the window leaves, or for a probe the peer's
// receive queue; a whole packet when nothing is in flight (so that a window below one packet cannot
// stop everything).
std::size_t Session::State::room_for_data() const {
  const std::uint64_t in_flight = sent.bytes_in_flight();
  const std::uint64_t limit =
      probe_allowance > 0 ? config.peer_receive_queue_bytes : congestion.window_bytes();
  const std::uint64_t window = limit << (RW_MUTANT(17) ? 20 : 0);
  const std::size_t whole = config.max_packet_bytes;
  if (in_flight == 0 || in_flight + whole <= window) return whole;
  return in_flight < window ? static_cast<std::size_t>(window - in_flight) : 0;
}

std::size_t Session::State::write_mixed(std::span<std::byte> packet, std::size_t room_bytes) {
  // An acknowledgement alone is not subject to the window (W-51).
  const bool data = room_bytes > wire::kFrameOverheadBytes + wire::kMaxAckBytes;
  const std::size_t limit_bytes = data ? room_bytes : packet.size();
  ByteWriter writer(
      packet.subspan(wire::kFrameHeaderBytes, limit_bytes - wire::kFrameOverheadBytes));
  if (ack_due && !(RW_MUTANT(18) && data)) {
    wire::AckItem ack;
    received.fill_ack(now, ack);
    wire::encode_ack(writer, ack);
  }
  if (data) {
    std::size_t items = 0;
    if (ping_due && sent.item_room() > 0) {
      wire::encode_ping(writer);
      sent.add_item({0, SentKind::kPing, false});
      ping_due = false;
      ++items;
    }
    items += receiver.write_items(writer, sent, kMaxItemsPerFrame - items);
    sender.write_items(writer, sent, kMaxItemsPerFrame - items);
  }
  if (writer.written_bytes() == 0) {
    // The window is full: the next acknowledgement brings the occasion, and asking each kLazyNs
    // until then would keep the worker of a peer that is gone awake.
    lazy_at = now + kMaxProbeNs;
    lazy_blocked = true;
    results_until = kNeverNs;
    return 0;
  }
  RW_DCHECK(writer.ok());
  ack_due = false;
  ack_waiting = 0;
  results_until = kNeverNs;
  lazy_at = kNeverNs;
  lazy_blocked = false;
  return finish_mixed(packet, writer.written_bytes());
}

std::size_t Session::State::finish_mixed(std::span<std::byte> packet, std::size_t body_bytes) {
  const auto frame = packet.first(body_bytes + wire::kFrameOverheadBytes);
  // Only with more to say: the answer to the last small message may carry its acknowledgement.
  const bool waits = sender.has_items() && sent.bytes_in_flight() + frame.size() + packet.size() >
                                               congestion.window_bytes();
  wire::encode_frame_header(
      {FrameKind::kMixed, config.remote_connection_id, sent.next_number(), waits}, frame);
  wire::seal_clear(frame);
  if (sent.items_added() > 0) {
    sent.on_sent_mixed(now, static_cast<std::uint32_t>(frame.size()));
    note_sent(frame.size());
  } else {
    sent.on_sent_silent(now);
  }
  ++counters.packets_sent;
  counters.bytes_sent += frame.size();
  return frame.size();
}

// What is sent for the first time is left in place if it can be: the checksum is all that reads it
// here. A program that scribbles over it meanwhile makes its own packet a damaged one, and from
// then on the message is copied, so that the checksum is that of what goes out.
std::size_t Session::State::write_bulk(std::span<std::byte> packet, Gather* gather) {
  Sender::Fragment fragment;
  if (!sender.take_fragment(fragment)) return 0;
  constexpr std::size_t kBefore = wire::kFrameHeaderBytes + wire::kBulkHeaderBytes;
  const std::uint64_t in_flight = sent.bytes_in_flight() + packet.size();
  const bool last =
      !sender.has_fragments() || in_flight + packet.size() > congestion.window_bytes();
  wire::encode_frame_header(
      {FrameKind::kBulk, config.remote_connection_id,
       sent.next_number() - (RW_MUTANT(16) && !fragment.in_place ? 1 : 0), last},
      packet);
  store_le<std::uint32_t>(packet.data() + wire::kFrameHeaderBytes, fragment.number);
  store_le<std::uint64_t>(packet.data() + wire::kFrameHeaderBytes + 4, fragment.index);
  std::uint32_t crc = wire::crc32c(0, packet.first(kBefore));
  const std::size_t bytes = kBefore + fragment.payload.size() + wire::kFrameTagBytes;
  if (gather != nullptr && fragment.in_place) {
    crc = wire::crc32c(crc, fragment.payload);
    *gather = {fragment.payload, kBefore};
    wire::encode_clear_tag(crc, packet.data() + kBefore);
  } else {
    crc = wire::copy_with_crc32c(crc, packet.data() + kBefore, fragment.payload);
    wire::encode_clear_tag(crc, packet.data() + bytes - wire::kFrameTagBytes);
  }
  sent.on_sent_bulk(now, static_cast<std::uint32_t>(bytes), fragment.number, fragment.index);
  congestion.on_bulk_sent(now, bytes);
  note_sent(bytes);
  ++counters.packets_sent;
  counters.bytes_sent += bytes;
  return bytes;
}

std::size_t Session::State::write_close(std::span<std::byte> packet) {
  close_frame_due = false;
  ByteWriter writer(packet.subspan(wire::kFrameHeaderBytes));
  wire::encode_close(writer, close_reason);
  sent.drop_items();
  return finish_mixed(packet, writer.written_bytes());
}

void Session::State::note_sent(std::size_t) {
  last_sent = now;
  if (unanswered_since == kNeverNs) unanswered_since = now;
  if (probe_allowance > 0) --probe_allowance;
}

}  // namespace ringwire::transport
