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
#include "engine/node/caller_turns.h"
#include "engine/node/descriptor.h"
#include "engine/node/extent_files.h"
#include "engine/node/services.h"
#include "engine/node/status_page.h"
#include "engine/node/user_shares.h"

namespace ringwire::node {

struct AttachServerOptions {
  std::string socket_path;
  bool own_folder = false;    ///< the socket's folder is the engine's to open
  std::vector<UserId> users;  ///< beside the engine's own and root
  std::string node_name;
  Id128 incarnation;
  std::uint64_t max_message_bytes = 0;
  std::uint64_t quota_bytes = 0;
  std::uint32_t max_attachments = 0;
  DurationNs silence_ns = 0;  ///< a caller that asks for nothing is sent away after this
};

/// Callers and requests that were turned away or kept waiting, by reason; since the start.
struct AttachCounters {
  std::uint64_t wrong_user = 0;           ///< not in [allow] users
  std::uint64_t too_many_callers = 0;     ///< of its user
  std::uint64_t said_nothing = 0;         ///< no hello in time, or one of too many without
  std::uint64_t malformed = 0;            ///< a datagram or request broke a rule
  std::uint64_t surplus_descriptors = 0;  ///< closed with such a datagram
  std::uint64_t wrong_version = 0;
  std::uint64_t id_taken = 0;  ///< the attachment id is attached already
  std::uint64_t attachments_reached = 0;
  std::uint64_t answers_not_read = 0;  ///< for too long, or too many
  std::uint64_t broken_queues = 0;     ///< attachments ended for what stood in their queues
  std::uint64_t no_descriptor = 0;     ///< callers that waited until the engine had one again
  std::uint64_t waits_for_reader = 0;  ///< requests put off: answers before them were not read
  std::uint64_t waits_for_work = 0;    ///< requests put off: too many of the user's were at work
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

  [[nodiscard]] AttachCounters counters() const;

 private:
  friend class AttachConnection;

  /// Callers of one user that have said nothing for kSilenceNs, and as many that do not read
  /// their answers; the oldest beyond it go.
  static constexpr std::size_t kMostSilent = 64;
  static constexpr DurationNs kSilenceNs = kSecondNs;

  void listen();
  void await_caller();
  /// False: no descriptor is left for callers that wait.
  [[nodiscard]] bool take_callers();
  void admit(Descriptor socket);
  [[nodiscard]] bool is_allowed(UserId uid) const;
  /// Looks at silent callers from time to time while there are any.
  void watch_silence();
  void end_silent();
  /// The trust domain of a user, made when it comes for the first time. `then(false)`: no room.
  void with_domain(UserId uid, std::function<void(bool, worker::DomainIndex)> then);
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
  bool watching_silence_ = false;
  boost::asio::steady_timer silence_timer_;
  TimeNs violation_told_ns_ = 0;
  AttachCounters counters_;
  std::map<UserId, Domain> domains_;
  UserShares callers_;
  CallerTurns turns_;
  std::map<AttachConnection*, std::shared_ptr<AttachConnection>> connections_;
};

}  // namespace ringwire::node
