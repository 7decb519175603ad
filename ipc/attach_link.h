// One connection of a program to one engine process: the socket, what the engine said of itself,
// its status page. Ends for good when the engine does; the next engine gets a new link. Requests
// are made one at a time (the owner holds its mutex); the rest may be called by any thread. Cold.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>

#include "base/ids.h"
#include "ipc/attach_socket.h"
#include "ipc/doorbell.h"
#include "ipc/memory_file.h"
#include "ipc/status_page.h"

namespace ringwire::ipc {

class AttachLink {
 public:
  ~AttachLink();
  AttachLink(const AttachLink&) = delete;
  AttachLink& operator=(const AttachLink&) = delete;

  /// Connect to `path`; RW_OK or RW_E.... `fd` is the caller's. An engine that does not accept its
  /// callers is waited for until `deadline`, 5 s at most.
  static int connect_socket(const std::string& path, TimeNs deadline, int& fd);
  /// Connect and say hello as `attachment`.
  static int open(const std::string& path, const std::string& label, Id128 attachment,
                  std::shared_ptr<AttachLink>& link);

  /// Send a request and wait for its answer. `descriptor` (-1: none) stays the caller's. RW_OK only
  /// if the engine's status was kOk.
  int request(AttachType type, std::span<const std::byte> body, int descriptor, Datagram& answer);
  /// The engine's number for a service name, asked for once.
  int service_handle(const std::string& name, std::uint16_t& handle);

  [[nodiscard]] int socket() const { return socket_; }
  [[nodiscard]] const WelcomeAnswer& welcome() const { return welcome_; }
  [[nodiscard]] const StatusPage& status() const { return status_; }
  [[nodiscard]] std::uint32_t worker_count() const { return welcome_.worker_count; }

  [[nodiscard]] bool dead() const { return dead_.is_set(); }
  void mark_dead() { dead_.set(); }
  /// Look whether the engine has hung up. One system call.
  void check();
  /// What the engine said before it hung up, if it did. The link must be dead.
  [[nodiscard]] AttachStatus closing_status(std::string& text);

 private:
  AttachLink();
  int greet(const std::string& path, const std::string& label, Id128 attachment);
  void note_closing(const Datagram& datagram);

  int socket_ = -1;
  std::uint64_t last_request_ = 0;
  WelcomeAnswer welcome_{};
  MemoryFile status_file_;
  StatusPage status_;
  std::map<std::string, std::uint16_t> services_;
  AttachStatus closing_ = AttachStatus::kOk;
  std::string closing_text_;
  std::uint32_t dead_word_ = 0;
  Latch dead_;
};

/// RW_E... of an engine's answer.
[[nodiscard]] int error_of(AttachStatus status);

}  // namespace ringwire::ipc
