// What the ring manager tells a worker, and what a worker tells the ring manager. Plain values and
// owned pointers; each says who owns what after it. Everything here is cold.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "base/endpoint.h"
#include "base/ids.h"
#include "base/time.h"
#include "engine/transport/session.h"
#include "ipc/engine_channel.h"
#include "ipc/extent_pool.h"
#include "ipc/memory_file.h"
#include "ring/view.h"

namespace ringwire::worker {

/// Index of a channel within the engine: dense, reused only after every worker said kChannelGone.
using ChannelIndex = std::uint32_t;
/// Index of a node in the status page.
using NodeIndex = std::uint32_t;
/// Index of a trust domain: one per user id that has attached, 0 = the engine's own user.
using DomainIndex = std::uint32_t;

// Limits of one engine; each is a normal refusal at the attach socket or at start.
inline constexpr std::uint32_t kMaxChannels = 4'096;
inline constexpr std::uint32_t kMaxDomains = 64;
inline constexpr std::uint32_t kMaxServices = 64;

// ---- ring manager -> worker ---------------------------------------------------------------------

/// A program opened a channel. Sent to every worker; `channel` stays owned by the ring manager and
/// lives until every worker has answered ChannelGone.
struct AddChannel {
  ChannelIndex index = 0;
  ipc::EngineChannel* channel = nullptr;
  Id128 attachment;
  std::uint32_t number = 0;  ///< of the channel within its attachment
  DomainIndex domain = 0;
  std::uint64_t next_sequence = 1;
};
/// The program closed it, or is gone. The worker takes what was already submitted, redelivers what
/// it held, and answers ChannelGone when it needs neither the channel nor its files any more.
struct RemoveChannel {
  ChannelIndex index = 0;
};
/// A service name got its number (the same at all workers; 0 = "").
struct AddService {
  std::uint16_t service = 0;
  std::string name;
};
struct AddConsumer {
  ChannelIndex index = 0;
  std::uint16_t service = 0;
  bool order_none = false;
  std::uint32_t prefetch = 0;  ///< 0 = kDefaultPrefetch
  bool share = false;          ///< takes payloads where their senders have them
};
struct RemoveConsumer {
  ChannelIndex index = 0;
  std::uint16_t service = 0;
};
/// Its program has been stopped for too long: what it holds of groups goes to others. It may go on
/// reading that when it runs again, until it releases it (too late) or is gone.
struct TakeBack {
  ChannelIndex index = 0;
};
/// A transmit file of a program, mapped by the ring manager, to the channel's home worker only.
/// `data` stays mapped until FileGone (asked for by DropFile) or ChannelGone.
struct AddFile {
  ChannelIndex index = 0;
  std::uint32_t file = 0;
  const std::byte* data = nullptr;
  std::uint64_t bytes = 0;
  std::uint64_t request = 0;      ///< repeated in FileReady
  std::uint32_t shared_file = 0;  ///< how consumers of its user ask for it; 0 = they cannot have it
};
struct DropFile {
  ChannelIndex index = 0;
  std::uint32_t file = 0;
  std::uint64_t request = 0;  ///< repeated in FileGone
};
/// Receiving memory. `kind_large`: one large extent, the answer to NeedLarge `request` (0 = none
/// was asked, goes to the pool). The mapping stays until the worker says ReturnFile.
struct AddExtentFile {
  DomainIndex domain = 0;
  std::uint32_t file = 0;
  std::byte* data = nullptr;
  std::uint64_t bytes = 0;
  std::uint16_t size_class = 0;  ///< or ipc::kLargeClass
  std::uint64_t request = 0;
  ipc::FreeList free{};  ///< of a class file: made beside it, so that the worker allocates nothing
};
/// NeedLarge cannot be had, ever (too large for the budget) or not before something is freed.
struct RefuseLarge {
  std::uint64_t request = 0;
  Reason reason = Reason::kTooLarge;
};
/// A session to a worker of a peer. Replaces an older one of the same pair, which is closed first.
struct AddSession {
  NodeIndex node = 0;
  std::uint32_t remote_worker = 0;
  std::uint32_t remote_worker_count = 1;
  Endpoint remote;
  std::uint64_t local_connection_id = 0;
  std::unique_ptr<transport::Session> session;
};
/// The peer's process is gone (or its control connection): end all sessions with it.
struct CloseSessions {
  NodeIndex node = 0;
};
enum class PeerState : std::uint8_t {
  kUnknown,  ///< never seen: waits
  kUp,
  kHung,     ///< suspected: route around it, keep its sessions
  kDown,     ///< gone: route around it
  kLeaving,  ///< draining: nothing new to it
};
struct SetPeerState {
  NodeIndex node = 0;
  PeerState state = PeerState::kUnknown;
};
/// The ring as of now. The worker answers ViewSeen; the older view must live until then.
struct SetView {
  std::shared_ptr<const ring::View> view;
};
/// Finish what is outstanding, hand nothing new to programs, turn new messages away.
struct Drain {};

/// State of a worker, filled in by it in place and sent back; for status and metrics. Memory is the
/// ring manager's: vectors are reserved by it, and never grown by the worker beyond their capacity.
struct SessionSnapshot {
  NodeIndex node = 0;
  std::uint32_t remote_worker = 0;
  std::uint32_t open_messages = 0;
  std::uint64_t bytes_in_flight = 0;
  DurationNs rtt_ns = 0;
  TimeNs last_heard_ns = 0;
  TimeNs unanswered_since_ns = kNeverNs;
  transport::SessionCounters counters;
};
struct ChannelSnapshot {
  ChannelIndex index = 0;
  std::uint32_t outstanding = 0;
  std::uint32_t held = 0;  ///< delivered and not released
  std::uint64_t submitted = 0;
  std::uint64_t delivered = 0;
  bool parked = false;
};
struct GroupSnapshot {
  std::uint16_t service = 0;
  std::uint32_t consumers = 0;
  std::uint32_t queued = 0;
  std::uint32_t in_flight = 0;
  bool order_none = false;
};
/// Counters of one worker; all only grow, but for those named `..._now`.
struct WorkerCounters {
  std::uint64_t turns = 0;
  std::uint64_t busy_turns = 0;
  std::uint64_t taken = 0;  ///< messages taken from programs; for a multi-target send 1
  std::uint64_t done = 0;
  std::uint64_t failed = 0;
  std::uint64_t unknown = 0;
  std::uint64_t in_flight_now = 0;  ///< taken and not ended
  std::uint64_t retried = 0;        ///< attempts beyond the first
  std::uint64_t late_outcomes = 0;  ///< of attempts that had been given up
  std::uint64_t received = 0;       ///< messages that arrived whole
  std::uint64_t delivered = 0;      ///< handed to a program
  std::uint64_t shared = 0;         ///< of these, read where their senders have them
  std::uint64_t redelivered = 0;
  std::uint64_t duplicates = 0;  ///< identities seen before within the window
  std::uint64_t stale = 0;
  std::uint64_t dropped_oldest = 0;   ///< of level none, for a newer one (queue_full)
  std::uint64_t receiving_now = 0;    ///< part-received
  std::uint64_t unprocessed_now = 0;  ///< queued or delivered, not released
  std::uint64_t held_now = 0;         ///< waiting for a predecessor
  std::uint64_t held_too_long = 0;    ///< sent back, as nothing of the predecessor came
  std::uint64_t sync_growth = 0;      ///< extent files made on the worker's own thread
  std::uint64_t drop_unknown_connection = 0;
  std::uint64_t drop_not_a_frame = 0;
  std::uint64_t bad_submissions = 0;
  std::uint64_t bad_releases = 0;   ///< of what was never delivered, or twice
  std::uint64_t late_releases = 0;  ///< of what was taken back from a stopped program
};
struct WorkerSnapshot {
  WorkerCounters counters;
  DurationNs busy_ns = 0;
  std::uint64_t extent_file_bytes = 0;
  std::uint64_t extent_free_large_bytes = 0;
  std::uint64_t extents_taken = 0;  ///< by messages that are here
  std::vector<SessionSnapshot> sessions;
  std::vector<ChannelSnapshot> channels;
  std::vector<GroupSnapshot> groups;
};
struct TakeSnapshot {
  std::unique_ptr<WorkerSnapshot> snapshot;
};

using Command =
    std::variant<std::monostate, AddChannel, RemoveChannel, AddService, AddConsumer, RemoveConsumer,
                 TakeBack, AddFile, DropFile, AddExtentFile, RefuseLarge, AddSession, CloseSessions,
                 SetPeerState, SetView, Drain, TakeSnapshot>;

// ---- worker -> ring manager ---------------------------------------------------------------------

struct ChannelGone {
  ChannelIndex index = 0;
};
struct FileReady {
  ChannelIndex index = 0;
  std::uint64_t request = 0;
};
struct FileGone {
  ChannelIndex index = 0;
  std::uint64_t request = 0;
  bool busy = false;  ///< a submission still uses it: nothing was dropped
};
/// The channel's program broke a rule: end its attachment.
struct ChannelViolated {
  ChannelIndex index = 0;
};
/// Another class file would be welcome (asked once until it comes).
struct NeedClassFile {
  DomainIndex domain = 0;
  std::uint16_t size_class = 0;
};
/// One large extent of at least `bytes` is needed; answered by AddExtentFile or RefuseLarge with
/// the same request number, when it can be had.
struct NeedLarge {
  DomainIndex domain = 0;
  std::uint64_t bytes = 0;
  std::uint64_t request = 0;
};
/// NeedLarge `request` is no longer wanted (its sender withdrew).
struct CancelLarge {
  std::uint64_t request = 0;
};
/// The file is out of the pool: unmap and return it.
struct ReturnFile {
  std::uint32_t file = 0;
};
/// A class file made by the worker itself because none was free; the ring manager owns it from now.
struct OwnFile {
  DomainIndex domain = 0;
  std::uint32_t file = 0;
  std::unique_ptr<ipc::MemoryFile> memory;
};
/// What the data plane knows of a peer; sent every kEvidenceNs while something is unanswered, and
/// once when it is answered again (unanswered_since_ns == kNeverNs).
struct PeerEvidence {
  NodeIndex node = 0;
  TimeNs last_heard_ns = 0;
  TimeNs unanswered_since_ns = kNeverNs;
};
/// The peer broke the protocol, or the path swallows large frames; reconnect to have new sessions.
struct SessionBroken {
  NodeIndex node = 0;
  std::uint32_t remote_worker = 0;
  bool path_swallows_large = false;
};
struct ViewSeen {
  std::uint64_t epoch = 0;
};
struct Drained {};
struct SnapshotTaken {
  std::unique_ptr<WorkerSnapshot> snapshot;
};

using Notice = std::variant<std::monostate, ChannelGone, FileReady, FileGone, ChannelViolated,
                            NeedClassFile, NeedLarge, CancelLarge, ReturnFile, OwnFile,
                            PeerEvidence, SessionBroken, ViewSeen, Drained, SnapshotTaken>;

inline constexpr DurationNs kEvidenceNs = 10 * kMillisecondNs;

}  // namespace ringwire::worker
