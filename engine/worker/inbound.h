// What arrives: from sessions of other nodes, or from programs of this one. Finds duplicates, gives
// each message its memory, holds it until its predecessor is there, hands it to its group or
// channel, and tells the sender how it ended. Memory, order and runs have files of their own:
// inbound_*.cc. Hot; one thread.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "engine/worker/core.h"

namespace ringwire::worker {

class Inbound {
  friend class ShortWay;

 public:
  explicit Inbound(Core& core);

  /// Handle the events of one session.
  void on_events(std::uint32_t link_index, transport::EventBatch& events);
  /// The session of a link is about to go: forget what it had not finished.
  void on_session_gone(std::uint32_t link_index);

  /// A message of a local program for this node. Its OutMessage is in state kLocal.
  void deliver_local(std::uint32_t out);
  /// Forget a local message that no program has. False when one may have it.
  bool cancel_local(std::uint32_t in);

  /// An extent that NeedLarge asked for.
  void on_large(std::uint64_t request, DomainIndex domain, std::uint32_t file, std::byte* data,
                std::uint64_t bytes);
  void on_large_refused(std::uint64_t request, Reason reason);

  // --- runs that are whole (inbound_runs.cc) ---
  /// The InMessage of a message of a run that is taken apart; where it stands is the caller's.
  void make_record(std::uint32_t run, std::uint32_t index, const wire::RunEntry& entry);
  /// Those of `mask` were processed.
  void finish_in_run(std::uint32_t run, std::uint32_t mask);
  /// Its record may go, if nothing needs it any more.
  void give_run_back(std::uint32_t run);

  /// Tell the sender how it ended; the message itself stays until finish().
  void settle(std::uint32_t in, Ending ending, Reason reason);
  /// The message stays, but its sender is done with it: its credit goes back before its end.
  void return_credit(std::uint32_t in);
  /// The message is over: settle it if that was not done, remember its identity, free its memory.
  void finish(std::uint32_t in, Ending ending, Reason reason);

  /// This message of a node will not come (again): what waits for it waits for its predecessor
  /// instead.
  void elder_gone(NodeIndex node, const MessageId& id, std::uint64_t predecessor);
  /// The same of one that came and found no room, whose sender takes it for delivered: others may
  /// name it still.
  void passed_over(NodeIndex node, const MessageId& id, std::uint64_t predecessor);

  /// Copy what is left of large local messages, one piece a turn.
  void copy_some();
  [[nodiscard]] bool copying() const { return !copying_.empty(); }

  /// Messages wait for large memory: what is free goes back, so that they get it in their order.
  [[nodiscard]] bool memory_short() const { return large_waiting_ != 0; }
  void on_time();
  [[nodiscard]] TimeNs next_deadline_ns() const;

 private:
  struct Source {
    std::uint32_t link_index = kNone;  ///< kNone: local
    transport::MessageNumber number{};
    std::uint32_t out = kNone;
    std::uint32_t run = kNone;  ///< it came in this run, as the one of this index
    std::uint32_t run_index = 0;
  };

  void on_message(const Source& source, const wire::MessageHeader& header, const std::byte* payload,
                  bool whole);
  void turn_away(const Source& source, const wire::MessageHeader& header, bool whole,
                 Reason reason);
  void say(const Source& source, const wire::MessageHeader& header, bool whole, Ending ending,
           Reason reason);
  // --- runs (inbound_runs.cc) ---
  void on_run(std::uint32_t link_index, const transport::Event& event);
  void on_run_withdrawn(std::uint32_t link_index, const transport::Event& event);
  [[nodiscard]] std::uint32_t held_run(std::uint32_t link_index, std::uint32_t number) const;
  void admit_run(std::uint32_t run);
  [[nodiscard]] bool take_whole(std::uint32_t run);
  [[nodiscard]] bool has_room_for(std::uint16_t service, std::uint32_t count) const;
  void admit_after(std::uint32_t link_index, std::uint32_t number);
  void drop_held_runs(std::uint32_t link_index);
  void settle_in_run(std::uint32_t run, std::uint32_t index, Ending ending, Reason reason);
  void leave_run(std::uint32_t run, std::uint32_t index);

