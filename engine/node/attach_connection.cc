#include "engine/node/attach_connection.h"

#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "engine/node/clock.h"

namespace ringwire::node {

using ipc::AttachHeader;
using ipc::AttachStatus;
using ipc::AttachType;

namespace {

/// Of answers that a program has not read, as the kernel counts them (768 bytes and more each):
/// beyond it, its next request waits. Each may carry descriptors, and those that nobody reads count
/// against the engine's own limit.
constexpr int kMostUnreadBytes = 4'096;
constexpr DurationNs kShortestReaderPauseNs = kMillisecondNs;
constexpr DurationNs kLongestReaderPauseNs = 64 * kMillisecondNs;

/// Bytes of JSON in one answer: a datagram less both headers.
constexpr std::size_t kAdminChunkBytes =
    ipc::kMaxDatagramBytes - sizeof(AttachHeader) - sizeof(ipc::AdminAnswer);

/// A NUL-padded text; false when it fills its field or has bytes behind its end.
template <std::size_t Bytes>
bool read_text(const char (&field)[Bytes], std::string& text) {
  const char* end = std::find(field, field + Bytes, '\0');
  text.assign(field, end);
  return end != field + Bytes &&
         std::all_of(end, field + Bytes, [](char byte) { return byte == 0; });
}

bool is_process_descriptor(int number) {
  std::array<char, 32> path{};
  std::snprintf(path.data(), path.size(), "/proc/self/fd/%d", number);
  std::array<char, 64> name{};
  const ssize_t bytes = ::readlink(path.data(), name.data(), name.size());
  // "anon_inode:[pidfd]"; since Linux 6.9 "pidfd:[inode]".
  return bytes > 0 &&
         std::string_view(name.data(), static_cast<std::size_t>(bytes)).find("pidfd") !=
             std::string_view::npos;
}

template <std::size_t Bytes>
void write_text(char (&field)[Bytes], std::string_view text) {
  std::memcpy(field, text.data(), std::min(text.size(), Bytes - 1));
}

}  // namespace

AttachConnection::AttachConnection(AttachServer& server, Descriptor socket, const Caller& caller)
    : server_(server),
      caller_(caller),
      socket_(server.rooms_.manager, socket.take()),
      process_(server.rooms_.manager),
      reader_timer_(server.rooms_.manager),
      heard_ns_(clock_now_ns()) {}

void AttachConnection::start() { await_requests(); }

void AttachConnection::end(AttachStatus status, std::string_view sentence) {
  if (closed_) return;
  ipc::ClosingNotice notice{};
  notice.status = static_cast<std::uint32_t>(status);
  write_text(notice.text, sentence);
  const AttachHeader header{ipc::kAttachMagic, static_cast<std::uint32_t>(AttachType::kClosing), 0,
                            static_cast<std::uint32_t>(status), sizeof notice};
  // If it cannot be said, the hang-up has to do.
  if (answers_.push(header, std::as_bytes(std::span(&notice, 1)), {}))
    static_cast<void>(answers_.flush(socket_.native_handle()));
  close();
}

void AttachConnection::await_requests() {
  socket_.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                     [self = shared_from_this()](const boost::system::error_code& error) {
                       if (error || self->closed_) return;
                       self->ask_turn();
                     });
}

void AttachConnection::ask_turn() {
  if (closed_ || awaits_turn_ || at_work_) return;
  awaits_turn_ = true;
  server_.turns_.ask(caller_.uid, [self = shared_from_this()] {
    self->awaits_turn_ = false;
    if (!self->closed_) self->take_request();
  });
}

void AttachConnection::take_request() {
  if (!answers_.empty()) return;  // await_room goes on
  int unread_bytes = 0;
  if (::ioctl(socket_.native_handle(), SIOCOUTQ, &unread_bytes) == 0 &&
      unread_bytes > kMostUnreadBytes)
    return await_reader();
  reader_pause_ns_ = 0;
  Request request;
  switch (receive(socket_.native_handle(), request)) {
    case Received::kNothing:
      return await_requests();
    case Received::kClosed:
      return close();
    case Received::kMalformed:
      server_.counters_.surplus_descriptors += request.refused_descriptors;
      malformed("a datagram broke the rules of the protocol");
      return;
    case Received::kRequest:
      break;
  }
  heard_ns_ = clock_now_ns();
  if (handle(request)) return ask_turn();
  server_.counters_.surplus_descriptors += request.descriptors.size();
}

void AttachConnection::await_reader() {
  // Who hangs up without reading is noticed by its process, or when it is looked at again.
  reader_pause_ns_ =
      std::clamp(2 * reader_pause_ns_, kShortestReaderPauseNs, kLongestReaderPauseNs);
  ++server_.counters_.waits_for_reader;
  reader_timer_.expires_after(std::chrono::nanoseconds(reader_pause_ns_));
  reader_timer_.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
    if (!error) self->ask_turn();
  });
}

