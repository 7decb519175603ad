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
#include "engine/node/start_error.h"
#include "engine/node/state_directory.h"

namespace ringwire::node {
namespace {

constexpr int kListenBacklog = 128;
constexpr std::chrono::milliseconds kAcceptPause(20);

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

}  // namespace

AttachServer::AttachServer(const AttachServerOptions& options, const Rooms& rooms, OnAdmin on_admin)
    : options_(options),
      rooms_(rooms),
      on_admin_(std::move(on_admin)),
      listener_(rooms.manager),
      pause_(rooms.manager) {
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
  while (true) {
    Descriptor socket(
        ::accept4(listener_.native_handle(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket) return errno != EMFILE && errno != ENFILE && errno != ENOMEM;
    admit(std::move(socket));
  }
}

void AttachServer::admit(Descriptor socket) {
  ucred credentials{};
  socklen_t bytes = sizeof credentials;
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &credentials, &bytes) != 0) return;
  const auto connection = std::make_shared<AttachConnection>(
      *this, std::move(socket),
      AttachConnection::Caller{static_cast<std::uint64_t>(credentials.pid), credentials.uid});
  connections_.emplace(connection.get(), connection);
  if (!is_allowed(credentials.uid))
    return connection->end(ipc::AttachStatus::kDenied,
                           "this user may not attach: see [allow] users");
  if (connections_.size() > options_.max_connections)
    return connection->end(ipc::AttachStatus::kLimit, "too many callers at the attach socket");
  connection->start();
}

bool AttachServer::is_allowed(std::uint32_t uid) const {
  return uid == 0 || uid == ::geteuid() ||
         std::find(options_.users.begin(), options_.users.end(), uid) != options_.users.end();
}

void AttachServer::with_domain(std::uint32_t uid,
                               std::function<void(bool, worker::DomainIndex)> then) {
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
  rooms_.extents.add_domain(domain.index, ExtentFiles::Charge::kNow, [this, uid](bool made) {
    Domain& done = domains_.at(uid);
    // Without its files the user cannot attach; its next attempt tries again.
    done.state = made ? Domain::State::kReady : Domain::State::kNone;
    const auto waiting = std::exchange(done.waiting, {});
    for (const auto& next : waiting) next(made, done.index);
  });
}

void AttachServer::forget(AttachConnection* connection) { connections_.erase(connection); }

void AttachServer::on_channel_violated(const worker::ChannelViolated& violated) {
  const AttachmentId number = rooms_.attachments.attachment_of(violated.index);
  if (number == 0) return;
  for (const auto& [key, connection] : connections_) {
    if (connection->attachment() != number) continue;
    spdlog::warn("program {} broke a rule of its queues: detached",
                 rooms_.attachments.find(number)->pid);
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
  while (!connections_.empty()) {
    const auto connection = connections_.begin()->second;
    connection->end(ipc::AttachStatus::kShutdown, "the engine is shutting down");
  }
  ::unlink(options_.socket_path.c_str());
}

}  // namespace ringwire::node
