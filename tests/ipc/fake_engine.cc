// The fake engine's thread, its life and its attach socket.
#include "tests/ipc/fake_engine.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <future>
#include <utility>

#include "base/bytes.h"

namespace ringwire::ipc {

FakeEngine::FakeEngine(std::string path, FakeOptions options)
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

void FakeEngine::crash() {
  if (!thread_.joinable()) return;
  tell([this] { stop_ = true; });
  thread_.join();
  close(listener_);
  close(wake_);
  for (auto& [fd, attachment] : attachments_) close(fd);
  attachments_.clear();
}

void FakeEngine::close_attachments(AttachStatus status, const char* text) {
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

void FakeEngine::break_submissions() {
  std::promise<void> broken;
  tell([this, &broken] {
    constexpr std::uint64_t kNoHead = 1ULL << 40;
    for (auto& [fd, attachment] : attachments_) {
      for (auto& [number, channel] : attachment.channels) {
        const std::string path =
            "/proc/self/fd/" + std::to_string(channel->end->down_descriptor_read_only());
        const int file = open(path.c_str(), O_RDWR | O_CLOEXEC);
        EXPECT_EQ(pwrite(file, &kNoHead, sizeof kNoHead, kDownSubmissionHeadOffset),
                  static_cast<ssize_t>(sizeof kNoHead));
        close(file);
      }
    }
    broken.set_value();
  });
  broken.get_future().wait();
}

void FakeEngine::release_held() {
  tell([this] {
    options_.hold = false;
    std::vector<Held> held;
    held.swap(held_);
    for (Held& each : held) handle(*each.channel, each.seen);
  });
}

void FakeEngine::tell(std::function<void()> order) {
  {
    const std::lock_guard lock(mutex_);
    orders_.push_back(std::move(order));
  }
  eventfd_write(wake_, 1);
}

void FakeEngine::run() {
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

bool FakeEngine::park() {
  for (auto& [fd, attachment] : attachments_)
    for (auto& [number, channel] : attachment.channels)
      for (std::uint32_t worker = 0; worker < options_.worker_count; ++worker)
        if (!channel->end->park(worker) &&
            !(options_.stalled && worker == channel->end->home_worker()))
          return false;
  return true;
}

void FakeEngine::sleep() {
  std::vector<pollfd> waits{{.fd = wake_, .events = POLLIN, .revents = 0},
                            {.fd = listener_, .events = POLLIN, .revents = 0}};
  std::vector<std::pair<EngineChannel*, std::uint32_t>> bells;
  for (auto& [fd, attachment] : attachments_)
    for (auto& [number, channel] : attachment.channels)
      for (std::uint32_t worker = 0; worker < options_.worker_count; ++worker) {
        bells.emplace_back(channel->end.get(), worker);
        waits.push_back({.fd = channel->end->worker_bell(worker), .events = POLLIN, .revents = 0});
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

void FakeEngine::drop(int fd) {
  for (auto& [number, channel] : attachments_.at(fd).channels) pump(*channel);
  for (auto& [number, channel] : attachments_.at(fd).channels) forget(channel.get());
  attachments_.erase(fd);
  close(fd);
  hand_out_again();
}

void FakeEngine::forget(Channel* channel) {
  std::erase_if(servers_, [&](const Server& server) { return server.channel == channel; });
  std::erase_if(held_, [&](const Held& held) { return held.channel == channel; });
  for (auto at = delivered_.begin(); at != delivered_.end();) {
    const auto next = std::next(at);
    if (at->second.to == channel) orphans_.push_back(delivered_.extract(at));
    at = next;
  }
}

void FakeEngine::hand_out_again() {
  for (auto& orphan : std::exchange(orphans_, {})) {
    const Delivered& was = orphan.mapped();
    if (Channel* from = find(was.attachment, was.channel)) handle(*from, was.seen);
  }
}

void FakeEngine::converse(int fd) {
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

void FakeEngine::on_hello(int fd, Attachment& attachment, const Datagram& request) {
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

void FakeEngine::on_open(int fd, Attachment& attachment, Datagram& request) {
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

void FakeEngine::on_adopt(int fd, Attachment& attachment, Datagram& request) {
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

}  // namespace ringwire::ipc
