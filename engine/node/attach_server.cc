#include "engine/node/attach_server.h"

#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <utility>

#include "engine/node/attach_connection.h"
#include "engine/node/clock.h"
#include "engine/node/start_error.h"
#include "engine/node/state_directory.h"

namespace ringwire::node {
namespace {

constexpr int kListenBacklog = 128;
constexpr std::chrono::milliseconds kAcceptPause(20);
/// Callers taken before the loop sees to the rest: a flood of them never ends.
constexpr int kCallersAtOnce = 16;
/// Connections of each user beyond its attachments: the command line gets in when all places of
/// programs are taken.
constexpr std::uint64_t kSpareCallers = 16;
/// Programs that break rules say so in the log once in this time.
constexpr DurationNs kViolationLogNs = 10 * kSecondNs;

sockaddr_un address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path)
    throw StartError("[node] socket path " + path + " is longer than the kernel's 107 bytes");
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

/// Users that may attach, and cannot come to the door.
void warn_of_closed_folders(const std::filesystem::path& directory) {
  std::error_code error;
  for (auto folder = std::filesystem::absolute(directory, error); !folder.empty();
       folder = folder.parent_path()) {
    struct stat status {};
    if (::stat(folder.c_str(), &status) == 0 && (status.st_mode & (S_IXOTH | S_IXGRP)) == 0)
      spdlog::warn(
          "the users of [allow] users cannot reach the socket: {} is closed to them; set "
          "[node] socket to a path in an open folder",
          folder.string());
    if (folder == folder.root_path()) return;
  }
}

/// Each user that may attach has its part of the connections, and root, which always may.
UserShares caller_shares(const AttachServerOptions& options) {
  std::vector<UserId> users = options.users;
  users.push_back(::geteuid());
  UserShares::Options shares;
  shares.kept = even_parts(users, options.max_attachments / 2);
  shares.kept.emplace(0, 0);
  for (auto& [user, part] : shares.kept) part += kSpareCallers;
  shares.capacity = options.max_attachments + kSpareCallers * shares.kept.size();
  return UserShares(std::move(shares));
}

}  // namespace

AttachServer::AttachServer(const AttachServerOptions& options, const Rooms& rooms, OnAdmin on_admin)
    : options_(options),
      rooms_(rooms),
      on_admin_(std::move(on_admin)),
      listener_(rooms.manager),
      pause_(rooms.manager),
      silence_timer_(rooms.manager),
      callers_(caller_shares(options)),
      turns_(rooms.manager) {
  domains_[::geteuid()].state = Domain::State::kReady;  // domain 0 was made at start
  listen();
  await_caller();
}

AttachServer::~AttachServer() { close(); }

void AttachServer::listen() {
  const std::string& path = options_.socket_path;
  const sockaddr_un address = address_of(path);
  const std::filesystem::path directory = std::filesystem::path(path).parent_path();
  if (!directory.empty()) {
    const bool is_new = !std::filesystem::exists(directory);
    // Others than the engine's user can reach the socket only through an open folder. Who gets in
    // is decided at the socket.
    const unsigned mode = options_.users.empty() ? 0750 : 0755;
    make_directory(directory.string(), mode);
    if (!options_.users.empty() && (is_new || options_.own_folder))
      ::chmod(directory.c_str(), mode);  // the umask had a say; somebody else's folder stays as is
    if (!options_.users.empty()) warn_of_closed_folders(directory);
  }
  // The lock, not the socket file, says whether an engine lives: the file outlives a kill -9.
  lock_ = lock_file(path + ".lock");
  if (!lock_)
    throw StartError("socket " + path +
                     " is in use by another engine: stop it, or set another [node] socket");
  struct stat status {};
  if (::lstat(path.c_str(), &status) == 0 && !S_ISSOCK(status.st_mode))
    throw StartError(path + " exists and is no socket: remove it, or set another [node] socket");
  ::unlink(path.c_str());
  Descriptor socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket ||
      ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      // Who may attach is decided by user id, from the kernel's word, not by the file's mode.
      ::chmod(path.c_str(), 0666) != 0 || ::listen(socket.get(), kListenBacklog) != 0)
    throw StartError("cannot listen at socket " + path + ": " + std::strerror(errno));
  listener_.assign(socket.take());
}

void AttachServer::await_caller() {
  listener_.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                       [this](const boost::system::error_code& error) {
                         if (error) return;
                         if (take_callers()) return await_caller();
                         // The listener stays readable: without a pause this would spin.
                         pause_.expires_after(kAcceptPause);
                         pause_.async_wait([this](const boost::system::error_code& ended) {
                           if (!ended) await_caller();
                         });
                       });
}

bool AttachServer::take_callers() {
  for (int count = 0; count < kCallersAtOnce; ++count) {
    Descriptor socket(
        ::accept4(listener_.native_handle(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket) {
      const bool exhausted = errno == EMFILE || errno == ENFILE || errno == ENOMEM;
      if (exhausted) ++counters_.no_descriptor;
      return !exhausted;
    }
    admit(std::move(socket));
  }
  return true;
}

void AttachServer::admit(Descriptor socket) {
  ucred credentials{};
  socklen_t bytes = sizeof credentials;
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &credentials, &bytes) != 0) return;
  const auto connection = std::make_shared<AttachConnection>(
      *this, std::move(socket),
      AttachConnection::Caller{static_cast<std::uint64_t>(credentials.pid), credentials.uid});
  if (!is_allowed(credentials.uid)) {
    ++counters_.wrong_user;
    return connection->end(ipc::AttachStatus::kDenied,
                           "this user may not attach: see [allow] users");
  }
  if (!callers_.try_take(credentials.uid, 1)) {
    ++counters_.too_many_callers;
    return connection->end(ipc::AttachStatus::kLimit,
                           "too many callers of this user at the attach socket");
  }
  connections_.emplace(connection.get(), connection);
  connection->start();
  watch_silence();
}

