// Which view is epoch e + 1? Each epoch is one single-decree Paxos (Lamport, "Paxos Made Simple",
// 2001), decided by the voters that the view before it names; a decree is chosen when one ballot
// has the votes of a majority of the voters of e AND of those of e + 1. Chosen over Raft because
// the agreed thing is one small value and not a log: there is no leader to elect before a suspicion
// can be acted on, no log to compact, and a voter remembers two decrees at most. Over CASPaxos
// (Rystsov 2018) because each epoch must remain decided for itself: its instance's voters are those
// of the epoch before, which makes a change of the voters an ordinary commit (as the joint quorums
// of Raft, Ongaro 2014, chapter 4). A proposer may hold a majority's promises in advance; then a
// commit takes one round trip.
//
// The write-ahead rule is built into the interface: what on_message, propose and the timer want to
// say stays inside until the record that it rests on is durable. take_record gives the record to
// write; on_durable, called after fsync, lets the messages and the committed view out. A crash at
// any point is a restart with the last durable record and some lost messages (M-13).
//
// Pure, cold, one thread (the ring manager). Memory: two decrees of its own, one wish, and at most
// kMaxHeldMessages messages. Everything may be lost, repeated and overtaken.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "base/random.h"
#include "base/result.h"
#include "base/time.h"
#include "ring/decree.h"
#include "ring/lease.h"

namespace ringwire::ring {

struct AgreementTunables {
  DurationNs repeat_ns = 20 * kMillisecondNs;  ///< an unanswered message goes again, then doubling
  DurationNs max_repeat_ns = 320 * kMillisecondNs;
  /// After the k-th lost round a proposer waits at random up to backoff_ns x 2^k. 10 ms: several
  /// round trips and writes, so that one of two duelling proposers gets through.
  DurationNs backoff_ns = 10 * kMillisecondNs;
  std::uint32_t max_backoff_doublings = 6;
};

/// Messages that may wait for a write or to be taken: a round among all voters, old and new, four
/// times over. What comes beyond is dropped like on a network, and counted.
inline constexpr std::size_t kMaxHeldMessages = 4 * 2 * kMaxVoters;

enum class ProposeError : std::uint8_t {
  kNotVoter,   ///< only voters of the committed view propose; the others ask one
  kBusy,       ///< an earlier proposal has no ending yet
  kBadDecree,  ///< breaks a rule of ring/decree.h
  kBehind,     ///< a later epoch than epoch() is being written: look again
  kLastEpoch,  ///< kMaxEpoch is reached
};

/// How a proposal ended: with the commit of its epoch.
enum class ProposalEnding : std::uint8_t { kCommitted, kSuperseded };

enum class Intake : std::uint8_t {
  kTaken,
  kOtherCluster,  ///< not of this cluster: whoever sent it must not be listened to
  kNotForUs,      ///< for an earlier identity of this node, or from ourselves
  kNotVoter,      ///< sender may not do that under the view known here
  kConflict,      ///< contradicts what is decided: must never be, alarm the operator
};

struct RecordToWrite {
  std::uint64_t version = 0;
  std::vector<std::byte> bytes;
};

class Agreement {
 public:
  /// `record`: as read from disk, or of a new node: cluster, self, and for a founder epoch 1 with
  /// the founding decree (M-51), else epoch 0. `grants` outlives this.
  Agreement(Record record, const AgreementTunables& tunables, std::uint64_t seed, Grants& grants);

  // What is durable here and may be acted on; 0 until the first record is. Never falls, not even
  // by a restart.
  [[nodiscard]] std::uint64_t epoch() const { return visible_epoch_; }
  [[nodiscard]] const Decree& decree() const { return visible_decree_; }
  /// This voter has voted for a decree of the next epoch and not learned how that ended. It should
  /// prepare() if that lasts, because until then it grants no leases.
  [[nodiscard]] bool has_open_vote() const { return !record_.accepted.empty(); }
  /// May this voter grant a lease to who goes by the view of `epoch` (M-33)?
  [[nodiscard]] bool may_grant_under(std::uint64_t epoch) const {
    return epoch == visible_epoch_ && epoch == record_.epoch && !has_open_vote() && is_voter();
  }
  /// True while the next commit needs one round trip only.
  [[nodiscard]] bool is_prepared() const { return phase_ == Phase::kPrepared; }

