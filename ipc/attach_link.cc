#include "ipc/attach_link.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "ipc/last_error.h"
#include "ipc/ringwire.h"

namespace ringwire::ipc {
namespace {

// How long an engine that lives may take for an answer: adopting a file of many GiB takes seconds.
constexpr DurationNs kAnswerNs = 60 * kSecondNs;
// A channel that was closed is of no more concern: its end may wait for whoever reads its messages.
constexpr DurationNs kClosedNs = 200 * kMillisecondNs;
// A hello is answered at once; an engine that hangs must not hang a back-off loop.
constexpr DurationNs kHelloNs = 5 * kSecondNs;

const char* text_of(AttachStatus status) {
  switch (status) {
    case AttachStatus::kOk:
      return "done";
    case AttachStatus::kVersion:
      return "the versions do not fit";
    case AttachStatus::kDenied:
      return "denied";
    case AttachStatus::kLimit:
      return "a limit of the engine is reached";
    case AttachStatus::kMalformed:
      return "the request broke a rule";
    case AttachStatus::kUnknown:
      return "no such thing";
    case AttachStatus::kBusy:
      return "in use";
    case AttachStatus::kNoMemory:
      return "the engine's memory budget has no room";
    case AttachStatus::kShutdown:
      return "the engine shuts down";
    case AttachStatus::kRole:
      return "this node is a slave: it serves nothing";
    case AttachStatus::kInternal:
      break;
  }
  return "the engine failed";
}

int fail_for_descriptors() {
  errno = EMFILE;
  return fail(RW_ESYSTEM, "no descriptor is left for what the engine sent: see `ulimit -n`");
}

}  // namespace

int error_of(AttachStatus status) {
  switch (status) {
    case AttachStatus::kOk:
      return RW_OK;
    case AttachStatus::kVersion:
      return RW_EVERSION;
    case AttachStatus::kDenied:
      return RW_EDENIED;
    case AttachStatus::kLimit:
      return RW_ELIMIT;
    case AttachStatus::kMalformed:
      return RW_EINVAL;
    case AttachStatus::kUnknown:
      return RW_ESTALE;
    case AttachStatus::kBusy:
      return RW_EBUSY;
    case AttachStatus::kNoMemory:
      return RW_ENOMEM;
    case AttachStatus::kShutdown:
      return RW_ENOENGINE;
    case AttachStatus::kRole:
      return RW_EROLE;
    case AttachStatus::kInternal:
      break;
  }
  return RW_ECLOSED;
}

AttachLink::AttachLink() { dead_.attach(&dead_word_); }

AttachLink::~AttachLink() {
  if (socket_ >= 0) close(socket_);
}

int AttachLink::connect_socket(const std::string& path, TimeNs deadline, int& fd) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return fail(RW_EINVAL, "socket path is longer than %zu bytes: %s", sizeof address.sun_path - 1,
                path.c_str());
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  fd = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (fd < 0) return fail(RW_ESYSTEM, "socket: %s", std::strerror(errno));
  // Bounds the wait for a place in the backlog of an engine that does not accept.
  // A limit of 0 would mean none.
  const DurationNs left_ns =
      std::clamp<DurationNs>(deadline - monotonic_ns(), kMillisecondNs, kHelloNs);
  const timeval limit{.tv_sec = left_ns / kSecondNs,
                      .tv_usec = left_ns % kSecondNs / kMicrosecondNs};
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return RW_OK;
  const int reason = errno;
  close(fd);
  fd = -1;
  errno = reason;
  if (reason == EAGAIN)
    return fail(RW_ETIMEOUT, "the engine at %s does not accept callers: is it stopped?",
                path.c_str());
  if (reason == EACCES || reason == EPERM)
    return fail(RW_EDENIED, "%s: %s", path.c_str(), std::strerror(reason));
  return fail(RW_ENOENGINE, "no engine at %s: %s", path.c_str(), std::strerror(reason));
}

int AttachLink::open(const std::string& path, const std::string& label, Id128 attachment,
                     std::shared_ptr<AttachLink>& link) {
  std::shared_ptr<AttachLink> fresh(new AttachLink);
  if (const int error = connect_socket(path, monotonic_ns() + kHelloNs, fresh->socket_);
      error != RW_OK)
    return error;
  if (const int error = fresh->greet(path, label, attachment); error != RW_OK) return error;
  link = std::move(fresh);
  return RW_OK;
}

