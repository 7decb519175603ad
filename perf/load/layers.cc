#include "perf/load/layers.h"

#include <array>
#include <cstring>
#include <optional>
#include <span>

#include "base/bytes.h"
#include "base/check.h"
#include "engine/transport/session.h"

namespace ringwire::load {
namespace {

/// Neither a session's nor a worker's: packets of this connection are the scene's.
constexpr std::uint64_t kConnection = 0x5ce0'0001;

class Wire {
 public:
  explicit Wire(Stage& stage) : port_(stage.port) {
    RW_CHECK(port_.open_destination(stage.remote, destination_));
    // What is still in the queue is of the scene before.
    while (port_.rx_burst(received_) != 0) {
    }
  }
  ~Wire() {
    port_.tx_free(std::span(&spare_, has_spare_ ? 1U : 0U));
    port_.close_destination(destination_);
  }
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;

  std::span<const port::RxPacket> receive() {
    return std::span(received_).first(port_.rx_burst(received_));
  }
  std::span<std::byte> room() {
    while (!has_spare_) has_spare_ = port_.tx_alloc(std::span(&spare_, 1)) == 1;
    return {spare_.data, spare_.capacity_bytes};
  }
  void send(std::size_t bytes) {
    spare_.bytes = static_cast<std::uint32_t>(bytes);
    spare_.destination = destination_;
    while (port_.tx_burst(std::span(&spare_, 1)) == 0) {
    }
    port_.flush();
    has_spare_ = false;
  }

 private:
  port::Port& port_;
  port::DestinationId destination_{};
  std::array<port::RxPacket, port::kBurstPackets> received_;
  port::TxPacket spare_;
  bool has_spare_ = false;
};

/// A session of its own on the port, beside the worker's.
class SessionEnd {
 public:
  explicit SessionEnd(Stage& stage) : wire_(stage), session_(config(stage), node::clock_now_ns()) {}

  void send(std::uint64_t number) {
    store_le<std::uint64_t>(payload_.data(), number);
    transport::OutgoingMessage message;
    message.header.id = {{1, 1}, 0, ++sequence_};
    message.header.payload_bytes = payload_.size();
    message.header.level = Level::kNone;
    message.payload = payload_.data();
    transport::MessageNumber own{};
    RW_CHECK(session_.send(message, own) == transport::SendVerdict::kTaken);
    transmit(node::clock_now_ns());
  }
  /// The number in a message that came, if one did.
  std::optional<std::uint64_t> turn() {
    const TimeNs now = node::clock_now_ns();
    std::optional<std::uint64_t> number;
    for (const port::RxPacket& packet : wire_.receive()) {
      if (transport::connection_id_of(packet.bytes) != session_id_) continue;
      session_.on_packet(now, packet.bytes, events_);
      if (const auto found = handle()) number = found;
    }
    if (session_.next_deadline_ns() <= now) {
      session_.on_timer(now, events_);
      handle();
    }
    // An answer takes the acknowledgement with it.
    if (!number) transmit(now);
    return number;
  }
  [[nodiscard]] bool idle() const { return session_.bytes_in_flight() == 0; }

 private:
  transport::SessionConfig config(const Stage& stage) {
    transport::SessionConfig config;
    session_id_ = kConnection + (stage.meeting.is_a() ? 1 : 0);
    config.local_connection_id = session_id_;
    config.remote_connection_id = kConnection + (stage.meeting.is_a() ? 0 : 1);
    config.max_packet_bytes = stage.port.max_payload_bytes();
    config.peer_receive_queue_bytes = stage.port.receive_queue_bytes();
    return config;
  }
  std::optional<std::uint64_t> handle() {
    std::optional<std::uint64_t> number;
    for (const transport::Event& event : events_.all()) {
      if (event.kind != transport::EventKind::kMessage) continue;
      number = load_le<std::uint64_t>(event.payload.data());
      session_.release(event.number);
    }
    events_.clear();
    return number;
  }
  void transmit(TimeNs now) {
    while (const std::size_t bytes = session_.poll_transmit(now, wire_.room())) wire_.send(bytes);
  }

  std::uint64_t session_id_ = 0;
  Wire wire_;
  transport::Session session_;
  transport::EventBatch events_;
  std::array<std::byte, kSmallBytes> payload_{};
  std::uint64_t sequence_ = 0;
};

}  // namespace

Figures port_ping(Stage& stage) {
  Figures figures;
  Wire wire(stage);
  stage.meeting.meet();
  const TimeNs deadline = Meeting::deadline();
  if (stage.meeting.is_a()) {
    RoundTrips trips(stage);
    std::uint64_t number = 0;
    do {
      ++number;
      const std::span<std::byte> room = wire.room();
      std::memset(room.data(), 0, kSmallBytes);
      store_le<std::uint64_t>(room.data() + 8, number);
      wire.send(kSmallBytes);
      for (bool came = false; !came; stage.meeting.check(deadline))
        for (const port::RxPacket& packet : wire.receive())
          came |= packet.bytes.size() == kSmallBytes &&
                  load_le<std::uint64_t>(packet.bytes.data() + 8) == number;
    } while (trips.next());
    figures = trips.figures(0);
    stage.meeting.stop();
  } else {
    while (!stage.meeting.stopped()) {
      for (const port::RxPacket& packet : wire.receive()) {
        std::memcpy(wire.room().data(), packet.bytes.data(), packet.bytes.size());
        wire.send(packet.bytes.size());
      }
    }
  }
  stage.meeting.meet();
  return figures;
}

Figures session_ping(Stage& stage) {
  Figures figures;
  SessionEnd end(stage);
  stage.meeting.meet();
  const TimeNs deadline = Meeting::deadline();
  if (stage.meeting.is_a()) {
    RoundTrips trips(stage);
    std::uint64_t number = 0;
    do {
      end.send(++number);
      while (end.turn() != number) stage.meeting.check(deadline);
    } while (trips.next());
    figures = trips.figures(0);
    figures["packets_a_trip"] = trips.packets_a_trip();
    stage.meeting.stop();
  } else {
    while (!stage.meeting.stopped())
      if (const auto number = end.turn()) end.send(*number);
  }
  stage.meeting.meet([&] { (void)end.turn(); });
  const TimeNs give_up = Meeting::deadline();
  for (TimeNs calm = node::clock_now_ns() + kMillisecondNs;
       !end.idle() || node::clock_now_ns() < calm; stage.meeting.check(give_up))
    (void)end.turn();
  stage.meeting.meet([&] { (void)end.turn(); });
  return figures;
}

}  // namespace ringwire::load
