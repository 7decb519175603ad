// What all channels of a program share: who it is, the link to the engine of the moment, and the
// numbers of its channels. Thread-safe; cold (channels come here to open, to ask for files, and
// when their engine has died).
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/time.h"
#include "ipc/attach_link.h"
#include "ipc/ringwire.h"

namespace ringwire::ipc {

/// Tells a forked child from its parent without a system call: a page that the kernel wipes in the
/// child.
class ForkGuard {
 public:
  ForkGuard();
  ~ForkGuard();
  ForkGuard(const ForkGuard&) = delete;
  ForkGuard& operator=(const ForkGuard&) = delete;
  [[nodiscard]] bool forked() const;

 private:
  std::uint32_t* page_ = nullptr;
  std::int64_t pid_ = 0;
};

class ProgramClient {
 public:
  static int open(const rw_client_options& options, std::unique_ptr<ProgramClient>& client);
  ~ProgramClient();
  ProgramClient(const ProgramClient&) = delete;
  ProgramClient& operator=(const ProgramClient&) = delete;

  [[nodiscard]] bool forked() const { return fork_guard_.forked(); }
  [[nodiscard]] DurationNs reconnect_ns() const { return reconnect_ns_; }
  [[nodiscard]] std::shared_ptr<AttachLink> link();

  /// A living link in place of `stale`: the current one, or one attempt at a new one unless the
  /// back-off says to wait: then RW_EAGAIN and *next_attempt.
  int relink(std::shared_ptr<AttachLink>& stale, TimeNs& next_attempt);
  /// One request on `link`, in turn with the other threads.
  int request(AttachLink& link, AttachType type, std::span<const std::byte> body, int descriptor,
              Datagram& answer);
  int service_handle(AttachLink& link, const std::string& name, std::uint16_t& handle);

  /// The lowest free channel number; its sequence goes on where its last user stopped, because a
  /// message's identity must never come twice.
  int add_channel(std::uint32_t& number, std::uint64_t& next_sequence);
  void remove_channel(std::uint32_t number, std::uint64_t next_sequence);

 private:
  ProgramClient() = default;

  struct Number {
    bool used = false;
    std::uint64_t next_sequence = 1;
  };

  std::mutex mutex_;
  ForkGuard fork_guard_;
  std::string path_;
  std::string label_;
  Id128 attachment_;
  DurationNs reconnect_ns_ = 0;
  std::shared_ptr<AttachLink> link_;
  std::vector<Number> numbers_;
  TimeNs next_attempt_ = 0;
  DurationNs back_off_ns_ = 0;
  int closed_error_ = 0;
  std::string closed_text_;
};

}  // namespace ringwire::ipc
