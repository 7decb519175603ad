// Who gets a message: the consumers of each service on this node. A key with an unreleased message
// stays with its consumer (order = "key"); anything else goes to the consumer with the fewest.
// Messages wait in their group, or in the list of the consumer that their key is bound to. A stuck
// consumer blocks only its own keys, a stuck group only itself. Hot but for adding and removing;
// one thread.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/worker/core.h"

namespace ringwire::worker {

class Groups {
  friend class ShortWay;

 public:
  explicit Groups(Core& core);

  void add_consumer(const AddConsumer& command);
  void remove_consumer(const RemoveConsumer& command);
  /// The channel is gone: what its program had goes to others (G8).
  void remove_channel(ChannelIndex index);
  /// The program is stopped: what it had goes to others, and stays where it may be reading it.
  void take_back(ChannelIndex index);

  /// Whether a message for this service may come in now.
  [[nodiscard]] bool admits(std::uint16_t service, std::uint64_t bytes, bool no_wait) const;
  /// queue_full = "drop_oldest": have older messages of level none give way to one of so many bytes
  /// while the service's programs are away. False: it still does not fit.
  bool make_room(std::uint16_t service, std::uint64_t bytes);
  /// Drop the oldest message of level none that waits here and no program has had. False: none
  /// does.
  bool drop_oldest(std::uint16_t service);
  /// Whose memory messages of this service are received into.
  [[nodiscard]] DomainIndex domain(std::uint16_t service) const { return groups_[service].domain; }
  /// Whether all its consumers take payloads where senders of this domain have them.
  [[nodiscard]] bool shares(std::uint16_t service, DomainIndex domain) const {
    const Group& group = groups_[service];
    return group.sharing_count != 0 && group.sharing_count == group.consumers.size() &&
           group.domain == domain;
  }

  void enqueue(std::uint32_t in);

  // --- runs (groups_runs.cc) ---
  /// A run that comes now may go through whole.
  [[nodiscard]] bool takes_runs(std::uint16_t service) const;
  void enqueue_run(std::uint32_t run);
  /// Some of a run waits for its consumer's room.
  [[nodiscard]] bool runs_wait(std::uint16_t service) const {
    return groups_[service].giving != kNone;
  }
  /// A release by a run's token; false: it means nothing.
  bool on_release_of_run(ChannelIndex channel, const ipc::Release& release);
  /// The same of the run of the last one, as in a stream; false: it is something else.
  bool on_release_along(ChannelIndex channel, const ipc::Release& release) {
    const std::uint64_t which = release.token - releasing_from_;
    if (releasing_ == kNone || which >= wire::kMaxRunMessages ||
        release.verdict != static_cast<std::uint32_t>(ipc::Verdict::kDone))
      return false;
    InRun& run = core_.in_runs[releasing_];
    const std::uint32_t bit = std::uint32_t{1} << which;
    if ((run.with_program & bit) == 0 || run.channel != channel) return false;
    run.with_program &= ~bit;
    run.released |= bit;
    return true;
  }
  /// The last release of this round was taken.
  void finish_releases();
  /// Its program is not to release it by its run's token any more.
  void lose_token(InMessage& message);
  /// What came in runs to this service goes on as if each message had come by itself.
  void runs_apart(std::uint16_t service);
  void all_runs_apart();
  /// What came in runs, or the short way, and waits for room at its consumer, waits as ordinary
  /// messages from here on: something comes that is not to pass it, or goes before it.
  void waiting_apart(std::uint16_t service);

  /// Take a waiting message (kQueued, kAtConsumer) out of its list.
  void forget(std::uint32_t in);
  void on_release(std::uint32_t in, ipc::Verdict verdict, bool replied);

  /// Hand out what can be handed out. Once per turn.
  void dispatch();
  /// Return what nobody came for to its senders.
  void on_time();
  [[nodiscard]] TimeNs next_deadline_ns() const;
  /// All that was not handed out goes back to its senders; for draining.
  void turn_all_away(Reason reason);

