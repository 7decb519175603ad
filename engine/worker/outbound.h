// What programs send: takes submissions, chooses the node of each, keeps the message until its
// level is reached, sends it again where a node died, hung or turned it away, and gathers the
// outcomes. Order per (channel, service, key): a message is sent only to where its elder without an
// outcome went, and names it as its predecessor; when an elder is recalled, those after it are
// recalled too (G3). Taking, routing (with order) and outcomes have files of their own:
// outbound_*.cc; and so have the runs of small messages for another worker. Those within a node go
// another way (short_way.h). Hot.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/worker/core.h"

namespace ringwire::worker {

class Outbound {
  friend class ShortWay;

 public:
  explicit Outbound(Core& core);

  /// Take up to kSubmissionsPerChannelTurn submissions of a channel at home here. True if any.
  bool take(ChannelIndex index);

  /// Move queued messages into sessions as credit allows. Once per turn.
  void pump();
  /// Deadlines and retries that have come.
  void on_time();
  [[nodiscard]] TimeNs next_deadline_ns() const;

  // --- what sessions and this node's inbound side say ---
  void on_result(std::uint32_t cookie, Ending ending, Reason reason);
  void on_sent(std::uint32_t cookie);
  void on_run_result(const transport::Event& event);
  void on_local_result(std::uint32_t out, std::uint32_t generation, Ending ending, Reason reason);
  /// What this channel sent the short way, or in runs, enters the tables, as if it had gone by
  /// itself: before anything happens that needs to find it there.
  void enlist(ChannelIndex index);
  /// The same of all channels: views, nodes or sessions change.
  void enlist_all();
  /// The reply of a call was put into its channel's delivery queue: that is its outcome.
  void complete_call(std::uint32_t out);
  /// A message that was read from the payload of `out` is not any more.
  void on_memory_back(std::uint32_t out);
  /// The call of this channel and sequence that still wants a reply, or kNone.
  [[nodiscard]] std::uint32_t find_call(ChannelIndex channel, std::uint64_t sequence);

  // --- what changed around us ---
  /// Nodes, sessions or the view changed: messages that wait may go now.
  void reconsider();
  /// Route around a node: everything queued for it or sent to it without an outcome goes elsewhere
  /// if there is an elsewhere; else it stays.
  enum class Moves : std::uint8_t { kElsewhere, kAll };
  void evacuate(NodeIndex node, Moves moves = Moves::kElsewhere);
  /// The channel's program is gone: nobody waits for answers any more.
  void abandon_calls(ChannelIndex index);
  /// A node is down: answers to its programs wait for it, but not for ever.
  void on_down(NodeIndex node);
  /// End those whose node is down for too long by now. A draining engine waits less long.
  void end_lost_answers();
  /// A session ended; call after its last kResult.
  void on_session_end();

  /// Tell the channel's program one outcome, in an entry with others of this turn. False: no room.
  bool tell_now(ChannelIndex index, const ipc::OutcomeRecord& record);
  /// Tell the channel's program what ended. False when its queue has no room for all.
  bool report(ChannelIndex index);

  /// Nothing is without an outcome, or to be told. What is only lent may stay so.
  [[nodiscard]] bool idle() const { return core_.outs.used_count() == lent_; }

 private:
  /// kWalked: taken, at the cost of a whole turn's share.
  enum class Taken : std::uint8_t { kTaken, kNoRoom, kBad, kWalked };

  Taken accept(ChannelIndex index, const ipc::Submission& submission);
  [[nodiscard]] bool has_share(const Channel& channel, bool reply) const;
  bool fill(Channel& channel, const ipc::Submission& submission, OutMessage& message);
  void add_deadline(std::uint32_t out);
  Taken fan_out(ChannelIndex index, std::uint32_t parent);
  Taken cancel(ChannelIndex index, std::uint64_t sequence);
  void cancel_one(std::uint32_t out);

