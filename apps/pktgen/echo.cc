#include "apps/pktgen/echo.h"

#include <algorithm>
#include <array>

namespace ringwire::pktgen {

void Echo::answer(port::Port& port, std::span<const port::RxPacket> packets) {
  std::array<port::TxPacket, port::kBurstPackets> answers;
  const std::size_t room = port.tx_alloc(std::span(answers).first(packets.size()));
  std::size_t count = 0;
  for (const port::RxPacket& packet : packets.first(room)) {
    const auto destination = destination_of(port, packet.source);
    if (!destination) continue;
    port::TxPacket& answer = answers[count++];
    std::copy(packet.bytes.begin(), packet.bytes.end(), answer.data);
    answer.bytes = static_cast<std::uint32_t>(packet.bytes.size());
    answer.destination = *destination;
  }
  const std::size_t sent = port.tx_burst(std::span(answers).first(count));
  port.flush();
  port.tx_free(std::span(answers).subspan(sent, room - sent));
  echoed_ += sent;
  dropped_ += packets.size() - sent;
}

std::optional<port::DestinationId> Echo::destination_of(port::Port& port, const Endpoint& source) {
  // Packets of one source come in runs.
  if (&port == last_port_ && source == last_source_) return last_;
  const auto known = known_.find({&port, source});
  port::DestinationId destination{};
  if (known != known_.end()) {
    destination = known->second;
  } else {
    if (known_.size() == kMaxSources || !port.open_destination(source, destination))
      return std::nullopt;
    known_.emplace(std::pair(&port, source), destination);
  }
  last_port_ = &port;
  last_source_ = source;
  last_ = destination;
  return destination;
}

}  // namespace ringwire::pktgen