  /// What programs that are gone lent, and nobody has, is copied, so that their memory goes too.
  void take_from_the_gone();
  [[nodiscard]] bool lent_by_the_gone() const {
    return core_.lent_messages != 0 && core_.removing_channels != 0;
  }

  void fill(std::vector<GroupSnapshot>& snapshots) const;
  /// Messages queued or with programs.
  [[nodiscard]] std::uint64_t unprocessed() const;
  /// Messages that wait for a consumer's room: the next turn may place them.
  [[nodiscard]] bool blocked() const;

 private:
  struct Consumer {
    bool live = false;
    ChannelIndex channel = 0;
    std::uint16_t service = 0;
    std::uint32_t prefetch = 0;
    std::uint32_t in_flight = 0;
    bool share = false;
    IndexList<InMessage> pending;    ///< bound to it by their key
    IndexList<ShortMessage> shorts;  ///< wait for its room, behind `pending`
  };
  struct Group {
    bool order_none = false;
    DomainIndex domain = 0;
    std::vector<std::uint32_t> consumers;
    std::uint32_t sharing_count = 0;  ///< of the consumers
    std::uint32_t next = 0;           ///< where the search for a consumer begins
    std::uint32_t in_flight = 0;
    std::uint32_t shorts = 0;  ///< ShortMessages that wait or are delivered
    std::uint64_t queued_bytes = 0;
    TimeNs alone_since_ns = 0;  ///< no consumer since
    IndexList<InMessage> queued;
    IndexList<InRun, &InRun::group_link> runs;  ///< that are whole; for the only consumer
    std::uint32_t giving = kNone;               ///< the first of them that is not all handed out
    std::uint32_t in_runs = 0;                  ///< messages of these that wait
  };
  struct Key {
    std::uint32_t generation = 0;
    ListLink link;
    std::uint32_t consumer = kNone;
    std::uint32_t count = 0;  ///< messages of the key with the consumer or in its list
    void reset() {
      link = {};
      consumer = kNone;
      count = 0;
    }
  };

  [[nodiscard]] bool keyed(const InMessage& message) const;
  [[nodiscard]] std::uint64_t key_of(std::uint64_t hash, std::uint16_t service) const;
  [[nodiscard]] bool has_room(const Consumer& consumer) const;
  [[nodiscard]] std::uint32_t pick(Group& group);
  /// Binds the key (if it has one) and hands out or lists the message with this consumer.
  void give(std::uint32_t in, std::uint32_t consumer);
  void enqueue_one(std::uint32_t in, std::uint64_t arrival);
  void give_runs(Group& group);
  void take_apart(std::uint32_t run);
  void queue(std::uint32_t in, bool front);
  void put_back(IndexList<InMessage>& list, std::uint32_t in);
  /// Its key, if order binds it, stays with this consumer until unbind().
  void bind(InMessage& message, std::uint32_t consumer);
  void bind_key(std::uint64_t key, std::uint32_t consumer);
  void unbind_key(std::uint64_t key);
  void unbind(InMessage& message);
  bool hand_out(std::uint32_t in, std::uint32_t consumer);
  [[nodiscard]] std::uint32_t first_to_drop(const IndexList<InMessage>& list) const;
  bool fit_memory(std::uint32_t in, const Consumer& consumer);
  std::uint64_t move_some(std::uint32_t in, DomainIndex domain);
  [[nodiscard]] ipc::Extent room_to_move(DomainIndex domain, std::uint64_t bytes);
  void end_consumer(std::uint32_t at);
  void keep_held(std::uint32_t at);
  void redeliver_held(ChannelIndex index, bool may_be_read);
  void redeliver(std::uint32_t in);

  Core& core_;
  std::vector<Group> groups_;
  std::vector<Consumer> consumers_;
  IndexPool<Key> keys_;
  HashIndex key_index_;
  bool some_wait_ = false;            ///< else all lists of this part are empty
  std::uint32_t releasing_ = kNone;   ///< the run of the release that was taken last
  std::uint64_t releasing_from_ = 0;  ///< the token of its first message
  TimeNs next_ask_ns_ = 0;            ///< for memory of another user's domain
};

}  // namespace ringwire::worker