int AttachLink::greet(const std::string& path, const std::string& label, Id128 attachment) {
  HelloRequest hello{};
  hello.attach_version = kAttachVersion;
  hello.layout_version = kLayoutVersion;
  hello.attachment_high = attachment.high;
  hello.attachment_low = attachment.low;
  hello.pid = static_cast<std::uint64_t>(getpid());
  std::memcpy(hello.label, label.data(), std::min(label.size(), sizeof hello.label - 1));
  hello.features = kKnownFeatures;
  // By the pidfd the engine sees our death even while a forked child keeps the socket open. An old
  // kernel has none: then it sees the hang-up only.
  const auto pidfd = static_cast<int>(syscall(SYS_pidfd_open, getpid(), 0));
  AttachHeader header{};
  header.magic = kAttachMagic;
  header.type = static_cast<std::uint32_t>(AttachType::kHello);
  header.request = ++last_request_;
  header.body_bytes = sizeof hello;
  const TimeNs deadline = monotonic_ns() + kHelloNs;
  const SocketResult sent = send_datagram(socket_, header, std::as_bytes(std::span(&hello, 1)),
                                          std::span(&pidfd, pidfd >= 0 ? 1u : 0u), deadline);
  if (pidfd >= 0) close(pidfd);
  Datagram answer;
  // An engine that refuses a caller says why and hangs up, perhaps before it was greeted.
  const TimeNs answer_by = sent == SocketResult::kDone ? deadline : monotonic_ns();
  const SocketResult received = receive_datagram(socket_, answer, answer_by);
  // Not "no engine": whoever then started one would find the socket in use.
  if (received == SocketResult::kTimeout && sent == SocketResult::kDone)
    return fail(RW_ETIMEOUT, "the engine at %s does not answer: is it stopped?", path.c_str());
  if (received == SocketResult::kCut) return fail_for_descriptors();
  if (received != SocketResult::kDone)
    return fail(RW_ENOENGINE, "the engine at %s did not answer", path.c_str());
  const auto status = static_cast<AttachStatus>(answer.header().status);
  // An engine of another version may say more or less: what it says starts as ours does.
  WelcomeAnswer said{};
  if (!answer.body().empty())
    std::memcpy(&said, answer.body().data(), std::min(answer.body().size(), sizeof said));
  const bool greeted = answer.header().type == static_cast<std::uint32_t>(AttachType::kHello) &&
                       answer.body().size() >= kVersionsBytes;
  if (greeted && (status == AttachStatus::kVersion || said.attach_version != kAttachVersion ||
                  said.layout_version != kLayoutVersion)) {
    return fail(RW_EVERSION,
                "engine %.31s speaks attach version %u, layout %u; this library %s speaks %u, %u",
                said.engine_version, said.attach_version, said.layout_version, RINGWIRE_VERSION,
                kAttachVersion, kLayoutVersion);
  }
  if (answer.header().type == static_cast<std::uint32_t>(AttachType::kClosing)) {
    note_closing(answer);
    return fail(error_of(closing_), "the engine refused: %s", closing_text_.c_str());
  }
  if (status != AttachStatus::kOk)
    return fail(error_of(status), "the engine at %s refused: %s", path.c_str(), text_of(status));
  const auto welcome = answer.body_as<WelcomeAnswer>();
  if (!welcome || welcome->worker_count == 0 || welcome->worker_count > kMaxWorkers ||
      (welcome->features & ~kKnownFeatures) != 0)
    return fail(RW_EVERSION, "the engine at %s gave an answer that makes no sense", path.c_str());
  welcome_ = *welcome;
  welcome_.node_name[sizeof welcome_.node_name - 1] = '\0';
  welcome_.engine_version[sizeof welcome_.engine_version - 1] = '\0';
  auto page = MemoryFile::adopt(answer.take_descriptor(0), kStatusBytes);
  if (!page.ok())
    return fail(page.error() == MemoryError::kNoMemory ? RW_ENOMEM : RW_EVERSION,
                "the engine's status page cannot be mapped");
  status_file_ = std::move(page).value();
  status_ = StatusPage(status_file_.data());
  if (!status_.valid())
    return fail(RW_EVERSION, "the engine's status page has layout %u; this library %s speaks %u",
                status_.layout_version(), RINGWIRE_VERSION, kLayoutVersion);
  return RW_OK;
}

