#include "engine/port/fault_port.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <limits>
#include <utility>

#include "base/check.h"

namespace ringwire::port {
namespace {

/// Rounds in which every received packet was lost before rx_burst gives up and returns 0.
constexpr int kMaxEmptyRounds = 64;

bool happens(Random& random, double probability) {
  return probability > 0 && random.chance(probability);
}

std::string quoted(std::string_view text) { return '"' + std::string(text) + '"'; }

template <typename Number>
bool read_whole(std::string_view text, Number& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc{} && end == text.data() + text.size();
}

struct ProbabilityName {
  std::string_view name;
  double FaultOptions::*member;
};
constexpr ProbabilityName kProbabilities[] = {
    {"loss", &FaultOptions::loss},         {"burst", &FaultOptions::burst},
    {"reorder", &FaultOptions::reorder},   {"delay", &FaultOptions::delay},
    {"dup", &FaultOptions::duplicate},     {"corrupt", &FaultOptions::corrupt},
    {"truncate", &FaultOptions::truncate},
};

struct CountName {
  std::string_view name;
  std::uint32_t FaultOptions::*member;
};
constexpr CountName kCounts[] = {
    {"burst_packets", &FaultOptions::burst_packets},
    {"reorder_packets", &FaultOptions::reorder_packets},
    {"delay_bursts", &FaultOptions::delay_bursts},
    {"largest", &FaultOptions::largest},
};

/// An empty text when the value was set, else what is wrong with it.
std::string set_fault(FaultOptions& options, std::string_view name, std::string_view value) {
  for (const auto& [known, member] : kProbabilities) {
    if (name != known) continue;
    double probability = 0;
    if (read_whole(value, probability) && probability >= 0 && probability <= 1) {
      options.*member = probability;
      return {};
    }
    return "fault " + quoted(name) + ": a probability from 0 to 1 is needed, not " + quoted(value);
  }
  for (const auto& [known, member] : kCounts) {
    if (name != known) continue;
    std::uint32_t number = 0;
    if (read_whole(value, number) && number >= 1 && number <= 1'000'000) {
      options.*member = number;
      return {};
    }
    return "fault " + quoted(name) + ": a number from 1 to 1000000 is needed, not " + quoted(value);
  }
  if (name == "seed") {
    if (read_whole(value, options.seed)) return {};
    return "fault \"seed\": a number is needed, not " + quoted(value);
  }
  if (name == "side") {
    if (value == "both")
      options.side = FaultSide::kBoth;
    else if (value == "tx")
      options.side = FaultSide::kTx;
    else if (value == "rx")
      options.side = FaultSide::kRx;
    else
      return "fault \"side\": both, tx or rx is needed, not " + quoted(value);
    return {};
  }
  return "unknown fault " + quoted(name) +
         " (known: loss, burst, burst_packets, reorder, reorder_packets, delay, delay_bursts, dup, "
         "corrupt, truncate, largest, side, seed)";
}

}  // namespace

Result<FaultOptions, std::string> parse_fault_options(std::string_view text) {
  FaultOptions options;
  while (!text.empty()) {
    const std::size_t comma = text.find(',');
    const std::string_view part = text.substr(0, comma);
    const std::size_t equals = part.find('=');
    if (equals == std::string_view::npos)
      return Failure{"fault " + quoted(part) + " has no value: NAME=VALUE is needed"};
    std::string wrong = set_fault(options, part.substr(0, equals), part.substr(equals + 1));
    if (!wrong.empty()) return Failure{std::move(wrong)};
    if (comma == std::string_view::npos) break;
    text.remove_prefix(comma + 1);
    if (text.empty()) return Failure{std::string("faults end with a comma: NAME=VALUE is missing")};
  }
  return options;
}

FaultPort::FaultPort(std::unique_ptr<Port> inner, const FaultOptions& options)
    : inner_(std::move(inner)),
      options_(options),
      tx_(options.seed),
      rx_(~options.seed),
      capacity_bytes_(inner_->max_payload_bytes()),
      memory_(new std::byte[capacity_bytes_ * free_buffers_.size()]) {
  for (std::uint32_t buffer = 0; buffer < free_buffers_.size(); ++buffer)
    free_buffers_[free_buffers_count_++] = buffer;
}

FaultPort::~FaultPort() {
  for (std::size_t index = 0; index < held_tx_count_; ++index)
    inner_->tx_free(std::span(&held_tx_[index].packet, 1));
}

std::uint32_t FaultPort::max_payload_bytes() const { return inner_->max_payload_bytes(); }
std::uint64_t FaultPort::receive_queue_bytes() const { return inner_->receive_queue_bytes(); }
Endpoint FaultPort::local() const { return inner_->local(); }
int FaultPort::wait_descriptor() const { return inner_->wait_descriptor(); }
const PortCounters& FaultPort::counters() const { return inner_->counters(); }

bool FaultPort::open_destination(const Endpoint& remote, DestinationId& destination) {
  return inner_->open_destination(remote, destination);
}

void FaultPort::close_destination(DestinationId destination) {
  inner_->close_destination(destination);
}

FaultPort::Drawn FaultPort::draw(Dice& dice, FaultSide side, std::size_t bytes) const {
  if (options_.side != FaultSide::kBoth && options_.side != side) return {};
  // Not a packet that could be sent: the inner port's to judge.
  if (bytes == 0 || bytes > capacity_bytes_) return {};
  ++dice.counters.packets;
  if (bytes > options_.largest) return {Fault::kLose};
  if (dice.burst_left > 0) {
    --dice.burst_left;
    return {Fault::kLose};
  }
  Random& random = dice.random;
  if (happens(random, options_.loss)) return {Fault::kLose};
  if (happens(random, options_.burst)) {
    dice.burst_left = options_.burst_packets - 1;
    return {Fault::kLose};
  }
  if (happens(random, options_.reorder)) return {Fault::kReorder};
  if (happens(random, options_.delay)) return {Fault::kDelay};
  if (happens(random, options_.duplicate)) return {Fault::kDuplicate};
  if (happens(random, options_.corrupt))
    return {Fault::kCorrupt, random.below(bytes), static_cast<std::byte>(random.between(1, 255))};
  if (bytes > 1 && happens(random, options_.truncate))
    return {Fault::kTruncate, random.between(1, bytes - 1)};
  return {};
}

void FaultPort::count(FaultCounters& counters, Fault fault) {
  switch (fault) {
    case Fault::kNone:
      break;
    case Fault::kLose:
      ++counters.lost;
      break;
    case Fault::kReorder:
      ++counters.reordered;
      break;
    case Fault::kDelay:
      ++counters.delayed;
      break;
    case Fault::kDuplicate:
      ++counters.duplicated;
      break;
    case Fault::kCorrupt:
      ++counters.corrupted;
      break;
    case Fault::kTruncate:
      ++counters.truncated;
      break;
  }
}

FaultPort::Hold FaultPort::hold_of(Fault fault) const {
  if (fault == Fault::kReorder) return {options_.reorder_packets, kReorderBursts};
  if (fault == Fault::kDelay)
    return {std::numeric_limits<std::uint32_t>::max(), options_.delay_bursts};
  return {0, 0};
}

std::byte* FaultPort::buffer_of(std::uint32_t buffer) const {
  return memory_.get() + buffer * capacity_bytes_;
}

std::size_t FaultPort::rx_burst(std::span<RxPacket> packets) {
  const std::span<RxPacket> room = packets.first(std::min(packets.size(), kBurstPackets));
  for (std::size_t index = 0; index < handed_out_count_; ++index)
    free_buffers_[free_buffers_count_++] = handed_out_[index];
  handed_out_count_ = 0;
  for (HeldRx& held : std::span(held_rx_).first(held_rx_count_))
    if (held.hold.bursts_left > 0) --held.hold.bursts_left;

  std::size_t count = 0;
  release_rx(room, count);
  // Where all that came was lost, more may wait inside the inner port: 0 must mean that none does.
  for (int round = 0; round < kMaxEmptyRounds && count < room.size(); ++round) {
    const std::size_t limit = room.size() - count;
    const std::size_t received = inner_->rx_burst(std::span(received_).first(limit));
    for (const RxPacket& packet : std::span(received_).first(received))
      on_received(packet, room, count);
    release_rx(room, count);
    if (received == 0 || count > 0) break;
  }
  return count;
}

void FaultPort::on_received(RxPacket packet, std::span<RxPacket> packets, std::size_t& count) {
  Drawn drawn = draw(rx_, FaultSide::kRx, packet.bytes.size());
  HeldRx copy;
  const bool holds = drawn.fault == Fault::kReorder || drawn.fault == Fault::kDelay ||
                     drawn.fault == Fault::kDuplicate;
  if (holds && held_rx_count_ == held_rx_.size()) drawn.fault = Fault::kNone;
  if ((holds || drawn.fault == Fault::kCorrupt) && drawn.fault != Fault::kNone &&
      !keep_copy(packet, copy))
    drawn.fault = Fault::kNone;
  FaultPort::count(rx_.counters, drawn.fault);

  if (drawn.fault == Fault::kLose) return;
  if (drawn.fault == Fault::kReorder || drawn.fault == Fault::kDelay) {
    copy.hold = hold_of(drawn.fault);
    held_rx_[held_rx_count_++] = copy;
    return;
  }
  for (HeldRx& held : std::span(held_rx_).first(held_rx_count_))
    if (held.hold.packets_left > 0) --held.hold.packets_left;
  if (drawn.fault == Fault::kCorrupt) {
    buffer_of(copy.buffer)[drawn.at] ^= drawn.change;
    hand_out(copy, packets, count);
    return;
  }
  if (drawn.fault == Fault::kDuplicate) held_rx_[held_rx_count_++] = copy;  // due at once
  if (drawn.fault == Fault::kTruncate) packet.bytes = packet.bytes.first(drawn.at);
  packets[count++] = packet;
}

bool FaultPort::keep_copy(const RxPacket& packet, HeldRx& held) {
  if (free_buffers_count_ == 0) return false;
  held.buffer = free_buffers_[--free_buffers_count_];
  held.bytes = packet.bytes.size();
  held.source = packet.source;
  std::memcpy(buffer_of(held.buffer), packet.bytes.data(), packet.bytes.size());
  return true;
}

void FaultPort::hand_out(const HeldRx& held, std::span<RxPacket> packets, std::size_t& count) {
  packets[count++] = {{buffer_of(held.buffer), held.bytes}, held.source};
  handed_out_[handed_out_count_++] = held.buffer;
}

/// Hands out what is due, as far as there is room; the rest stays, in order.
void FaultPort::release_rx(std::span<RxPacket> packets, std::size_t& count) {
  std::size_t kept = 0;
  for (std::size_t index = 0; index < held_rx_count_; ++index) {
    if (held_rx_[index].hold.is_due() && count < packets.size())
      hand_out(held_rx_[index], packets, count);
    else
      held_rx_[kept++] = held_rx_[index];
  }
  held_rx_count_ = kept;
}

std::size_t FaultPort::tx_alloc(std::span<TxPacket> packets) { return inner_->tx_alloc(packets); }
void FaultPort::tx_free(std::span<const TxPacket> packets) { inner_->tx_free(packets); }

std::size_t FaultPort::tx_burst(std::span<const TxPacket> packets) {
  const std::span<const TxPacket> burst = packets.first(std::min(packets.size(), kBurstPackets));
  prepare(burst);
  const std::size_t sent = send_outgoing();
  std::size_t taken = burst.size();
  for (std::size_t index = outgoing_count_; index > sent; --index) {
    const Outgoing& unsent = outgoing_[index - 1];
    if (unsent.origin == kInjected)
      inner_->tx_free(std::span(&unsent.packet, 1));
    else
      taken = unsent.origin;
  }
  settle(burst, taken);
  release_tx();
  return taken;
}

/// Draws a fault for each packet and lists what goes to the inner port. Nothing is done yet that
/// settle() could not take back, as the inner port may be full.
void FaultPort::prepare(std::span<const TxPacket> burst) {
  outgoing_count_ = 0;
  std::size_t held_count = held_tx_count_;
  for (std::size_t index = 0; index < burst.size(); ++index) {
    TxPacket packet = burst[index];
    Drawn& drawn = drawn_[index];
    drawn = draw(tx_, FaultSide::kTx, packet.bytes);
    if (drawn.fault == Fault::kLose) continue;
    if (drawn.fault == Fault::kReorder || drawn.fault == Fault::kDelay) {
      if (held_count < held_tx_.size()) {
        ++held_count;
        continue;
      }
      drawn.fault = Fault::kNone;
    }
    if (drawn.fault == Fault::kCorrupt) packet.data[drawn.at] ^= drawn.change;
    if (drawn.fault == Fault::kTruncate) packet.bytes = static_cast<std::uint32_t>(drawn.at);
    outgoing_[outgoing_count_++] = {packet, index};
    if (drawn.fault == Fault::kDuplicate && !duplicate(packet)) drawn.fault = Fault::kNone;
  }
}

bool FaultPort::duplicate(const TxPacket& packet) {
  TxPacket copy;
  if (inner_->tx_alloc(std::span(&copy, 1)) == 0) return false;
  std::memcpy(copy.data, packet.data, packet.bytes);
  copy.bytes = packet.bytes;
  copy.destination = packet.destination;
  outgoing_[outgoing_count_++] = {copy, kInjected};
  return true;
}

std::size_t FaultPort::send_outgoing() {
  std::array<TxPacket, kBurstPackets> chunk;
  std::size_t sent = 0;
  while (sent < outgoing_count_) {
    const std::size_t wanted = std::min(outgoing_count_ - sent, kBurstPackets);
    for (std::size_t index = 0; index < wanted; ++index)
      chunk[index] = outgoing_[sent + index].packet;
    const std::size_t taken = inner_->tx_burst(std::span(chunk).first(wanted));
    sent += taken;
    if (taken < wanted) break;
  }
  return sent;
}

/// Finishes what was drawn for the packets that are taken, takes it back for the others.
void FaultPort::settle(std::span<const TxPacket> burst, std::size_t taken) {
  for (std::size_t index = 0; index < burst.size(); ++index) {
    const TxPacket& packet = burst[index];
    const Drawn& drawn = drawn_[index];
    if (index >= taken) {
      if (drawn.fault == Fault::kCorrupt) packet.data[drawn.at] ^= drawn.change;
      continue;
    }
    count(tx_.counters, drawn.fault);
    if (drawn.fault == Fault::kLose) {
      inner_->tx_free(std::span(&packet, 1));
    } else if (drawn.fault == Fault::kReorder || drawn.fault == Fault::kDelay) {
      held_tx_[held_tx_count_++] = {packet, hold_of(drawn.fault)};
    } else {
      for (HeldTx& held : std::span(held_tx_).first(held_tx_count_))
        if (held.hold.packets_left > 0) --held.hold.packets_left;
    }
  }
}

void FaultPort::release_tx() {
  std::size_t kept = 0;
  for (std::size_t index = 0; index < held_tx_count_; ++index) {
    const HeldTx& held = held_tx_[index];
    if (!held.hold.is_due() || inner_->tx_burst(std::span(&held.packet, 1)) == 0)
      held_tx_[kept++] = held;
  }
  held_tx_count_ = kept;
}

void FaultPort::flush() {
  for (HeldTx& held : std::span(held_tx_).first(held_tx_count_))
    if (held.hold.bursts_left > 0) --held.hold.bursts_left;
  release_tx();
  inner_->flush();
}

}  // namespace ringwire::port
