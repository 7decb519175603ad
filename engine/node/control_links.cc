#include "engine/node/control_links.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <boost/asio/connect.hpp>
#include <boost/asio/write.hpp>
#include <chrono>
#include <utility>

#include "base/endpoint_text.h"
#include "engine/node/clock.h"
#include "engine/node/control_link.h"
#include "engine/node/name_list.h"
#include "engine/node/start_error.h"
#include "engine/node/tcp_socket.h"

namespace ringwire::node {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using tcp = asio::ip::tcp;

constexpr DurationNs kAcceptPauseNs = 50 * kMillisecondNs;
/// [timing] reconnect is the middle of the pauses between two tries: 50 ms, doubled up to 2 s, with
/// the default of 200 ms.
constexpr DurationNs kFirstRetryDivisor = 4;
constexpr DurationNs kLastRetryFactor = 10;
/// Members that were not heard of for so long after our start count as down.
constexpr DurationNs kFirstContactNs = 3 * kSecondNs;
/// The smallest step of the timer, so that a deadline in the past cannot make it spin.
constexpr DurationNs kMinTickNs = kMillisecondNs;

/// Connections at once, those that have not said who they are counted: both ends of every pair may
/// dial. More are closed unheard.
constexpr std::size_t kMaxLinks = 2 * control::kMaxNodes;

std::chrono::nanoseconds as_chrono(DurationNs duration_ns) {
  return std::chrono::nanoseconds(duration_ns);
}

}  // namespace

ControlLinks::ControlLinks(const ControlLinksOptions& options, const Rooms& rooms)
    : options_(options),
      rooms_(rooms),
      arbiter_(options.hello.incarnation),
      allowed_(options.allowed),
      random_(options.seed),
      acceptor_(rooms.manager),
      resolver_(rooms.manager),
      timer_(rooms.manager),
      accept_pause_(rooms.manager) {
  const std::string where = host_port_text(options.listen);
  const tcp::endpoint endpoint = resolve_own(options.listen, "control");
  error_code error;
  acceptor_.open(endpoint.protocol(), error);
  if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor_.bind(endpoint, error);
  if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
  if (error == asio::error::address_in_use)
    throw StartError("control address " + where +
                     " is in use: stop the other engine, or set another [node] control");
  if (error == boost::system::errc::address_not_available)
    throw ConfigRefused("[node] control = " + where + " is no address of this machine");
  if (error)
    throw StartError("cannot listen at [node] control = " + where + ": " + error.message());
  local_ = endpoint_of(acceptor_.local_endpoint());
  options_.hello.control_endpoint =
      options.advertise ? endpoint_of(resolve_own(*options.advertise, "advertise")) : local_;
}

/// Names of the engine's own are resolved once, at start, while nothing else waits.
tcp::endpoint ControlLinks::resolve_own(const HostPort& where, const char* setting) {
  error_code error;
  const auto found =
      resolver_.resolve(where.host, std::to_string(where.port), tcp::resolver::passive, error);
  if (!error && !found.empty()) return *found.begin();
  throw ConfigRefused(std::string("[node] ") + setting + " = " + host_port_text(where) +
                      " is no address: " + error.message());
}

ControlLinks::~ControlLinks() { close(); }

void ControlLinks::start(TimeNs now) {
  started_ns_ = now;
  await_caller();
  for (const HostPort& seed : options_.seeds) add_dialler(seed, "");
  plan_tick(kMinTickNs);
}

void ControlLinks::drain(TimeNs now) {
  draining_ = true;
  arbiter_.drain();
  for (const auto& [number, link] : std::map(links_)) {
    link->control.send_goodbye(now, control::GoodbyeReason::kDraining);
    pump(*link);
  }
}

void ControlLinks::close() {
  if (closed_) return;
  closed_ = true;
  error_code ignored;
  acceptor_.close(ignored);
  resolver_.cancel();
  timer_.cancel();
  accept_pause_.cancel();
  for (const auto& [key, dialler] : diallers_) dialler->timer.cancel();
  for (const auto& [number, link] : links_) {
    link->ended = true;
    link->socket.shutdown(tcp::socket::shutdown_both, ignored);
    link->socket.close(ignored);
  }
  links_.clear();
}

