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
  FakeEngine(std::string path, FakeOptions options = {})
      : options_(std::move(options)), path_(std::move(path)) {
    unlink(path_.c_str());
    listener_ = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path_.c_str(), path_.size() + 1);
    const bool bound =
        bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
        listen(listener_, 16) == 0;
    if (!bound) std::abort();
    wake_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    status_ = std::move(MemoryFile::create("status", kStatusBytes)).value();
    StatusPageWriter page(status_.data());
    page.begin({7, 9}, 0);
    for (const std::string& node : options_.nodes)
      page.set_node_state(page.append(node, 0), NodeState::kServing);
    reinterpret_cast<StatusHeader*>(status_.data())->layout_version = options_.page_version;
    page.set_self(0);
    page.set_state(NodeState::kServing);
    page.set_epoch(5);
    thread_ = std::thread([this] { run(); });
  }
  ~FakeEngine() { crash(); }
  FakeEngine(const FakeEngine&) = delete;
  FakeEngine& operator=(const FakeEngine&) = delete;

  /// End at once: what is in the queues stays there.
  void crash() {
    if (!thread_.joinable()) return;
    tell([this] { stop_ = true; });
    thread_.join();
    close(listener_);
    close(wake_);
    for (auto& [fd, attachment] : attachments_) close(fd);
    attachments_.clear();
  }
  /// End the attachments with a reason, as after a violation.
  void close_attachments(AttachStatus status, const char* text) {
    tell([this, status, text] {
      for (auto& [fd, attachment] : attachments_) {
        ClosingNotice notice{};
        notice.status = static_cast<std::uint32_t>(status);
        std::strncpy(notice.text, text, sizeof notice.text - 1);
        AttachHeader header = header_of(AttachType::kClosing, 0);
        send(fd, header, std::as_bytes(std::span(&notice, 1)), {});
        for (auto& [number, channel] : attachment.channels) channel->end->mark_closed();
      }
      while (!attachments_.empty()) drop(attachments_.begin()->first);
    });
  }
  void set_hold(bool hold) {
    tell([this, hold] { options_.hold = hold; });
  }
  void set_stalled(bool stalled) {
    tell([this, stalled] { options_.stalled = stalled; });
  }
  /// Handle what was held, in order.
  void release_held() {
    tell([this] {
      options_.hold = false;
      std::vector<Held> held;
      held.swap(held_);
      for (Held& each : held) handle(*each.channel, each.seen);
    });
  }

  /// Wait until `condition` (called under the lock) holds; false after 10 s.
  template <typename Condition>
  bool wait_until(Condition condition) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(10), condition);
  }
  bool wait_for_submissions(std::size_t count) {
    return wait_until([&] { return seen_.size() >= count; });
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

  void tell(std::function<void()> order) {
    {
      const std::lock_guard lock(mutex_);
      orders_.push_back(std::move(order));
    }
    eventfd_write(wake_, 1);
  }

  void run() {
    while (!stop_) {
      std::vector<std::function<void()>> orders;
      {
        const std::lock_guard lock(mutex_);
        orders.swap(orders_);
      }
      for (auto& order : orders) order();
      bool worked = !orders.empty();
      for (auto& [fd, attachment] : attachments_)
        for (auto& [number, channel] : attachment.channels) worked |= pump(*channel);
      if (stop_ || worked) continue;
      if (park()) sleep();
      for (auto& [fd, attachment] : attachments_)
        for (auto& [number, channel] : attachment.channels)
          for (std::uint32_t worker = 0; worker < options_.worker_count; ++worker)
            channel->end->unpark(worker);
    }
  }

  bool park() {
    for (auto& [fd, attachment] : attachments_)
      for (auto& [number, channel] : attachment.channels)
        for (std::uint32_t worker = 0; worker < options_.worker_count; ++worker)
          if (!channel->end->park(worker) &&
              !(options_.stalled && worker == channel->end->home_worker()))
            return false;
    return true;
  }

  void sleep() {
    std::vector<pollfd> waits{{.fd = wake_, .events = POLLIN, .revents = 0},
                              {.fd = listener_, .events = POLLIN, .revents = 0}};
    std::vector<std::pair<EngineChannel*, std::uint32_t>> bells;
    for (auto& [fd, attachment] : attachments_)
      for (auto& [number, channel] : attachment.channels)
        for (std::uint32_t worker = 0; worker < options_.worker_count; ++worker) {
          bells.emplace_back(channel->end.get(), worker);
          waits.push_back(
              {.fd = channel->end->worker_bell(worker), .events = POLLIN, .revents = 0});
        }
    const std::size_t first_socket = waits.size();
    for (auto& [fd, attachment] : attachments_)
      waits.push_back({.fd = fd, .events = POLLIN, .revents = 0});
    ::poll(waits.data(), waits.size(), -1);
    eventfd_t count = 0;
    eventfd_read(wake_, &count);
    for (std::size_t index = 0; index < bells.size(); ++index)
      if (waits[2 + index].revents != 0) {
        bells[index].first->clear_bell(bells[index].second);
        const std::lock_guard lock(mutex_);
        ++bells_;
      }
    std::vector<int> ready;
    for (std::size_t index = first_socket; index < waits.size(); ++index)
      if (waits[index].revents != 0) ready.push_back(waits[index].fd);
    for (const int fd : ready) converse(fd);
    if (waits[1].revents != 0) {
      const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd >= 0) attachments_[fd];
    }
  }

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

  void drop(int fd) {
    for (auto& [number, channel] : attachments_.at(fd).channels) pump(*channel);
    for (auto& [number, channel] : attachments_.at(fd).channels) forget(channel.get());
    attachments_.erase(fd);
    close(fd);
    hand_out_again();
  }
  void forget(Channel* channel) {
    std::erase_if(servers_, [&](const Server& server) { return server.channel == channel; });
    std::erase_if(held_, [&](const Held& held) { return held.channel == channel; });
    for (auto at = delivered_.begin(); at != delivered_.end();) {
      const auto next = std::next(at);
      if (at->second.to == channel) orphans_.push_back(delivered_.extract(at));
      at = next;
    }
  }
  // What a channel held that is gone goes to another, as with a real engine.
  void hand_out_again() {
    for (auto& orphan : std::exchange(orphans_, {})) {
      const Delivered& was = orphan.mapped();
      if (Channel* from = find(was.attachment, was.channel)) handle(*from, was.seen);
    }
  }

  void converse(int fd) {
    Datagram request;
    const SocketResult result = receive_datagram(fd, request, 0);
    if (result == SocketResult::kTimeout) return;
    if (result != SocketResult::kDone) return drop(fd);
    Attachment& attachment = attachments_.at(fd);
    switch (static_cast<AttachType>(request.header().type)) {
      case AttachType::kHello:
        return on_hello(fd, attachment, request);
      case AttachType::kChannelOpen:
        return on_open(fd, attachment, request);
      case AttachType::kChannelClose: {
        const auto body = request.body_as<ChannelRequest>().value();
        // What was put into the queues before still counts.
        pump(*attachment.channels.at(body.channel));
        forget(attachment.channels.at(body.channel).get());
        attachment.channels.erase(body.channel);
        hand_out_again();
        return answer(fd, request, AttachStatus::kOk);
      }
      case AttachType::kAdopt:
        return on_adopt(fd, attachment, request);
      case AttachType::kDrop: {
        const auto body = request.body_as<FileRequest>().value();
        auto& files = attachment.channels.at(body.channel)->files;
        {
          const std::lock_guard lock(mutex_);
          adopted_bytes_ -= files.at(body.file).bytes();
        }
        files.erase(body.file);
        changed_.notify_all();
        return answer(fd, request, AttachStatus::kOk);
      }
      case AttachType::kMap: {
        const auto body = request.body_as<FileRequest>().value();
        const auto found = out_files_.find(body.file);
        if (found == out_files_.end()) return answer(fd, request, AttachStatus::kUnknown);
        const int descriptor = found->second.open_read_only();
        {
          const std::lock_guard lock(mutex_);
          ++maps_;
        }
        const FileAnswer about{.bytes = found->second.bytes()};
        answer(fd, request, about, std::span(&descriptor, 1));
        close(descriptor);
        return;
      }
      case AttachType::kService: {
        const auto body = request.body_as<ServiceRequest>().value();
        const auto [at, added] =
            services_.try_emplace(body.name, static_cast<std::uint16_t>(services_.size() + 1));
        return answer(fd, request, ServiceAnswer{.handle = at->second, .reserved = 0});
      }
      case AttachType::kServe: {
        const auto body = request.body_as<ServeRequest>().value();
        servers_.push_back(
            {attachment.channels.at(body.channel).get(), static_cast<std::uint16_t>(body.service)});
        {
          const std::lock_guard lock(mutex_);
          ++serves_;
        }
        changed_.notify_all();
        return answer(fd, request, AttachStatus::kOk);
      }
      case AttachType::kUnserve: {
        const auto body = request.body_as<ServeRequest>().value();
        Channel* channel = attachment.channels.at(body.channel).get();
        std::erase_if(servers_, [&](const Server& server) {
          return server.channel == channel && server.service == body.service;
        });
        return answer(fd, request, AttachStatus::kOk);
      }
      case AttachType::kAdmin: {
        // The text back, in two chunks.
        const std::string text(as_text(request.body()));
        for (std::uint32_t part = 0; part < 2; ++part) {
          const std::string half =
              part == 0 ? text.substr(0, text.size() / 2) : text.substr(text.size() / 2);
          const AdminAnswer about{.more = 1 - part, .exit_code = part};
          std::vector<std::byte> body(sizeof about + half.size());
          std::memcpy(body.data(), &about, sizeof about);
          std::memcpy(body.data() + sizeof about, half.data(), half.size());
          send(fd, header_of(AttachType::kAdmin, request.header().request), body, {});
        }
        return;
      }
      case AttachType::kClosing:
        break;
    }
    answer(fd, request, AttachStatus::kMalformed);
  }

  void on_hello(int fd, Attachment& attachment, const Datagram& request) {
    const auto hello = request.body_as<HelloRequest>().value();
    attachment.id = {hello.attachment_high, hello.attachment_low};
    {
      const std::lock_guard lock(mutex_);
      hello_ids_.push_back(attachment.id);
    }
    changed_.notify_all();
    WelcomeAnswer welcome{};
    welcome.attach_version = options_.attach_version;
    welcome.layout_version = kLayoutVersion;
    welcome.worker_count = options_.worker_count;
    welcome.max_channels = options_.max_channels;
    welcome.incarnation_high = 7;
    welcome.incarnation_low = 9;
    welcome.max_message_bytes = options_.max_message_bytes;
    welcome.quota_bytes = options_.quota_bytes;
    std::strcpy(welcome.node_name, "alpha");
    std::strcpy(welcome.engine_version, "9.9.9");
    if (options_.attach_version != kAttachVersion) {
      AttachHeader header = header_of(AttachType::kHello, request.header().request);
      header.status = static_cast<std::uint32_t>(AttachStatus::kVersion);
      std::vector<std::byte> body(options_.welcome_bytes);
      std::memcpy(body.data(), &welcome, std::min(body.size(), sizeof welcome));
      return send(fd, header, body, {});
    }
    const int page = status_.open_read_only();
    answer(fd, request, welcome, std::span(&page, 1));
    close(page);
  }

  void on_open(int fd, Attachment& attachment, Datagram& request) {
    const auto body = request.body_as<ChannelOpenRequest>().value();
    auto opened = EngineChannel::open(request.take_descriptor(0), body, options_.worker_count,
                                      body.channel % options_.worker_count);
    if (!opened.ok()) return answer(fd, request, opened.error());
    auto channel = std::make_unique<Channel>();
    channel->end = std::move(opened).value();
    channel->number = body.channel;
    channel->attachment = attachment.id;
    std::vector<int> fds{channel->end->down_descriptor_read_only(), channel->end->program_event()};
    for (std::uint32_t worker = 0; worker < options_.worker_count; ++worker)
      fds.push_back(channel->end->worker_bell(worker));
    const ChannelOpenAnswer about{.home_worker = channel->end->home_worker(),
                                  .delivery_entries = body.delivery_entries,
                                  .down_file_bytes = EngineChannel::down_file_bytes(
                                      body.delivery_entries, options_.worker_count)};
    attachment.channels[body.channel] = std::move(channel);
    answer(fd, request, about, fds);
  }

  void on_adopt(int fd, Attachment& attachment, Datagram& request) {
    const auto body = request.body_as<FileRequest>().value();
    {
      const std::lock_guard lock(mutex_);
      if (adopted_bytes_ + body.bytes > options_.quota_used_limit)
        return answer(fd, request, AttachStatus::kLimit);
    }
    auto file = MemoryFile::adopt(request.take_descriptor(0), body.bytes);
    if (!file.ok()) return answer(fd, request, AttachStatus::kMalformed);
    attachment.channels.at(body.channel)->files[body.file] = std::move(file).value();
    {
      const std::lock_guard lock(mutex_);
      adopted_bytes_ += body.bytes;
    }
    answer(fd, request, AttachStatus::kOk);
  }

  // ---- messages ----

  bool pump(Channel& channel) {
    EngineChannel& end = *channel.end;
    bool worked = false;
    Submission submission{};
    while (!options_.stalled && end.poll_submission(submission)) {
      worked = true;
      take(channel, submission);
    }
    end.publish_submissions();
    for (std::uint32_t worker = 0; worker < options_.worker_count; ++worker) {
      Release release{};
      while (end.poll_release(worker, release)) {
        worked = true;
        released(release);
      }
      end.publish_releases(worker);
    }
    flush(channel);
    return worked;
  }

  void take(Channel& channel, const Submission& submission) {
    SeenSubmission seen{
        .channel = channel.number, .submission = submission, .key = {}, .payload = {}};
    const std::size_t front = submission.target == static_cast<std::uint8_t>(TargetKind::kOrigin)
                                  ? sizeof(OriginToken)
                                  : 0;
    const auto* text = reinterpret_cast<const char*>(submission.inline_bytes) + front;
    if (submission.extent_file == 0) {
      seen.key.assign(text, submission.key_bytes);
      seen.payload.assign(text + submission.key_bytes, submission.payload_bytes);
    } else {
      const MemoryFile& file = channel.files.at(submission.extent_file);
      const auto* at = reinterpret_cast<const char*>(file.data()) + submission.payload_offset;
      seen.payload.assign(at, submission.payload_bytes);
      if ((submission.flags & kSubmitKeyInExtent) != 0)
        seen.key.assign(at - submission.key_bytes, submission.key_bytes);
      else
        seen.key.assign(text, submission.key_bytes);
    }
    {
      const std::lock_guard lock(mutex_);
      seen_.push_back(seen);
    }
    changed_.notify_all();
    if ((submission.flags & kSubmitCancel) != 0) {
      const auto erased = std::erase_if(held_, [&](const Held& held) {
        return held.channel == &channel && held.seen.submission.sequence == submission.sequence;
      });
      if (erased > 0) end_send(channel, submission.sequence, Ending::kFailed, Reason::kCancelled);
      return;
    }
    if (options_.hold)
      held_.push_back({&channel, std::move(seen)});
    else
      handle(channel, seen);
  }

  void handle(Channel& channel, const SeenSubmission& seen) {
    const Submission& submission = seen.submission;
    if (submission.target == static_cast<std::uint8_t>(TargetKind::kOrigin)) {
      OriginToken token;
      std::memcpy(&token, submission.inline_bytes, sizeof token);
      Channel* to = find({token.attachment_high, token.attachment_low}, token.channel);
      if (to == nullptr)
        return end_send(channel, submission.sequence, Ending::kFailed, Reason::kOriginGone);
      const bool reply = (submission.flags & kSubmitReply) != 0;
      deliver(*to, reply ? DeliveryKind::kReply : DeliveryKind::kDirect, channel, seen,
              reply ? token.sequence : 0);
      return end_send(channel, submission.sequence, Ending::kDone, Reason::kNone);
    }
    if (submission.target == static_cast<std::uint8_t>(TargetKind::kBroadcast)) {
      Delivery targets{};
      targets.kind = static_cast<std::uint8_t>(DeliveryKind::kTargets);
      targets.count = 2;
      const OutcomeRecord records[2] = {
          record(submission.sequence, 0, Ending::kDone, Reason::kNone),
          record(submission.sequence, 1, Ending::kFailed, Reason::kDown)};
      std::memcpy(targets.inline_bytes, records, sizeof records);
      channel.pending.emplace_back(channel.end->home_worker(), targets);
      return end_send(channel, submission.sequence, Ending::kFailed, Reason::kRequirement);
    }
    for (const Server& server : servers_)
      if (server.service == submission.service)
        return deliver(*server.channel, DeliveryKind::kMessage, channel, seen, 0);
    if ((submission.flags & kSubmitCall) != 0)
      return deliver(channel, DeliveryKind::kReply, channel, seen, submission.sequence);
    end_send(channel, submission.sequence, Ending::kDone, Reason::kNone);
  }

  void deliver(Channel& to, DeliveryKind kind, Channel& from, const SeenSubmission& seen,
               std::uint64_t ticket) {
    Delivery entry{};
    entry.token = ++last_token_;
    entry.hash = seen.submission.hash;
    entry.payload_bytes = seen.payload.size();
    entry.ticket = ticket;
    entry.attempt = 1;
    entry.key_bytes = static_cast<std::uint16_t>(seen.key.size());
    entry.service = seen.submission.service;
    entry.kind = static_cast<std::uint8_t>(kind);
    const bool call = (seen.submission.flags & kSubmitCall) != 0;
    if (call && kind == DeliveryKind::kMessage) entry.flags |= kDeliverCall;
    entry.origin.attachment_high = from.attachment.high;
    entry.origin.attachment_low = from.attachment.low;
    entry.origin.sequence = seen.submission.sequence;
    entry.origin.channel = from.number;
    if (seen.key.size() + seen.payload.size() <= kInlineBytes) {
      std::memcpy(entry.inline_bytes, seen.key.data(), seen.key.size());
      std::memcpy(entry.inline_bytes + seen.key.size(), seen.payload.data(), seen.payload.size());
    } else {
      entry.extent_file = options_.shared_file ? 1 : ++last_file_;
      auto file = options_.shared_file && out_files_.contains(1)
                      ? Result<MemoryFile, MemoryError>(std::move(out_files_.at(1)))
                      : MemoryFile::create("in", seen.key.size() + seen.payload.size());
      std::memcpy(file.value().data(), seen.key.data(), seen.key.size());
      std::memcpy(file.value().data() + seen.key.size(), seen.payload.data(), seen.payload.size());
      entry.payload_offset = seen.key.size();
      out_files_[entry.extent_file] = std::move(file).value();
    }
    if (kind == DeliveryKind::kMessage)
      delivered_[entry.token] = {
          from.attachment, from.number, seen.submission.sequence, call, &to, seen};
    to.pending.emplace_back(static_cast<std::uint32_t>(entry.hash % options_.worker_count), entry);
    flush(to);
  }

  void released(const Release& release) {
    {
      const std::lock_guard lock(mutex_);
      releases_.push_back(release);
    }
    changed_.notify_all();
    const auto found = delivered_.find(release.token);
    if (found == delivered_.end()) return;
    const Delivered was = found->second;
    delivered_.erase(found);
    Channel* from = find(was.attachment, was.channel);
    if (from == nullptr || (was.call && (release.flags & kReleaseReplied) != 0)) return;
    if (release.verdict == static_cast<std::uint32_t>(Verdict::kDone))
      end_send(*from, was.sequence, Ending::kDone, Reason::kNone);
    else
      end_send(*from, was.sequence, Ending::kFailed, Reason::kRefused);
  }

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
  void end_send(Channel& channel, std::uint64_t sequence, Ending ending, Reason reason) {
    Delivery entry{};
    entry.kind = static_cast<std::uint8_t>(DeliveryKind::kOutcomes);
    entry.count = 1;
    const OutcomeRecord outcome = record(sequence, 1, ending, reason);
    std::memcpy(entry.inline_bytes, &outcome, sizeof outcome);
    channel.pending.emplace_back(channel.end->home_worker(), entry);
    flush(channel);
  }

  void flush(Channel& channel) {
    while (!channel.pending.empty()) {
      const auto& [worker, entry] = channel.pending.front();
      Delivery* place = channel.end->claim_delivery(worker);
      if (place == nullptr) break;
      std::memcpy(place, &entry, sizeof entry);
      channel.pending.pop_front();
    }
    bool any = false;
    for (std::uint32_t worker = 0; worker < options_.worker_count; ++worker)
      any |= channel.end->publish_deliveries(worker);
    if (any) channel.end->wake_if_waiting();
  }

  Channel* find(Id128 attachment, std::uint32_t number) {
    for (auto& [fd, each] : attachments_) {
      if (each.id != attachment) continue;
      const auto found = each.channels.find(number);
      if (found != each.channels.end()) return found->second.get();
    }
    return nullptr;
  }

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
