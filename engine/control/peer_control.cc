#include "engine/control/peer_control.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/mutant.h"
#include "engine/control/admission.h"

namespace ringwire::control {

// ---- inputs -------------------------------------------------------------------------------------

void PeerControl::on_connected(TimeNs now) {
  if (state_ != State::kConnecting) return;
  state_ = State::kHelloSent;
  connected_at_ = now;
  heard_at_ = now;
  send(now, config_.own);
}

void PeerControl::on_bytes(TimeNs now, std::span<const std::byte> bytes) {
  if (state_ == State::kConnecting) on_connected(now);
  if (!RW_MUTANT(122)) heard_at_ = now;
  while (state_ != State::kClosed) {
    bytes = bytes.subspan(stream_.feed(bytes));
    for (;;) {
      auto message = stream_.next();
      if (!message) return break_off(name_of(message.error()));
      if (!message.value().has_value()) break;
      std::visit([&](const auto& body) { on(now, body); }, *message.value());
      if (state_ == State::kClosed) return;
    }
    if (bytes.empty()) return;
  }
}

void PeerControl::on_closed(TimeNs /*now*/, CloseKind kind) {
  lose(kind == CloseKind::kFinOrReset ? LostReason::kClosedByPeer : LostReason::kConnectionTimeout);
  output_.clear();  // nobody is there to read it
  output_taken_ = 0;
}

void PeerControl::on_timer(TimeNs now) {
  if (state_ == State::kConnecting || state_ == State::kClosed) return;
  if (is_before_establishment()) {
    if (now - connected_at_ >= config_.handshake_timeout_ns) lose(LostReason::kHandshakeTimeout);
    return;
  }
  if (now - heard_at_ >= config_.silence_timeout_ns) return lose(LostReason::kSilence);
  if (now - sent_at_ >= config_.heartbeat_ns) send_heartbeat(now);
}

// ---- commands -----------------------------------------------------------------------------------

void PeerControl::accept(TimeNs now, Sessions own) {
  RW_CHECK(state_ == State::kJudging);
  RW_CHECK(own.own_workers == config_.own.worker_count());
  RW_CHECK(own.peer_workers == peer_->worker_count());
  state_ = State::kAccepted;
  own_sessions_ = std::move(own);
  if (is_chooser()) return send(now, *own_sessions_);
  if (peer_sessions_) establish(now);
}

void PeerControl::refuse(TimeNs now, RefuseReason reason, std::string text) {
  if (state_ == State::kConnecting || !is_before_establishment()) return;
  if (text.size() > kMaxTextBytes) text.resize(kMaxTextBytes);
  send(now, HelloRefuse{reason, text});
  if (state_ == State::kClosed) return;
  state_ = State::kClosed;
  events_.emplace_back(Refused{reason, std::move(text), RefusedBy::kUs});
}

void PeerControl::challenge(TimeNs now, std::uint64_t nonce) {
  if (!peer_ || state_ == State::kClosed || challenge_nonce_) return;
  challenge_nonce_ = nonce;
  send(now, Challenge{nonce});
}

bool PeerControl::send_state(TimeNs now, const NodeState& state) {
  if (state_ != State::kEstablished) return false;
  send(now, state);
  return true;
}

bool PeerControl::send_peers(TimeNs now, std::span<const PeerList::Peer> peers) {
  if (state_ != State::kEstablished) return false;
  while (!peers.empty() && state_ == State::kEstablished) {
    const auto some = peers.first(std::min(peers.size(), kMaxPeersPerList));
    send(now, PeerList{{some.begin(), some.end()}});
    peers = peers.subspan(some.size());
  }
  return true;
}

bool PeerControl::send_goodbye(TimeNs now, GoodbyeReason reason) {
  if (state_ != State::kEstablished) return false;
  send(now, Goodbye{reason});
  return true;
}

bool PeerControl::send_heartbeat(TimeNs now) {
  if (state_ != State::kEstablished) return false;
  send(now, Heartbeat{++heartbeat_sequence_, now});
  return true;
}

void PeerControl::close() { lose(LostReason::kClosedByUs); }

// ---- outputs ------------------------------------------------------------------------------------

bool PeerControl::is_chooser() const {
  RW_CHECK(peer_.has_value());
  return config_.own.incarnation < peer_->incarnation;
}

std::vector<ControlEvent> PeerControl::take_events() { return std::exchange(events_, {}); }

std::span<const std::byte> PeerControl::output() const {
  return std::span<const std::byte>(output_).subspan(output_taken_);
}

void PeerControl::consume_output(std::size_t bytes) {
  RW_CHECK(bytes <= output_.size() - output_taken_);
  output_taken_ += bytes;
  if (output_taken_ < output_.size()) return;
  output_.clear();
  output_taken_ = 0;
}

TimeNs PeerControl::next_deadline_ns() const {
  if (state_ == State::kConnecting || state_ == State::kClosed) return kNeverNs;
  if (is_before_establishment()) return connected_at_ + config_.handshake_timeout_ns;
  return std::min(heard_at_ + config_.silence_timeout_ns, sent_at_ + config_.heartbeat_ns);
}

// ---- inside -------------------------------------------------------------------------------------

void PeerControl::send(TimeNs now, const Message& message) {
  if (output_taken_ > 0) {
    output_.erase(output_.begin(), output_.begin() + static_cast<std::ptrdiff_t>(output_taken_));
    output_taken_ = 0;
  }
  encode(message, output_);
  sent_at_ = now;
  if (output_.size() <= kMaxOutputBytes) return;
  output_.clear();  // so that the close does not wait for a peer that does not read
  lose(LostReason::kOutputFull);
}

void PeerControl::lose(LostReason reason, std::string text) {
  if (state_ == State::kClosed) return;
  state_ = State::kClosed;
  events_.emplace_back(Lost{reason, std::move(text)});
}

bool PeerControl::is_before_establishment() const {
  return state_ != State::kEstablished && state_ != State::kClosed;
}

void PeerControl::establish(TimeNs now) {
  state_ = State::kEstablished;
  if (!is_chooser()) send(now, *own_sessions_);
  events_.emplace_back(Established{*own_sessions_, *peer_sessions_,
                                   agreed_wire_version(config_.own, *peer_),
                                   config_.own.features & peer_->features});
}

void PeerControl::on(TimeNs now, const Hello& hello) {
  if (peer_) return break_off("a second Hello");
  peer_ = hello;
  if (auto refusal = find_refusal(config_.own, hello))
    return refuse(now, refusal->reason, std::move(refusal->text));
  state_ = State::kJudging;
  events_.emplace_back(HelloArrived{hello});
}

void PeerControl::on(TimeNs /*now*/, const HelloRefuse& refuse) {
  if (state_ == State::kEstablished) return break_off("a refusal after acceptance");
  state_ = State::kClosed;
  events_.emplace_back(Refused{refuse.reason, refuse.text, RefusedBy::kPeer});
}

void PeerControl::on(TimeNs now, const Sessions& sessions) {
  if (!peer_) return break_off("Sessions before Hello");
  if (peer_sessions_) return break_off("Sessions twice");
  if (sessions.own_workers != peer_->worker_count() ||
      sessions.peer_workers != config_.own.worker_count())
    return break_off("Sessions of another shape than the Hellos said");
  // The chooser's own go out first: an answer to what was never sent is a lie.
  if (is_chooser() && state_ != State::kAccepted) return break_off("Sessions before the chooser's");
  peer_sessions_ = sessions;
  if (state_ == State::kAccepted) establish(now);
}

void PeerControl::on(TimeNs now, const Heartbeat& heartbeat) {
  if (state_ != State::kEstablished) return break_off("a heartbeat before establishment");
  send(now, HeartbeatAck{heartbeat.sequence, heartbeat.sent_ns});
}

void PeerControl::on(TimeNs now, const HeartbeatAck& ack) {
  if (ack.sequence == 0 || ack.sequence > heartbeat_sequence_ || ack.sent_ns < 0 ||
      ack.sent_ns > now)
    return break_off("an answer to a heartbeat that was never sent");
  events_.emplace_back(RttMeasured{now - ack.sent_ns});
}

void PeerControl::on(TimeNs /*now*/, const Goodbye& goodbye) {
  if (state_ != State::kEstablished) return break_off("a goodbye before establishment");
  events_.emplace_back(GoodbyeArrived{goodbye.reason});
}

void PeerControl::on(TimeNs /*now*/, const NodeState& state) {
  if (state_ != State::kEstablished) return break_off("a state before establishment");
  events_.emplace_back(StateArrived{state});
}

void PeerControl::on(TimeNs /*now*/, const PeerList& list) {
  if (state_ != State::kEstablished) return break_off("a peer list before establishment");
  events_.emplace_back(PeersArrived{list});
}

void PeerControl::on(TimeNs now, const Challenge& challenge) {
  if (!peer_) return break_off("a challenge before Hello");
  send(now, ChallengeAnswer{challenge.nonce});
}

void PeerControl::on(TimeNs /*now*/, const ChallengeAnswer& answer) {
  if (challenge_nonce_ != answer.nonce) return break_off("an answer to no challenge of ours");
  challenge_nonce_.reset();
  events_.emplace_back(ChallengeAnswered{});
}

}  // namespace ringwire::control