void AttachConnection::await_room() {
  if (awaits_room_) return;
  awaits_room_ = true;
  socket_.async_wait(boost::asio::posix::stream_descriptor::wait_write,
                     [self = shared_from_this()](const boost::system::error_code& error) {
                       self->awaits_room_ = false;
                       if (error || self->closed_) return;
                       if (!self->answers_.flush(self->socket_.native_handle()))
                         return self->close();
                       if (!self->answers_.empty()) return self->await_room();
                       self->ask_turn();
                     });
}

void AttachConnection::watch_process(Descriptor process) {
  if (!process)
    process =
        Descriptor(static_cast<int>(::syscall(SYS_pidfd_open, static_cast<pid_t>(caller_.pid), 0)));
  if (!process) return;  // a kernel without pidfd: the hang-up alone tells
  boost::system::error_code error;
  process_.assign(process.get(), error);
  if (error) return;  // not a descriptor that can be waited for: the hang-up alone tells
  static_cast<void>(process.take());
  await_end_of_process();
}

void AttachConnection::await_end_of_process() {
  process_.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                      [self = shared_from_this()](const boost::system::error_code& failure) {
                        if (failure || self->closed_) return;
                        // Asked again: a wake-up that was meant for another program's descriptor,
                        // closed a moment ago, has been seen here, and must not end this one.
                        pollfd process{self->process_.native_handle(), POLLIN, 0};
                        if (::poll(&process, 1, 0) == 0) return self->await_end_of_process();
                        self->close();
                      });
}

bool AttachConnection::handle(Request& request) {
  const auto type = static_cast<AttachType>(request.header.type);
  if (type == AttachType::kAdmin) return on_admin(request);
  if (type == AttachType::kHello) return on_hello(request);
  if (attachment_ == 0) return malformed("the first request must be a hello, and be answered");
  switch (type) {
    case AttachType::kChannelOpen:
      return on_channel_open(request);
    case AttachType::kChannelClose:
      return on_channel_close(request);
    case AttachType::kAdopt:
      return on_adopt(request);
    case AttachType::kDrop:
      return on_drop(request);
    case AttachType::kMap:
      return on_map(request);
    case AttachType::kService:
      return on_service(request);
    case AttachType::kServe:
    case AttachType::kUnserve:
      return on_serve(request);
    default:
      return malformed("unknown request type");
  }
}

bool AttachConnection::on_hello(Request& request) {
  ipc::HelloRequest hello;
  std::string label;
  if (hello_seen_) return malformed("a second hello");
  if (request.body.size() < ipc::kVersionsBytes) return malformed("the hello broke a rule");
  std::memcpy(&hello, request.body.data(), ipc::kVersionsBytes);
  // Before anything else is understood: what else stands in a hello depends on its version.
  if (hello.attach_version != ipc::kAttachVersion || hello.layout_version != ipc::kLayoutVersion)
    return refuse_version(request.header);
  if (!request.read(hello) || !read_text(hello.label, label) || request.descriptors.size() > 1 ||
      (hello.attachment_high == 0 && hello.attachment_low == 0))
    return malformed("the hello broke a rule");
  // Any other kind of descriptor could be made to wake the ring manager without end.
  if (!request.descriptors.empty() && !is_process_descriptor(request.descriptors[0].get()))
    return malformed("the descriptor of the hello is none of a process");
  hello_seen_ = true;
  if (server_.draining_) {
    end(Status::kShutdown, "the engine is shutting down");
    return false;
  }
  watch_process(request.descriptors.empty() ? Descriptor() : std::move(request.descriptors[0]));
  server_.with_domain(caller_.uid, [self = shared_from_this(), header = request.header, hello](
                                       bool ready, worker::DomainIndex domain) {
    if (self->closed_) return;
    if (!ready) return self->end(Status::kNoMemory, "no room for another user's memory");
    self->finish_hello(header, hello, domain);
  });
  return !closed_;
}

bool AttachConnection::refuse_version(const AttachHeader& header) {
  ipc::WelcomeAnswer welcome{};
  welcome.attach_version = ipc::kAttachVersion;
  welcome.layout_version = ipc::kLayoutVersion;
  write_text(welcome.engine_version, RINGWIRE_VERSION);
  ++server_.counters_.wrong_version;
  answer(header, Status::kVersion, std::as_bytes(std::span(&welcome, 1)));
  end(Status::kVersion, "engine and program are of versions that do not fit");
  return false;
}

