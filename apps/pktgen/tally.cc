#include "apps/pktgen/tally.h"

#include <algorithm>

namespace ringwire::pktgen {

void Tally::on_packet(TimeNs now, std::span<const std::byte> packet) {
  const auto stamp = read_stamp(packet);
  if (!stamp || stamp->flow >= kMaxFlows) {
    ++foreign_;
    return;
  }
  if (stamp->sent_ns < start_ns_) return;
  ++packets_;
  bytes_ += packet.size();
  latency_.record(now - stamp->sent_ns);
  Flow& flow = flows_[stamp->flow];
  if (flow.next == 0) flow.first = stamp->sequence;
  ++flow.packets;
  if (stamp->sequence < flow.next) {
    ++reordered_;
    flow.first = std::min(flow.first, stamp->sequence);
  } else {
    flow.next = stamp->sequence + 1;
  }
}

void Tally::reset(TimeNs start_ns) {
  *this = Tally();
  start_ns_ = start_ns;
}

std::uint64_t Tally::missing() const {
  std::uint64_t missing = 0;
  for (const Flow& flow : flows_) {
    const std::uint64_t sent = flow.next - flow.first;
    missing += sent > flow.packets ? sent - flow.packets : 0;
  }
  return missing;
}

}  // namespace ringwire::pktgen
