// What `ringwire bench` writes into the first 32 bytes of a payload so that the other side can tell
// a lost, repeated or damaged message: magic, stream, sequence, XXH3 of the rest. Little-endian.
//
//   0        8        16         24          32
//   | magic  | stream | sequence | checksum  | body ...
//
// Pure; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace ringwire::cli {

inline constexpr std::size_t kStampBytes = 32;

struct Stamp {
  std::uint64_t stream = 0;    ///< random, one per sending thread and run
  std::uint64_t sequence = 0;  ///< from 0, dense per stream
};

enum class StampVerdict { kIntact, kDamaged, kUnstamped };

struct CheckedStamp {
  StampVerdict verdict = StampVerdict::kUnstamped;
  Stamp stamp;
};

/// Write the stamp into the front of a payload whose body is complete.
/// Returns false, and writes nothing, when the payload is shorter than kStampBytes.
bool write_stamp(std::span<std::byte> payload, const Stamp& stamp);

/// Check a received payload. A payload that does not begin with the magic is kUnstamped.
/// Cost: reads the payload once.
[[nodiscard]] CheckedStamp check_stamp(std::span<const std::byte> payload);

/// Fill a payload with bytes that differ from one sequence to the next and from word to word, so
/// that a fragment put in a wrong place cannot go unseen.
void fill_payload(std::span<std::byte> payload, const Stamp& stamp);

/// The question that `ringwire bench` asks a receiver at the end: what did you see of my stream?
/// A call with this payload is answered by `serve --echo` and `serve --sink` with a JSON object.
inline constexpr std::size_t kQuestionBytes = 16;
void write_question(std::span<std::byte, kQuestionBytes> payload, std::uint64_t stream);
/// Returns true and the stream when the payload is such a question.
[[nodiscard]] bool is_question(std::span<const std::byte> payload, std::uint64_t& stream);

}  // namespace ringwire::cli
