#include "engine/worker/inbound.h"

#include <algorithm>
#include <cstring>

#include "engine/worker/groups.h"

namespace ringwire::worker {

bool Inbound::place(std::uint32_t in, const std::byte* key, const std::byte* payload, bool whole) {
  InMessage& message = core_.ins[in];
  const std::uint64_t bytes = message.header.payload_bytes;
  if (whole && message.key_bytes + bytes <= message.bytes.size()) {
    if (message.key_bytes != 0) std::memcpy(message.bytes.data(), key, message.key_bytes);
    if (bytes != 0)
      std::memcpy(message.bytes.data() + message.key_bytes, payload,
                  static_cast<std::size_t>(bytes));
    message.copied_bytes = bytes;
    return true;
  }
  if (message.local && lend(in, key)) return true;
  message.key_room = key_room_for(message.key_bytes);
  const std::uint64_t total = message.key_room + bytes;
  if (ipc::ExtentPool::class_of(total) != ipc::kLargeClass) {
    const ipc::Extent extent = core_.take_small(message.domain, total);
    if (extent.empty()) return false;
    message.extent = extent;
    if (message.key_bytes != 0)
      std::memcpy(extent.data + message.key_room - message.key_bytes, key, message.key_bytes);
    if (whole) {
      if (bytes != 0)
        std::memcpy(extent.data + message.key_room, payload, static_cast<std::size_t>(bytes));
      message.copied_bytes = bytes;
    } else {
      core_.links[message.link_index].session->accept(message.number,
                                                      extent.data + message.key_room);
    }
    return true;
  }
  // Who cannot ask for memory now sends it back: its sender tries again.
  if (!core_.outbox.has_room()) return false;
  // The key is kept aside until the extent is there.
  if (message.key_bytes != 0) {
    if (message.key_bytes <= message.bytes.size()) {
      std::memcpy(message.bytes.data(), key, message.key_bytes);
    } else {
      message.key_extent = core_.take_small(message.domain, message.key_bytes);
      if (message.key_extent.empty()) return false;
      std::memcpy(message.key_extent.data, key, message.key_bytes);
    }
  }
  // Behind those that wait already: one that takes what is just free would pass them by.
  if (memory_short()) {
    ask_large(in, total);
  } else if (const auto extent = core_.pool(message.domain).take(total)) {
    give_extent(in, *extent);
  } else {
    ask_large(in, total);
  }
  return true;
}

/// S-52: it stays where its sender has it, if that asked for it, and all consumers that there are
/// now.
bool Inbound::lend(std::uint32_t in, const std::byte* key) {
  InMessage& message = core_.ins[in];
  OutMessage& sent = core_.outs[message.out];
  if (!sent.share || sent.file == 0) return false;
  const Channel& sender = core_.channels[sent.channel];
  if (to_channel(message.header) || !core_.groups->shares(message.service, sender.domain))
    return false;
  const auto file = std::find_if(sender.files.begin(), sender.files.end(),
                                 [&](const TransmitFile& one) { return one.file == sent.file; });
  if (file == sender.files.end() || file->shared_file == 0) return false;
  // Never written: what may be, has no lender.
  message.extent.data = const_cast<std::byte*>(sent.payload);
  message.extent.bytes = message.header.payload_bytes;
  message.extent.offset = static_cast<std::uint64_t>(sent.payload - file->data);
  message.extent.file = file->shared_file;
  message.lender = message.out;
  message.key_room = 0;
  message.copied_bytes = message.header.payload_bytes;
  ++sent.lent;
  ++core_.lent_messages;
  if (message.key_aside() && message.key_bytes != 0)
    std::memcpy(message.bytes.data(), key, message.key_bytes);
  return true;
}

void Inbound::ask_large(std::uint32_t in, std::uint64_t bytes) {
  InMessage& message = core_.ins[in];
  message.large_request = std::uint64_t{message.generation} << 32 | (in + 1);
  if (large_waiting_++ == 0) large_since_ns_ = core_.now;
  core_.outbox.tell(
      NeedLarge{message.domain, ipc::ExtentPool::large_file_bytes(bytes), message.large_request});
}

void Inbound::give_extent(std::uint32_t in, const ipc::Extent& extent) {
  InMessage& message = core_.ins[in];
  message.extent = extent;
  if (message.key_bytes != 0) {
    const std::byte* key =
        message.key_extent.empty() ? message.bytes.data() : message.key_extent.data;
    std::memcpy(extent.data + message.key_room - message.key_bytes, key, message.key_bytes);
  }
  core_.give_back(message.domain, message.key_extent);
  message.key_extent = {};
  if (message.local) {
    copying_.push_back(in);
  } else {
    core_.links[message.link_index].session->accept(message.number, extent.data + message.key_room);
  }
}

void Inbound::on_large(std::uint64_t request, DomainIndex domain, std::uint32_t file,
                       std::byte* data, std::uint64_t bytes) {
  core_.pool(domain).add_large_file(file, data, bytes);
  const auto in = static_cast<std::uint32_t>(request) - 1;
  if (request == 0 || in >= core_.ins.capacity()) return;
  InMessage& message = core_.ins[in];
  if (message.large_request != request || message.state != InState::kReceiving) return;
  const std::uint64_t total = message.key_room + message.header.payload_bytes;
  if (const auto extent = core_.pool(domain).take(total)) {
    message.large_request = 0;
    --large_waiting_;
    large_since_ns_ = core_.now;
    give_extent(in, *extent);
  }
}

void Inbound::on_large_refused(std::uint64_t request, Reason reason) {
  const auto in = static_cast<std::uint32_t>(request) - 1;
  if (request == 0 || in >= core_.ins.capacity()) return;
  InMessage& message = core_.ins[in];
  if (message.large_request != request || message.state != InState::kReceiving) return;
  message.large_request = 0;
  --large_waiting_;
  finish(in, Ending::kFailed, reason);
}

// A large message that is here may be held for an elder that waits for the very memory that it
// has: it goes back to its sender, which sends it again behind the elder.
void Inbound::return_large_holds() {
  large_since_ns_ = core_.now;
  for (std::uint32_t in = 0; in < core_.ins.capacity(); ++in) {
    const InMessage& message = core_.ins[in];
    if (message.state == InState::kHeld && !message.extent.empty() &&
        message.extent.size_class == ipc::kLargeClass)
      finish(in, Ending::kFailed, Reason::kNoMemory);
  }
}

void Inbound::copy_some() {
  if (copying_.empty()) return;
  core_.worked = true;
  const std::uint32_t in = copying_.front();
  InMessage& message = core_.ins[in];
  const std::uint64_t left = message.header.payload_bytes - message.copied_bytes;
  const std::uint64_t piece = std::min(left, kLocalCopyBytesPerTurn);
  std::memcpy(message.payload() + message.copied_bytes,
              core_.outs[message.out].payload + message.copied_bytes,
              static_cast<std::size_t>(piece));
  message.copied_bytes += piece;
  if (message.copied_bytes != message.header.payload_bytes) return;
  copying_.erase(copying_.begin());
  on_whole(in);
}

}  // namespace ringwire::worker
