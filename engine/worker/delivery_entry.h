// Writes the fields of a delivery entry, all but its inline bytes. Hot; pure.
#pragma once

#include <cstdint>

#include "ipc/layout.h"

namespace ringwire::worker {

/// As in ipc::Delivery.
struct EntryFields {
  std::uint64_t token = 0;
  std::uint64_t hash = 0;
  std::uint64_t payload_bytes = 0;
  std::uint64_t payload_offset = 0;
  std::uint64_t ticket = 0;
  std::uint32_t extent_file = 0;
  std::uint32_t attempt = 1;
  std::uint16_t key_bytes = 0;
  std::uint16_t flags = 0;
  std::uint16_t service = 0;
  ipc::DeliveryKind kind = ipc::DeliveryKind::kMessage;
};

/// The origin goes in with `seal`, not with its own. Stored word by word: the entry's lines are on
/// their way from the program's core, and a load from them would wait for that; and copied as a
/// whole, the token would be read in other pieces than it was written in.
[[gnu::always_inline]] inline void write_entry(ipc::Delivery& entry, const EntryFields& fields,
                                               const ipc::OriginToken& origin, std::uint64_t seal) {
  entry.token = fields.token;
  entry.hash = fields.hash;
  entry.payload_bytes = fields.payload_bytes;
  entry.payload_offset = fields.payload_offset;
  entry.ticket = fields.ticket;
  entry.extent_file = fields.extent_file;
  entry.attempt = fields.attempt;
  entry.key_bytes = fields.key_bytes;
  entry.flags = fields.flags;
  entry.service = fields.service;
  entry.kind = static_cast<std::uint8_t>(fields.kind);
  entry.count = 0;
  entry.reserved = 0;
  entry.origin.attachment_high = origin.attachment_high;
  entry.origin.attachment_low = origin.attachment_low;
  entry.origin.sequence = origin.sequence;
  entry.origin.node_incarnation = origin.node_incarnation;
  entry.origin.channel = origin.channel;
  entry.origin.node = origin.node;
  entry.origin.flags = origin.flags;
  entry.origin.home_worker = origin.home_worker;
  entry.origin.reserved = 0;
  entry.origin.seal = seal;
  entry.origin.reserved2 = 0;
}

}  // namespace ringwire::worker
