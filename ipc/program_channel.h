// One thread's door to its engine: sends, outcomes, calls, receiving, releasing, and coming back
// after an engine's death. Composition of the queues, the book, the transmit pool and the maps; its
// code lies in four files: program_channel (attaching, waiting, draining), program_send,
// program_outcomes, program_receive. One thread at a time. Waits are bounded by the caller; all
// else is bounded by the limits named here and in the parts.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "ipc/engine_side.h"
#include "ipc/outcome_book.h"
#include "ipc/transmit_pool.h"

namespace ringwire::ipc {

/// Messages received and not yet asked for; beyond, the delivery queues are left alone.
inline constexpr std::size_t kMaxInbox = 16'384;
/// Polling with sched_yield before a wait goes to sleep: a wake-up costs about as much.
inline constexpr DurationNs kYieldNs = 100 * kMicrosecondNs;

class ProgramChannel {
 public:
  static int open(ProgramClient& client, const rw_channel_options& options,
                  std::unique_ptr<ProgramChannel>& channel);
  ~ProgramChannel();
  ProgramChannel(const ProgramChannel&) = delete;
  ProgramChannel& operator=(const ProgramChannel&) = delete;

  [[nodiscard]] ProgramClient& client() { return client_; }
  [[nodiscard]] bool forked() const { return client_.forked(); }

  int send(const rw_target& target, const void* data, std::size_t bytes,
           const rw_send_options& options, std::uint16_t flags, rw_ticket* ticket);
  int loan(std::size_t bytes, rw_loan_t& loan);
  int send_loan(const rw_target& target, rw_loan_t& loan, const rw_send_options& options,
                rw_ticket* ticket);
  int cancel_loan(rw_loan_t& loan);
  int reply(const rw_message& message, const void* data, std::size_t bytes,
            const rw_send_options& options, rw_ticket* ticket);

  int wait(rw_ticket ticket, std::int64_t timeout_ns, rw_outcome* outcome);
  int poll(rw_outcome* outcomes, int max);
  int flush();
  int outcome_targets(rw_ticket ticket, rw_outcome* targets, int max);
  int cancel(rw_ticket ticket);
  [[nodiscard]] std::uint32_t outstanding() const { return book_.count(); }
  /// RW_OK when a call may go to this target: a call has one answer.
  [[nodiscard]] static int callable(const rw_target& target);
  int call(const rw_target& target, const void* data, std::size_t bytes,
           const rw_send_options& options, rw_message** reply, rw_outcome* outcome);

  int serve(const rw_serve_options& options);
  int unserve(const char* service);
  int receive(std::int64_t timeout_ns, rw_message** messages, int max);
  int release(rw_message* message, std::uint32_t verdict);
  /// For poll and epoll; owned by the channel.
  int event_descriptor();

 private:
  enum class Want : std::uint8_t { kEntries, kSubmissionRoom, kReleaseRoom };
  struct Serve {
    std::uint32_t name;
    std::uint16_t order;
    bool share;
    std::uint32_t prefetch;
  };
  struct Draft;

  ProgramChannel(ProgramClient& client, std::uint32_t number, std::uint64_t next_sequence);

  // program_channel.cc
  int attached(TimeNs deadline);
  int reattach(TimeNs deadline);
  int open_side(std::shared_ptr<AttachLink> link);
  void retire_side();
  int declare(EngineSide& side, const Serve& serve, AttachType type);
  int pause(TimeNs deadline, Want want, std::uint32_t worker);
  int sleep(TimeNs deadline, Want want, std::uint32_t worker);
  [[nodiscard]] bool ended();
  [[nodiscard]] bool ready(Want want, std::uint32_t worker);
  [[nodiscard]] bool ready_now(Want want, std::uint32_t worker);
  void tidy_memory();
  [[nodiscard]] bool arm_event();
  void show_again();
  [[nodiscard]] bool watch_side();
  std::size_t drain(EngineSide& side);
  void take_entry(EngineSide& side, const Delivery& entry, std::uint32_t worker);
  void take_message(EngineSide& side, const Delivery& entry, std::uint32_t worker);
  void take_outcomes(EngineSide& side, const Delivery& entry);
  void pump_replay();
  [[nodiscard]] bool replaying() const { return replay_next_ != replay_end_; }
  void look_for_death();
  /// Nothing has come, and nothing else is to be done: what most polls find. Every now and then it
  /// does not say so, for what a whole look finds besides.
  [[nodiscard]] bool idle() {
    return epoll_ < 0 && !replaying() && (++idle_polls_ % kIdlePolls) != 0 &&
           !side_->link->dead() && !side_->queues->delivery_waits();
  }