int AttachLink::request(AttachType type, std::span<const std::byte> body, int descriptor,
                        Datagram& answer) {
  if (dead()) return fail(RW_ENOENGINE, "the engine is gone");
  answer.prepare();  // before the engine does anything: what it did must not be lost for memory
  AttachHeader header{};
  header.magic = kAttachMagic;
  header.type = static_cast<std::uint32_t>(type);
  header.request = ++last_request_;
  header.body_bytes = static_cast<std::uint32_t>(body.size());
  const DurationNs patience_ns = type == AttachType::kChannelClose ? kClosedNs : kAnswerNs;
  const TimeNs deadline = monotonic_ns() + patience_ns;
  SocketResult result = send_datagram(socket_, header, body,
                                      std::span(&descriptor, descriptor >= 0 ? 1u : 0u), deadline);
  while (result == SocketResult::kDone) {
    result = receive_datagram(socket_, answer, deadline);
    if (result != SocketResult::kDone) break;
    if (answer.header().type == static_cast<std::uint32_t>(AttachType::kClosing)) {
      note_closing(answer);
      continue;
    }
    // An answer to a request that was given up for its time-out is of no use any more.
    if (answer.header().request != header.request) continue;
    const auto status = static_cast<AttachStatus>(answer.header().status);
    if (status == AttachStatus::kOk) return RW_OK;
    return fail(error_of(status), "the engine refused: %s", text_of(status));
  }
  if (result == SocketResult::kTimeout) return fail(RW_ETIMEOUT, "the engine did not answer");
  if (result == SocketResult::kCut) {
    // A file that was to be mapped can be asked for again; a channel would be nobody's.
    if (type != AttachType::kMap) mark_dead();
    return fail_for_descriptors();
  }
  const int system_errno = errno;
  mark_dead();
  if (closing_ != AttachStatus::kOk)
    return fail(error_of(closing_), "the engine ended the attachment: %s", closing_text_.c_str());
  return fail(RW_ENOENGINE, "the connection to the engine broke%s%s",
              result == SocketResult::kSystem ? ": " : "",
              result == SocketResult::kSystem      ? std::strerror(system_errno)
              : result == SocketResult::kMalformed ? " (an answer broke the protocol)"
                                                   : "");
}

int AttachLink::service_handle(const std::string& name, std::uint16_t& handle) {
  if (name.empty()) {
    handle = 0;
    return RW_OK;
  }
  if (const auto known = services_.find(name); known != services_.end()) {
    handle = known->second;
    return RW_OK;
  }
  ServiceRequest body{};
  std::memcpy(body.name, name.data(), std::min(name.size(), kMaxNameBytes));
  Datagram answer;
  if (const int error =
          request(AttachType::kService, std::as_bytes(std::span(&body, 1)), -1, answer);
      error != RW_OK)
    return error;
  const auto service = answer.body_as<ServiceAnswer>();
  if (!service || service->handle > 0xffff) return fail(RW_ECLOSED, "bad answer for a service");
  handle = static_cast<std::uint16_t>(service->handle);
  services_.emplace(name, handle);
  return RW_OK;
}

void AttachLink::check() {
  if (wait_on(socket_, POLLRDHUP, -1, 0, 1)[0] != 0) mark_dead();
}

void AttachLink::note_closing(const Datagram& datagram) {
  const auto notice = datagram.body_as<ClosingNotice>();
  if (!notice) return;
  closing_ = static_cast<AttachStatus>(notice->status);
  closing_text_.assign(notice->text, strnlen(notice->text, sizeof notice->text));
}

AttachStatus AttachLink::closing_status(std::string& text) {
  Datagram datagram;
  // Bounded: what an engine may have left in the socket before it hung up.
  for (int left = 64; left > 0; --left) {
    const SocketResult result = receive_datagram(socket_, datagram, 0);
    if (result != SocketResult::kDone) break;
    if (datagram.header().type == static_cast<std::uint32_t>(AttachType::kClosing))
      note_closing(datagram);
  }
  text = closing_text_;
  return closing_;
}

}  // namespace ringwire::ipc
