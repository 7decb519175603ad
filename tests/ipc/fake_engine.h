// An engine of one thread for the tests of the client library: a real attach socket and real
// EngineChannels, no network. It parks all channels and sleeps on its bells whenever nothing waits,
// so that the sleep handshake is used by every test. Behaviour, unless told to hold: a reply or
// direct message goes to the channel of its token; a message for a served service to its first
// server; a call that nobody serves is echoed; all else is done at once.
#pragma once

#include <sys/eventfd.h>
#include <sys/poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <condition_variable>
#include <cstdlib>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "ipc/attach_socket.h"
#include "ipc/engine_channel.h"
#include "ipc/extent_pool.h"
#include "ipc/memory_file.h"
#include "ipc/status_page.h"

namespace ringwire::ipc {

/// A folder that is removed with what is in it.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    char name[] = "/tmp/ringwire-test-XXXXXX";
    if (mkdtemp(name) != nullptr) path_ = name;
  }
  ~TemporaryFolder() {
    if (path_.empty()) return;
    unlink((path_ + "/engine.sock").c_str());
    rmdir(path_.c_str());
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  [[nodiscard]] std::string socket() const { return path_ + "/engine.sock"; }

 private:
  std::string path_;
};

struct FakeOptions {
  std::uint32_t worker_count = 2;
  std::uint32_t attach_version = kAttachVersion;
  std::uint32_t page_version = kLayoutVersion;  ///< what the status page says
  std::size_t welcome_bytes = sizeof(WelcomeAnswer);
  std::uint64_t quota_bytes = 1ULL << 30;
  std::uint64_t max_message_bytes = 0;
  std::uint32_t max_channels = 8;
  std::uint64_t quota_used_limit = ~0ULL;
  bool shared_file = false;  ///< deliver all payloads from the front of one file
  bool hold = false;         ///< give no outcomes until release_held()
  bool stalled = false;      ///< take no submissions until set_stalled(false)
  std::vector<std::string> nodes = {"alpha", "beta"};
};

/// What the fake engine saw of one submission.
struct SeenSubmission {
  std::uint32_t channel = 0;
  Submission submission{};
  std::string key;
  std::string payload;
};

class FakeEngine {
 public:
  FakeEngine(std::string path, FakeOptions options = {});
  ~FakeEngine() { crash(); }
  FakeEngine(const FakeEngine&) = delete;
  FakeEngine& operator=(const FakeEngine&) = delete;

  /// End at once: what is in the queues stays there.
  void crash();
  /// End the attachments with a reason, as after a violation.
  void close_attachments(AttachStatus status, const char* text);
  /// Store a head of every channel's submission queue that cannot be.
  void break_submissions();
  void set_hold(bool hold) {
    tell([this, hold] { options_.hold = hold; });
  }
  void set_stalled(bool stalled) {
    tell([this, stalled] { options_.stalled = stalled; });
  }
  /// Handle what was held, in order.
  void release_held();