void ControlLinks::on_session_broken(const worker::SessionBroken& broken) {
  const Peer* peer = rooms_.peers.find(broken.node);
  if (peer == nullptr) return;
  const auto link = established_.find(peer->name);
  if (link == established_.end()) return;
  if (broken.path_swallows_large) {
    const std::uint32_t before = peer->packet_bytes;
    spdlog::warn(
        "the path to node {} swallows frames of {} bytes: connecting anew with {}; set [[port]] "
        "mtu "
        "to what the network carries",
        peer->name, before, rooms_.peers.on_path_too_small(peer->name));
  } else {
    spdlog::warn("the session with worker {1} of node {0} broke: connecting anew", peer->name,
                 broken.remote_worker);
  }
  const std::shared_ptr<Link> held = links_.at(link->second);
  held->control.close();
  pump(*held);
}

// ---- listening and dialling
// -----------------------------------------------------------------------

void ControlLinks::await_caller() {
  acceptor_.async_accept([this](const error_code& error, tcp::socket socket) {
    if (closed_) return;
    if (!error) {
      error_code unknown;
      const Endpoint caller = endpoint_of(socket.remote_endpoint(unknown));
      // Else it is closed here, before it could say anything.
      if (!unknown && links_.size() < kMaxLinks && allowed_.admits(caller))
        add_link(std::move(socket), nullptr);
      return await_caller();
    }
    // No descriptor is left: without a pause this would spin.
    accept_pause_.expires_after(as_chrono(kAcceptPauseNs));
    accept_pause_.async_wait([this](const error_code& ended) {
      if (!ended) await_caller();
    });
  });
}

void ControlLinks::add_dialler(const HostPort& address, const std::string& name) {
  const std::string key = address.host + ":" + std::to_string(address.port);
  if (diallers_.contains(key)) return;
  const auto added =
      diallers_.emplace(key, std::make_unique<Dialler>(rooms_.manager, address, name));
  dial(*added.first->second);
}

bool ControlLinks::is_wanted(const Dialler& dialler) const {
  return !closed_ && !draining_ && !dialler.is_self && !dialler.busy &&
         !established_.contains(dialler.name);
}

void ControlLinks::plan_dial(Dialler& dialler, bool soon) {
  dialler.busy = false;
  if (closed_ || dialler.is_self) return;
  if (soon || dialler.retry_ns == 0) dialler.retry_ns = options_.retry_ns / kFirstRetryDivisor;
  // Half to one and a half times: nodes that lost each other do not meet in lockstep.
  const auto jittered =
      static_cast<DurationNs>(static_cast<double>(dialler.retry_ns) * (0.5 + random_.unit()));
  dialler.retry_ns = std::min(dialler.retry_ns * 2, options_.retry_ns * kLastRetryFactor);
  dialler.timer.expires_after(as_chrono(jittered));
  dialler.timer.async_wait([this, &dialler](const error_code& error) {
    if (!error) dial(dialler);
  });
}

void ControlLinks::dial(Dialler& dialler) {
  if (!is_wanted(dialler)) return;
  dialler.busy = true;
  resolver_.async_resolve(
      dialler.address.host, std::to_string(dialler.address.port),
      [this, &dialler](const error_code& error, const tcp::resolver::results_type& found) {
        if (closed_) return;
        if (error) {
          if (dialler.refusal != error.message())
            spdlog::warn("cannot resolve {}: {}", dialler.address.host, error.message());
          dialler.refusal = error.message();
          return plan_dial(dialler, false);
        }
        on_resolved(dialler, found);
      });
}

void ControlLinks::on_resolved(Dialler& dialler, const tcp::resolver::results_type& found) {
  const auto socket = std::make_shared<tcp::socket>(rooms_.manager);
  asio::async_connect(
      *socket, found, [this, &dialler, socket](const error_code& error, const tcp::endpoint&) {
        if (closed_) return;
        if (!error) {
          add_link(std::move(*socket), &dialler);
          return;
        }
        // Nobody listens where a silent node was: its process is gone.
        if (error == asio::error::connection_refused && !dialler.name.empty() &&
            !established_.contains(dialler.name))
          rooms_.peers.on_lost(clock_now_ns(), dialler.name, ring::CloseKind::kFinOrReset);
        if (dialler.refusal != error.message())
          spdlog::info("nobody at {}: {}", host_port_text(dialler.address), error.message());
        dialler.refusal = error.message();
        plan_dial(dialler, false);
      });
}

