// What the parts of one worker share: its pools, tables, links and counters. Plain data; the rules
// are in channels (programs), outbound (what programs send), inbound (what arrives) and groups (who
// gets it). Hot; one thread.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/hash.h"
#include "engine/port/port.h"
#include "engine/worker/commands.h"
#include "engine/worker/deadlines.h"
#include "engine/worker/duplicate_windows.h"
#include "engine/worker/hash_index.h"
#include "engine/worker/index_pool.h"
#include "engine/worker/messages.h"
#include "engine/worker/origin_seal.h"
#include "engine/worker/outbox.h"
#include "engine/worker/quarantine.h"
#include "engine/worker/runs.h"
#include "engine/worker/worker.h"
#include "ring/view.h"

namespace ringwire::worker {

class Channels;
class Outbound;
class Inbound;
class Groups;
class ShortWay;

// Limits of one turn: enough to amortise its fixed cost, small enough that nobody waits long.
inline constexpr std::uint32_t kSubmissionsPerChannelTurn = 128;
inline constexpr std::uint32_t kReleasesPerChannelTurn = 256;
/// Deliveries of a channel that are made visible together before the turn ends.
inline constexpr std::uint32_t kDeliveriesShownTogether = 16;
/// Of all channels together, unless that leaves some less than a few: half a millisecond.
inline constexpr std::uint32_t kSubmissionsPerTurn = 4'096;
inline constexpr std::uint32_t kLeastSubmissionsPerChannelTurn = 4;
/// 14 packets a burst: two 64 KB sends of 9 KB frames, written and handed over while they are in
/// the cache; and the receiver begins while the next are written.
inline constexpr std::size_t kTransmitPackets = 14;
inline constexpr std::uint32_t kTransmitBurstsPerTurn = 6;
inline constexpr std::uint32_t kReceiveBurstsPerTurn = 4;
/// An empty socket is looked at no sooner than this again while programs are at work: the system
/// call takes as long as ten of their messages.
inline constexpr DurationNs kReceivePauseNs = kMicrosecondNs;
/// The same when no packet came or went for kNetworkAtWorkNs: nobody waits for an answer.
inline constexpr DurationNs kQuietReceivePauseNs = 10 * kMicrosecondNs;
inline constexpr DurationNs kNetworkAtWorkNs = 200 * kMicrosecondNs;
/// Who is silent is looked for no more often than this.
inline constexpr DurationNs kEvidenceLookNs = kEvidenceNs / 32;
/// Programs are at work for so long after their last submission or release.
inline constexpr DurationNs kProgramsAtWorkNs = 20 * kMicrosecondNs;
/// Turns without work after which a channel is parked: it rings when it wants something.
inline constexpr std::uint32_t kTurnsUntilParked = 512;
/// Messages of one channel without an outcome; the library's own limit is the same span.
inline constexpr std::uint32_t kMaxOutstandingPerChannel = 8'192;
/// Of the records of messages sent, one in four is kept for replies.
inline constexpr std::uint32_t kReplyShare = 4;
/// Of what is left of a pool of records, a channel may have twice as many as are left, and a user's
/// channels eight times as many (the dynamic thresholds of Choudhury and Hahne, 1998): one channel
/// alone gets two thirds and one user eight ninths, k greedy ones share evenly, and something is
/// left for who comes next, however many there are.
inline constexpr std::uint32_t kChannelPerLeft = 2;
inline constexpr std::uint32_t kUserPerLeft = 8;
/// A channel or service with fewer is not held back for what others of its user have.
inline constexpr std::uint32_t kModestRecords = 16;
/// Of a pool's records, one in 64 is for channels and services that have none.
inline constexpr std::uint32_t kFirstShare = 64;
/// What no node takes of a program that is gone fails after so many [limits] program_grace; and so
/// does an answer to a node that is down.
inline constexpr std::int64_t kOrphanGraces = 15;
/// Sends to several targets that may be given up in one turn: each is a walk through all records.
inline constexpr std::uint32_t kMostWalksPerTurn = 4;
/// A message that no node can take, or that was turned away by all, is tried again after this.
inline constexpr DurationNs kRetryNs = 20 * kMillisecondNs;
/// One of this node that found no record is tried again when so many have come back, and a fourth
/// of those that wait, so that the walk through these is paid by what it moves; an eighth of all
/// records is enough in any case.
inline constexpr std::uint32_t kCameBackForRetry = 64;
/// A message of whose predecessor nothing is here goes back to its sender after this. Longer than
/// any elder that is under way takes to begin to arrive; one that has begun is waited for.
inline constexpr DurationNs kHoldNs = kSecondNs;
/// Local messages larger than an inline entry are copied in pieces of this size per turn.
inline constexpr std::uint64_t kLocalCopyBytesPerTurn = 1u << 20;
inline constexpr DurationNs kIdleLargeNs = 3 * kSecondNs;  ///< then pooled files go back
inline constexpr std::uint32_t kDefaultPrefetch = 128;

/// Notices that may wait in the outbox: all that can come while no command is obeyed.
[[nodiscard]] constexpr std::size_t most_notices_waiting(const WorkerConfig& config) {
  return kMaxChannels                                 // ChannelGone
         + kMaxChannels                               // ChannelViolated
         + config.in_messages                         // CancelLarge: each has asked before
         + std::size_t{ipc::kMaxNodes} * kMaxWorkers  // SessionBroken
         + 2;                                         // Drained; the answer to the last command
}

/// The way to one worker of one peer.
struct Link {
  NodeIndex node = 0;
  std::uint32_t remote_worker = 0;
  std::uint32_t session_epoch = 0;  ///< counts sessions, so that late references are seen as such
  std::unique_ptr<transport::Session> session;
  Endpoint remote;
  port::DestinationId destination{};
  bool destination_open = false;
  std::uint64_t connection_id = 0;           ///< stands in the packets that come to us
  std::uint64_t waiting_services = 0;        ///< bit s: queue[s] or runs[s] is not empty
  std::uint32_t next_service = 0;            ///< round robin
  std::vector<IndexList<OutMessage>> queue;  ///< per service
  std::vector<IndexList<OutRun>> runs;       ///< per service: those that wait for credit
  bool evidence_sent = false;
  TimeNs evidence_at_ns = 0;
};

/// One peer as this worker sees it.
struct Node {
  PeerState state = PeerState::kUnknown;
  TimeNs down_since_ns = kNeverNs;  ///< kDown since
  std::uint32_t remote_worker_count = 0;
  std::vector<std::uint32_t> links;  ///< by remote worker, kNone = none yet
};

struct TransmitFile {
  std::uint32_t file = 0;
  std::uint32_t users = 0;  ///< OutMessages that read it
  const std::byte* data = nullptr;
  std::uint64_t bytes = 0;
  std::uint32_t shared_file = 0;  ///< its number for programs that read by reference; 0 = none
};

struct Channel {
  ipc::EngineChannel* ipc = nullptr;  ///< nullptr: the index is free
  Id128 attachment;
  std::uint32_t number = 0;
  DomainIndex domain = 0;
  bool home = false;
  bool removing = false;
  bool violated = false;
  bool active = false;  ///< scanned each turn; else parked
  bool has_stash = false;
  bool deliveries_dirty = false;
  std::uint32_t unshown = 0;  ///< deliveries since they were last made visible
  std::uint32_t idle_turns = 0;
  std::uint32_t taken_removing = 0;  ///< submissions since its removal began
  std::uint32_t replied = 0;         ///< calls that are over, but still with a session
  std::uint32_t shorts_held = 0;     ///< delivered on the short way, not released
  TimeNs orphans_until_ns = 0;       ///< removing: what waits then, waits no longer
  std::uint32_t lent = 0;            ///< sends that are over, but still read by reference
  std::uint64_t next_sequence = 1;
  std::uint64_t submitted = 0;
  std::uint64_t delivered = 0;
  std::vector<TransmitFile> files;
  IndexList<OutMessage, &OutMessage::channel_link> outstanding;
  IndexList<OutRun, &OutRun::channel_link> runs;
  std::uint32_t held_of_runs = 0;     ///< delivered in runs that are whole, not released
  std::uint32_t in_runs = 0;          ///< messages without an outcome that have no record
  std::uint32_t run_generation = 1;   ///< raised when a message of a run comes back
  std::uint32_t run_pause = 0;        ///< messages that go one by one before the next run
  ipc::Delivery* outcomes = nullptr;  ///< the entry of outcomes that is not shown yet
  IndexList<ShortMessage, &ShortMessage::sender_link> shorts;          ///< open, or await a reply
  IndexList<ShortMessage, &ShortMessage::sender_link> shorts_to_tell;  ///< found no room
  IndexList<OutMessage> ended;           ///< outcomes and freed memory to be told
  IndexList<InMessage> backlog;          ///< replies and direct messages for a full delivery queue
  IndexList<InMessage> held;             ///< delivered, not released; oldest first
  std::vector<std::uint32_t> consumers;  ///< indices in Groups
  ipc::Submission stash;                 ///< taken, but its targets do not fit the pool yet

