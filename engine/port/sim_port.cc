#include "engine/port/sim_port.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace ringwire::port {
namespace {

__extension__ using Wide = unsigned __int128;  // not ISO C++; both compilers of ours have it

std::uint64_t charge_of(std::size_t bytes) {
  return std::max<std::uint64_t>(bytes, kPacketChargeBytes);
}

/// No draw when the fault is off, so that a clean path costs nothing.
bool happens(Random& random, double probability) {
  return probability > 0 && random.chance(probability);
}

DurationNs up_to(Random& random, DurationNs limit_ns) {
  if (limit_ns <= 0) return 0;
  return static_cast<DurationNs>(random.below(static_cast<std::uint64_t>(limit_ns) + 1));
}

}  // namespace

SimNetwork::SimNetwork(const SimOptions& options)
    : options_(options),
      random_(options.seed),
      memory_(new std::byte[std::size_t{options.flights_count} * options.max_payload_bytes]),
      flights_(options.flights_count) {
  arrivals_.reserve(options.flights_count);
  for (std::uint32_t flight = options.flights_count; flight > 0; --flight) free_flight(flight - 1);
}

std::unique_ptr<SimPort> SimNetwork::make_port(const SimPortOptions& options) {
  RW_CHECK(options.payload_bytes > 0);
  RW_CHECK(options.payload_bytes <= options_.max_payload_bytes);
  RW_CHECK(ports_.find(options.local) == ports_.end());
  std::unique_ptr<SimPort> port(new SimPort(*this, options));
  ports_.emplace(options.local, port.get());
  return port;
}

void SimNetwork::set_default_path(const SimPath& path) {
  default_path_ = path;
  for (auto& [ends, state] : paths_)
    if (!state.is_named) state.options = path;
}

void SimNetwork::set_path(const Endpoint& from, const Endpoint& to, const SimPath& path) {
  PathState& state = path_state(from, to);
  state.options = path;
  state.is_named = true;
}

SimPath SimNetwork::path(const Endpoint& from, const Endpoint& to) const {
  const auto found = paths_.find({from, to});
  return found == paths_.end() ? default_path_ : found->second.options;
}

SimNetwork::PathState& SimNetwork::path_state(const Endpoint& from, const Endpoint& to) {
  const auto [place, is_new] = paths_.try_emplace({from, to});
  if (is_new) place->second.options = default_path_;
  return place->second;
}

void SimNetwork::advance(TimeNs now) {
  RW_CHECK(now >= now_ns_);
  while (!arrivals_.empty() && arrivals_.front().at_ns <= now) {
    const std::uint32_t flight = arrivals_.front().flight;
    flights_[flight].arrived_ns = arrivals_.front().at_ns;
    std::pop_heap(arrivals_.begin(), arrivals_.end(), Arrival::is_later);
    arrivals_.pop_back();
    deliver(flight);
  }
  now_ns_ = now;
}

TimeNs SimNetwork::next_event_ns() const {
  return arrivals_.empty() ? kNeverNs : arrivals_.front().at_ns;
}

void SimNetwork::send(PathState& path, const Endpoint& from, const Endpoint& to,
                      std::span<const std::byte> bytes) {
  const SimPath& options = path.options;
  ++counters_.sent;
  if (options.direction == Direction::kCut) {
    ++counters_.cut;
    return;
  }
  const std::size_t headers_bytes = to.is_ipv4() ? 28 : 48;
  if (bytes.size() + headers_bytes > options.mtu_bytes) {
    ++counters_.too_large;
    return;
  }
  if (happens(random_, options.loss)) {
    ++counters_.lost;
    return;
  }
  TimeNs departure_ns = now_ns_;
  if (!pass_bottleneck(path, bytes.size() + headers_bytes, departure_ns)) {
    ++counters_.path_queue_full;
    return;
  }
  TimeNs arrival_ns = departure_ns + options.delay_ns + up_to(random_, options.jitter_ns);
  if (happens(random_, options.reorder)) {
    ++counters_.reordered;
    arrival_ns += 1 + up_to(random_, options.reorder_delay_ns);
  } else {
    arrival_ns = std::max(arrival_ns, path.last_arrival_ns);
    path.last_arrival_ns = arrival_ns;
  }
  if (!pass_link(to, bytes.size() + headers_bytes, arrival_ns)) {
    ++counters_.link_queue_full;
    return;
  }
  launch(arrival_ns, from, to, bytes, options.corrupt);
  if (!happens(random_, options.duplicate)) return;
  ++counters_.duplicated;
  launch(arrival_ns + up_to(random_, options.reorder_delay_ns), from, to, bytes, options.corrupt);
}

bool SimNetwork::pass_bottleneck(PathState& path, std::size_t bytes, TimeNs& departure_ns) {
  const std::uint64_t rate = path.options.bytes_per_s;
  if (rate == 0) return true;
  const auto ns_per_s = static_cast<Wide>(kSecondNs);
  const TimeNs start_ns = std::max(now_ns_, path.busy_until_ns);
  const auto wait_ns = static_cast<Wide>(start_ns - now_ns_);
  if (wait_ns * rate / ns_per_s + bytes > path.options.queue_bytes) return false;
  path.busy_until_ns = start_ns + static_cast<TimeNs>(bytes * ns_per_s / rate);
  departure_ns = path.busy_until_ns;
  return true;
}

void SimNetwork::set_link(const Endpoint& to, const SimLink& link) { links_[to].options = link; }