  /// Wait until `condition` (called under the lock) holds; false after 10 s.
  template <typename Condition>
  bool wait_until(Condition condition) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(10), condition);
  }
  bool wait_for_submissions(std::size_t count) {
    return wait_until([&] { return seen_.size() >= count; });
  }
  bool wait_until_greeted(std::size_t count) {
    return wait_until([&] { return hello_ids_.size() >= count; });
  }
  bool wait_until_served() {
    return wait_until([&] { return serves_ > 0; });
  }
  bool wait_until_released(std::size_t count) {
    return wait_until([&] { return releases_.size() >= count; });
  }
  std::vector<SeenSubmission> seen() {
    const std::lock_guard lock(mutex_);
    return seen_;
  }
  std::vector<Release> releases() {
    const std::lock_guard lock(mutex_);
    return releases_;
  }
  std::uint64_t adopted_bytes() {
    const std::lock_guard lock(mutex_);
    return adopted_bytes_;
  }
  std::size_t hellos() {
    const std::lock_guard lock(mutex_);
    return hello_ids_.size();
  }
  Id128 hello_id(std::size_t index) {
    const std::lock_guard lock(mutex_);
    return hello_ids_.at(index);
  }
  std::size_t maps() {
    const std::lock_guard lock(mutex_);
    return maps_;
  }
  std::size_t bells() {
    const std::lock_guard lock(mutex_);
    return bells_;
  }

 private:
  struct Channel {
    std::unique_ptr<EngineChannel> end;
    std::uint32_t number = 0;
    Id128 attachment;
    std::map<std::uint32_t, MemoryFile> files;
    std::deque<std::pair<std::uint32_t, Delivery>> pending;  // worker, entry
  };
  struct Attachment {
    Id128 id;
    std::map<std::uint32_t, std::unique_ptr<Channel>> channels;
  };
  struct Server {
    Channel* channel;
    std::uint16_t service;
  };
  struct Held {
    Channel* channel;
    SeenSubmission seen;
  };
  struct Delivered {
    Id128 attachment;
    std::uint32_t channel = 0;
    std::uint64_t sequence = 0;
    bool call = false;
    Channel* to = nullptr;
    SeenSubmission seen;
  };

  void tell(std::function<void()> order);

  void run();

  bool park();

  void sleep();

  // ---- the attach socket ----

  static AttachHeader header_of(AttachType type, std::uint64_t request) {
    AttachHeader header{};
    header.magic = kAttachMagic;
    header.type = static_cast<std::uint32_t>(type);
    header.request = request;
    return header;
  }
  void send(int fd, AttachHeader header, std::span<const std::byte> body,
            std::span<const int> fds) {
    header.body_bytes = static_cast<std::uint32_t>(body.size());
    send_datagram(fd, header, body, fds, kNeverNs);
  }
  void answer(int fd, const Datagram& request, AttachStatus status) {
    AttachHeader header =
        header_of(static_cast<AttachType>(request.header().type), request.header().request);
    header.status = static_cast<std::uint32_t>(status);
    send(fd, header, {}, {});
  }
  template <typename Body>
  void answer(int fd, const Datagram& request, const Body& body, std::span<const int> fds = {}) {
    send(fd, header_of(static_cast<AttachType>(request.header().type), request.header().request),
         std::as_bytes(std::span(&body, 1)), fds);
  }

  void drop(int fd);
  void forget(Channel* channel);
  // What a channel held that is gone goes to another, as with a real engine.
  void hand_out_again();

  void converse(int fd);

  void on_hello(int fd, Attachment& attachment, const Datagram& request);

  void on_open(int fd, Attachment& attachment, Datagram& request);

  void on_adopt(int fd, Attachment& attachment, Datagram& request);

  // ---- messages ----

  bool pump(Channel& channel);

  void take(Channel& channel, const Submission& submission);

  void handle(Channel& channel, const SeenSubmission& seen);

  void deliver(Channel& to, DeliveryKind kind, Channel& from, const SeenSubmission& seen,
               std::uint64_t ticket);

  void released(const Release& release);

  static OutcomeRecord record(std::uint64_t sequence, std::uint32_t node, Ending ending,
                              Reason reason) {
    return {.sequence = sequence,
            .node = node,
            .ending = static_cast<std::uint8_t>(ending),
            .reason = static_cast<std::uint8_t>(reason),
            .level = static_cast<std::uint8_t>(ending == Ending::kDone ? Level::kProcessed
                                                                       : Level::kNone),
            .attempt = 1};
  }
  void end_send(Channel& channel, std::uint64_t sequence, Ending ending, Reason reason);

  void flush(Channel& channel);

  Channel* find(Id128 attachment, std::uint32_t number);

  FakeOptions options_;
  std::string path_;
  int listener_ = -1;
  int wake_ = -1;
  bool stop_ = false;
  MemoryFile status_;
  std::map<int, Attachment> attachments_;
  std::map<std::string, std::uint16_t> services_;
  std::vector<Server> servers_;
  std::vector<Held> held_;
  std::map<std::uint64_t, Delivered> delivered_;
  std::vector<std::map<std::uint64_t, Delivered>::node_type> orphans_;
  std::map<std::uint32_t, MemoryFile> out_files_;
  std::uint64_t last_token_ = 0;
  std::uint32_t last_file_ = 0;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::function<void()>> orders_;
  std::vector<SeenSubmission> seen_;
  std::vector<Release> releases_;
  std::vector<Id128> hello_ids_;
  std::uint64_t adopted_bytes_ = 0;
  std::size_t bells_ = 0;
  std::size_t serves_ = 0;
  std::size_t maps_ = 0;

  std::thread thread_;
};

}  // namespace ringwire::ipc
