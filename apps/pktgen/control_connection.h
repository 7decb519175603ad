// The generator's control connection to the engine that it loads: a slave node that nobody dials,
// of whatever cluster the engine says it is of. Handshake and heartbeats are the engine's own
// (engine/control); here are only the socket and what a generator has to say of itself. One thread;
// cold.
#pragma once

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "apps/pktgen/wire.h"
#include "base/time.h"
#include "engine/control/peer_control.h"
#include "engine/control/stream.h"
#include "engine/node/config_text.h"

namespace ringwire::pktgen {

struct ControlOptions {
  node::HostPort engine;
  std::string node_name;       ///< ours; unique in the cluster
  std::vector<Endpoint> data;  ///< ours, one for each queue
  std::uint32_t max_packet_bytes = 0;
  std::uint64_t receive_queue_bytes = 0;  ///< of each queue
};

class ControlConnection {
 public:
  explicit ControlConnection(ControlOptions options) : options_(std::move(options)) {}

  /// Dials until the engine accepts us. Throws WireError: 4 when nobody answered in time, 1 with
  /// the engine's words when it refuses.
  void join(std::chrono::nanoseconds patience, const std::function<bool()>& stopped);
  /// Heartbeats. Does nothing when called again within a millisecond.
  void poll(TimeNs now);
  /// Tells the engine that we go, and waits until it has heard it.
  void leave();

  /// What the engine said of itself, and the connection ids; after join().
  [[nodiscard]] const control::Hello& engine() const { return *control_->peer(); }
  [[nodiscard]] const control::Established& sessions() const { return *established_; }
  [[nodiscard]] DurationNs round_trip_ns();
  /// Why it ended; empty while it stands.
  [[nodiscard]] const std::string& ended() const { return ended_; }

 private:
  bool dial();
  void exchange(TimeNs now);
  void take(TimeNs now, std::span<const std::byte> bytes);
  void begin(TimeNs now, const control::Hello& engine);
  void handle_events(TimeNs now);
  void on_event(TimeNs now, const control::ControlEvent& event);
  void write();

  ControlOptions options_;
  boost::asio::io_context context_;
  boost::asio::ip::tcp::socket socket_{context_};
  std::string dial_error_;
  control::MessageStream first_;                 ///< up to the engine's Hello
  std::vector<std::byte> first_bytes_;           ///< the same
  std::optional<control::PeerControl> control_;  ///< from the engine's Hello on
  std::optional<control::Established> established_;
  std::string ended_;
  TimeNs next_look_ns_ = 0;
};

}  // namespace ringwire::pktgen
