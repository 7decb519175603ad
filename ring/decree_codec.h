// Bytes of the agreement's messages and of its record on disk. Decoding takes any bytes: it gives
// exactly what was encoded, or an error; it allocates within the limits of ring/decree.h. Both
// carry a version and end with XXH3-64 of everything before, so that a torn or rotten record is
// seen (M-13). Pure, cold.
//
//   message  u32 "RWAM", u8 version, u8 kind, cluster, from, to, u64 epoch, [ballot], [ballot
//            other], [decree], u64 checksum; what is there depends on the kind
//   record   u32 "RWAR", u8 version, u8 accepted?, cluster, self, u64 epoch, decree, ballot
//            promised, [ballot accepted, decree], u64 checksum
//   id       u64 high, u64 low          ballot   u64 round, id proposer
//   decree   u8 voters, ids, u8 losers, ids, u32 bytes, description
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "ring/decree.h"

namespace ringwire::ring {

inline constexpr std::uint8_t kAgreementVersion = 1;

enum class CodecError : std::uint8_t {
  kDamaged,       ///< torn, cut off, rotten: the checksum does not match
  kNotOurs,       ///< begins with something else
  kOtherVersion,  ///< of a version that this engine does not know
  kBadContent,    ///< whole, but breaks a rule of ring/decree.h
};

/// The message must be well-formed: the agreement makes no others.
[[nodiscard]] std::vector<std::byte> encode_message(const Message& message);
[[nodiscard]] Result<Message, CodecError> decode_message(std::span<const std::byte> bytes);

[[nodiscard]] std::vector<std::byte> encode_record(const Record& record);
/// kDamaged is final: a voter that does not know its votes must not vote again under this identity
/// (M-14).
[[nodiscard]] Result<Record, CodecError> decode_record(std::span<const std::byte> bytes);

}  // namespace ringwire::ring
