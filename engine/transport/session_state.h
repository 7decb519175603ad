// What a session is made of, and the conversation between its parts. Only session*.cc include this.
// session_inbound.cc turns packets and time into calls of the parts, session_outbound.cc asks the
// parts for the next packet. One thread; hot.
#pragma once

#include "engine/transport/congestion.h"
#include "engine/transport/received_packets.h"
#include "engine/transport/receiver.h"
#include "engine/transport/rtt.h"
#include "engine/transport/sender.h"
#include "engine/transport/sent_packets.h"
#include "engine/transport/session.h"
#include "engine/wire/frame.h"

namespace ringwire::transport {

// One event for each item, one for the close, one for new credit.
static_assert(kMaxItemsPerFrame + 2 <= EventBatch::kMaxEvents);

struct Session::State {
  State(const SessionConfig& session_config, TimeNs now, Pulse& session_pulse);

  // --- session_inbound.cc ---
  bool on_packet(TimeNs now, std::span<const std::byte> packet, EventBatch& events);
  bool on_bulk(const wire::FrameHeader& header, std::span<const std::byte> packet,
               EventBatch& events);
  bool on_mixed(const wire::FrameHeader& header, std::span<const std::byte> packet,
                EventBatch& events);
  ItemVerdict on_item(wire::ItemType type, ByteReader& reader, EventBatch& events);
  ItemVerdict on_ack(const wire::AckItem& ack);
  void acked(std::uint64_t number);
  void detect_loss();
  void note_large_lost(std::uint64_t number);
  void check_path(EventBatch& events);
  void lose(std::uint64_t number, bool by_time_out);
  void on_timer(TimeNs now, EventBatch& events);
  void probe();
  void note_time(TimeNs now);
  /// Something that may ride along is there: at the latest in kLazyNs it goes.
  void note_lazy() {
    if (lazy_at == kNeverNs) lazy_at = now + kLazyNs;
  }
  void received_packet(const wire::FrameHeader& header, bool eliciting);

  // --- session_outbound.cc ---
  std::size_t poll_transmit(TimeNs now, std::span<std::byte> packet, Gather* gather);
  std::size_t write_mixed(std::span<std::byte> packet, std::size_t room_bytes);
  std::size_t write_bulk(std::span<std::byte> packet, Gather* gather);
  std::size_t write_close(std::span<std::byte> packet);
  std::size_t finish_mixed(std::span<std::byte> packet, std::size_t body_bytes);
  void note_sent(std::size_t bytes);
  [[nodiscard]] std::size_t room_for_data() const;
  [[nodiscard]] bool results_wait();
  [[nodiscard]] bool nothing_due();
  void note_idle();
  /// Something waits that may go as soon as time, window or the next turn lets it.
  [[nodiscard]] bool wants_to_send() const {
    return closed || ping_due || sender.has_items() || sender.has_fragments() ||
           receiver.has_urgent_items();
  }

  // --- session.cc ---
  void shut(Reason reason, bool tell_peer, EventBatch* events);
  bool drain(EventBatch& events);
  [[nodiscard]] DurationNs loss_delay_ns() const;
  [[nodiscard]] DurationNs probe_delay_ns() const;
  [[nodiscard]] TimeNs probe_deadline_ns() const;
  /// Until when pacing alone holds bulk packets back; kNeverNs if it does not.
  [[nodiscard]] TimeNs paced_until_ns() const;

  SessionConfig config;
  Pulse& pulse;
  Sender sender;
  Receiver receiver;
  SentPackets sent;
  ReceivedPackets received;
  Rtt rtt;
  Congestion congestion;
  SessionCounters counters;

  TimeNs now;
  DurationNs waited = 0;  ///< of the packet at hand, in this host's receive queue
  TimeNs last_heard;
  TimeNs last_sent = 0;  ///< of the newest packet that wants an acknowledgement
  TimeNs unanswered_since = kNeverNs;
  TimeNs loss_deadline = kNeverNs;
  std::uint64_t largest_acked = 0;
  TimeNs swallowed_since = 0;
  unsigned swallowed_rounds = 0;      ///< in a row, see kSwallowedRounds
  std::uint64_t swallowed_until = 0;  ///< packets from this number on make the next round
  unsigned small_arrived = 0;         ///< that were sent since swallowed_rounds was 0
  std::uint64_t small_from = 0;
  bool swallowed = false;           ///< closed for it
  bool held_back = false;           ///< in this round trip, by window or pace
  unsigned probes = 0;              ///< time-outs since the last acknowledgement
  unsigned probe_allowance = 0;     ///< packets that may pass the congestion window
  unsigned reorder_step = 0;        ///< how much reordering was seen
  DurationNs reorder_delay_ns = 0;  ///< the latest that a packet taken for lost has come
  std::uint64_t reorder_from = 0;   ///< packets sent before the last step do not cause another
  std::uint64_t round_end = 0;      ///< a round trip is over when this packet is acknowledged
  unsigned quiet_rounds = 0;        ///< since reordering was last seen
  std::uint32_t mixed_in_a_row = 0;
  bool ack_due = false;             ///< something is not acknowledged yet
  std::uint32_t ack_waiting = 0;    ///< packets that wait for it, a mixed one counts as several
  bool lazy_blocked = false;        ///< the window had no room for it
  TimeNs lazy_at = kNeverNs;        ///< when what may ride along goes alone
  bool came = false;                ///< a packet, since there was last nothing to send
  TimeNs results_until = kNeverNs;  ///< they wait for each other no longer than this
  bool ping_due = false;
  bool closed = false;
  bool close_frame_due = false;
  bool closed_event_due = false;
  bool drained = false;
  Reason close_reason{};
};

}  // namespace ringwire::transport
