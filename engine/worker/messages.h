// The two records of a message in an engine: as its sender's engine keeps it (OutMessage, from the
// submission until the outcome) and as a receiving engine keeps it (InMessage, from the first
// fragment until the release). Fixed size, pooled, named by index and generation. Hot; one thread.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "base/ids.h"
#include "base/time.h"
#include "engine/transport/session.h"
#include "engine/worker/commands.h"
#include "engine/worker/index_pool.h"
#include "ipc/extent_pool.h"
#include "ipc/layout.h"

namespace ringwire::worker {

enum class OutState : std::uint8_t {
  kFree,
  kWaiting,     ///< no node can take it now
  kQueued,      ///< in the list of its link and service, for credit
  kSending,     ///< with a session; `flight` names it there
  kLocal,       ///< with this node's own inbound side
  kAwaitReply,  ///< a call that was answered; the reply is on its way
  kReplied,     ///< a call that is over, but its session may still read it until its result
  kLent,        ///< its outcome was told; a program still reads its payload by reference
  kMemoryFree,  ///< it was lent, and is not any more: to be told like an outcome
  kParent,      ///< a multi-target send; its targets are OutMessages of their own
  kChildEnded,  ///< a target that ended, kept until its parent is reported
  kEnded,       ///< the outcome waits for room in the program's delivery queue
};

struct OutMessage {
  std::uint32_t generation = 0;
  ListLink link;          ///< waiting list, link queue, ended list, or the parent's ended children
  ListLink channel_link;  ///< all of its channel without an outcome, oldest first
  OutState state = OutState::kFree;
  ipc::TargetKind target{};
  ipc::Require require{};
  Ending ending{};
  Reason reason{};
  Reason waiting_for{};  ///< why it waits, told if it times out meanwhile
  bool no_wait = false;
  bool cancel_asked = false;
  bool counted = false;  ///< stands in WorkerCounters::taken (children and replies to it do not)
  bool maybe_handed = false;  ///< an earlier attempt may have reached a program
  bool share = false;         ///< may be read by reference
  std::uint16_t service = 0;
  std::uint16_t tried = 0;  ///< bit n: the slot's n-th replica (or the n-th member) turned it away
  ChannelIndex channel = 0;
  std::uint32_t attempt = 0;
  std::uint32_t node = ipc::kNoNode;
  std::uint32_t flight = kNone;       ///< or of a run (runs.h)
  std::uint32_t queued_link = kNone;  ///< kQueued: whose list it stands in
  std::uint32_t local_in = kNone;
  std::uint32_t parent = kNone;
  std::uint32_t children_open = 0;
  std::uint32_t children_done = 0;
  std::uint32_t children_count = 0;
  IndexList<OutMessage> children_ended;  // of a parent
  std::uint32_t chain_older = kNone;  ///< the previous of this channel and key without an outcome
  std::uint32_t chain_newer = kNone;
  std::uint64_t chain_key = 0;  ///< 0: order does not bind it
  std::uint64_t order = 0;      ///< when it was taken, by Core::next_order
  std::uint64_t named_predecessor = 0;
  std::uint32_t slot = 0;
  std::uint32_t lent = 0;        ///< InMessages that are read from its payload
  std::uint32_t file = 0;        ///< transmit file, 0 = inline
  std::uint32_t fixed_node = 0;  ///< kNode, kOrigin, and single targets: the only node it may go to
  std::uint16_t fixed_worker = 0;  ///< kOrigin: home worker of the channel there
  TimeNs deadline_ns = 0;
  TimeNs retry_at_ns = 0;
  wire::MessageHeader header;  ///< spans point into `bytes` or a transmit file
  const std::byte* payload = nullptr;
  std::array<std::byte, ipc::kInlineBytes> bytes;