  // --- runs (outbound_runs.cc) ---
  bool take_run(ChannelIndex index, const ipc::Submission& submission);
  std::uint32_t take_along(ChannelIndex index, std::uint32_t run, std::uint32_t most);
  [[nodiscard]] std::uint32_t run_link(const ipc::Submission& submission) const;
  [[nodiscard]] std::uint32_t open_run(ChannelIndex index, const ipc::Submission& submission,
                                       std::uint32_t link_index);
  [[nodiscard]] std::uint32_t run_before(const OutRun& run) const;
  bool send_run(std::uint32_t link_index, std::uint32_t service);
  void enlist_runs(ChannelIndex index);
  void take_apart(std::uint32_t run);
  void make_record(const OutRun& run, std::uint32_t which, const wire::RunEntry& entry);
  void runs_on_time();
  void tell_done(const OutRun& run, std::uint32_t mask);
  void raise_generation(Channel& channel) const;
  void tell_later(const OutRun& run, std::uint64_t sequence);
  /// Its link; it is with a session.
  [[nodiscard]] std::uint32_t link_of(const OutMessage& message) const;
  /// Ask the session for it back; a result that is forgotten will be a late one.
  enum class Result : std::uint8_t { kAwaited, kForgotten };
  void withdraw(OutMessage& message, Result result);
  void on_ending(std::uint32_t out, Ending ending, Reason reason);

  /// Names the chain of a channel's messages of this hash and service; never 0. `fixed_node`:
  /// kNoNode unless it may go to that node only.
  [[nodiscard]] std::uint64_t chain_key(ChannelIndex channel, std::uint64_t hash,
                                        std::uint16_t service, NodeIndex fixed_node) const;
  void join_chain(std::uint32_t out);
  void leave_chain(std::uint32_t out);

  void route(std::uint32_t out);
  [[nodiscard]] std::uint32_t choose(OutMessage& message);
  [[nodiscard]] bool usable(NodeIndex node) const;
  void wait(std::uint32_t out, Reason reason, DurationNs pause_ns);
  /// When answers to a node that is down are given up; kNeverNs if it is not.
  [[nodiscard]] TimeNs given_up_at_ns(NodeIndex node) const;
  [[nodiscard]] bool room_came() const;
  [[nodiscard]] bool stale(const Deadlines::Entry& entry) const;
  [[nodiscard]] std::uint32_t worker_of(const OutMessage& message) const;
  /// Its node is ours, and this worker takes it there.
  [[nodiscard]] bool is_here(const OutMessage& message) const;
  void send_to(std::uint32_t out, NodeIndex node);
  bool pump_one(std::uint32_t link_index, std::uint32_t service);
  /// Only of one that has an elder in its chain.
  [[nodiscard]] const OutMessage& elder_of(const OutMessage& message) const;
  [[nodiscard]] std::uint64_t predecessor_of(const OutMessage& message) const;

  /// Take a message out of list, session or local side, so that it can be routed anew.
  void recall(std::uint32_t out);
  void recall_newer(std::uint32_t out);
  void await_reply(std::uint32_t out);
  void turned_away(std::uint32_t out, Reason reason);
  void ended(std::uint32_t out, Ending ending, Reason reason);
  void child_ended(std::uint32_t child);
  /// An entry for outcomes, empty but for its kind; nullptr when there is no room.
  ipc::Delivery* claim_records(Channel& channel, ipc::DeliveryKind kind);
  void free(std::uint32_t out);
  void leave_books(std::uint32_t out);
  void give_back(std::uint32_t out);
  void give_back_child(std::uint32_t child);

  Core& core_;
  IndexList<OutMessage> waiting_;
  TimeNs retry_at_ns_ = kNeverNs;
  TimeNs lost_answers_at_ns_ = kNeverNs;  ///< when the next node that is down is given up
  TimeNs runs_due_ns_ = kNeverNs;         ///< no message of a run has a deadline before
  std::uint32_t last_run_ = kNone;        ///< what was taken last stands at the end of this one
  bool local_full_ = false;               ///< some of waiting_ found no room on this node
  bool reconsider_ = false;
  std::uint32_t lent_ = 0;  ///< kLent
  std::uint32_t random_cursor_ = 0;
  std::vector<std::uint32_t> scratch_;
  std::vector<std::uint32_t> lost_;  ///< messages whose session ended, to be routed anew in order
};

}  // namespace ringwire::worker
