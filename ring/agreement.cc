#include "ring/agreement.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "ring/decree_codec.h"

namespace ringwire::ring {

Agreement::Agreement(Record record, const AgreementTunables& tunables, std::uint64_t seed,
                     Grants& grants)
    : record_(std::move(record)), tunables_(tunables), random_(seed), grants_(grants) {}

// --- the proposer
// ---------------------------------------------------------------------------------

Result<Done, ProposeError> Agreement::propose(TimeNs now, Decree decree) {
  if (!is_voter()) return Failure{ProposeError::kNotVoter};
  if (wish_ || ending_) return Failure{ProposeError::kBusy};
  if (visible_epoch_ != record_.epoch) return Failure{ProposeError::kBehind};
  if (!is_well_formed(decree)) return Failure{ProposeError::kBadDecree};
  if (record_.epoch + 1 >= kMaxEpoch) return Failure{ProposeError::kLastEpoch};
  wish_ = std::move(decree);
  if (phase_ == Phase::kIdle) begin_round(now);
  if (phase_ == Phase::kPrepared || phase_ == Phase::kPreparing) advance(now);
  release(now);
  return Done{};
}

void Agreement::cancel() {
  wish_.reset();
  if (phase_ != Phase::kPrepared && !keeps_prepared_) stop();
}

void Agreement::prepare(TimeNs now) {
  if (!is_voter()) return;
  keeps_prepared_ = true;
  if (phase_ == Phase::kIdle) begin_round(now);
  release(now);
}

// What this round is for: a decree that may have been chosen already goes before our own.
const Decree* Agreement::candidate() const {
  if (!best_.empty()) return &best_decree_;
  return wish_ ? &*wish_ : nullptr;
}

// Everybody whose promise or vote this round wants.
IdSet Agreement::electorate() const {
  IdSet all = record_.decree.voters;
  if (const Decree* decree = candidate())
    for (const Id128& voter : decree->voters) insert(all, voter);
  return all;
}

void Agreement::begin_round(TimeNs now) {
  const std::uint64_t round = std::max(record_.promised.round, seen_round_) + 1;
  // A peer that names the last round or epoch must not make us write what nobody can read: then
  // only another's commit helps.
  if (round >= kMaxRound || record_.epoch + 1 >= kMaxEpoch) return stop();
  phase_ = Phase::kPreparing;
  ballot_ = {.round = round, .proposer = record_.self};
  // Our own promise first: what leaves under this ballot waits until it is durable, so that no
  // later life of this node uses the ballot again for something else.
  record_.promised = ballot_;
  ++version_;
  best_ = {};
  best_decree_ = {};
  asked_.clear();
  answered_.clear();
  repeat_ns_ = tunables_.repeat_ns;
  deadline_ = now + repeat_ns_;
  for (const Id128& voter : electorate()) {
    insert(asked_, voter);
    send(MessageKind::kPrepare, voter);
  }
}

void Agreement::on_promise(TimeNs now, const Message& message) {
  if (!is_current(message) || phase_ == Phase::kAccepting) return;
  insert(answered_, message.from);
  if (message.other > best_) {
    best_ = message.other;
    best_decree_ = message.decree;
  }
  advance(now);
}

// Goes as far as the promises of this round allow.
void Agreement::advance(TimeNs now) {
  if (!is_majority(record_.decree.voters, answered_)) return;
  const Decree* decree = candidate();
  if (decree == nullptr) {
    phase_ = Phase::kPrepared;
    deadline_ = kNeverNs;
    return;
  }
  // The new voters are asked before anybody votes: a decree whose own voters are out of reach
  // could be neither finished nor replaced.
  if (!is_majority(decree->voters, answered_)) {
    if (phase_ == Phase::kPrepared) {
      phase_ = Phase::kPreparing;
      deadline_ = now + repeat_ns_;
    }
    for (const Id128& voter : decree->voters)
      if (insert(asked_, voter)) send(MessageKind::kPrepare, voter);
    return;
  }
  // From here on the ballot stands for this decree, whatever becomes of the wish.
  best_decree_ = Decree(*decree);
  best_ = ballot_;
  phase_ = Phase::kAccepting;
  answered_.clear();
  repeat_ns_ = tunables_.repeat_ns;
  deadline_ = now + repeat_ns_;
  for (const Id128& voter : electorate()) {
    insert(asked_, voter);
    send(MessageKind::kAccept, voter);
  }
}

void Agreement::on_accepted(TimeNs now, const Message& message) {
  if (!is_current(message) || phase_ != Phase::kAccepting) return;
  insert(answered_, message.from);
  if (!is_majority(record_.decree.voters, answered_) ||
      !is_majority(best_decree_.voters, answered_))
    return;
  const IdSet everybody = electorate();
  const Decree chosen = std::move(best_decree_);
  commit(now, record_.epoch + 1, chosen);
  for (const Id128& voter : everybody)
    if (voter != record_.self) hold(learn_for(voter));
  prepare_again(now);  // after they were told: they vote on the next epoch only then
}

void Agreement::on_reject(TimeNs now, const Message& message) {
  if (!is_current(message) || message.other <= ballot_) return;
  seen_round_ = std::max(seen_round_, message.other.round);
  if (!wish_ && phase_ != Phase::kAccepting) {
    // Only promises in advance: another proposer leads, there is no need to duel with it.
    keeps_prepared_ = false;
    stop();
    return;
  }
  phase_ = Phase::kWaiting;
  const std::uint32_t doublings = std::min(failures_count_++, tunables_.max_backoff_doublings);
  const auto range = static_cast<std::uint64_t>(tunables_.backoff_ns) << doublings;
  deadline_ = now + 1 + static_cast<DurationNs>(random_.below(range));
}

void Agreement::prepare_again(TimeNs now) {
  keeps_prepared_ = keeps_prepared_ && is_voter();
  if (keeps_prepared_) begin_round(now);
}

void Agreement::repeat(TimeNs now) {
  for (const Id128& voter : electorate()) {
    if (contains(answered_, voter)) continue;
    send(phase_ == Phase::kAccepting ? MessageKind::kAccept : MessageKind::kPrepare, voter);
  }
  repeat_ns_ = std::min(repeat_ns_ * 2, tunables_.max_repeat_ns);
  deadline_ = now + repeat_ns_;
}

void Agreement::on_timer(TimeNs now) {
  if (now < deadline_) return;
  if (phase_ == Phase::kWaiting) {
    begin_round(now);
  } else {
    repeat(now);
  }
  release(now);
}

void Agreement::stop() {
  phase_ = Phase::kIdle;
  deadline_ = kNeverNs;
}

// An answer to this epoch's present round.
bool Agreement::is_current(const Message& message) const {
  return message.epoch == record_.epoch + 1 && message.ballot == ballot_ &&
         contains(asked_, message.from) &&
         (phase_ == Phase::kPreparing || phase_ == Phase::kPrepared || phase_ == Phase::kAccepting);
}

// --- the voter
// ------------------------------------------------------------------------------------

Intake Agreement::on_message(TimeNs now, const Message& message) {
  if (message.cluster != record_.cluster) return Intake::kOtherCluster;
  if (message.to != record_.self || message.from == record_.self) return Intake::kNotForUs;
  const Intake verdict = dispatch(now, message);
  release(now);
  return verdict;
}

Intake Agreement::dispatch(TimeNs now, const Message& message) {
  switch (message.kind) {
    case MessageKind::kPrepare:
      return on_prepare(message);
    case MessageKind::kAccept:
      return on_accept(now, message);
    case MessageKind::kLearn:
      return on_learn(now, message);
    case MessageKind::kAsk:
      on_ask(message);
      break;
    case MessageKind::kPromise:
      on_promise(now, message);
      break;
    case MessageKind::kAccepted:
      on_accepted(now, message);
      break;
    case MessageKind::kReject:
      on_reject(now, message);
      break;
  }
  return Intake::kTaken;
}

// A request for another epoch than the next: one of the two is behind, and is told or asks.
bool Agreement::redirect(const Message& message) {
  if (message.epoch == record_.epoch + 1 && record_.epoch != 0) return false;
  if (message.epoch <= record_.epoch) {
    hold(learn_for(message.from));
  } else {
    send(MessageKind::kAsk, message.from);
  }
  return true;
}

Intake Agreement::on_prepare(const Message& message) {
  if (redirect(message)) return Intake::kTaken;
  if (message.ballot.proposer != message.from || !contains(record_.decree.voters, message.from))
    return Intake::kNotVoter;
  Message answer = blank(MessageKind::kPromise, message.from);
  answer.ballot = message.ballot;
  if (message.ballot < record_.promised) {
    answer.kind = MessageKind::kReject;
    answer.other = record_.promised;
    hold(std::move(answer));
    return Intake::kTaken;
  }
  if (message.ballot != record_.promised) {
    record_.promised = message.ballot;
    ++version_;
  }
  answer.other = record_.accepted;
  answer.decree = record_.accepted_decree;
  hold(std::move(answer));
  return Intake::kTaken;
}

Intake Agreement::on_accept(TimeNs now, const Message& message) {
  if (redirect(message)) return Intake::kTaken;
  if (message.ballot.proposer != message.from || !contains(record_.decree.voters, message.from))
    return Intake::kNotVoter;
  Message answer = blank(MessageKind::kAccepted, message.from);
  answer.ballot = message.ballot;
  if (message.ballot < record_.promised) {
    answer.kind = MessageKind::kReject;
    answer.other = record_.promised;
    hold(std::move(answer));
    return Intake::kTaken;
  }
  if (message.ballot == record_.accepted) {
    if (message.decree != record_.accepted_decree) {
      ++conflicts_count_;
      return Intake::kConflict;
    }
    hold(std::move(answer));
    return Intake::kTaken;
  }
  // No answer while a loser may still serve: the proposer repeats itself (M-31).
  if (!grants_.try_take_away(now, message.decree.losers)) return Intake::kTaken;
  record_.promised = message.ballot;
  record_.accepted = message.ballot;
  record_.accepted_decree = message.decree;
  ++version_;
  hold(std::move(answer));
  return Intake::kTaken;
}

Intake Agreement::on_learn(TimeNs now, const Message& message) {
  if (message.epoch == record_.epoch && message.decree != record_.decree) {
    ++conflicts_count_;
    return Intake::kConflict;
  }
  if (message.epoch > record_.epoch) {
    commit(now, message.epoch, message.decree);
    prepare_again(now);
  }
  return Intake::kTaken;
}

// Whoever asks is behind, and could not answer this round's request: it gets that once more.
void Agreement::on_ask(const Message& message) {
  if (message.epoch >= record_.epoch) return;
  hold(learn_for(message.from));
  if (!contains(asked_, message.from) || contains(answered_, message.from)) return;
  if (phase_ == Phase::kPreparing) send(MessageKind::kPrepare, message.from);
  if (phase_ == Phase::kAccepting) send(MessageKind::kAccept, message.from);
}

void Agreement::on_peer_epoch(TimeNs now, const Id128& peer, std::uint64_t epoch) {
  if (peer == record_.self) return;
  if (epoch < record_.epoch) hold(learn_for(peer));
  if (epoch > record_.epoch) send(MessageKind::kAsk, peer);
  release(now);
}

// --- both
// -----------------------------------------------------------------------------------------

void Agreement::commit(TimeNs now, std::uint64_t epoch, const Decree& decree) {
  RW_CHECK(epoch > record_.epoch);
  grants_.on_committed();
  // What lies between skipped epochs is not known: their voters may have been others.
  if (epoch != record_.epoch + 1 || decree.voters != record_.decree.voters)
    grants_.on_voters_changed(now);
  if (wish_) ending_ = *wish_ == decree ? ProposalEnding::kCommitted : ProposalEnding::kSuperseded;
  record_.epoch = epoch;
  record_.decree = decree;
  record_.promised = {};
  record_.accepted = {};
  record_.accepted_decree = {};
  committed_version_ = ++version_;
  wish_.reset();
  seen_round_ = 0;
  failures_count_ = 0;
  stop();
}

std::optional<RecordToWrite> Agreement::take_record() {
  if (is_writing_ || durable_version_ == version_) return std::nullopt;
  is_writing_ = true;
  writing_version_ = version_;
  return RecordToWrite{.version = version_, .bytes = encode_record(record_)};
}

void Agreement::on_durable(TimeNs now, std::uint64_t version) {
  RW_CHECK(is_writing_ && version == writing_version_);
  is_writing_ = false;
  durable_version_ = version;
  release(now);
}

// Lets out what rests on durable records. Our own votes go the same way as everybody's, so that
// they too count only once they cannot be forgotten.
void Agreement::release(TimeNs now) {
  while (!held_.empty() && held_.front().version <= durable_version_) {
    Message message = std::move(held_.front().message);
    held_.pop_front();
    if (message.to == record_.self) {
      dispatch(now, message);
    } else if (ready_.size() < kMaxHeldMessages) {
      ready_.push_back(std::move(message));
    } else {
      ++dropped_count_;
    }
  }
  if (committed_version_ <= durable_version_ && visible_epoch_ != record_.epoch) {
    visible_epoch_ = record_.epoch;
    visible_decree_ = record_.decree;
  }
}

std::vector<Message> Agreement::take_messages() { return std::exchange(ready_, {}); }

std::optional<ProposalEnding> Agreement::take_ending() {
  if (visible_epoch_ != record_.epoch) return std::nullopt;
  return std::exchange(ending_, std::nullopt);
}

Message Agreement::blank(MessageKind kind, const Id128& to) const {
  Message message;
  message.kind = kind;
  message.cluster = record_.cluster;
  message.from = record_.self;
  message.to = to;
  message.epoch = record_.epoch + 1;
  return message;
}

Message Agreement::learn_for(const Id128& to) const {
  Message message = blank(MessageKind::kLearn, to);
  message.epoch = record_.epoch;
  message.decree = record_.decree;
  return message;
}

void Agreement::send(MessageKind kind, const Id128& to) {
  Message message = blank(kind, to);
  if (kind == MessageKind::kAsk) message.epoch = record_.epoch;
  if (kind == MessageKind::kPrepare || kind == MessageKind::kAccept) message.ballot = ballot_;
  if (kind == MessageKind::kAccept) message.decree = best_decree_;
  hold(std::move(message));
}

void Agreement::hold(Message message) {
  if (held_.size() >= kMaxHeldMessages) {
    ++dropped_count_;
    return;
  }
  held_.push_back({.version = version_, .message = std::move(message)});
}

}  // namespace ringwire::ring