void AttachConnection::finish_hello(const AttachHeader& header, const ipc::HelloRequest& hello,
                                    worker::DomainIndex domain) {
  Attachment attachment;
  attachment.id = {hello.attachment_high, hello.attachment_low};
  attachment.pid = caller_.pid;
  attachment.uid = caller_.uid;
  static_cast<void>(read_text(hello.label, attachment.label));
  attachment.domain = domain;
  const Status status = server_.rooms_.attachments.attach(std::move(attachment), attachment_);
  if (status == Status::kDenied) {
    ++server_.counters_.id_taken;
    return end(status, "this attachment id is attached already");
  }
  if (status != Status::kOk) {
    ++server_.counters_.attachments_reached;
    return end(status, "[limits] attachments is reached, or this user's part of it");
  }
  ipc::WelcomeAnswer welcome{};
  welcome.attach_version = ipc::kAttachVersion;
  welcome.layout_version = ipc::kLayoutVersion;
  welcome.worker_count = server_.rooms_.workers.count();
  welcome.max_channels = kMaxAttachmentChannels;
  welcome.incarnation_high = server_.options_.incarnation.high;
  welcome.incarnation_low = server_.options_.incarnation.low;
  welcome.max_message_bytes = server_.options_.max_message_bytes;
  welcome.quota_bytes = server_.options_.quota_bytes;
  write_text(welcome.node_name, server_.options_.node_name);
  write_text(welcome.engine_version, RINGWIRE_VERSION);
  welcome.features = hello.features & ipc::kKnownFeatures;
  const Descriptor page(server_.rooms_.page.open_read_only());
  if (!page) return end(Status::kInternal, "the engine has no descriptor left");
  const int number = page.get();
  answer_body(header, welcome, std::span(&number, 1));
}

bool AttachConnection::on_channel_open(Request& request) {
  ipc::ChannelOpenRequest open;
  if (!request.read(open) || request.descriptors.size() != 1)
    return malformed("a request to open a channel broke a rule");
  at_work_ = true;
  server_.rooms_.attachments.open_channel(
      attachment_, open, std::move(request.descriptors[0]),
      [weak = weak_from_this(), header = request.header,
       work = server_.turns_.start_work(caller_.uid)](Status status,
                                                      const ipc::EngineChannel* channel) {
        const auto self = weak.lock();
        if (self == nullptr || self->closed_) return;
        self->end_work();
        if (channel == nullptr) {
          self->answer(header, status);
          return;
        }
        const std::uint32_t workers = self->server_.rooms_.workers.count();
        ipc::ChannelOpenAnswer body{};
        body.home_worker = channel->home_worker();
        body.delivery_entries = channel->delivery_entries();
        body.down_file_bytes =
            ipc::EngineChannel::down_file_bytes(channel->delivery_entries(), workers);
        std::vector<int> descriptors = {channel->down_descriptor_read_only(),
                                        channel->program_event()};
        for (std::uint32_t worker = 0; worker < workers; ++worker)
          descriptors.push_back(channel->worker_bell(worker));
        self->answer_body(header, body, descriptors);
      });
  return !closed_;
}

bool AttachConnection::on_channel_close(const Request& request) {
  ipc::ChannelRequest close_request;
  if (!request.read(close_request) || !request.descriptors.empty())
    return malformed("a request to close a channel broke a rule");
  server_.rooms_.attachments.close_channel(attachment_, close_request.channel,
                                           answer_later(request.header));
  return !closed_;
}

bool AttachConnection::on_adopt(Request& request) {
  ipc::FileRequest file;
  if (!request.read(file) || request.descriptors.size() != 1)
    return malformed("a request to adopt a file broke a rule");
  server_.rooms_.attachments.adopt(attachment_, file, std::move(request.descriptors[0]),
                                   answer_after_work(request.header));
  return !closed_;
}

bool AttachConnection::on_drop(const Request& request) {
  ipc::FileRequest file;
  if (!request.read(file) || !request.descriptors.empty())
    return malformed("a request to drop a file broke a rule");
  server_.rooms_.attachments.drop(attachment_, file, answer_later(request.header));
  return !closed_;
}

bool AttachConnection::on_map(const Request& request) {
  ipc::FileRequest wanted;
  if (!request.read(wanted) || !request.descriptors.empty())
    return malformed("a request to map a file broke a rule");
  // What a worker made itself, in a burst, it may have handed out before we looked at what it says:
  // a program that is refused such a file would have to hand the message back, behind those of its
  // key that came after it.
  if (wanted.file >= worker::kWorkerFileBase) server_.rooms_.workers.take_notices();
  if (closed_) return false;
  const Attachment* attachment = server_.rooms_.attachments.find(attachment_);
  const ipc::MemoryFile* file = server_.rooms_.extents.find(wanted.file, attachment->domain);
  if (file == nullptr) {
    file = server_.rooms_.attachments.find_shared(wanted.file, attachment->domain);
    if (file == nullptr) return answer(request.header, Status::kUnknown);
    const int number = file->descriptor();  // read-only as it came
    return answer_body(request.header, ipc::FileAnswer{file->bytes()}, std::span(&number, 1));
  }
  const Descriptor descriptor(file->open_read_only());
  if (!descriptor) return answer(request.header, Status::kInternal);
  const int number = descriptor.get();
  return answer_body(request.header, ipc::FileAnswer{file->bytes()}, std::span(&number, 1));
}

