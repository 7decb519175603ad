// Identities that travel through several rooms: who a message is, across engines and sessions.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>

namespace ringwire {

/// A random 128-bit number: cluster ids, node incarnations, attachments.
struct Id128 {
  std::uint64_t high = 0;
  std::uint64_t low = 0;
  auto operator<=>(const Id128&) const = default;
  [[nodiscard]] bool empty() const { return high == 0 && low == 0; }
};

/// Who a message is (docs/architecture.md, "Message identity"): the same through every retry,
/// session and engine restart. The attempt is not part of it; it numbers the tries of one identity.
struct MessageId {
  Id128 attachment;            ///< chosen at random by the sending program's library
  std::uint32_t channel = 0;   ///< index of the channel within the attachment, from 0
  std::uint64_t sequence = 0;  ///< from 1, dense per channel; 0 means "none"
  auto operator<=>(const MessageId&) const = default;
};

/// Acknowledgement level of a send: when its sender may forget it.
enum class Level : std::uint8_t { kNone = 0, kAccepted = 1, kProcessed = 2 };

/// How a message ended. kFailed: provably never handed to a program. kUnknown: it may have been.
enum class Ending : std::uint8_t { kDone = 0, kFailed = 1, kUnknown = 2 };

inline constexpr std::uint8_t kMaxReason = 19;  ///< highest number of Reason

/// Why a message ended as it did. Values are wire format and C ABI (RW_REASON_...): never renumber.
enum class Reason : std::uint8_t {
  kNone = 0,           ///< ended as asked
  kTimeout = 1,        ///< the send's timeout ran out
  kCancelled = 2,      ///< the sender cancelled it
  kTooLarge = 3,       ///< can never fit into the receiving node's memory
  kDown = 4,           ///< the target node is down or not a member
  kNoNode = 5,         ///< no node serves the key
  kNoConsumer = 6,     ///< no program consumes this service, and queueing ran out
  kQueueFull = 7,      ///< a bounded queue was full and the send asked not to wait
  kRefused = 8,        ///< a program refused it (RW_REFUSE)
  kMaxDeliveries = 9,  ///< handed out max_deliveries times without being processed
  kOriginGone = 10,    ///< the channel that a reply is for no longer exists or no longer waits
  kStale = 11,         ///< outside of the duplicate window: nobody can tell any more
  kSessionLost = 12,   ///< the connection to the node ended before its answer came
  kShutdown = 13,      ///< the engine drained and this could not be finished
  kBadMessage = 14,    ///< the descriptor broke a rule; the attachment is closed for it
  kNoMemory = 15,      ///< the memory budget has no room for it now and the send asked not to wait
  kNotServing = 16,    ///< the node is not serving that slot
  kUnprocessed = 17,   ///< level not reached because the consumer went away for good
  kRequirement = 18,   ///< too few targets of a multi-target send were done
  kReplyFollows = 19,  ///< with kDone, between engines only: the call was answered, wait for it
};

/// Sequences stay below 2^62, so that sums and differences of two of them cannot overflow.
inline constexpr std::uint64_t kMaxSequence = (std::uint64_t{1} << 62) - 1;
inline constexpr std::size_t kMaxKeyBytes = 1024;  ///< surface: a key is up to 1 KiB
inline constexpr std::size_t kMaxNameBytes = 63;   ///< node and service names, without a NUL
inline constexpr std::uint32_t kMaxWorkers = 16;   ///< per node; layouts reserve room for as many

}  // namespace ringwire