control::Hello ControlLinks::hello_for(const tcp::socket& socket) const {
  control::Hello hello = options_.hello;
  hello.members_digest = rooms_.view.names_digest();
  error_code error;
  const Endpoint here = endpoint_of(socket.local_endpoint(error));
  if (error) return hello;
  for (Endpoint& data : hello.data_endpoints)
    if (!has_address(data)) data.address = here.address;
  if (hello.control_endpoint.port != 0 && !has_address(hello.control_endpoint))
    hello.control_endpoint.address = here.address;
  return hello;
}

ControlLinks::Link& ControlLinks::add_link(tcp::socket socket, Dialler* dialler) {
  tune(socket);
  control::PeerControlConfig config;
  config.direction =
      dialler == nullptr ? control::Direction::kAccepted : control::Direction::kDialled;
  config.own = hello_for(socket);
  config.heartbeat_ns = options_.heartbeat_ns;
  config.handshake_timeout_ns = options_.handshake_ns;
  const auto link =
      std::make_shared<Link>(next_number_++, std::move(socket), std::move(config), dialler);
  error_code error;
  if (dialler != nullptr) link->dialled = endpoint_of(link->socket.remote_endpoint(error));
  links_.emplace(link->number, link);
  link->control.on_connected(clock_now_ns());
  await_bytes(*link);
  pump(*link);
  return *link;
}

// ---- one connection
// -------------------------------------------------------------------------------

void ControlLinks::await_bytes(Link& link) {
  link.socket.async_read_some(
      asio::buffer(link.input),
      [this, held = link.shared_from_this()](const error_code& error, std::size_t bytes) {
        if (held->ended) return;
        const TimeNs now = clock_now_ns();
        if (error) {
          held->control.on_closed(now, close_kind_of(error));
          return pump(*held);
        }
        held->control.on_bytes(now, std::span(held->input).first(bytes));
        if (const auto& peer = held->control.peer())
          if (const auto used = established_.find(peer->node_name);
              used != established_.end() && used->second == held->number)
            rooms_.peers.on_heard(now, peer->node_name);
        pump(*held);
        if (!held->ended) await_bytes(*held);
      });
}

void ControlLinks::pump(Link& link) {
  const auto held = link.shared_from_this();
  const TimeNs now = clock_now_ns();
  for (auto events = link.control.take_events(); !events.empty() && !link.ended;
       events = link.control.take_events())
    for (control::ControlEvent& event : events) on_event(now, link, event);
  if (!link.ended) write(link);
}

void ControlLinks::write(Link& link) {
  if (link.writing) return;
  const auto output = link.control.output();
  if (output.empty()) {
    if (!link.control.wants_close()) return;
    link.ended = true;
    error_code ignored;
    link.socket.shutdown(tcp::socket::shutdown_both, ignored);
    link.socket.close(ignored);
    links_.erase(link.number);
    if (link.dialler != nullptr) plan_dial(*link.dialler, false);
    return;
  }
  link.output.assign(output.begin(), output.end());
  link.control.consume_output(output.size());
  link.writing = true;
  asio::async_write(link.socket, asio::buffer(link.output),
                    [this, held = link.shared_from_this()](const error_code& error, std::size_t) {
                      held->writing = false;
                      if (held->ended) return;
                      if (error) held->control.on_closed(clock_now_ns(), close_kind_of(error));
                      pump(*held);
                    });
}