bool SimNetwork::pass_link(const Endpoint& to, std::size_t bytes, TimeNs& arrival_ns) {
  const auto found = links_.find(to);
  if (found == links_.end() || found->second.options.bytes_per_s == 0) return true;
  LinkState& link = found->second;
  const auto ns_per_s = static_cast<Wide>(kSecondNs);
  const TimeNs start_ns = std::max(arrival_ns, link.busy_until_ns);
  const auto wait_ns = static_cast<Wide>(start_ns - arrival_ns);
  if (wait_ns * link.options.bytes_per_s / ns_per_s + bytes > link.options.queue_bytes)
    return false;
  link.busy_until_ns = start_ns + static_cast<TimeNs>(bytes * ns_per_s / link.options.bytes_per_s);
  arrival_ns = link.busy_until_ns;
  return true;
}

void SimNetwork::launch(TimeNs at_ns, const Endpoint& from, const Endpoint& to,
                        std::span<const std::byte> bytes, double corrupt) {
  if (free_flight_ == kNone) {
    ++counters_.flights_exhausted;
    return;
  }
  const std::uint32_t index = free_flight_;
  Flight& flight = flights_[index];
  free_flight_ = flight.next;
  flight = {static_cast<std::uint32_t>(bytes.size()), kNone, 0, from, to};
  std::memcpy(bytes_of(index), bytes.data(), bytes.size());
  if (happens(random_, corrupt)) {
    ++counters_.corrupted;
    bytes_of(index)[random_.below(bytes.size())] ^= static_cast<std::byte>(random_.between(1, 255));
  }
  arrivals_.push_back({at_ns, sent_count_++, index});
  std::push_heap(arrivals_.begin(), arrivals_.end(), Arrival::is_later);
}

void SimNetwork::deliver(std::uint32_t flight) {
  const auto port = ports_.find(flights_[flight].target);
  if (port == ports_.end()) {
    ++counters_.nobody_there;
    free_flight(flight);
  } else if (!port->second->accept(flight)) {
    ++counters_.receive_queue_full;
    free_flight(flight);
  } else {
    ++counters_.delivered;
  }
}

void SimNetwork::free_flight(std::uint32_t flight) {
  flights_[flight].next = free_flight_;
  free_flight_ = flight;
}

SimPort::SimPort(SimNetwork& network, const SimPortOptions& options)
    : network_(network),
      options_(options),
      pool_({options.tx_buffers_count, options.payload_bytes}),
      destinations_(options.destinations_count) {}

SimPort::~SimPort() {
  free_all(waiting_);
  free_all(handed_out_);
  network_.ports_.erase(options_.local);
}

bool SimPort::open_destination(const Endpoint& remote, DestinationId& destination) {
  if (remote.is_ipv4() != options_.local.is_ipv4()) return false;
  const auto opened = destinations_.open({remote, &network_.path_state(options_.local, remote)});
  if (opened) destination = *opened;
  return opened.has_value();
}

void SimPort::close_destination(DestinationId destination) { destinations_.close(destination); }

std::size_t SimPort::rx_burst(std::span<RxPacket> packets) {
  free_all(handed_out_);
  const std::size_t limit = std::min(packets.size(), kBurstPackets);
  std::size_t count = 0;
  while (count < limit && waiting_.first != SimNetwork::kNone) {
    const std::uint32_t index = pop(waiting_);
    const SimNetwork::Flight& flight = network_.flights_[index];
    waiting_bytes_ -= charge_of(flight.bytes);
    packets[count++] = {{network_.bytes_of(index), flight.bytes},
                        flight.source,
                        network_.now_ns_ - flight.arrived_ns};
    counters_.rx_bytes += flight.bytes;
    push(handed_out_, index);
  }
  counters_.rx_packets += count;
  return count;
}

std::size_t SimPort::tx_alloc(std::span<TxPacket> packets) {
  const std::size_t count = pool_.alloc(packets);
  if (count < packets.size()) ++counters_.buffers_exhausted;
  return count;
}

std::size_t SimPort::tx_burst(std::span<const TxPacket> packets) {
  const std::span<const TxPacket> burst = packets.first(std::min(packets.size(), kBurstPackets));
  for (const TxPacket& packet : burst) {
    const Remote* remote = destinations_.find(packet.destination);
    if (remote == nullptr || packet.bytes == 0 || packet.bytes > options_.payload_bytes) {
      ++counters_.tx_errors;
      continue;
    }
    TxPacket whole = packet;
    whole.gather_now();
    network_.send(*remote->path, options_.local, remote->endpoint, {whole.data, whole.bytes});
    ++counters_.tx_packets;
    counters_.tx_bytes += packet.bytes;
  }
  tx_free(burst);
  return burst.size();
}

void SimPort::tx_free(std::span<const TxPacket> packets) {
  for (const TxPacket& packet : packets) pool_.give_back(packet);
}

void SimPort::push(FlightList& list, std::uint32_t flight) {
  network_.flights_[flight].next = SimNetwork::kNone;
  if (list.first == SimNetwork::kNone)
    list.first = flight;
  else
    network_.flights_[list.last].next = flight;
  list.last = flight;
}

std::uint32_t SimPort::pop(FlightList& list) {
  const std::uint32_t flight = list.first;
  list.first = network_.flights_[flight].next;
  return flight;
}

void SimPort::free_all(FlightList& list) {
  while (list.first != SimNetwork::kNone) network_.free_flight(pop(list));
}

bool SimPort::accept(std::uint32_t flight) {
  const std::uint32_t bytes = network_.flights_[flight].bytes;
  if (bytes > options_.payload_bytes) {
    ++counters_.rx_errors;
    return false;
  }
  if (waiting_bytes_ + charge_of(bytes) > options_.receive_queue_bytes) return false;
  waiting_bytes_ += charge_of(bytes);
  push(waiting_, flight);
  return true;
}

}  // namespace ringwire::port