  void reset();  ///< everything but the generation and the inline bytes
};

/// Rank of a slot's replica (or index of a member) as a bit of OutMessage::tried; ranks past the
/// last bit share it, which only makes a retry come round sooner.
[[nodiscard]] inline std::uint16_t tried_bit(std::size_t rank) {
  return static_cast<std::uint16_t>(1u << std::min<std::size_t>(rank, 15));
}

/// On its way to a node.
[[nodiscard]] inline bool active(const OutMessage& message) {
  return message.state == OutState::kQueued || message.state == OutState::kSending ||
         message.state == OutState::kLocal;
}

/// It has its outcome, told or not.
[[nodiscard]] inline bool is_over(const OutMessage& message) {
  return message.state == OutState::kEnded || message.state == OutState::kReplied ||
         message.state == OutState::kLent || message.state == OutState::kMemoryFree;
}

/// It may go to one node only.
[[nodiscard]] inline bool fixed(const OutMessage& message) {
  return message.parent != kNone || message.target == ipc::TargetKind::kNode ||
         message.target == ipc::TargetKind::kOrigin;
}

enum class InState : std::uint8_t {
  kFree,
  kReceiving,   ///< not all bytes are here
  kHeld,        ///< whole, waits for its predecessor
  kQueued,      ///< in its group's list: no consumer can take it now
  kAtConsumer,  ///< in a consumer's list: its key is bound to that consumer, which is full
  kDelivered,   ///< with a program
  kBacklog,     ///< a reply or direct message: waits for room in its channel's delivery queue
};

struct InMessage {
  std::uint32_t generation = 0;
  ListLink link;
  InState state = InState::kFree;
  bool local = false;    ///< `out` is its sender, else `link_index` and `number`
  bool settled = false;  ///< its sender knows the outcome
  bool redelivered = false;
  bool order_none = false;
  bool bound = false;  ///< counts for its key's consumer
  std::uint16_t service = 0;
  std::uint32_t out = kNone;
  std::uint32_t out_generation = 0;
  std::uint32_t link_index = kNone;
  std::uint32_t link_epoch = 0;  ///< of the link's session; an older one is gone
  transport::MessageNumber number{};
  std::uint32_t run = kNone;        ///< it came in this InRun, ...
  std::uint32_t run_index = 0;      ///< ... as the one of this index
  std::uint32_t token_run = kNone;  ///< its program knows it by a token of this run
  std::uint32_t origin_node = 0;
  std::uint16_t origin_worker = 0;
  ChannelIndex channel = kNone;  ///< kDelivered, kBacklog: where; kAtConsumer: the consumer's
  std::uint32_t consumer = kNone;
  std::uint32_t deliveries = 0;
  std::uint32_t alias = kNone;        ///< the ShortMessage that it was when it was handed out
  std::uint64_t arrival = 0;          ///< when it came to its group, by Core::next_order
  std::uint32_t next_waiter = kNone;  ///< kHeld: another that waits for the same predecessor
  TimeNs held_since_ns = 0;
  std::uint64_t identity_key = 0;   ///< of header.id, in Core::in_by_identity
  std::uint64_t group_key = 0;      ///< of its hash and service, in Groups
  std::uint64_t large_request = 0;  ///< a NeedLarge under way
  std::uint64_t copied_bytes = 0;   ///< local large messages are copied piece by piece
  DomainIndex domain = 0;
  ipc::Extent extent;
  std::uint32_t lender = kNone;  ///< by reference: the OutMessage whose memory `extent` is
  ipc::Extent moving;            ///< other memory, that its bytes are being copied into
  DomainIndex moving_domain = 0;
  std::uint64_t moved_bytes = 0;
  ipc::Extent key_extent;      ///< a long key, kept while the extent is still to come
  std::uint32_t key_room = 0;  ///< bytes before the payload in the extent
  std::uint16_t key_bytes = 0;
  wire::MessageHeader header;  ///< key and service spans are not kept: see key()
  std::array<std::byte, ipc::kInlineBytes> bytes;  ///< [key][payload] when extent is empty

  /// By reference, and its key was copied: beside a payload that does not move, it does not either.
  [[nodiscard]] bool key_aside() const { return lender != kNone && key_bytes <= bytes.size(); }
  [[nodiscard]] const std::byte* key() const {
    return extent.empty() || key_aside() ? bytes.data() : extent.data + key_room - key_bytes;
  }
  [[nodiscard]] std::byte* payload() {
    return extent.empty() ? bytes.data() + key_bytes : extent.data + key_room;
  }
  void reset();
};

/// Bytes before the payload in an extent: the key, rounded up so that the payload is aligned to 64.
[[nodiscard]] inline std::uint32_t key_room_for(std::size_t key_bytes) {
  return static_cast<std::uint32_t>((key_bytes + 63) / 64 * 64);
}

/// It is for a channel of ours (a reply, or to the origin of a message), not for a group.
[[nodiscard]] inline bool to_channel(const wire::MessageHeader& header) {
  return (header.flags & (wire::kReply | wire::kToOrigin)) != 0;
}

/// What is still to come of a ShortMessage for its sender ...
enum class ShortSender : std::uint8_t {
  kOver,        ///< its outcome was told
  kOpen,        ///< until the consumer's word
  kAwaitReply,  ///< a call that was processed; the reply is on its way
  kToTell,      ///< it is done; that waits for room in the sender's delivery queue
};
/// ... and for its consumer.
enum class ShortConsumer : std::uint8_t {
  kOver,       ///< released
  kWaiting,    ///< in the list of the consumer, which is full
  kDelivered,  ///< with the consumer
  kMoved,      ///< an InMessage now, which is still released by this record's token
};

/// A message on the short way (short_way.h): both of its records in one line. Its bytes are in the
/// ShortBody of the same index.
struct alignas(64) ShortMessage {
  std::uint32_t generation = 0;
  ShortSender sender = ShortSender::kOver;
  ShortConsumer receiver = ShortConsumer::kOver;
  ipc::TargetKind target{};
  Level level{};
  std::uint16_t flags = 0;  ///< ipc::SubmissionFlag, and that its key is bound
  std::uint16_t service = 0;
  std::uint16_t key_bytes = 0;
  std::uint8_t payload_bytes = 0;
  std::uint8_t priority = 0;
  ChannelIndex channel = 0;    ///< of its sender
  std::uint32_t consumer = 0;  ///< kMoved: index of the InMessage
  ListLink sender_link;        ///< of its channel: what is open, or what is to be told
  ListLink link;               ///< kWaiting: the consumer's list
  std::uint64_t sequence = 0;
  std::uint64_t hash = 0;
  std::uint64_t order = 0;  ///< when it was taken, and came to its group, by Core::next_order

  void reset() {}  ///< all fields are set where it is taken
};
static_assert(sizeof(ShortMessage) == 64);
struct alignas(64) ShortBody {
  std::array<std::byte, ipc::kInlineBytes> bytes;  ///< [key][payload]
  TimeNs deadline_ns = 0;
  ipc::Require require{};
};

/// Marks, among indices of InMessages (in delivery tokens) and of OutMessages (in tables), those of
/// ShortMessages.
inline constexpr std::uint32_t kShortBit = 0x8000'0000;

/// What a session knows a message of ours by; outlives the OutMessage when that was withdrawn.
struct Flight {
  std::uint32_t generation = 0;
  ListLink link;
  std::uint32_t out = kNone;  ///< kNone: withdrawn, its result is a late one
  std::uint32_t link_index = kNone;
  transport::MessageNumber number{};
  void reset() {
    link = {};
    out = kNone;
    link_index = kNone;
    number = {};
  }
};

}  // namespace ringwire::worker
