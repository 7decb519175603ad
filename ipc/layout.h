// The layout of the memory that a program and its engine share: an ABI between separately built
// binaries (docs/segment.md; clauses S-n). Every offset and size is a literal and asserted. Neither
// side trusts the other: what it reads here it copies once, checks, then uses. Two files per
// channel, each with exactly one writer, so that either can be mapped read-only by the other side:
//
//   up file    made by the program, sealed, given to the engine: submissions, releases, its indices
//   down file  made by the engine, given read-only to the program: deliveries, its indices
//
//   +-----------------+---------------------------+--------------------------+---
//   | header (4,096)  | submission queue          | release queue, worker 0  | ... one per worker
//   +-----------------+---------------------------+--------------------------+---
//   +-----------------+---------------------------+---------------------------+---
//   | header (4,096)  | delivery queue, worker 0  | delivery queue, worker 1  | ...
//   +-----------------+---------------------------+---------------------------+---
//
// Queues are single-producer single-consumer. Indices are free-running u64 counts of entries, each
// on a cache line of its own; entry i lives at (i % capacity); capacities are powers of two. The
// producer writes entries, then publishes its tail (release); the consumer copies entries, then
// publishes its head (release). A process that dies between two stores leaves entries that nobody
// sees.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "base/ids.h"

