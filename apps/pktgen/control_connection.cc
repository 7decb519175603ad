#include "apps/pktgen/control_connection.h"

#include <sys/random.h>

#include <algorithm>
#include <boost/asio/connect.hpp>
#include <span>
#include <thread>
#include <utility>
#include <variant>

#include "base/check.h"
#include "engine/node/clock.h"
#include "engine/node/tcp_socket.h"
#include "engine/transport/limits.h"

namespace ringwire::pktgen {
namespace {

using boost::system::error_code;
using tcp = boost::asio::ip::tcp;

/// Between two looks at the connection: each is a system call beside a loop that polls a device.
constexpr DurationNs kLookNs = kMillisecondNs;
constexpr auto kDialPause = std::chrono::milliseconds(50);
constexpr DurationNs kLeaveNs = kSecondNs;

std::uint64_t random_word() {
  std::uint64_t word = 0;
  while (word == 0)
    RW_CHECK(::getrandom(&word, sizeof word, 0) == static_cast<ssize_t>(sizeof word));
  return word;
}

std::string refusal_text(const control::Refused& refused) {
  std::string text = "the engine refuses us: ";
  if (refused.by == control::RefusedBy::kUs) text = "we cannot join the engine: ";
  return text.append(refused.text.empty() ? name_of(refused.reason)
                                          : std::string_view(refused.text));
}

std::string lost_text(const control::Lost& lost) {
  switch (lost.reason) {
    case control::LostReason::kClosedByPeer:
      return "the engine closed the control connection";
    case control::LostReason::kProtocolError:
      return "the control connection broke the rules: " + lost.text;
    case control::LostReason::kClosedByUs:
      return "we left";
    case control::LostReason::kConnectionTimeout:
    case control::LostReason::kSilence:
    case control::LostReason::kHandshakeTimeout:
    case control::LostReason::kOutputFull:
      break;
  }
  return "the engine did not answer on the control connection";
}

}  // namespace

void ControlConnection::join(std::chrono::nanoseconds patience,
                             const std::function<bool()>& stopped) {
  const TimeNs end = node::clock_now_ns() + patience.count();
  while (!established_ && !stopped()) {
    const TimeNs now = node::clock_now_ns();
    if (now > end)
      throw WireError{"no engine at " + node::host_port_text(options_.engine) + " accepted us" +
                          (dial_error_.empty() ? "" : ": " + dial_error_),
                      4};
    if (socket_.is_open() || dial()) exchange(now);
    if (!ended_.empty()) throw WireError{ended_, 1};
    std::this_thread::sleep_for(socket_.is_open() ? std::chrono::milliseconds(1) : kDialPause);
  }
}

bool ControlConnection::dial() {
  error_code error;
  tcp::resolver resolver(context_);
  const auto found =
      resolver.resolve(options_.engine.host, std::to_string(options_.engine.port), error);
  if (!error) boost::asio::connect(socket_, found, error);
  if (error) {
    dial_error_ = error.message();
    socket_.close(error);
    return false;
  }
  node::tune(socket_);
  socket_.non_blocking(true);
  return true;
}

void ControlConnection::poll(TimeNs now) {
  if (now < next_look_ns_ || !ended_.empty()) return;
  next_look_ns_ = now + kLookNs;
  exchange(now);
}

void ControlConnection::exchange(TimeNs now) {
  std::array<std::byte, 16'384> bytes;
  for (;;) {
    error_code error;
    const std::size_t count = socket_.read_some(boost::asio::buffer(bytes), error);
    if (error == boost::asio::error::would_block) break;
    if (error) {
      if (control_)
        control_->on_closed(now, node::close_kind_of(error));
      else
        ended_ = "whoever is at " + node::host_port_text(options_.engine) + " hung up";
      break;
    }
    take(now, std::span(bytes).first(count));
  }
  if (!control_) return;
  if (control_->next_deadline_ns() <= now) control_->on_timer(now);
  handle_events(now);
  write();
}

/// An engine sends its Hello as soon as the connection stands: what it says of its cluster we say,
/// too.
void ControlConnection::take(TimeNs now, std::span<const std::byte> bytes) {
  if (control_) return control_->on_bytes(now, bytes);
  first_bytes_.insert(first_bytes_.end(), bytes.begin(), bytes.end());
  first_.feed(bytes);
  const auto message = first_.next();
  if (!message.ok() ||
      (message.value() && !std::holds_alternative<control::Hello>(*message.value())))
    ended_ = node::host_port_text(options_.engine) + " is not the control address of an engine";
  else if (message.value())
    begin(now, std::get<control::Hello>(*message.value()));
}

void ControlConnection::begin(TimeNs now, const control::Hello& engine) {
  control::PeerControlConfig config;
  control::Hello& own = config.own;
  own.security = control::Security::kClear;
  own.cluster_name = engine.cluster_name;
  own.cluster_id = engine.cluster_id;
  own.node_name = options_.node_name;
  own.incarnation = {random_word(), random_word()};
  own.role = control::Role::kSlave;
  own.cluster_kind = engine.cluster_kind;
  own.secondaries = engine.secondaries;
  own.placement_version = engine.placement_version;
  own.data_endpoints = options_.data;
  own.max_packet_bytes = options_.max_packet_bytes;
  own.receive_queue_bytes = options_.receive_queue_bytes;
  own.message_slots = engine.message_slots;
  own.software_version = RINGWIRE_VERSION;
  own.started_at_ns = static_cast<std::uint64_t>(node::wall_clock_ns());
  own.weight = engine.weight;
  own.nonce = random_word();
  control_.emplace(std::move(config));
  control_->on_connected(now);
  control_->on_bytes(now, first_bytes_);
}

void ControlConnection::handle_events(TimeNs now) {
  for (auto events = control_->take_events(); !events.empty(); events = control_->take_events())
    for (const control::ControlEvent& event : events) on_event(now, event);
}

void ControlConnection::on_event(TimeNs now, const control::ControlEvent& event) {
  if (std::holds_alternative<control::HelloArrived>(event)) {
    control::Sessions ids;
    ids.own_workers = static_cast<std::uint8_t>(options_.data.size());
    ids.peer_workers = static_cast<std::uint8_t>(engine().worker_count());
    ids.max_packet_bytes = options_.max_packet_bytes;
    ids.connection_ids.resize(std::size_t{ids.own_workers} * ids.peer_workers);
    for (std::uint64_t& id : ids.connection_ids) id = random_word();
    control_->accept(now, std::move(ids));
  } else if (const auto* established = std::get_if<control::Established>(&event)) {
    established_ = *established;
  } else if (const auto* refused = std::get_if<control::Refused>(&event)) {
    ended_ = refusal_text(*refused);
  } else if (const auto* lost = std::get_if<control::Lost>(&event)) {
    ended_ = lost_text(*lost);
  } else if (std::holds_alternative<control::GoodbyeArrived>(event)) {
    ended_ = "the engine drains";
  }
}

void ControlConnection::write() {
  while (!control_->output().empty()) {
    error_code error;
    const auto output = control_->output();
    const std::size_t count =
        socket_.write_some(boost::asio::buffer(output.data(), output.size()), error);
    if (error) return;  // what cannot be read either says why
    control_->consume_output(count);
  }
}

void ControlConnection::leave() {
  if (!control_ || !ended_.empty()) return;
  control_->close();
  write();
  error_code error;
  socket_.shutdown(tcp::socket::shutdown_send, error);
  // Until the engine hangs up, too: then nothing of ours is left with it.
  std::array<std::byte, 4'096> rest;
  const TimeNs end = node::clock_now_ns() + kLeaveNs;
  while (node::clock_now_ns() < end) {
    (void)socket_.read_some(boost::asio::buffer(rest), error);
    if (error && error != boost::asio::error::would_block) break;
    if (error) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

DurationNs ControlConnection::round_trip_ns() { return node::round_trip_ns(socket_); }

}  // namespace ringwire::pktgen