  /// Wants `decree` for the epoch after epoch(). Retries until that epoch is committed, with this
  /// decree or another; take_ending tells. Another's unfinished decree is finished first, then this
  /// one is superseded.
  Result<Done, ProposeError> propose(TimeNs now, Decree decree);
  /// Gives the wish up. It may be committed all the same, if votes are under way.
  void cancel();
  /// Collects promises in advance, and again after each commit, until another proposer wins. Also
  /// finishes what it finds unfinished. For the one node that is to lead; without effect for a
  /// non-voter.
  void prepare(TimeNs now);

  /// A decoded message. Answers come out of take_messages, when they may.
  Intake on_message(TimeNs now, const Message& message);
  /// A peer's committed epoch, as heartbeats tell: whoever is behind is brought up to date.
  void on_peer_epoch(TimeNs now, const Id128& peer, std::uint64_t epoch);
  void on_timer(TimeNs now);
  /// kNeverNs when nothing is awaited.
  [[nodiscard]] TimeNs next_deadline_ns() const { return deadline_; }

  /// The newest record, if it is not yet written and no write is outstanding. The caller makes it
  /// durable as a whole (new file, fsync, rename, fsync of the folder), then calls on_durable.
  [[nodiscard]] std::optional<RecordToWrite> take_record();
  void on_durable(TimeNs now, std::uint64_t version);
  /// The write failed: the record is given out again, nothing else comes out until one succeeds.
  void on_write_failed() { is_writing_ = false; }

  /// Messages that may leave now.
  [[nodiscard]] std::vector<Message> take_messages();
  /// The ending of the proposal, once, after its epoch became visible in epoch().
  [[nodiscard]] std::optional<ProposalEnding> take_ending();

  [[nodiscard]] std::uint64_t conflicts_count() const { return conflicts_count_; }
  [[nodiscard]] std::uint64_t dropped_count() const { return dropped_count_; }

 private:
  enum class Phase : std::uint8_t { kIdle, kWaiting, kPreparing, kPrepared, kAccepting };
  struct Held {
    std::uint64_t version;  // of the record that the message rests on
    Message message;
  };

  Intake dispatch(TimeNs now, const Message& message);
  // The voter.
  Intake on_prepare(const Message& message);
  Intake on_accept(TimeNs now, const Message& message);
  Intake on_learn(TimeNs now, const Message& message);
  void on_ask(const Message& message);
  [[nodiscard]] bool redirect(const Message& message);
  // The proposer.
  void on_promise(TimeNs now, const Message& message);
  void on_accepted(TimeNs now, const Message& message);
  void on_reject(TimeNs now, const Message& message);
  void begin_round(TimeNs now);
  void advance(TimeNs now);
  void prepare_again(TimeNs now);
  void repeat(TimeNs now);
  void stop();
  [[nodiscard]] bool is_current(const Message& message) const;
  [[nodiscard]] bool is_voter() const { return contains(record_.decree.voters, record_.self); }
  [[nodiscard]] const Decree* candidate() const;
  [[nodiscard]] IdSet electorate() const;

  void commit(TimeNs now, std::uint64_t epoch, const Decree& decree);
  void send(MessageKind kind, const Id128& to);
  void hold(Message message);
  [[nodiscard]] Message blank(MessageKind kind, const Id128& to) const;
  [[nodiscard]] Message learn_for(const Id128& to) const;
  void release(TimeNs now);

  Record record_;
  AgreementTunables tunables_;
  Random random_;
  Grants& grants_;

  std::uint64_t version_ = 1;  // of record_; grows with every change
  std::uint64_t durable_version_ = 0;
  std::uint64_t committed_version_ = 1;  // when record_.epoch changed last
  bool is_writing_ = false;
  std::uint64_t writing_version_ = 0;
  std::uint64_t visible_epoch_ = 0;
  Decree visible_decree_;
  std::deque<Held> held_;
  std::vector<Message> ready_;

  Phase phase_ = Phase::kIdle;
  bool keeps_prepared_ = false;
  std::optional<Decree> wish_;
  std::optional<ProposalEnding> ending_;
  Ballot ballot_;  // of this round
  Ballot best_;    // the newest vote that promises told of, and what it was for
  Decree best_decree_;
  IdSet asked_;                   // prepare went to
  IdSet answered_;                // promises of this round, then its votes
  std::uint64_t seen_round_ = 0;  // the highest that a rejection named, in this epoch
  std::uint32_t failures_count_ = 0;
  DurationNs repeat_ns_ = 0;
  TimeNs deadline_ = kNeverNs;

  std::uint64_t conflicts_count_ = 0;
  std::uint64_t dropped_count_ = 0;
};

}  // namespace ringwire::ring
