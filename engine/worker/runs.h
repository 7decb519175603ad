// The records of runs (docs/wire.md section 8, docs/decisions/0013): many small messages of one
// channel that are under way as one. OutRun: as their sender's engine keeps them, from the
// submission until the last outcome; InRun: as the receiving engine keeps them, from the arrival
// until the last release. As long as nothing unusual happens a message of a run has no record of
// its own, only the right to one. Fixed size, pooled. Hot; one thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "engine/worker/messages.h"

namespace ringwire::worker {

/// Of a run's entries: 32 of 64 bytes.
inline constexpr std::uint32_t kRunBytes =
    wire::kMaxRunMessages * (wire::kRunEntryHeaderBytes + 64);
/// One entry fits whatever it holds.
static_assert(kRunBytes >= wire::kRunEntryHeaderBytes + ipc::kInlineBytes);
static_assert(wire::kMaxRunEntryBytes >= ipc::kInlineBytes);
/// Runs of a worker, each way: half full on average where messages come in streams.
[[nodiscard]] constexpr std::uint32_t runs_for(std::uint32_t messages) {
  return messages / 16 > 4 ? messages / 16 : 4;
}
/// Runs that may wait for others; each that comes is compared with them.
inline constexpr std::uint32_t kMostHeldRuns = 64;
/// After a run had to be taken apart, so many messages of its channel go one by one.
inline constexpr std::uint32_t kRunPause = 32;

struct OutRun {
  enum class State : std::uint8_t { kFree, kPending, kSent };

  std::uint32_t generation = 0;
  ListLink link;          ///< kPending: of its link and service
  ListLink channel_link;  ///< those of its channel that are not apart, oldest first
  State state = State::kFree;
  bool apart = false;  ///< its messages are OutMessages
  ipc::TargetKind target{};
  Level level{};
  std::uint16_t service = 0;
  std::uint16_t flags = 0;  ///< wire::kRunFlags
  ChannelIndex channel = 0;
  std::uint32_t link_index = kNone;
  NodeIndex node = 0;
  transport::MessageNumber number{};
  std::uint32_t count = 0;
  std::uint32_t most = 0;  ///< messages that it may have
  std::uint32_t bytes_used = 0;
  std::uint32_t most_bytes = 0;
  std::uint32_t open = 0;   ///< bit per message: its result is still to come
  std::uint64_t order = 0;  ///< of the first message; the others' follow
  std::uint64_t first_sequence = 0;
  std::uint64_t epoch = 0;
  TimeNs due_ns = kNeverNs;                               ///< the first deadline of a message
  std::array<std::uint32_t, wire::kMaxRunMessages> outs;  ///< apart: by message; kNone: called back
  std::array<std::uint32_t, wire::kMaxRunMessages> sequence_offset;
  std::array<TimeNs, wire::kMaxRunMessages> deadline_ns;
  std::array<std::byte, kRunBytes> bytes;

  void reset();
};

struct InRun {
  enum class State : std::uint8_t {
    kFree,
    kHeld,   ///< waits for the run that it names
    kWhole,  ///< in its group: its messages have no InMessages, only the right to them
    kApart,  ///< they have
  };

  std::uint32_t generation = 0;
  ListLink link;        ///< kHeld: in the order of their arrival
  ListLink group_link;  ///< kWhole: likewise, in their group
  State state = State::kFree;
  std::uint32_t link_index = kNone;
  std::uint32_t link_epoch = 0;
  transport::MessageNumber number{};
  wire::RunHeader header;  ///< but for the service
  std::uint16_t service = 0;
  std::uint32_t open = 0;          ///< bit per message that is still here
  std::uint32_t called_back = 0;   ///< kHeld: those that their sender withdrew
  std::uint32_t with_program = 0;  ///< those that a program can release by the run's token
  std::uint32_t released = 0;      ///< kWhole: those whose release is still to be told
  std::uint32_t given = 0;         ///< kWhole: so many were handed out ...
  std::uint32_t given_bytes = 0;   ///< ... which are so many bytes
  std::uint32_t consumer = kNone;
  ChannelIndex channel = kNone;
  std::uint64_t arrival = 0;  ///< the first message's
  std::uint32_t bytes_used = 0;
  std::array<std::uint32_t, wire::kMaxRunMessages> ins;  ///< kWhole, kApart: by message
  std::array<std::uint32_t, wire::kMaxRunMessages> sequence_offset;
  std::array<std::byte, kRunBytes> bytes;

  void reset();
};

/// Tokens of messages of a run have this bit in the half that is an InMessage's index else.
inline constexpr std::uint32_t kRunToken = 1U << 30;
static_assert((kRunToken & kShortBit) == 0);
[[nodiscard]] inline std::uint64_t run_token(std::uint32_t generation, std::uint32_t run,
                                             std::uint32_t index) {
  return std::uint64_t{generation} << 32 | kRunToken | (run * wire::kMaxRunMessages + index);
}

[[nodiscard]] inline bool is_run_token(std::uint64_t token) {
  return (static_cast<std::uint32_t>(token) & (kRunToken | kShortBit)) == kRunToken;
}
/// Of the low half of such a token.
[[nodiscard]] inline std::uint32_t run_of_token(std::uint32_t low) {
  return (low & ~kRunToken) / wire::kMaxRunMessages;
}

/// What stands in OutMessage::flight of a message of a run that was taken apart.
inline constexpr std::uint32_t kRunFlight = 1U << 31;
[[nodiscard]] inline std::uint32_t run_flight(std::uint32_t run, std::uint32_t index) {
  return kRunFlight | (run * wire::kMaxRunMessages + index);
}
[[nodiscard]] inline bool is_run_flight(std::uint32_t flight) {
  return flight != kNone && (flight & kRunFlight) != 0;
}
[[nodiscard]] inline std::uint32_t run_of_flight(std::uint32_t flight) {
  return (flight & ~kRunFlight) / wire::kMaxRunMessages;
}
[[nodiscard]] inline std::uint32_t index_of_flight(std::uint32_t flight) {
  return flight % wire::kMaxRunMessages;
}

}  // namespace ringwire::worker
