#include "apps/pktgen/message_load.h"

#include <algorithm>
#include <cstring>
#include <random>
#include <span>

#include "apps/cli/stamp.h"
#include "base/bytes.h"
#include "base/hash.h"
#include "engine/node/clock.h"
#include "ipc/ringwire.h"

namespace ringwire::pktgen {
namespace {

/// Messages handed to sessions in one pass: then packets go out, and what came is taken.
constexpr std::uint32_t kSendsPerPass = 64;

/// Channel and sequence as one number, not 0.
std::uint64_t ticket_of(std::uint32_t channel, std::uint64_t sequence) {
  return std::uint64_t{channel} << 56 | sequence;
}

}  // namespace

MessageLoad::MessageLoad(Wire& wire, const ControlConnection& control, DurationNs round_trip_ns,
                         const LoadOptions& options)
    : wire_(wire), options_(options), slots_(options.window), calls_(options.window) {
  if (options.payload_bytes > kMaxPayloadBytes / options.window)
    throw WireError{std::to_string(options.window) + " messages of " +
                        std::to_string(options.payload_bytes) +
                        " bytes under way are more than a GiB: lower --window",
                    2};
  std::random_device random;
  attachment_ = {std::uint64_t{random()} << 32 | random(),
                 std::uint64_t{random()} << 32 | random()};
  const std::uint64_t stream = attachment_.low;
  for (std::uint32_t slot = 0; slot < options.window; ++slot) {
    slots_[slot].payload = std::make_unique<std::byte[]>(options.payload_bytes);
    cli::fill_payload({slots_[slot].payload.get(), options.payload_bytes}, {stream, slot});
    free_.push_back(slot);
  }
  keys_.resize(options.keys);
  for (std::uint64_t key = 0; key < options.keys; ++key) {
    store_le<std::uint64_t>(keys_[key].bytes.data(), key);
    keys_[key].hash = key_hash(keys_[key].bytes);
  }
  next_sequence_.assign(wire.ports().size(), 1);
  unsent_.resize(wire.ports().size());
  open_lines(control, round_trip_ns);
}

void MessageLoad::open_lines(const ControlConnection& control, DurationNs round_trip_ns) {
  const control::Hello& engine = control.engine();
  const control::Established& ids = control.sessions();
  workers_ = engine.worker_count();
  const TimeNs now = node::clock_now_ns();
  for (std::uint32_t queue = 0; queue < wire_.ports().size(); ++queue) {
    for (std::uint32_t worker = 0; worker < workers_; ++worker) {
      Line line;
      line.queue = queue;
      line.connection_id = ids.own.at(queue, worker);
      transport::SessionConfig config;
      config.local_connection_id = line.connection_id;
      config.remote_connection_id = ids.peer.at(worker, queue);
      config.max_packet_bytes = std::min({wire_.max_payload_bytes(), engine.max_packet_bytes,
                                          ids.own.max_packet_bytes, ids.peer.max_packet_bytes});
      config.peer_receive_queue_bytes = engine.receive_queue_bytes;
      config.message_slots = engine.message_slots;
      config.idle_rtt_ns = round_trip_ns;
      config.seed = line.connection_id;
      line.session = std::make_unique<transport::Session>(config, now);
      if (!wire_.ports()[queue]->open_destination(engine.data_endpoints[worker], line.destination))
        throw WireError{
            "the port cannot reach the engine's data address: is --address of the "
            "other address family?",
            2};
      line_by_connection_[line.connection_id] = lines_.size();
      lines_.push_back(std::move(line));
    }
  }
}

MessageLoad::~MessageLoad() {
  for (std::size_t queue = 0; queue < unsent_.size(); ++queue)
    wire_.ports()[queue]->tx_free(
        std::span(unsent_[queue].packets).subspan(unsent_[queue].from, unsent_[queue].count));
  for (const Line& line : lines_) wire_.ports()[line.queue]->close_destination(line.destination);
}

void MessageLoad::poll(TimeNs now) {
  if (start_ns_ == 0) start_ns_ = now;
  receive(now);
  for (std::size_t line = 0; line < lines_.size(); ++line) {
    transport::Session& session = *lines_[line].session;
    if (session.closed() || session.next_deadline_ns() > now) continue;
    session.on_timer(now, events_);
    handle(now, line);
  }
  send_due(now);
  transmit(now);
}

void MessageLoad::receive(TimeNs now) {
  std::array<port::RxPacket, port::kBurstPackets> packets;
  for (auto& port : wire_.ports()) {
    const std::size_t count = port->rx_burst(packets);
    for (const port::RxPacket& packet : std::span(packets).first(count)) {
      const auto found = line_by_connection_.find(transport::connection_id_of(packet.bytes));
      if (found == line_by_connection_.end()) continue;
      transport::Session& session = *lines_[found->second].session;
      if (session.closed()) continue;
      session.on_packet(now, packet.bytes, events_, packet.waited_ns);
      handle(now, found->second);
    }
  }
}

// ---- what comes ---------------------------------------------------------------------------------

void MessageLoad::handle(TimeNs now, std::size_t line) {
  using transport::EventKind;
  transport::Session& session = *lines_[line].session;
  for (const transport::Event& event : events_.all()) {
    switch (event.kind) {
      case EventKind::kResult:
        on_result(now, event.cookie, event.ending, event.reason);
        break;
      case EventKind::kSent:
        on_result(now, event.cookie, Ending::kDone, Reason::kNone);
        break;
      case EventKind::kMessage:
        if ((event.header.flags & wire::kReply) == 0) {
          turn_away(line, event);
          break;
        }
        on_reply(now, event.header.in_reply_to, event.payload);
        settle_reply(line, event.number, event.header.level);
        break;
      case EventKind::kOpen: {
        // An honest reply is what was sent.
        const bool wanted = (event.header.flags & wire::kReply) != 0 &&
                            event.header.payload_bytes == options_.payload_bytes;
        if (!wanted) {
          turn_away(line, event);
          break;
        }
        Incoming& reply = incoming_[{line, event.number}];
        reply = {std::vector<std::byte>(event.header.payload_bytes), event.header.in_reply_to,
                 event.header.level};
        session.accept(event.number, reply.bytes.data());
        break;
      }
      case EventKind::kComplete: {
        const auto reply = incoming_.find({line, event.number});
        if (reply == incoming_.end()) break;
        on_reply(now, reply->second.call, reply->second.bytes);
        settle_reply(line, event.number, reply->second.level);
        incoming_.erase(reply);
        break;
      }
      case EventKind::kWithdrawn:
        if (incoming_.erase({line, event.number}) == 0) break;
        session.settle(event.number, Ending::kFailed, Reason::kCancelled);
        session.release(event.number);
        break;
      case EventKind::kRun: {  // no reply comes so
        const std::uint32_t all = wire::run_mask(event.run.count);
        session.settle_run(event.number, all, Ending::kFailed, Reason::kNotServing);
        session.release_run(event.number, all);
        break;
      }
      case EventKind::kNeverCame:
      case EventKind::kRunWithdrawn:
      case EventKind::kRunResult:
      case EventKind::kCredit:
      case EventKind::kClosed:
        break;
    }
  }
  if (session.closed()) close(now, line);
}

/// We serve nothing, and wait for no other replies.
void MessageLoad::turn_away(std::size_t line, const transport::Event& event) {
  transport::Session& session = *lines_[line].session;
  if ((event.header.flags & wire::kReply) != 0) ++damaged_;
  if (event.kind == transport::EventKind::kOpen)
    return session.refuse(event.number, Reason::kNotServing);
  if (event.header.level != Level::kNone)
    session.settle(event.number, Ending::kFailed, Reason::kNotServing);
  session.release(event.number);
}

void MessageLoad::settle_reply(std::size_t line, transport::MessageNumber number, Level level) {
  transport::Session& session = *lines_[line].session;
  if (level != Level::kNone) session.settle(number, Ending::kDone, Reason::kNone);
  session.release(number);
}

void MessageLoad::on_reply(TimeNs now, const MessageId& call, std::span<const std::byte> payload) {
  if (call.attachment != attachment_ || call.channel >= next_sequence_.size()) return;
  const auto found = calls_.take(ticket_of(call.channel, call.sequence));
  if (!found) return;  // a second reply
  const auto index = static_cast<std::uint32_t>(*found);
  Slot& slot = slots_[index];
  const std::byte* sent = slot.payload.get();
  if (!std::equal(payload.begin(), payload.end(), sent, sent + options_.payload_bytes)) ++damaged_;
  count_done(now, slot);
  if (slot.state == SlotState::kAwaited)
    free(index);
  else
    slot.state = SlotState::kAnswered;
}

void MessageLoad::on_result(TimeNs now, std::uint32_t index, Ending ending, Reason reason) {
  Slot& slot = slots_[index];
  if (slot.state == SlotState::kAnswered) return free(index);
  if (options_.call && ending == Ending::kDone && reason == Reason::kReplyFollows) {
    slot.state = SlotState::kAwaited;
    return;
  }
  if (options_.call) calls_.take(ticket_of(slot.channel, slot.sequence));
  if (ending != Ending::kDone)
    ++outcomes_[std::string(rw_ending_name(static_cast<std::uint32_t>(ending))) + '(' +
                rw_reason_name(static_cast<std::uint32_t>(reason)) + ')'];
  else if (options_.call)
    ++outcomes_["no_reply"];
  else
    count_done(now, slot);
  free(index);
}

void MessageLoad::count_done(TimeNs now, const Slot& slot) {
  ++done_;
  ++outcomes_["done"];
  latency_.record(now - slot.from_ns);
}

void MessageLoad::free(std::uint32_t index) {
  slots_[index].state = SlotState::kFree;
  free_.push_back(index);
}

void MessageLoad::close(TimeNs now, std::size_t line) {
  ++broken_;
  transport::Session& session = *lines_[line].session;
  for (bool ended = false; !ended;) {
    ended = session.close(events_);
    for (const transport::Event& event : events_.all())
      if (event.kind == transport::EventKind::kResult)
        on_result(now, event.cookie, event.ending, event.reason);
  }
  std::erase_if(incoming_, [line](const auto& one) { return one.first.first == line; });
}

// ---- what goes ----------------------------------------------------------------------------------

void MessageLoad::send_due(TimeNs now) {
  for (std::uint32_t count = 0; count < kSendsPerPass && may_send(); ++count) {
    TimeNs from_ns = now;
    if (options_.messages_per_s > 0) {
      from_ns = start_ns_ +
                static_cast<TimeNs>(static_cast<double>(sent_) / options_.messages_per_s * 1e9);
      if (from_ns > now) return;
    }
    if (prepared_ == kNone && free_.empty()) return;
    if (prepared_ == kNone) prepare();
    if (!send_prepared(from_ns)) return;
  }
}

/// Takes a slot and stamps its payload, for which the credit may be missing yet.
void MessageLoad::prepare() {
  prepared_ = free_.back();
  free_.pop_back();
  Slot& slot = slots_[prepared_];
  slot.key = next_key_;
  next_key_ = (next_key_ + 1) % options_.keys;
  slot.channel = slot.key % static_cast<std::uint32_t>(next_sequence_.size());
  slot.sequence = next_sequence_[slot.channel]++;
  cli::write_stamp({slot.payload.get(), options_.payload_bytes},
                   {attachment_.low + slot.channel, slot.sequence - 1});
}

bool MessageLoad::send_prepared(TimeNs from_ns) {
  Slot& slot = slots_[prepared_];
  Key& key = keys_[slot.key];
  transport::OutgoingMessage message;
  wire::MessageHeader& header = message.header;
  header.id = {attachment_, slot.channel, slot.sequence};
  header.hash = key.hash;
  header.key = key.bytes;
  header.service = options_.service;
  header.payload_bytes = options_.payload_bytes;
  header.level = options_.level;
  if (options_.call) header.flags |= wire::kCall;
  if (!options_.ordered) header.flags |= wire::kOrderNone;
  if (options_.ordered && key.newest != kNone && slots_[key.newest].state == SlotState::kSending &&
      slots_[key.newest].sequence == key.newest_sequence)
    header.predecessor = key.newest_sequence;
  message.payload = slot.payload.get();
  message.cookie = prepared_;
  Line& line = lines_[slot.channel * workers_ + slot_of(key.hash) % workers_];
  transport::MessageNumber number{};
  // One that has no credit holds up those behind it: their time of departure is part of the load.
  if (line.session->send(message, number) != transport::SendVerdict::kTaken) return false;
  slot.state = SlotState::kSending;
  slot.from_ns = from_ns;
  key.newest = prepared_;
  key.newest_sequence = slot.sequence;
  if (options_.call) calls_.insert(ticket_of(slot.channel, slot.sequence), prepared_);
  prepared_ = kNone;
  ++sent_;
  return true;
}

void MessageLoad::transmit(TimeNs now) {
  for (std::size_t queue = 0; queue < unsent_.size(); ++queue) {
    Unsent& unsent = unsent_[queue];
    port::Port& port = *wire_.ports()[queue];
    if (unsent.count == 0) fill(now, queue);
    if (unsent.count == 0) continue;
    const std::size_t taken =
        port.tx_burst(std::span(unsent.packets).subspan(unsent.from, unsent.count));
    port.flush();
    unsent.from += taken;
    unsent.count -= taken;
  }
}

/// A burst of packets from the sessions of one queue, beginning with another one each time.
void MessageLoad::fill(TimeNs now, std::size_t queue) {
  Unsent& unsent = unsent_[queue];
  port::Port& port = *wire_.ports()[queue];
  unsent.from = 0;
  unsent.next_line = (unsent.next_line + 1) % workers_;
  for (std::uint32_t step = 0; step < workers_; ++step) {
    Line& line = lines_[queue * workers_ + (unsent.next_line + step) % workers_];
    while (unsent.count < unsent.packets.size() && !line.session->closed()) {
      port::TxPacket& packet = unsent.packets[unsent.count];
      if (port.tx_alloc({&packet, 1}) == 0) return;
      const std::size_t bytes =
          line.session->poll_transmit(now, {packet.data, packet.capacity_bytes});
      if (bytes == 0) {
        port.tx_free({&packet, 1});
        break;
      }
      packet.bytes = static_cast<std::uint32_t>(bytes);
      packet.destination = line.destination;
      ++unsent.count;
    }
  }
}

transport::SessionCounters MessageLoad::counters() const {
  transport::SessionCounters sum;
  for (const Line& line : lines_) {
    const transport::SessionCounters& one = line.session->counters();
    sum.packets_sent += one.packets_sent;
    sum.packets_received += one.packets_received;
    sum.packets_lost += one.packets_lost;
    sum.bytes_sent += one.bytes_sent;
    sum.bytes_received += one.bytes_received;
    sum.bytes_retransmitted += one.bytes_retransmitted;
  }
  return sum;
}

}  // namespace ringwire::pktgen