void AttachServer::watch_silence() {
  if (std::exchange(watching_silence_, true) || options_.silence_ns == kNeverNs) return;
  silence_timer_.expires_after(
      std::chrono::nanoseconds(std::min(options_.silence_ns, kSilenceNs) / 4));
  silence_timer_.async_wait([this](const boost::system::error_code& error) {
    watching_silence_ = false;
    if (!error && !closed_) end_silent();
  });
}

void AttachServer::end_silent() {
  const TimeNs now = clock_now_ns();
  using Callers = std::vector<std::shared_ptr<AttachConnection>>;
  Callers late;
  std::map<std::pair<UserId, bool>, Callers> waiting;
  bool any = false;
  for (const auto& [key, connection] : connections_) {
    const bool unread = connection->unread();
    if (!unread && !connection->silent()) continue;
    any = true;
    const DurationNs since_ns = now - connection->heard_ns();
    if (since_ns >= options_.silence_ns)
      late.push_back(connection);
    else if (unread || since_ns >= kSilenceNs)
      waiting[{connection->uid(), unread}].push_back(connection);
  }
  for (auto& [kind, callers] : waiting) {
    if (callers.size() <= kMostSilent) continue;
    std::sort(callers.begin(), callers.end(), [](const auto& one, const auto& other) {
      return one->heard_ns() < other->heard_ns();
    });
    late.insert(late.end(), callers.begin(), callers.end() - kMostSilent);
  }
  for (const auto& connection : late) {
    const bool unread = connection->unread();
    ++(unread ? counters_.answers_not_read : counters_.said_nothing);
    connection->end(ipc::AttachStatus::kLimit,
                    unread ? "answers are not read" : "the caller said nothing for too long");
  }
  if (any) watch_silence();
}

bool AttachServer::is_allowed(UserId uid) const {
  return uid == 0 || uid == ::geteuid() ||
         std::find(options_.users.begin(), options_.users.end(), uid) != options_.users.end();
}

void AttachServer::with_domain(UserId uid, std::function<void(bool, worker::DomainIndex)> then) {
  const auto found = domains_.find(uid);
  if (found == domains_.end()) {
    if (domains_.size() == worker::kMaxDomains) return then(false, 0);
    const auto index = static_cast<worker::DomainIndex>(domains_.size());
    domains_[uid].index = index;
  }
  Domain& domain = domains_[uid];
  if (domain.state == Domain::State::kReady) return then(true, domain.index);
  domain.waiting.push_back(std::move(then));
  if (domain.state == Domain::State::kMaking) return;
  domain.state = Domain::State::kMaking;
  rooms_.extents.add_domain(domain.index, uid, ExtentFiles::Charge::kNow, [this, uid](bool made) {
    Domain& done = domains_.at(uid);
    // Without its files the user cannot attach; its next attempt tries again.
    done.state = made ? Domain::State::kReady : Domain::State::kNone;
    const auto waiting = std::exchange(done.waiting, {});
    for (const auto& next : waiting) next(made, done.index);
  });
}

void AttachServer::forget(AttachConnection* connection) {
  const UserId user = connection->uid();
  if (connections_.erase(connection) != 0) callers_.give_back(user, 1);
}

AttachCounters AttachServer::counters() const {
  AttachCounters counters = counters_;
  counters.waits_for_work = turns_.waited();
  return counters;
}

void AttachServer::on_channel_violated(const worker::ChannelViolated& violated) {
  const AttachmentId number = rooms_.attachments.attachment_of(violated.index);
  if (number == 0) return;
  for (const auto& [key, connection] : connections_) {
    if (connection->attachment() != number) continue;
    ++counters_.broken_queues;
    const TimeNs now = clock_now_ns();
    if (violation_told_ns_ == 0 || now - violation_told_ns_ >= kViolationLogNs) {
      violation_told_ns_ = now;
      const Attachment& program = *rooms_.attachments.find(number);
      spdlog::warn(
          "program {} of user {} broke a rule of its queues: detached ({} since the start)",
          program.pid, program.uid, counters_.broken_queues);
    }
    return connection->end(ipc::AttachStatus::kMalformed, "a queue of the program broke a rule");
  }
}

void AttachServer::drain() { draining_ = true; }

void AttachServer::close() {
  if (closed_) return;
  closed_ = true;
  boost::system::error_code ignored;
  listener_.close(ignored);
  pause_.cancel();
  silence_timer_.cancel();
  while (!connections_.empty()) {
    const auto connection = connections_.begin()->second;
    connection->end(ipc::AttachStatus::kShutdown, "the engine is shutting down");
  }
  ::unlink(options_.socket_path.c_str());
}

}  // namespace ringwire::node