  // program_send.cc
  bool send_plainly(const rw_target& target, const void* data, std::size_t bytes,
                    const rw_send_options& options, std::uint16_t flags, rw_ticket* ticket);
  int draft(const rw_target& target, const rw_send_options& options, std::uint16_t flags,
            std::uint8_t default_level, Draft& draft);
  int place(Draft& draft, const void* data, std::size_t bytes, TimeNs deadline);
  int submit(Draft& draft, TimeNs deadline, rw_ticket* ticket);
  int take_extent(std::uint64_t bytes, TimeNs deadline, Extent& extent);
  int wait_for_room(TimeNs deadline);
  int resolve_service(const char* service, Draft& draft);
  void queue(Outstanding& entry);
  enum class Memory : std::uint8_t { kFree, kLent };
  void finish(std::uint64_t sequence, Memory memory);
  void keep_lent(std::uint64_t sequence);
  void free_lent(std::uint64_t sequence);
  void describe(const EndedSend& ended, rw_outcome& outcome);

  // program_receive.cc
  rw_message* make_message();
  void free_message(rw_message* message);
  void return_token(EngineSide& side, std::uint32_t worker, std::uint64_t token, Verdict verdict,
                    std::uint32_t flags);
  void drop_extent(rw_message& message);
  int take_messages(rw_message** messages, int max);

  ProgramClient& client_;
  const std::uint32_t number_;
  QueueOptions entries_;
  DurationNs spin_ns_ = 0;
  std::unique_ptr<EngineSide> side_;
  std::uint64_t side_count_ = 0;  // engines that it was attached to
  std::vector<std::unique_ptr<EngineSide>> old_sides_;
  OutcomeBook book_;
  TransmitPool transmit_;
  NameTable names_;
  struct {
    std::string text;
    NameIndex name = 0;
    std::uint16_t handle = 0;
    std::uint64_t side = 0;  // by side_count_; 0: nothing is kept
  } last_service_;           // that was sent to
  std::vector<Serve> serves_;
  std::unordered_map<std::uint64_t, Extent> loans_;
  std::uint64_t last_loan_ = 0;
  std::unordered_map<std::uint64_t, Extent> lent_;  // of ended sends, read by reference (S-54)

  std::deque<rw_message> messages_;
  rw_message* free_messages_ = nullptr;
  rw_message* inbox_first_ = nullptr;
  rw_message* inbox_last_ = nullptr;
  std::size_t inbox_count_ = 0;
  std::uint32_t next_worker_ = 0;

  std::uint64_t call_ticket_ = 0;  // of the rw_call under way
  rw_message* call_reply_ = nullptr;

  std::uint64_t replay_next_ = 0;  // [next, end) is still to be submitted again
  std::uint64_t replay_end_ = 0;
  TimeNs lost_at_ = 0;  // when the engine was found dead; 0 = it lives
  static constexpr std::uint32_t kIdlePolls = 16;
  std::uint32_t idle_polls_ = 0;
  std::uint32_t empty_polls_ = 0;
  bool messages_unseen_ = false;  // came into the inbox since it was last asked for
  bool outcomes_unseen_ = false;
  std::uint32_t sends_since_drain_ = 0;

  int epoll_ = -1;
  int retry_timer_ = -1;
};

}  // namespace ringwire::ipc