void ControlLinks::on_event(TimeNs now, Link& link, control::ControlEvent& event) {
  if (const auto* arrived = std::get_if<control::HelloArrived>(&event)) {
    const std::string& name = arrived->hello.node_name;
    if (link.dialler != nullptr) link.dialler->name = name;
    if (!admits_name(options_.allowed_nodes, name))
      return link.control.refuse(now, control::RefuseReason::kNotAllowed,
                                 "node " + options_.node_name + " does not admit node " + name +
                                     ": see its [allow] nodes");
    carry_out(now, arbiter_.on_hello(now, link.number, arrived->hello.node_name,
                                     arrived->hello.incarnation));
  } else if (const auto* established = std::get_if<control::Established>(&event)) {
    on_established(now, link, *established);
  } else if (const auto* refused = std::get_if<control::Refused>(&event)) {
    const bool self = refused->reason == control::RefuseReason::kSelf;
    const bool duplicate = refused->reason == control::RefuseReason::kDuplicateConnection;
    if (link.dialler != nullptr && self) link.dialler->is_self = true;
    if (!self && !duplicate)
      if (const std::string line = refusals_.line_for(text_of(link), *refused); !line.empty())
        spdlog::warn("{}", line);
    const bool ours = link.dialler != nullptr && !ever_accepted_ && !closed_;
    if (refused->reason == control::RefuseReason::kNameInUse && ours && options_.on_name_taken)
      options_.on_name_taken();
    on_ended(now, link, ring::CloseKind::kFinOrReset);
  } else if (const auto* rtt = std::get_if<control::RttMeasured>(&event)) {
    rooms_.peers.on_rtt(link.control.peer()->node_name, rtt->rtt_ns);
  } else if (const auto* state = std::get_if<control::StateArrived>(&event)) {
    rooms_.peers.on_state(link.control.peer()->node_name, state->state);
  } else if (const auto* list = std::get_if<control::PeersArrived>(&event)) {
    on_peer_list(list->list);
  } else if (std::holds_alternative<control::GoodbyeArrived>(event)) {
    rooms_.peers.on_goodbye(link.control.peer()->node_name);
  } else if (std::holds_alternative<control::ChallengeAnswered>(event)) {
    carry_out(now, arbiter_.on_challenge_answered(link.number));
  } else if (const auto* lost = std::get_if<control::Lost>(&event)) {
    if (const std::string line = refusals_.line_for(text_of(link), *lost); !line.empty())
      spdlog::warn("{}", line);
    const bool silent = lost->reason == control::LostReason::kConnectionTimeout ||
                        lost->reason == control::LostReason::kSilence;
    on_ended(now, link, silent ? ring::CloseKind::kTimeout : ring::CloseKind::kFinOrReset);
  }
}

/// A caller's port is another one each time, and says nothing.
std::string ControlLinks::text_of(const Link& link) const {
  const auto& peer = link.control.peer();
  const std::string_view name = peer ? std::string_view(peer->node_name) : std::string_view();
  if (link.dialler != nullptr) return peer_text(name, host_port_text(link.dialler->address));
  error_code error;
  const tcp::endpoint remote = link.socket.remote_endpoint(error);
  return peer_text(name, error ? "an address that is gone" : address_text(endpoint_of(remote)));
}

void ControlLinks::on_established(TimeNs now, Link& link, const control::Established& established) {
  const control::Hello& hello = *link.control.peer();
  // First the new connection, then the end of the one that it replaces: the node stays up.
  established_[hello.node_name] = link.number;
  ever_accepted_ = true;
  refusals_.forget(text_of(link));
  rooms_.peers.on_established(now, hello, established,
                              {.dialled = link.dialled, .rtt_ns = round_trip_ns(link.socket)});
  carry_out(now, arbiter_.on_established(link.number));
  if (link.dialler != nullptr) {
    link.dialler->retry_ns = 0;
    link.dialler->refusal.clear();
  }
  control::NodeState state;
  state.condition = control::NodeCondition::kServing;
  state.epoch = rooms_.view.current() == nullptr ? 0 : rooms_.view.current()->epoch;
  if (options_.server) link.control.send_state(now, state);
  send_members(now);
}