namespace ringwire::ipc {

inline constexpr std::uint64_t kUpMagic = 0x3130'5055'5752ULL;      // "RWUP01"
inline constexpr std::uint64_t kDownMagic = 0x3130'4e44'5752ULL;    // "RWDN01"
inline constexpr std::uint64_t kStatusMagic = 0x3130'5453'5752ULL;  // "RWST01"
inline constexpr std::uint32_t kLayoutVersion = 2;
/// Feature bits that this build knows (S-4). In force is what program and engine both set in the
/// greeting; a file that claims a bit that is not known is refused.
enum Feature : std::uint64_t {
  kFeatureShare = 1u << 0,  ///< delivery by reference within a node (S-52 to S-55)
};
inline constexpr std::uint64_t kKnownFeatures = kFeatureShare;
inline constexpr std::size_t kHeaderBytes = 4'096;
inline constexpr std::size_t kLineBytes = 64;

/// Bytes of key + payload (after an origin token, if the target is one) that fit a queue entry.
inline constexpr std::size_t kInlineBytes = 128;
inline constexpr std::size_t kOriginTokenBytes = 64;

// Limits of queue capacities that an engine accepts (entries, powers of two).
inline constexpr std::uint32_t kMinQueueEntries = 16;
inline constexpr std::uint32_t kMaxQueueEntries = 65'536;
inline constexpr std::uint32_t kDefaultSubmissionEntries = 512;
inline constexpr std::uint32_t kDefaultReleaseEntries = 1'024;
/// Of all delivery queues of a channel together: each worker has one.
inline constexpr std::uint32_t kDefaultDeliveryEntries = 512;
/// Of each; the guaranteed minimum of an attachment holds one such channel, whatever the workers.
[[nodiscard]] constexpr std::uint32_t default_delivery_entries(std::uint32_t worker_count) {
  return std::max(kDefaultDeliveryEntries / std::bit_ceil(worker_count), kMinQueueEntries);
}

/// Submissions of one channel without an outcome span at most this many sequence numbers: half of
/// the engine's duplicate window, so that a re-sent message is always inside of it.
inline constexpr std::uint64_t kMaxOutstandingSpan = 8'192;

// ---- up file (program writes) -----------------------------------------------------------------

struct UpHeader {
  std::uint64_t magic;
  std::uint32_t layout_version;
  std::uint32_t worker_count;
  std::uint64_t file_bytes;
  std::uint32_t submission_entries;
  std::uint32_t release_entries;
  std::uint64_t features = 0;
  // The words below are accessed as atomics, each alone on its line:
  //  128  u64 submission tail
  //  192  u32 waiting: not 0 while the program sleeps on its event descriptor (ipc/doorbell.h:
  //       bit 0 asleep, bit 1 also asleep for room in its own queues, bits 2.. generation)
  //  256  u64 delivery head of worker w, at 256 + 64 w
  // 1280  u64 release tail of worker w, at 1280 + 64 w
};
static_assert(sizeof(UpHeader) == 40);
static_assert(offsetof(UpHeader, magic) == 0);
static_assert(offsetof(UpHeader, layout_version) == 8);
static_assert(offsetof(UpHeader, worker_count) == 12);
static_assert(offsetof(UpHeader, file_bytes) == 16);
static_assert(offsetof(UpHeader, submission_entries) == 24);
static_assert(offsetof(UpHeader, release_entries) == 28);
static_assert(offsetof(UpHeader, features) == 32);

inline constexpr std::size_t kUpSubmissionTailOffset = 128;
inline constexpr std::size_t kUpWaitingOffset = 192;
inline constexpr std::size_t kUpDeliveryHeadOffset = 256;
inline constexpr std::size_t kUpReleaseTailOffset = 1'280;
static_assert(kUpDeliveryHeadOffset + kMaxWorkers * kLineBytes == kUpReleaseTailOffset);
static_assert(kUpReleaseTailOffset + kMaxWorkers * kLineBytes <= kHeaderBytes);

/// Queues begin behind the header and follow each other without gaps; the file ends at a page.
[[nodiscard]] constexpr std::uint64_t up_release_offset(std::uint32_t submission_entries,
                                                        std::uint32_t release_entries,
                                                        std::uint32_t worker) {
  return kHeaderBytes + std::uint64_t{submission_entries} * 192 +
         std::uint64_t{worker} * release_entries * 16;
}
[[nodiscard]] constexpr std::uint64_t up_file_bytes(std::uint32_t submission_entries,
                                                    std::uint32_t release_entries,
                                                    std::uint32_t worker_count) {
  return (up_release_offset(submission_entries, release_entries, worker_count) + 4'095) / 4'096 *
         4'096;
}
/// A capacity that a queue may have.
[[nodiscard]] constexpr bool valid_entries(std::uint32_t entries) {
  return entries >= kMinQueueEntries && entries <= kMaxQueueEntries &&
         (entries & (entries - 1)) == 0;
}

enum class TargetKind : std::uint8_t {
  kKey = 1,        ///< the serving node of the slot of `hash`
  kRandom = 2,     ///< any serving node
  kBroadcast = 3,  ///< every member of the view
  kReplicas = 4,   ///< every replica of the slot of `hash`
  kNode = 5,       ///< the node `node` (index in the status page)
  kOrigin = 6,     ///< the channel named by the OriginToken at the front of the inline bytes
};

/// Bits of Submission::flags.
enum SubmissionFlag : std::uint16_t {
  kSubmitOrderNone = 1u << 0,    ///< order = "none" for this message
  kSubmitExcludeSelf = 1u << 1,  ///< multi-target: not to this node
  kSubmitCall = 1u << 2,         ///< a reply is wanted; the reply is the acknowledgement
  kSubmitKeyInExtent = 1u << 3,  ///< the key's bytes stand right before the payload in the extent
  kSubmitReplayed = 1u << 4,     ///< submitted before, to an engine that is gone
  kSubmitNoWait = 1u << 5,       ///< fail at once when no node serves it or a queue is full
  kSubmitCancel = 1u << 6,       ///< not a message: cancel the outstanding one of this sequence
  kSubmitReply = 1u << 7,        ///< kOrigin only: answers the call named by the token
  kSubmitShare = 1u << 8,        ///< may be read where it is by a consumer of this user (S-52)
};

/// Who gets how many of the targets of a multi-target send done for the whole to be done.
enum class Require : std::uint8_t { kAll = 0, kMajority = 1, kOne = 2 };

/// One message to send; 192 bytes. Inline bytes: [OriginToken if kOrigin] [key] [payload], unless
/// extent_file != 0, when the payload stands in that file and the key here or before the payload.
struct Submission {
  std::uint64_t sequence;  ///< dense per channel, from 1
  std::uint64_t hash;
  std::uint64_t payload_bytes;
  std::uint64_t payload_offset;  ///< into the extent file
  std::int64_t deadline_ns;      ///< CLOCK_MONOTONIC; 0 = none
  std::uint32_t extent_file;     ///< the program's number of an adopted file; 0 = inline
  std::uint32_t node;            ///< kNode: index in the status page
  std::uint16_t key_bytes;
  std::uint16_t service;  ///< handle from the attach socket; 0 = the default service ""
  std::uint16_t flags;    ///< SubmissionFlag
  std::uint8_t target;    ///< TargetKind
  std::uint8_t level;     ///< Level
  std::uint8_t require;   ///< Require
  std::uint8_t priority;
  std::uint8_t reserved[6];  ///< zero
  std::byte inline_bytes[kInlineBytes];
};
/// Inline bytes of a submission that mean something: what is written, and copied. Never more than
/// there are, whatever the fields say.
[[nodiscard]] constexpr std::size_t used_inline_bytes(const Submission& submission) {
  std::uint64_t used =
      submission.target == static_cast<std::uint8_t>(TargetKind::kOrigin) ? kOriginTokenBytes : 0;
  if ((submission.flags & kSubmitKeyInExtent) == 0) used += submission.key_bytes;
  if (submission.extent_file == 0)
    used += submission.payload_bytes < kInlineBytes ? submission.payload_bytes : kInlineBytes;
  return used < kInlineBytes ? static_cast<std::size_t>(used) : kInlineBytes;
}
static_assert(sizeof(Submission) == 192);
static_assert(offsetof(Submission, sequence) == 0);
static_assert(offsetof(Submission, hash) == 8);
static_assert(offsetof(Submission, payload_bytes) == 16);
static_assert(offsetof(Submission, payload_offset) == 24);
static_assert(offsetof(Submission, deadline_ns) == 32);
static_assert(offsetof(Submission, extent_file) == 40);
static_assert(offsetof(Submission, node) == 44);
static_assert(offsetof(Submission, key_bytes) == 48);
static_assert(offsetof(Submission, service) == 50);
static_assert(offsetof(Submission, flags) == 52);
static_assert(offsetof(Submission, target) == 54);
static_assert(offsetof(Submission, level) == 55);
static_assert(offsetof(Submission, require) == 56);
static_assert(offsetof(Submission, priority) == 57);
static_assert(offsetof(Submission, reserved) == 58);
static_assert(offsetof(Submission, inline_bytes) == 64);

/// What a program says of a message that it is done with.
enum class Verdict : std::uint32_t { kDone = 0, kRetry = 1, kRefuse = 2 };

/// Bits of Release::flags.
enum ReleaseFlag : std::uint32_t {
  kReleaseReplied = 1u << 0,  ///< rw_reply was called for it: the reply is its acknowledgement
};

/// One message handed back; 16 bytes.
struct Release {
  std::uint64_t token;    ///< Delivery::token
  std::uint32_t verdict;  ///< Verdict
  std::uint32_t flags;    ///< ReleaseFlag
};
static_assert(sizeof(Release) == 16);
static_assert(offsetof(Release, token) == 0);
static_assert(offsetof(Release, verdict) == 8);
static_assert(offsetof(Release, flags) == 12);

// ---- down file (engine writes) ----------------------------------------------------------------

struct DownHeader {
  std::uint64_t magic;
  std::uint32_t layout_version;
  std::uint32_t worker_count;
  std::uint64_t file_bytes;
  std::uint32_t delivery_entries;
  std::uint32_t home_worker;
  std::uint64_t features = 0;
  // The words below are accessed as atomics, each alone on its line:
  //  128  u64 submission head
  //  192  u32 closed: 1 once the engine has ended this channel (reason on the socket)
  //  256  u64 delivery tail of worker w, at 256 + 64 w
  // 1280  u64 release head of worker w, at 1280 + 64 w
  // 2304  u32 parked of worker w, at 2304 + 64 w: not 0 = ring worker w's bell after publishing to
  //       it, once per value (bits as in the waiting word)
};
static_assert(sizeof(DownHeader) == 40);
static_assert(offsetof(DownHeader, magic) == 0);
static_assert(offsetof(DownHeader, layout_version) == 8);
static_assert(offsetof(DownHeader, worker_count) == 12);
static_assert(offsetof(DownHeader, file_bytes) == 16);
static_assert(offsetof(DownHeader, delivery_entries) == 24);
static_assert(offsetof(DownHeader, home_worker) == 28);
static_assert(offsetof(DownHeader, features) == 32);

inline constexpr std::size_t kDownSubmissionHeadOffset = 128;
inline constexpr std::size_t kDownClosedOffset = 192;
inline constexpr std::size_t kDownDeliveryTailOffset = 256;
inline constexpr std::size_t kDownReleaseHeadOffset = 1'280;
inline constexpr std::size_t kDownParkedOffset = 2'304;
static_assert(kDownDeliveryTailOffset + kMaxWorkers * kLineBytes == kDownReleaseHeadOffset);
static_assert(kDownReleaseHeadOffset + kMaxWorkers * kLineBytes == kDownParkedOffset);
static_assert(kDownParkedOffset + kMaxWorkers * kLineBytes <= kHeaderBytes);

[[nodiscard]] constexpr std::uint64_t down_delivery_offset(std::uint32_t delivery_entries,
                                                           std::uint32_t worker) {
  return kHeaderBytes + std::uint64_t{worker} * delivery_entries * 256;
}
[[nodiscard]] constexpr std::uint64_t down_file_bytes(std::uint32_t delivery_entries,
                                                      std::uint32_t worker_count) {
  return down_delivery_offset(delivery_entries, worker_count);  // 16 entries fill a page
}

/// Names a channel at a node, so that it can be answered; made by an engine, opaque to programs.
/// Only the engine that made it accepts it (the seal covers all other bytes with its secret).
struct OriginToken {
  std::uint64_t attachment_high;
  std::uint64_t attachment_low;
  std::uint64_t sequence;          ///< of the message that it came with
  std::uint64_t node_incarnation;  ///< low half of the origin engine's incarnation
  std::uint32_t channel;
  std::uint32_t node;         ///< index in the status page of the engine that made the token
  std::uint32_t flags;        ///< 1: a call, its reply is awaited
  std::uint16_t home_worker;  ///< of the channel, at the origin node
  std::uint16_t reserved;
  std::uint64_t seal;
  std::uint64_t reserved2;
};
static_assert(sizeof(OriginToken) == kOriginTokenBytes);
static_assert(offsetof(OriginToken, attachment_high) == 0);
static_assert(offsetof(OriginToken, attachment_low) == 8);
static_assert(offsetof(OriginToken, sequence) == 16);
static_assert(offsetof(OriginToken, node_incarnation) == 24);
static_assert(offsetof(OriginToken, channel) == 32);
static_assert(offsetof(OriginToken, node) == 36);
static_assert(offsetof(OriginToken, flags) == 40);
static_assert(offsetof(OriginToken, home_worker) == 44);
static_assert(offsetof(OriginToken, reserved) == 46);
static_assert(offsetof(OriginToken, seal) == 48);
static_assert(offsetof(OriginToken, reserved2) == 56);

enum class DeliveryKind : std::uint8_t {
  kMessage = 1,   ///< for a service that this channel serves; to be released
  kReply = 2,     ///< answers `ticket`, ends it as done; to be released
  kDirect = 3,    ///< sent to this channel by its origin token; to be released
  kOutcomes = 4,  ///< `count` OutcomeRecords: sends of this channel ended. Not released
  kTargets = 5,   ///< `count` OutcomeRecords: single targets of multi-target sends. Not released
};

/// Bits of Delivery::flags; the same numbers as RW_FLAG_... of the C ABI.
enum DeliveryFlag : std::uint16_t {
  kDeliverRedelivered = 1u << 0,
  kDeliverDegraded = 1u << 1,
  kDeliverReply = 1u << 2,
  kDeliverBroadcast = 1u << 3,
  kDeliverReplica = 1u << 4,
  kDeliverMerge = 1u << 5,
  kDeliverCall = 1u << 6,        ///< the sender waits for a reply
  kDeliverShared = 1u << 7,      ///< the payload stands in its sender's own file
  kDeliverMemoryKept = 1u << 8,  ///< kReply: a program still reads the call's payload (S-54)
};

/// One message or a batch of outcomes; 256 bytes. Inline bytes: [key] [payload], unless
/// extent_file != 0: then [key] [payload] stand in that file, payload at payload_offset, the key
/// right before it; with kDeliverShared a key of up to kInlineBytes stands in the inline bytes.
struct Delivery {
  std::uint64_t token;  ///< for Release; unique per worker and attachment
  std::uint64_t hash;
  std::uint64_t payload_bytes;
  std::uint64_t payload_offset;
  std::uint64_t ticket;       ///< kReply: sequence of the call
  std::uint32_t extent_file;  ///< the engine's number of a file; ask for it on the socket
  std::uint32_t attempt;
  std::uint16_t key_bytes;
  std::uint16_t flags;    ///< DeliveryFlag
  std::uint16_t service;  ///< handle
  std::uint8_t kind;      ///< DeliveryKind
  std::uint8_t count;     ///< kOutcomes, kTargets
  std::uint64_t reserved;
  OriginToken origin;
  std::byte inline_bytes[kInlineBytes];
};
static_assert(sizeof(Delivery) == 256);
static_assert(offsetof(Delivery, token) == 0);
static_assert(offsetof(Delivery, hash) == 8);
static_assert(offsetof(Delivery, payload_bytes) == 16);
static_assert(offsetof(Delivery, payload_offset) == 24);
static_assert(offsetof(Delivery, ticket) == 32);
static_assert(offsetof(Delivery, extent_file) == 40);
static_assert(offsetof(Delivery, attempt) == 44);
static_assert(offsetof(Delivery, key_bytes) == 48);
static_assert(offsetof(Delivery, flags) == 50);
static_assert(offsetof(Delivery, service) == 52);
static_assert(offsetof(Delivery, kind) == 54);
static_assert(offsetof(Delivery, count) == 55);
static_assert(offsetof(Delivery, reserved) == 56);
static_assert(offsetof(Delivery, origin) == 64);
static_assert(offsetof(Delivery, inline_bytes) == 128);

/// OutcomeRecord::ending: no outcome, which came before; the payload's memory is free now (S-54).
inline constexpr std::uint8_t kEndingMemoryFree = 3;
/// Bit of OutcomeRecord::level: a program still reads the payload's memory (S-54).
inline constexpr std::uint8_t kLevelMemoryKept = 0x80;

/// How one send (or one target of it) ended; 16 bytes. Up to 8 stand in a Delivery's inline bytes.
struct OutcomeRecord {
  std::uint64_t sequence;
  std::uint32_t node;    ///< index in the status page, kNoNode when none
  std::uint8_t ending;   ///< Ending, or kEndingMemoryFree
  std::uint8_t reason;   ///< Reason
  std::uint8_t level;    ///< Level reached, perhaps with kLevelMemoryKept
  std::uint8_t attempt;  ///< attempts made, 255 = 255 or more
};
static_assert(sizeof(OutcomeRecord) == 16);
static_assert(offsetof(OutcomeRecord, sequence) == 0);
static_assert(offsetof(OutcomeRecord, node) == 8);
static_assert(offsetof(OutcomeRecord, ending) == 12);
static_assert(offsetof(OutcomeRecord, reason) == 13);
static_assert(offsetof(OutcomeRecord, level) == 14);
static_assert(offsetof(OutcomeRecord, attempt) == 15);
inline constexpr std::size_t kOutcomesPerDelivery = kInlineBytes / sizeof(OutcomeRecord);
inline constexpr std::uint32_t kNoNode = 0xffff'ffff;

// ---- status page (engine writes, every program reads) -------------------------------------------

inline constexpr std::uint32_t kMaxNodes = 1'024;

enum class NodeState : std::uint32_t {
  kUnknown = 0,
  kUp = 1,
  kServing = 2,
  kSuspended = 3,
  kReturning = 4,
  kJoining = 5,
  kLeaving = 6,
  kOut = 7,
  kDown = 8,
  kHung = 9,
};

/// One node; 128 bytes. An index never changes its name while the engine runs. The name is complete
/// before `name_bytes` becomes non-zero (release/acquire).
struct NodeRecord {
  char name[64];
  std::uint32_t name_bytes;
  std::uint32_t state;  ///< NodeState, as this node sees it
  std::uint32_t role;   ///< 0 server, 1 slave
  std::uint32_t reserved;
  std::uint64_t incarnation_low;
  std::uint8_t reserved2[40];
};
static_assert(sizeof(NodeRecord) == 128);
static_assert(offsetof(NodeRecord, name) == 0);
static_assert(offsetof(NodeRecord, name_bytes) == 64);
static_assert(offsetof(NodeRecord, state) == 68);
static_assert(offsetof(NodeRecord, role) == 72);
static_assert(offsetof(NodeRecord, reserved) == 76);
static_assert(offsetof(NodeRecord, incarnation_low) == 80);
static_assert(offsetof(NodeRecord, reserved2) == 88);

struct StatusHeader {
  std::uint64_t magic;
  std::uint32_t layout_version;
  std::uint32_t node_capacity;  ///< kMaxNodes
  std::uint64_t incarnation_high;
  std::uint64_t incarnation_low;
  std::uint64_t epoch;         ///< atomic
  std::uint32_t self;          ///< index of this node
  std::uint32_t node_count;    ///< atomic; records [0, node_count) are in use
  std::uint32_t state;         ///< atomic NodeState of this node
  std::uint32_t cluster_type;  ///< 0 hash, 1 random
  std::uint64_t features;
};
static_assert(sizeof(StatusHeader) == 64);
static_assert(offsetof(StatusHeader, magic) == 0);
static_assert(offsetof(StatusHeader, layout_version) == 8);
static_assert(offsetof(StatusHeader, node_capacity) == 12);
static_assert(offsetof(StatusHeader, incarnation_high) == 16);
static_assert(offsetof(StatusHeader, incarnation_low) == 24);
static_assert(offsetof(StatusHeader, epoch) == 32);
static_assert(offsetof(StatusHeader, self) == 40);
static_assert(offsetof(StatusHeader, node_count) == 44);
static_assert(offsetof(StatusHeader, state) == 48);
static_assert(offsetof(StatusHeader, cluster_type) == 52);
static_assert(offsetof(StatusHeader, features) == 56);
inline constexpr std::size_t kStatusRecordsOffset = kHeaderBytes;
inline constexpr std::size_t kStatusBytes = kHeaderBytes + kMaxNodes * sizeof(NodeRecord);
static_assert(kStatusBytes == 135'168);

}  // namespace ringwire::ipc
