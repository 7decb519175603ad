// The UNIX socket that programs attach to (ipc/attach_protocol.h; docs/segment.md, "Attach"):
// listens, checks who calls, receives requests, checks their form, and sends the answers. What the
// requests mean for channels and files is attachments' business. Any rule broken ends that one
// attachment. Ring manager only; cold.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/node/attach_socket.h"
#include "engine/node/attachments.h"
#include "engine/node/descriptor.h"
#include "engine/node/extent_files.h"
#include "engine/node/services.h"
#include "engine/node/status_page.h"

namespace ringwire::node {

struct AttachServerOptions {
  std::string socket_path;
  bool own_folder = false;           ///< the socket's folder is the engine's to open
  std::vector<std::uint32_t> users;  ///< beside the engine's own and root
  std::string node_name;
  Id128 incarnation;
  std::uint64_t max_message_bytes = 0;
  std::uint64_t quota_bytes = 0;
  std::uint32_t max_connections = 0;  ///< attachments and admin callers together
};

class AttachConnection;

class AttachServer {
 public:
  /// Answers one admin request: JSON text and the command line's exit code. Called once, on the
  /// ring manager's loop, now or later.
  using AdminAnswer = std::function<void(std::string json, std::uint32_t exit_code)>;
  using OnAdmin = std::function<void(std::string request, bool owner, AdminAnswer answer)>;

  struct Rooms {
    boost::asio::io_context& manager;
    Workers& workers;
    Attachments& attachments;
    ExtentFiles& extents;
    Services& services;
    StatusPage& page;
  };

  /// Listen at the socket path; its directory is made (0750) where missing, a socket that a dead
  /// engine left is replaced. Errors: StartError: in use, or cannot be made.
  AttachServer(const AttachServerOptions& options, const Rooms& rooms, OnAdmin on_admin);
  ~AttachServer();
  AttachServer(const AttachServer&) = delete;
  AttachServer& operator=(const AttachServer&) = delete;

  /// Take no new attachments; those that are there stay.
  void drain();
  /// Tell all programs, hang up, and remove the socket file.
  void close();

  /// A worker says that a channel's program broke a rule: ends its attachment.
  void on_channel_violated(const worker::ChannelViolated& violated);

 private:
  friend class AttachConnection;

  void listen();
  void await_caller();
  /// False: no descriptor is left for callers that wait.
  [[nodiscard]] bool take_callers();
  void admit(Descriptor socket);
  [[nodiscard]] bool is_allowed(std::uint32_t uid) const;
  /// The trust domain of a user, made when it comes for the first time. `then(false)`: no room.
  void with_domain(std::uint32_t uid, std::function<void(bool, worker::DomainIndex)> then);
  void forget(AttachConnection* connection);

  struct Domain {
    enum class State : std::uint8_t { kNone, kMaking, kReady };
    worker::DomainIndex index = 0;  ///< stays, also when its files could not be made yet
    State state = State::kNone;
    std::vector<std::function<void(bool, worker::DomainIndex)>> waiting;
  };

  AttachServerOptions options_;
  Rooms rooms_;
  OnAdmin on_admin_;
  Descriptor lock_;
  boost::asio::posix::stream_descriptor listener_;
  boost::asio::steady_timer pause_;  ///< of accepting, when no descriptor is left
  bool draining_ = false;
  bool closed_ = false;
  std::map<std::uint32_t, Domain> domains_;  ///< by user id
  std::map<AttachConnection*, std::shared_ptr<AttachConnection>> connections_;
};

}  // namespace ringwire::node
