#include "apps/pktgen/generator.h"

#include <algorithm>
#include <cstring>
#include <span>

namespace ringwire::pktgen {

Generator::Generator(Wire& wire, const GeneratorOptions& options) : wire_(wire), options_(options) {
  const std::uint32_t payload_bytes = options.frame_bytes - kFrameOverheadBytes;
  if (payload_bytes > wire.max_payload_bytes())
    throw WireError{"frames of " + std::to_string(options.frame_bytes) +
                        " bytes are more than this device carries (" +
                        std::to_string(wire.max_payload_bytes() + kFrameOverheadBytes) +
                        "): --mtu raises it where the device can",
                    2};
  const std::size_t queues_count = wire.ports().size();
  destinations_.resize(queues_count);
  flows_of_queue_.resize(queues_count);
  next_of_queue_.resize(queues_count);
  for (std::size_t queue = 0; queue < queues_count; ++queue)
    for (std::uint32_t target = 0; target < options.remote_queues; ++target) {
      Endpoint remote = options.remote;
      remote.port = static_cast<std::uint16_t>(remote.port + target);
      port::DestinationId destination{};
      if (!wire.ports()[queue]->open_destination(remote, destination))
        throw WireError{"the port takes no such destination: is --to of the other address family?",
                        2};
      destinations_[queue].push_back(destination);
    }
  for (std::uint32_t flow = 0; flow < options.flows_count; ++flow) {
    const std::size_t queue = flow % queues_count;
    flows_.push_back({queue, destinations_[queue][flow % options.remote_queues], 0});
    flows_of_queue_[queue].push_back(static_cast<std::uint16_t>(flow));
  }
}

Generator::~Generator() {
  for (std::size_t queue = 0; queue < destinations_.size(); ++queue)
    for (const port::DestinationId destination : destinations_[queue])
      wire_.ports()[queue]->close_destination(destination);
}

void Generator::start(TimeNs now, double packets_per_s) {
  options_.packets_per_s = packets_per_s;
  start_ns_ = now;
  sent_before_ = sent_;
}

void Generator::poll(TimeNs now) {
  std::size_t due = options_.burst_packets * wire_.ports().size();
  if (options_.packets_per_s > 0) {
    const double until_now = static_cast<double>(now - start_ns_) * 1e-9 * options_.packets_per_s;
    const auto wanted = static_cast<std::uint64_t>(until_now) + sent_before_;
    // A slow rate goes out packet by packet; a burst is the most that is caught up with at a time.
    due = wanted > sent_ ? std::min<std::uint64_t>(due, wanted - sent_) : 0;
  }
  for (std::size_t queue = 0; queue < wire_.ports().size() && due != 0; ++queue) {
    if (flows_of_queue_[queue].empty()) continue;
    const std::size_t count = std::min<std::size_t>(due, options_.burst_packets);
    send_burst(queue, count, now);
    due -= count;
  }
}

void Generator::send_burst(std::size_t queue, std::size_t count, TimeNs now) {
  port::Port& port = *wire_.ports()[queue];
  std::array<port::TxPacket, port::kBurstPackets> packets;
  std::array<Flow*, port::kBurstPackets> flows{};
  count = port.tx_alloc(std::span(packets).first(count));
  const std::uint32_t bytes = options_.frame_bytes - kFrameOverheadBytes;
  const std::vector<std::uint16_t>& mine = flows_of_queue_[queue];
  for (std::size_t at = 0; at < count; ++at) {
    const std::uint16_t number = mine[next_of_queue_[queue]];
    next_of_queue_[queue] = (next_of_queue_[queue] + 1) % mine.size();
    flows[at] = &flows_[number];
    std::memset(packets[at].data + kStampBytes, 0, bytes - kStampBytes);
    write_stamp(packets[at].data, {number, flows[at]->sequence++, now});
    packets[at].bytes = bytes;
    packets[at].destination = flows[at]->destination;
  }
  const std::size_t taken = port.tx_burst(std::span(packets).first(count));
  port.flush();
  // What did not go was never sent: its numbers go to those that follow.
  for (std::size_t at = taken; at < count; ++at) --flows[at]->sequence;
  port.tx_free(std::span(packets).subspan(taken, count - taken));
  sent_ += taken;
}

}  // namespace ringwire::pktgen
