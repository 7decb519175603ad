// Runs: small messages of one channel for one service that travel as one item, are acknowledged as
// one, and end by bits (docs/wire.md section 8, W-70 to W-77). The body is what their sender wrote
// once, entry by entry, and goes into the packet as it is. Any thread; hot; no allocation.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>

#include "base/bytes.h"
#include "engine/wire/items.h"
#include "engine/wire/message_codec.h"
#include "engine/wire/message_header.h"

namespace ringwire::wire {

/// Wire: messages of a run: one bit each in a word of 32. Beyond, what the run itself costs is less
/// than a twentieth of what its messages do.
inline constexpr std::uint32_t kMaxRunMessages = 32;
/// Wire: key and payload of an entry together: what each small message is charged for (W-40).
inline constexpr std::uint32_t kMaxRunEntryBytes = 256;
/// `u32 sequence - first, u64 hash, u16 payload bytes, u16 key bytes`; key and payload follow.
inline constexpr std::uint32_t kRunEntryHeaderBytes = 16;
/// Flags that the messages of a run may have.
inline constexpr std::uint16_t kRunFlags = kOrderNone | kNoWait;

/// What the messages of a run have in common.
struct RunHeader {
  MessageId id;                  ///< the first one's
  std::uint64_t epoch = 0;       ///< of the view it was routed by
  std::uint32_t after = 0;       ///< message number of the run that must be taken in first, 0: none
  std::uint32_t generation = 0;  ///< of the channel's runs, from 1: raised when one came back
  std::uint32_t count = 0;       ///< 1 .. kMaxRunMessages
  std::uint16_t flags = 0;       ///< of kRunFlags
  Level level = Level::kProcessed;
  std::string_view service;  ///< not owned
};

/// All but the body: type, number, after, level, flags, attachment, channel, sequence, epoch,
/// generation, service handle and length, count, body bytes.
inline constexpr std::size_t kMaxFixedRunBytes =
    1 + 5 + 5 + 1 + 2 + (5 + 16) + 5 + 10 + 10 + 5 + (5 + 1) + 1 + 5;

/// One message of a run, where it stands.
struct RunEntry {
  std::uint64_t hash = 0;
  std::uint32_t sequence_offset = 0;  ///< from the run's first
  std::uint16_t payload_bytes = 0;
  std::uint16_t key_bytes = 0;
  const std::byte* bytes = nullptr;  ///< key, then payload
  [[nodiscard]] std::uint32_t used_bytes() const {
    return std::uint32_t{key_bytes} + payload_bytes;
  }
  [[nodiscard]] std::uint32_t whole_bytes() const { return kRunEntryHeaderBytes + used_bytes(); }
};

/// The entry at `at`, which is there whole.
[[nodiscard]] inline RunEntry run_entry_at(const std::byte* at) {
  return {load_le<std::uint64_t>(at + 4), load_le<std::uint32_t>(at),
          load_le<std::uint16_t>(at + 12), load_le<std::uint16_t>(at + 14),
          at + kRunEntryHeaderBytes};
}
/// Writes all but key and payload.
inline void put_run_entry(std::byte* at, const RunEntry& entry) {
  store_le(at, entry.sequence_offset);
  store_le(at + 4, entry.hash);
  store_le(at + 12, entry.payload_bytes);
  store_le(at + 14, entry.key_bytes);
}
/// Whether `body` is `count` entries and nothing else, with rising sequences from `first` on
/// (W-71).
[[nodiscard]] bool valid_run_body(std::span<const std::byte> body, std::uint32_t count,
                                  std::uint64_t first);

/// Type byte, number and header, then the body.
void encode_run(ByteWriter& writer, std::uint32_t number, const RunHeader& header,
                const MessageHandles& handles, std::span<const std::byte> body);

struct DecodedRun {
  std::uint32_t number = 0;
  MessageHandles handles;
  std::span<const std::byte> body;  ///< in the reader's bytes; checked
};
/// Read what follows the type byte. False and !reader.ok() when a rule is broken.
bool decode_run(ByteReader& reader, DecodedRun& run, RunHeader& header);

/// How those of a run ended that did not end as done.
struct RunFailures {
  std::array<Ending, kMaxRunMessages> ending;
  std::array<Reason, kMaxRunMessages> reason;
};

/// All that is known of a run's messages by now: bit i for the i-th.
struct RunResultItem {
  std::uint32_t number = 0;
  std::uint32_t settled = 0;   ///< ending and reason are final
  std::uint32_t released = 0;  ///< their credit is the sender's again
  std::uint32_t failed = 0;    ///< of the settled: not just done
};
inline constexpr std::size_t kMaxRunResultBytes = 1 + 5 + 3 * 5 + 2 * kMaxRunMessages;
inline constexpr std::size_t kMaxRunWithdrawBytes = 1 + 5 + 5;

void encode_run_result(ByteWriter& writer, const RunResultItem& result,
                       const RunFailures& failures);
/// Writes only those of `failures` that `result.failed` names.
bool decode_run_result(ByteReader& reader, RunResultItem& result, RunFailures& failures);
void encode_run_withdraw(ByteWriter& writer, std::uint32_t number, std::uint32_t mask);
bool decode_run_withdraw(ByteReader& reader, std::uint32_t& number, std::uint32_t& mask);

/// Bits of the first `count` messages.
[[nodiscard]] constexpr std::uint32_t run_mask(std::uint32_t count) {
  return count >= 32 ? ~std::uint32_t{0} : (std::uint32_t{1} << count) - 1;
}

}  // namespace ringwire::wire
