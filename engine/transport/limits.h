// Every limit and tunable of the transport, with its reason, and how they hang together. Both ends
// must agree on those marked "wire": they are part of docs/wire.md. Any thread; constants only.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "base/time.h"
#include "engine/wire/frame.h"

namespace ringwire::transport {

// --- packets ---

/// Smallest max_packet_bytes: UDP over IPv6 at its minimum MTU has 1,232; 1,200 as in RFC 9000 14.
inline constexpr std::uint32_t kMinPacketBytes = 1'200;
/// Packets between the oldest unresolved and the newest. 4,096: 4.9 MB of 1,200-byte frames, which
/// is 4 ms of 10 Gbit/s; a full ring declares its oldest packet lost.
inline constexpr std::uint32_t kSentPackets = 4'096;
/// Items of mixed packets that are not yet resolved. Four per packet on average.
inline constexpr std::uint32_t kSentItems = 16'384;
/// Wire: packet numbers below largest - window are dropped. Twice the sender's ring, so that no
/// packet that its sender still waits for is too old.
inline constexpr std::uint64_t kPacketWindow = 8'192;
static_assert(kPacketWindow >= 2 * kSentPackets);
static_assert((kPacketWindow & (kPacketWindow - 1)) == 0);
static_assert((kSentPackets & (kSentPackets - 1)) == 0);
static_assert((kSentItems & (kSentItems - 1)) == 0);
/// Wire: messages, opens, withdrawals and results in one mixed frame. Below EventBatch::kMaxEvents
/// (512), so that one packet's events always fit.
inline constexpr std::size_t kMaxItemsPerFrame = 448;
/// A bulk packet goes after so many mixed ones in a row, so that a flood of small messages cannot
/// starve a large one: 1/9 of the packets.
inline constexpr std::uint32_t kMixedPacketsPerBulk = 8;

/// A path that swallows large frames (RFC 8899 section 4.3, black hole detection): for so long, and
/// so many times in a row, all frames above kMinPacketBytes were lost, each time of those sent
/// since the last, while so many small ones sent meanwhile arrived. The time tells it from an
/// incast, in which half of all frames are lost but some get through every few milliseconds.
inline constexpr DurationNs kSwallowedNs = 250 * kMillisecondNs;
inline constexpr unsigned kSwallowedRounds = 6;
inline constexpr unsigned kSmallArrived = 4;
/// The sizes to try next: two thirds of a jumbo frame's payload serve nobody, so large steps.
/// 4,400: paths of FDDI's MTU and some tunnels; 1,452: Ethernet under IPv6; 1,350: that in a
/// tunnel.
[[nodiscard]] constexpr std::uint32_t smaller_packet_bytes(std::uint32_t packet_bytes) {
  for (const std::uint32_t size : {4'400U, 1'452U, 1'350U})
    if (packet_bytes > size) return size;
  return kMinPacketBytes;
}

// --- messages ---

/// Wire: larger payloads are announced and flow only after a grant. About one bandwidth-delay
/// product of 10 Gbit/s at 50 us.
inline constexpr std::uint64_t kUnscheduledBytes = 64 * 1024;
/// Wire: fragments are cut at multiples of this, a multiple of 16 so that copies stay aligned.
[[nodiscard]] constexpr std::uint32_t fragment_bytes(std::uint32_t max_packet_bytes) {
  return (max_packet_bytes -
          static_cast<std::uint32_t>(wire::kFrameOverheadBytes + wire::kBulkHeaderBytes)) &
         ~std::uint32_t{15};
}
/// Fragments of an unscheduled message: one 64-bit word tells which have arrived.
inline constexpr std::uint64_t kUnscheduledFragments = 64;
static_assert((kUnscheduledBytes + fragment_bytes(kMinPacketBytes) - 1) /
                  fragment_bytes(kMinPacketBytes) <=
              kUnscheduledFragments);
/// Granted beyond what has arrived without a gap: 8 Gbit/s at 2 ms.
inline constexpr std::uint64_t kGrantWindowBytes = 2 * 1024 * 1024;
/// The same in fragments, at most: the bitmap of one announced message (256 bytes).
inline constexpr std::uint32_t kGrantWindowFragments = 2'048;
static_assert(kGrantWindowBytes / fragment_bytes(kMinPacketBytes) <= kGrantWindowFragments);
/// Even at 64 KB frames a few fragments must be on their way.
inline constexpr std::uint32_t kMinGrantFragments = 32;
/// Wire: announced messages open at once; as many again for replies, so that neither waits for the
/// other.
inline constexpr std::uint32_t kMaxAnnounced = 64;
/// Fragments that one message may send before the next of its list has its turn: one burst of
/// 16 frames keeps a copy's locality and delays the others by under 150 us at 1 GB/s.
inline constexpr std::uint32_t kFragmentsPerTurn = 16;
/// Of so many turns of announced messages one is of that which has waited longest, however long it
/// is: a GiB among a stream of megabytes still gets a quarter.
inline constexpr std::uint32_t kTurnsPerOldest = 4;
/// Of so many bulk packets one is of an announced message even if shorter ones are waiting.
inline constexpr std::uint32_t kBulkPacketsPerAnnounced = 8;

/// Shorter fragments are copied into their packet: one more vector costs the kernel about as much.
inline constexpr std::uint64_t kMinGatherBytes = 1'024;

// --- credit ---

/// Wire: credit classes: 0 for services without a handle, then one per handle.
inline constexpr std::uint32_t kServiceClasses = 64;
/// Wire: handles of attachments, 1 .. kAttachmentHandles.
inline constexpr std::uint32_t kAttachmentHandles = 1'024;
inline constexpr unsigned kAttachmentHandleBits = 11;
static_assert(kAttachmentHandles < (1U << kAttachmentHandleBits));
/// Wire: what a small message charges at least: its slot, entry and header in the receiver.
inline constexpr std::uint32_t kMinChargeBytes = 256;
/// Wire: budget of a service before any CREDIT. 32 keeps a lone service busy for a round trip of
/// 100 us at 300,000 messages/s; 128 KiB holds the largest unscheduled message twice.
inline constexpr std::uint32_t kInitialWindowMessages = 32;
inline constexpr std::uint32_t kInitialWindowBytes = 128 * 1024;
static_assert(kInitialWindowBytes >= 2 * kUnscheduledBytes);
/// Windows double up to this and up to a quarter of the slots.
inline constexpr std::uint32_t kMaxWindowBytes = 4 * 1024 * 1024;
/// Wire: of the slots, three quarters are for requests, one quarter for replies.
[[nodiscard]] constexpr std::uint32_t request_slots(std::uint32_t slots) { return slots / 4 * 3; }
[[nodiscard]] constexpr std::uint32_t reply_slots(std::uint32_t slots) { return slots / 4; }
/// With few slots the first windows shrink, so that their sum never passes the request slots.
[[nodiscard]] constexpr std::uint32_t initial_window_messages(std::uint32_t slots) {
  return std::min(kInitialWindowMessages, request_slots(slots) / kServiceClasses);
}
inline constexpr std::uint32_t kMinMessageSlots = 128;
inline constexpr std::uint32_t kMaxMessageSlots = 65'536;
static_assert(initial_window_messages(kMinMessageSlots) > 0);
static_assert(initial_window_messages(4'096) == kInitialWindowMessages);

// --- loss and time (RFC 9002, with the granularity of a data centre) ---

inline constexpr std::uint64_t kPacketThreshold = 3;            // RFC 9002 6.1.1
inline constexpr DurationNs kGranularityNs = 200'000;           // below a turn of a busy worker
inline constexpr DurationNs kMinProbeNs = kMillisecondNs;       // scheduling noise of a quiet host
inline constexpr DurationNs kMaxProbeNs = 20 * kMillisecondNs;  // a stopped peer resumes at once
/// What nobody waits for (an acknowledgement, the result of a reply) rides with the next packet, or
/// goes alone after this time. Below the 100 us that a worker polls before it sleeps, so that it
/// costs no wake-up of its own; measured: halves the packets of a call and its answer.
inline constexpr DurationNs kLazyNs = 80 * kMicrosecondNs;
/// Results wait for each other while packets keep coming: until so many are there, or so long. The
/// first limit halves the packets of a stream of single messages; the second is what a busy worker
/// takes for a few turns. Where nothing came since the last turn they go at once.
inline constexpr std::uint32_t kResultsTogether = 16;
inline constexpr DurationNs kResultPatienceNs = 10 * kMicrosecondNs;
/// So many packets are acknowledged without waiting: RFC 9000 13.2.2 has 2, batches here are
/// larger. Of bulk packets come many in a row, and their sender says when it waits.
inline constexpr std::uint32_t kAckEveryMixed = 4;
inline constexpr std::uint32_t kAckEveryBulk = 16;
static_assert(kAckEveryBulk % kAckEveryMixed == 0);
static_assert(kLazyNs * 4 <= kMinProbeNs);
static_assert(kResultPatienceNs < kLazyNs);

/// Reordering seen (a spurious loss) raises the packet threshold to 3 * 4^step (at the last step,
/// 3,072, only time decides) and the time threshold to as late as the packet was; 16 quiet round
/// trips lower both.
inline constexpr unsigned kMaxReorderStep = 5;
inline constexpr unsigned kReorderQuietRounds = 16;
/// Lateness counts up to so many round trips: the estimate is of the packets that came first.
inline constexpr DurationNs kReorderDelayFactor = 8;
/// The minimum of the round-trip time is that of the last one to two of these.
inline constexpr DurationNs kMinRttWindowNs = 5 * kSecondNs;
/// A longer silence between two calls of ours: this process was not running, so that what is
/// measured across it says nothing about the network.
inline constexpr DurationNs kPauseNs = 5 * kMillisecondNs;

// --- congestion ---

inline constexpr std::uint64_t kInitialWindowFlightBytes = 64 * 1024;
/// The least window. Two, so that the loss of one packet shows by the other's acknowledgement or by
/// a probe, and 32 senders to one link still leave no more than a queue of 570 KB in it.
inline constexpr std::uint64_t kMinFlightPackets = 2;
/// Loss below this share within a round trip is noise of the path, not congestion.
inline constexpr std::uint64_t kLossPercentTolerated = 15;
/// A decision about loss needs so many packets in the round.
inline constexpr std::uint64_t kMinPacketsPerRound = 16;
inline constexpr std::int64_t kLossDecreasePercent = 80;
/// The queue that a path may hold of us: the more of this and half its least round trip. What is
/// sent and taken in within one turn counts as the path's delay: a burst of 64 large frames costs
/// each host 150 to 200 us over kernel sockets.
inline constexpr DurationNs kTargetQueueNs = 400 * kMicrosecondNs;
/// Swift's multiplicative decrease: by this share of what the delay is above its target, but at
/// most by half at once.
inline constexpr std::int64_t kDelayGainPercent = 80;
inline constexpr std::int64_t kLeastDecreasePercent = 50;
/// Growth per round trip once the path has pushed back, and after how many calm rounds it becomes a
/// sixteenth of the window: long fat paths would take seconds otherwise.
inline constexpr std::uint64_t kGrowPackets = 2;
inline constexpr unsigned kCalmRounds = 8;
/// What may leave at once after a silence: half a burst of the port.
inline constexpr std::uint64_t kPaceBurstPackets = 32;

}  // namespace ringwire::transport
