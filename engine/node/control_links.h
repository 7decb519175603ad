// The control connections with other nodes: listens, dials the seeds and every server that it hears
// of, moves bytes between TCP and control::PeerControl, and lets control::Arbiter choose among
// several connections of one node. What the connections say goes to peers. Ring manager only; cold.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/random.h"
#include "engine/control/arbiter.h"
#include "engine/control/peer_control.h"
#include "engine/node/config_text.h"
#include "engine/node/network_list.h"
#include "engine/node/peers.h"
#include "engine/node/refusal_log.h"
#include "engine/node/ring_view.h"

namespace ringwire::node {

struct ControlLink;
struct ControlDialler;

struct ControlLinksOptions {
  HostPort listen;
  std::optional<HostPort> advertise;  ///< what others should dial; else what we listen at
  std::vector<HostPort> seeds;
  std::string node_name;
  bool server = true;
  DurationNs heartbeat_ns = 100 * kMillisecondNs;
  DurationNs handshake_ns = 5 * kSecondNs;
  DurationNs retry_ns = 200 * kMillisecondNs;  ///< middle of the pauses between two tries
  std::vector<std::string> allowed;            ///< networks that may dial; empty: all
  std::vector<std::string> allowed_nodes;      ///< patterns of names; empty: all
  std::uint64_t seed = 0;                      ///< of the jitter of dialling
  /// Called when a node that we dialled says that a living engine has our name, and no node has
  /// ever accepted us: this engine cannot be a member, and must not serve beside the one that is.
  std::function<void()> on_name_taken;
  /// What is the same for all connections. End points without an address get the one that the
  /// connection has on this side.
  control::Hello hello;
};

class ControlLinks {
 public:
  struct Rooms {
    boost::asio::io_context& manager;
    Peers& peers;
    RingView& view;
    StatusPage& page;
  };

  /// Listens at once; dials after start(). Errors: StartError: address in use or not ours.
  ControlLinks(const ControlLinksOptions& options, const Rooms& rooms);
  ~ControlLinks();
  ControlLinks(const ControlLinks&) = delete;
  ControlLinks& operator=(const ControlLinks&) = delete;

  void start(TimeNs now);
  /// Tell all peers that this node takes nothing new, and refuse newcomers.
  void drain(TimeNs now);
  /// End all connections.
  void close();

  void on_session_broken(const worker::SessionBroken& broken);

  /// Where it really listens (the port may have been 0).
  [[nodiscard]] Endpoint local() const { return local_; }

 private:
  using Link = ControlLink;
  using Dialler = ControlDialler;

  [[nodiscard]] boost::asio::ip::tcp::endpoint resolve_own(const HostPort& where,
                                                           const char* setting);
  void await_caller();
  void plan_dial(Dialler& dialler, bool soon);
  void dial(Dialler& dialler);
  void on_resolved(Dialler& dialler, const boost::asio::ip::tcp::resolver::results_type& found);
  void add_dialler(const HostPort& address, const std::string& name);
  [[nodiscard]] bool is_wanted(const Dialler& dialler) const;
  Link& add_link(boost::asio::ip::tcp::socket socket, Dialler* dialler);
  [[nodiscard]] control::Hello hello_for(const boost::asio::ip::tcp::socket& socket) const;

  void await_bytes(Link& link);
  void pump(Link& link);
  void on_event(TimeNs now, Link& link, control::ControlEvent& event);
  void on_established(TimeNs now, Link& link, const control::Established& established);
  void on_peer_list(const control::PeerList& list);
  void on_ended(TimeNs now, Link& link, ring::CloseKind kind);
  [[nodiscard]] std::string text_of(const Link& link) const;
  void carry_out(TimeNs now, const std::vector<control::Decision>& decisions);
  void accept(TimeNs now, Link& link);
  void write(Link& link);
  void send_members(TimeNs now);
  void tick();
  void plan_tick(DurationNs next_ns);

  ControlLinksOptions options_;
  Rooms rooms_;
  control::Arbiter arbiter_;
  NetworkList allowed_;
  Random random_;
  boost::asio::ip::tcp::acceptor acceptor_;
  boost::asio::ip::tcp::resolver resolver_;
  boost::asio::steady_timer timer_;
  boost::asio::steady_timer accept_pause_;
  Endpoint local_;
  TimeNs started_ns_ = 0;
  bool gave_up_ = false;        ///< on members that were not heard of
  bool ever_accepted_ = false;  ///< by any node: from then on nobody talks us out of our name
  bool draining_ = false;
  bool closed_ = false;
  std::uint64_t next_number_ = 1;
  RefusalLog refusals_;
  std::map<std::uint64_t, std::shared_ptr<Link>> links_;
  std::map<std::string, std::uint64_t> established_;          ///< link number by node name
  std::map<std::string, std::unique_ptr<Dialler>> diallers_;  ///< by "host:port"
};

}  // namespace ringwire::node