bool AttachConnection::on_service(const Request& request) {
  ipc::ServiceRequest service;
  std::string name;
  if (!request.read(service) || !read_text(service.name, name) || !request.descriptors.empty())
    return malformed("a request for a service broke a rule");
  const auto number = server_.rooms_.services.add(name, caller_.uid);
  if (!number) return answer(request.header, Status::kLimit);
  return answer_body(request.header, ipc::ServiceAnswer{*number, 0});
}

bool AttachConnection::on_serve(const Request& request) {
  ipc::ServeRequest serve;
  if (!request.read(serve) || !request.descriptors.empty())
    return malformed("a request to serve broke a rule");
  Attachments& attachments = server_.rooms_.attachments;
  const bool starts = request.header.type == static_cast<std::uint32_t>(AttachType::kServe);
  return answer(request.header, starts ? attachments.serve(attachment_, serve)
                                       : attachments.unserve(attachment_, serve));
}

bool AttachConnection::on_admin(const Request& request) {
  if (!request.descriptors.empty()) return malformed("an admin request with descriptors");
  const bool owner = caller_.uid == ::geteuid() || caller_.uid == 0;
  std::string text(reinterpret_cast<const char*>(request.body.data()), request.body.size());
  at_work_ = true;
  server_.on_admin_(std::move(text), owner,
                    [weak = weak_from_this(), header = request.header,
                     work = server_.turns_.start_work(caller_.uid)](const std::string& json,
                                                                    std::uint32_t exit_code) {
                      const auto self = weak.lock();
                      if (self == nullptr || self->closed_) return;
                      self->end_work();
                      std::size_t at = 0;
                      do {
                        const std::size_t bytes = std::min(kAdminChunkBytes, json.size() - at);
                        const ipc::AdminAnswer body{at + bytes < json.size() ? 1U : 0U, exit_code};
                        std::vector<std::byte> chunk(sizeof body + bytes);
                        std::memcpy(chunk.data(), &body, sizeof body);
                        std::memcpy(chunk.data() + sizeof body, json.data() + at, bytes);
                        if (!self->answer(header, Status::kOk, chunk)) return;
                        at += bytes;
                      } while (at < json.size());
                    });
  return !closed_;
}

bool AttachConnection::malformed(std::string_view sentence) {
  ++server_.counters_.malformed;
  end(Status::kMalformed, sentence);
  return false;
}

bool AttachConnection::answer(const AttachHeader& header, Status status,
                              std::span<const std::byte> body, std::span<const int> descriptors) {
  if (closed_) return false;
  AttachHeader back = header;
  back.status = static_cast<std::uint32_t>(status);
  back.body_bytes = static_cast<std::uint32_t>(body.size());
  if (!answers_.push(back, body, descriptors)) {
    ++server_.counters_.answers_not_read;
    end(Status::kLimit, "answers are not read, or the engine has no descriptor left");
    return false;
  }
  if (!answers_.flush(socket_.native_handle())) {
    close();
    return false;
  }
  if (!answers_.empty()) {
    await_room();
    server_.watch_silence();
  }
  return true;
}

Attachments::Answer AttachConnection::answer_later(const AttachHeader& header) {
  return [weak = weak_from_this(), header](Status status) {
    if (const auto self = weak.lock()) self->answer(header, status);
  };
}

Attachments::Answer AttachConnection::answer_after_work(const AttachHeader& header) {
  at_work_ = true;
  return [weak = weak_from_this(), header,
          work = server_.turns_.start_work(caller_.uid)](Status status) {
    const auto self = weak.lock();
    if (self == nullptr || self->closed_) return;
    self->end_work();
    self->answer(header, status);
  };
}

void AttachConnection::end_work() {
  at_work_ = false;
  heard_ns_ = clock_now_ns();
  ask_turn();
}

void AttachConnection::close() {
  if (closed_) return;
  closed_ = true;
  reader_timer_.cancel();
  boost::system::error_code ignored;
  socket_.close(ignored);
  // The program holds the same open file: closing our descriptor alone would leave it registered
  // with the reactor, which would take its end for an event of whatever is registered next.
  if (process_.is_open()) Descriptor(process_.release());
  // `this` may end with the server's hold on it.
  const auto self = shared_from_this();
  if (attachment_ != 0) server_.rooms_.attachments.detach(std::exchange(attachment_, 0));
  server_.forget(this);
}

}  // namespace ringwire::node