  /// Messages without a told outcome.
  [[nodiscard]] std::uint32_t open_count() const {
    return outstanding.count() + in_runs + shorts.count() + shorts_to_tell.count();
  }
};

struct Core {
  Core(const WorkerConfig& config, port::Port& port, NoticeBox& notices, TimeNs now);

  const WorkerConfig config;
  const std::uint64_t table_seed = mix64(config.origin_secret[0] ^ config.seed);
  port::Port& port;
  Outbox outbox;
  TimeNs now;
  WorkerCounters counters;

  IndexPool<OutMessage> outs;
  IndexPool<InMessage> ins;
  IndexPool<ShortMessage> shorts;  ///< for each one in use, one of `outs` and of `ins` is reserved
  std::vector<ShortBody> short_bodies;
  IndexPool<Flight> flights;
  IndexPool<OutRun> out_runs;
  IndexPool<InRun> in_runs;
  HashIndex out_by_sequence;      ///< (channel, sequence) -> OutMessage that is nobody's child
  HashIndex chain_tail;           ///< (channel, key) -> newest OutMessage without an outcome
  HashIndex in_by_identity;       ///< message identity -> the copy that counts, until it ended
  HashIndex held_by_predecessor;  ///< identity of the predecessor -> InMessage that waits for it
  HashIndex link_by_connection;
  HashIndex channel_by_identity;  ///< (attachment, number) -> Channel
  DuplicateWindows windows;
  Deadlines deadlines;
  OriginSeal origin_seal{config.origin_secret};

