#include "engine/transport/session.h"

#include <algorithm>
#include <bit>

#include "base/check.h"
#include "base/mutant.h"
#include "engine/transport/session_state.h"

namespace ringwire::transport {
namespace {

std::uint32_t raw(MessageNumber number) { return static_cast<std::uint32_t>(number); }

const SessionConfig& checked(const SessionConfig& config) {
  RW_CHECK(config.max_packet_bytes >= kMinPacketBytes);
  RW_CHECK(std::has_single_bit(config.message_slots));
  RW_CHECK(config.message_slots >= kMinMessageSlots);
  RW_CHECK(config.message_slots <= kMaxMessageSlots);
  return config;
}

}  // namespace

Session::State::State(const SessionConfig& session_config, TimeNs at, Pulse& session_pulse)
    : config(checked(session_config)),
      pulse(session_pulse),
      sender(config),
      receiver(config),
      sent(config.memory),
      rtt(config.initial_rtt_ns),
      congestion(config.peer_receive_queue_bytes, config.max_packet_bytes),
      now(at),
      last_heard(at) {}

void Session::State::shut(Reason reason, bool tell_peer, EventBatch* events) {
  closed = true;
  close_reason = reason;
  close_frame_due = tell_peer;
  closed_event_due = events == nullptr || events->full();
  if (!closed_event_due) events->add().kind = EventKind::kClosed;
}

bool Session::State::drain(EventBatch& events) {
  if (closed_event_due) {
    closed_event_due = false;
    events.add().kind = EventKind::kClosed;
  }
  drained = sender.fail_all(events);
  return drained;
}

DurationNs Session::State::loss_delay_ns() const {
  const DurationNs basis = std::max(rtt.smoothed_ns(), rtt.latest_ns());
  return std::max({basis + basis / 8, reorder_delay_ns, kGranularityNs});
}

DurationNs Session::State::probe_delay_ns() const {
  const DurationNs base =
      std::max(rtt.smoothed_ns() + std::max(4 * rtt.variation_ns(), kGranularityNs), kMinProbeNs);
  // The cap never lies below a round trip: on a long path it is the path that decides (W-52).
  const DurationNs cap = std::max(kMaxProbeNs, 2 * std::min(rtt.minimum_ns(), kSecondNs));
  return std::min(base << std::min(probes, 16U), rtt.minimum_ns() == kNeverNs ? base * 4 : cap);
}

TimeNs Session::State::paced_until_ns() const {
  const bool paced = sender.has_fragments() && congestion.pace_at() > now &&
                     room_for_data() >= config.max_packet_bytes;
  return paced ? congestion.pace_at() : kNeverNs;
}

TimeNs Session::State::probe_deadline_ns() const {
  return sent.oldest() < sent.next_number() && !RW_MUTANT(10) ? last_sent + probe_delay_ns()
                                                              : kNeverNs;
}

Session::Session(const SessionConfig& config, TimeNs now)
    : pulse_{.seen_ns = now}, state_(std::make_unique<State>(config, now, pulse_)) {}

Session::~Session() = default;

std::uint64_t Session::memory_bytes(std::uint32_t message_slots) {
  return sizeof(State) +                          //
         Sender::memory_bytes(message_slots) +    //
         Receiver::memory_bytes(message_slots) +  //
         SentPackets::memory_bytes();
}

SendVerdict Session::send(const wire::MessageHeader& header, const std::byte* payload,
                          std::uint32_t cookie, MessageNumber& number) {
  return state_->closed ? SendVerdict::kClosed
                        : touched().sender.send(header, payload, cookie, number);
}

SendVerdict Session::send_run(const wire::RunHeader& header, std::span<const std::byte> body,
                              std::uint32_t cookie, MessageNumber& number) {
  return state_->closed ? SendVerdict::kClosed
                        : touched().sender.send_run(header, body, cookie, number);
}

void Session::withdraw_run(MessageNumber number, std::uint32_t mask) {
  touched().sender.withdraw_run(raw(number), mask);
}

std::uint32_t Session::max_run_bytes() const { return state_->sender.max_run_bytes(); }

std::uint32_t Session::window_messages(std::string_view service) {
  return state_->sender.window_messages(service);
}

void Session::settle_run(MessageNumber number, std::uint32_t mask, Ending ending, Reason reason) {
  touched().receiver.settle_run(raw(number), mask, ending, reason);
}

void Session::release_run(MessageNumber number, std::uint32_t mask) {
  touched().receiver.release_run(raw(number), mask);
}

void Session::withdraw(MessageNumber number) { touched().sender.withdraw(raw(number)); }

bool Session::on_packet(TimeNs now, std::span<const std::byte> packet, EventBatch& events,
                        DurationNs waited_ns) {
  state_->waited = waited_ns;
  return touched().on_packet(now, packet, events);
}

void Session::accept(MessageNumber number, std::byte* extent) {
  touched().receiver.accept(raw(number), extent);
}

void Session::tag(MessageNumber number, std::uint32_t cookie) {
  state_->receiver.tag(raw(number), cookie);
}

void Session::refuse(MessageNumber number, Reason reason) {
  touched().receiver.settle(raw(number), Ending::kFailed, reason);
  touched().receiver.release(raw(number));
}

void Session::settle(MessageNumber number, Ending ending, Reason reason) {
  touched().receiver.settle(raw(number), ending, reason);
}

void Session::release(MessageNumber number) { touched().receiver.release(raw(number)); }

std::size_t Session::poll_transmit(TimeNs now, std::span<std::byte> packet, Gather* gather) {
  State& state = *state_;
  const std::size_t bytes = state.poll_transmit(now, packet, gather);
  pulse_.touched = state.wants_to_send();
  pulse_.due_ns = 0;  // found out by who asks: while packets come and go nobody does
  if (bytes != 0 && !pulse_.touched) state.note_idle();  // as if asked again
  return bytes;
}

TimeNs Session::look_again_ns() { return pulse_.due_ns = next_deadline_ns(); }

bool Session::timer_due(TimeNs now) const {
  const State& state = *state_;
  // No time-out of the probe comes sooner.
  const bool may_be = state.closed || state.sender.has_events() || state.loss_deadline <= now ||
                      state.last_sent + kMinProbeNs <= now;
  return may_be && next_deadline_ns() <= now;
}

TimeNs Session::next_deadline_ns() const {
  const State& state = *state_;
  if (state.closed) return state.drained && !state.closed_event_due ? kNeverNs : state.now;
  if (state.sender.has_events()) return state.now;
  const TimeNs lazy =
      state.receiver.has_items() && state.lazy_at == kNeverNs ? state.now + kLazyNs : state.lazy_at;
  return std::min({lazy, state.results_until, state.loss_deadline, state.probe_deadline_ns(),
                   state.paced_until_ns()});
}

void Session::on_timer(TimeNs now, EventBatch& events) { touched().on_timer(now, events); }

bool Session::close(EventBatch& events) {
  events.clear();
  if (!touched().closed) {
    state_->shut(Reason::kShutdown, true, nullptr);
    state_->closed_event_due = false;  // the caller knows
  }
  return state_->drain(events);
}

bool Session::closed() const { return state_->closed; }
bool Session::path_swallows_large() const { return state_->swallowed; }
TimeNs Session::last_heard_ns() const { return state_->last_heard; }
TimeNs Session::unanswered_since_ns() const { return state_->unanswered_since; }
void Session::ping() { touched().ping_due = true; }
DurationNs Session::smoothed_rtt_ns() const { return state_->rtt.smoothed_ns(); }
std::uint64_t Session::bytes_in_flight() const { return state_->sent.bytes_in_flight(); }
std::uint32_t Session::messages_open() const { return state_->sender.messages_open(); }

const SessionCounters& Session::counters() const {
  state_->counters.messages_sent = state_->sender.messages_sent;
  state_->counters.messages_received = state_->receiver.messages_received;
  return state_->counters;
}

std::uint64_t connection_id_of(std::span<const std::byte> packet) {
  const auto header = wire::decode_frame_header(packet);
  return header ? header->connection_id : 0;
}

}  // namespace ringwire::transport