  void take_over(std::uint32_t in, const Source& source, const wire::MessageHeader& header);
  [[nodiscard]] bool is_late(const InMessage& known, const Source& source,
                             const wire::MessageHeader& header) const;
  void attach_source(std::uint32_t in, const Source& source);
  void detach_source(std::uint32_t in);
  [[nodiscard]] bool place(std::uint32_t in, const std::byte* key, const std::byte* payload,
                           bool whole);
  bool lend(std::uint32_t in, const std::byte* key);
  void ask_large(std::uint32_t in, std::uint64_t bytes);
  void give_extent(std::uint32_t in, const ipc::Extent& extent);
  void on_whole(std::uint32_t in);
  void admit(std::uint32_t in);
  void wake_waiters(const MessageId& id);
  enum class Elder : std::uint8_t { kUnknown, kComing, kOver };
  [[nodiscard]] Elder elder_of(const InMessage& message) const;
  void hold(std::uint32_t in);
  enum class Waiters : std::uint8_t { kAll, kEnded };
  /// What waits for `id` of this node, or what of that its sender will not recall, waits for this
  /// elder instead.
  void retarget(NodeIndex node, const MessageId& id, std::uint64_t predecessor, Waiters which);
  /// Its sender called it back. Those behind it come again too, but for those of level none.
  void withdrawn(NodeIndex node, const MessageId& id, std::uint64_t predecessor);
  /// The same of one that was called back before it came.
  void never_came(NodeIndex node, const wire::MessageHeader& header);
  void unlist(std::uint32_t in);
  void leave_hold(std::uint32_t in);
  void end_long_holds();
  void send_back(std::uint32_t in);
  void return_large_holds();
  void drop(std::uint32_t in);
  void give_back(std::uint32_t in);
  [[nodiscard]] bool may_drop(const wire::MessageHeader& header) const;
  [[nodiscard]] bool has_room(std::uint16_t service, DomainIndex domain) const;
  [[nodiscard]] NodeIndex node_of(const Source& source) const;
  [[nodiscard]] std::uint16_t service_of(const Source& source,
                                         const wire::MessageHeader& header) const;
  [[nodiscard]] std::uint16_t service_named(std::string_view service) const;
  /// `key`: core_.identity_key(id).
  [[nodiscard]] std::uint32_t find(const MessageId& id, std::uint64_t key) const;
  [[nodiscard]] std::uint32_t find_tagged(std::uint32_t link_index,
                                          const transport::Event& event) const;

  Core& core_;
  std::uint32_t large_waiting_ = 0;                   ///< NeedLarge under way
  TimeNs large_since_ns_ = 0;                         ///< none of them was answered since
  std::array<std::uint32_t, kMaxServices> in_use_{};  ///< records of messages, by service
  IndexList<InRun> held_runs_;                        ///< kHeld, in the order of their arrival
  IndexList<InMessage> held_;                         ///< kHeld, longest first
  struct Woken {
    std::uint32_t in = kNone;
    std::uint32_t generation = 0;
  };
  /// Passed over while its own elder was still to come, or called back; those that name it come
  /// soon, or never.
  struct Passed {
    MessageId id;
    NodeIndex node = 0;
    std::uint64_t predecessor = 0;
    bool comes_again = false;  ///< it was called back
  };
  static constexpr std::uint64_t kNotPassed = ~std::uint64_t{0};
  [[nodiscard]] std::uint64_t passed_before(const InMessage& message) const;
  std::array<Passed, 64> passed_{};
  std::uint64_t next_passed_ = 0;
  std::vector<Woken> woken_;  ///< whose elder was admitted, while waking_
  bool waking_ = false;
  std::vector<std::uint32_t> copying_;  ///< local messages whose payload is not all copied yet
};

}  // namespace ringwire::worker