  std::vector<Channel> channels;
  std::vector<ChannelIndex> active;
  std::vector<Link> links;
  std::vector<Node> nodes;
  std::vector<std::string> services;
  std::shared_ptr<const ring::View> view;
  std::vector<std::unique_ptr<ipc::ExtentPool>> pools;  ///< by domain
  std::vector<Worker::BellChange> bell_changes;
  std::array<std::uint32_t, kMaxDomains> outs_of{};  ///< records of messages sent, by domain
  std::uint64_t next_order = 0;
  std::uint32_t next_own_file;
  /// Records of messages received that came back since one of this node found none.
  std::uint32_t came_back_since_full = 0;
  std::uint32_t lent_messages = 0;  ///< InMessages that have a lender
  std::uint32_t removing_channels = 0;
  bool links_wait = false;  ///< else no link has waiting_services
  bool draining = false;
  bool drained_told = false;
  Quarantine quarantine{[this](const HeldMemory& memory) { give_back(memory); }};
  bool worked = false;       ///< this turn found work
  bool handed_over = false;  ///< this turn put something into a program's queue

  Channels* channels_part = nullptr;
  Outbound* outbound = nullptr;
  Inbound* inbound = nullptr;
  Groups* groups = nullptr;
  ShortWay* short_way = nullptr;

  /// The pool of a domain, made on first use (control plane only).
  ipc::ExtentPool& pool(DomainIndex domain);
  /// An extent for `bytes` from the class files, growing them on this thread when none is free
  /// (counted). Empty only when the system has no memory, or the ring manager is so far behind that
  /// it cannot be told of a file. Only for bytes of a size class.
  ipc::Extent take_small(DomainIndex domain, std::uint64_t bytes);
  void give_back(DomainIndex domain, const ipc::Extent& extent);
  /// To its pool, or to the program that lent it.
  void give_back(const HeldMemory& memory);
  /// Message `in` needs this memory no more: given back, unless a stopped program may read it yet.
  void end_use(std::uint32_t in, const HeldMemory& memory);
  /// What names a delivered message in its release.
  [[nodiscard]] std::uint64_t delivery_token(std::uint32_t in) const {
    const InMessage& message = ins[in];
    if (message.alias != kNone) return short_token(message.alias);
    if (message.token_run != kNone)
      return run_token(in_runs[message.token_run].generation, message.token_run, message.run_index);
    return std::uint64_t{message.generation} << 32 | in;
  }
  [[nodiscard]] std::uint64_t short_token(std::uint32_t at) const {
    return std::uint64_t{shorts[at].generation} << 32 | kShortBit | at;
  }

  // Keys of the tables: seeded, for what goes in is chosen by programs and peers, and two that meet
  // would take each other's place.
  [[nodiscard]] std::uint64_t sequence_key(ChannelIndex channel, std::uint64_t sequence) const {
    return seeded_hash(table_seed, channel, sequence);
  }
  [[nodiscard]] std::uint64_t identity_key(const MessageId& id) const {
    return seeded_hash(table_seed, id.attachment.high, id.attachment.low, id.channel, id.sequence);
  }
  [[nodiscard]] std::uint64_t channel_key(const Id128& attachment, std::uint32_t number) const {
    return seeded_hash(table_seed, attachment.high, attachment.low, number);
  }
};

}  // namespace ringwire::worker