/// Servers tell all peers of all members, so that one seed is enough to find the cluster.
void ControlLinks::send_members(TimeNs now) {
  if (!options_.server) return;
  std::vector<control::PeerList::Peer> members;
  for (const std::string& name : rooms_.view.member_names()) {
    const Peer* peer = rooms_.peers.find(name);
    members.push_back({name, peer == nullptr ? Endpoint{} : peer->control});
  }
  for (const auto& [name, number] : std::map(established_)) {
    const auto link = links_.find(number);
    if (link == links_.end()) continue;
    const auto held = link->second;
    if (held->control.send_peers(now, members)) write(*held);
  }
}

void ControlLinks::on_peer_list(const control::PeerList& list) {
  std::vector<std::string> names;
  for (const auto& peer : list.peers) names.push_back(peer.name);
  if (!options_.server) rooms_.view.set_members(names);
  for (const auto& peer : list.peers) {
    if (peer.name == options_.node_name || peer.control.port == 0) continue;
    // Only members are dialled: what a list says beyond them is nothing to us.
    if (!rooms_.view.is_member(peer.name) || established_.contains(peer.name)) continue;
    add_dialler({address_text(peer.control), peer.control.port}, peer.name);
  }
}

void ControlLinks::on_ended(TimeNs now, Link& link, ring::CloseKind kind) {
  const auto& peer = link.control.peer();
  if (peer) {
    const std::string name = peer->node_name;
    const auto used = established_.find(name);
    if (used != established_.end() && used->second == link.number) {
      established_.erase(used);
      rooms_.peers.on_lost(now, name, kind);
      // Whoever can reach it dials at once; this link's own dialler does so when it is closed.
      for (const auto& [key, dialler] : diallers_)
        if (dialler->name == name && dialler.get() != link.dialler && !dialler->busy)
          plan_dial(*dialler, true);
    }
  }
  carry_out(now, arbiter_.on_ended(link.number));
}

void ControlLinks::carry_out(TimeNs now, const std::vector<control::Decision>& decisions) {
  for (const control::Decision& decision : decisions) {
    const auto found = links_.find(decision.connection);
    if (found == links_.end()) continue;
    const auto link = found->second;
    switch (decision.kind) {
      case control::Decision::Kind::kAccept:
        accept(now, *link);
        break;
      case control::Decision::Kind::kRefuse:
        link->control.refuse(now, decision.reason, refusal_sentence(decision.reason));
        break;
      case control::Decision::Kind::kChallenge:
        link->control.challenge(now, random_.next());
        break;
      case control::Decision::Kind::kClose:
        link->control.close();
        break;
    }
    pump(*link);
  }
}

void ControlLinks::accept(TimeNs now, Link& link) {
  if (link.control.state() != control::PeerControl::State::kJudging) return;
  const control::Hello& hello = *link.control.peer();
  if (!rooms_.peers.has_room(hello))
    return link.control.refuse(
        now, control::RefuseReason::kTooManyNodes,
        "node " + options_.node_name + " has no memory for more sessions: see [limits] memory");
  link.control.accept(now, rooms_.peers.make_ids(hello));
}

// ---- time
// -------------------------------------------------------------------------------------------

void ControlLinks::tick() {
  const TimeNs now = clock_now_ns();
  for (const auto& [number, link] : std::map(links_)) {
    if (link->ended || link->control.next_deadline_ns() > now) continue;
    link->control.on_timer(now);
    pump(*link);
  }
  carry_out(now, arbiter_.on_timer(now));
  DurationNs next_ns = rooms_.peers.tick(now);
  if (!gave_up_ && now - started_ns_ >= kFirstContactNs && rooms_.view.has_members()) {
    gave_up_ = true;
    rooms_.peers.give_up_unseen(options_.node_name);
  }
  TimeNs deadline = arbiter_.next_deadline_ns();
  for (const auto& [number, link] : links_)
    deadline = std::min(deadline, link->control.next_deadline_ns());
  if (deadline != kNeverNs) next_ns = std::min(next_ns, deadline - now);
  plan_tick(std::max(next_ns, kMinTickNs));
}

void ControlLinks::plan_tick(DurationNs next_ns) {
  timer_.expires_after(as_chrono(next_ns));
  timer_.async_wait([this](const error_code& error) {
    if (!error && !closed_) tick();
  });
}

}  // namespace ringwire::node
