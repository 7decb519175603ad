// What travels with every message beside its payload: its identity, where it belongs, and how it is
// to be treated (docs/wire.md section "Messages"). A decoded form; the encoded one lives in
// message_codec. Hot; no allocation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/ids.h"

namespace ringwire::wire {

/// Bits of MessageHeader::flags, as on the wire.
enum MessageFlag : std::uint16_t {
  kOrderNone = 1u << 0,    ///< may overtake others of its key
  kCall = 1u << 1,         ///< the reply is the acknowledgement
  kReply = 1u << 2,        ///< answers `in_reply_to`; goes to that channel, not to a service
  kBroadcast = 1u << 3,    ///< one of the copies of a broadcast
  kReplica = 1u << 4,      ///< one of the copies of a send to all replicas
  kRedelivered = 1u << 5,  ///< an earlier attempt may have reached a program
  kDegraded = 1u << 6,     ///< routed without a majority's word on who serves the slot
  kToOrigin = 1u << 7,     ///< sent to a channel by its origin handle, but not as an awaited reply
  kNoWait = 1u << 8,       ///< turn it away at once where no program consumes its service
};

/// Payloads stay below 2^62 bytes, so that a length beside a key or a rounding cannot overflow.
inline constexpr std::uint64_t kMaxPayloadBytes = (std::uint64_t{1} << 62) - 1;

struct MessageHeader {
  MessageId id;                   ///< who it is; id.attachment is of the sending program
  std::uint64_t predecessor = 0;  ///< sequence (same channel, same key) that must be handed over
                                  ///< first, 0 = none; always < id.sequence
  std::uint64_t hash = 0;         ///< the caller's 64-bit hash, or the key's
  std::uint64_t epoch = 0;        ///< of the view it was routed by
  std::uint64_t payload_bytes = 0;
  std::uint32_t attempt = 1;  ///< from 1
  std::uint16_t flags = 0;    ///< MessageFlag
  Level level = Level::kProcessed;
  std::uint8_t priority = 0;       ///< 0 normal; higher first
  std::span<const std::byte> key;  ///< 0 .. kMaxKeyBytes; not owned
  std::string_view service;        ///< 0 .. kMaxNameBytes; not owned
  MessageId in_reply_to;           ///< for kReply and kToOrigin: the channel (and call) it is for
};

}  // namespace ringwire::wire
