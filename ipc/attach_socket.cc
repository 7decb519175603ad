#include "ipc/attach_socket.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace ringwire::ipc {
namespace {

constexpr std::size_t kControlBytes = CMSG_SPACE(sizeof(int) * kMaxDescriptors);

SocketResult result_of_errno() {
  return errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN ? SocketResult::kClosed
                                                                    : SocketResult::kSystem;
}

// Of one wait for the socket: short, so that its own lateness is told from the other side's.
constexpr DurationNs kLookNs = 100 * kMillisecondNs;

/// How long a call goes on trying.
class Patience {
 public:
  explicit Patience(TimeNs deadline) : deadline_(deadline), over_(deadline == 0) {}

  // Waits for the socket. True: try again; false: the deadline passed, and after it nothing was to
  // be had. By how much a wait ended later than it was asked to, this process was stopped or short
  // of a processor: that counts against nobody else, and a look that was in time comes last.
  bool wait(int socket, short events) {
    if (over_) return false;
    const TimeNs until = std::min(deadline_, monotonic_ns() + kLookNs);
    wait_on(socket, events, -1, 0, until);
    const TimeNs now = monotonic_ns();
    const DurationNs late_ns = std::max<DurationNs>(now - until, 0);
    over_ = until == deadline_ && late_ns < kLookNs;
    if (deadline_ == kNeverNs) return true;
    deadline_ += late_ns;
    if (late_ns >= kLookNs) deadline_ = std::max(deadline_, now + kLookNs);
    return true;
  }

 private:
  TimeNs deadline_;
  bool over_;
};

}  // namespace

int Datagram::take_descriptor(std::size_t index) {
  if (index >= descriptor_count_) return -1;
  const int descriptor = descriptors_[index];
  descriptors_[index] = -1;
  return descriptor;
}

void Datagram::close_descriptors() {
  for (std::size_t index = 0; index < descriptor_count_; ++index)
    if (descriptors_[index] >= 0) close(descriptors_[index]);
  descriptor_count_ = 0;
}

SocketResult send_datagram(int socket, const AttachHeader& header, std::span<const std::byte> body,
                           std::span<const int> descriptors, TimeNs deadline) {
  if (sizeof header + body.size() > kMaxDatagramBytes || descriptors.size() > kMaxDescriptors) {
    errno = EMSGSIZE;
    return SocketResult::kSystem;
  }
  iovec parts[2] = {
      {.iov_base = const_cast<AttachHeader*>(&header), .iov_len = sizeof header},
      {.iov_base = const_cast<std::byte*>(body.data()), .iov_len = body.size()},
  };
  alignas(cmsghdr) std::byte control[kControlBytes] = {};
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = 2;
  if (!descriptors.empty()) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
    cmsghdr* ancillary = CMSG_FIRSTHDR(&message);
    ancillary->cmsg_level = SOL_SOCKET;
    ancillary->cmsg_type = SCM_RIGHTS;
    ancillary->cmsg_len = CMSG_LEN(descriptors.size_bytes());
    std::memcpy(CMSG_DATA(ancillary), descriptors.data(), descriptors.size_bytes());
  }
  for (Patience patience(deadline);;) {
    if (sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0) return SocketResult::kDone;
    if (errno == EINTR) continue;
    if (errno != EAGAIN && errno != EWOULDBLOCK) return result_of_errno();
    if (!patience.wait(socket, POLLOUT)) return SocketResult::kTimeout;
  }
}

SocketResult receive_datagram(int socket, Datagram& datagram, TimeNs deadline) {
  datagram.close_descriptors();
  datagram.body_bytes_ = 0;
  datagram.prepare();
  iovec parts[2] = {
      {.iov_base = &datagram.header_, .iov_len = sizeof datagram.header_},
      {.iov_base = datagram.body_.data(), .iov_len = datagram.body_.size()},
  };
  alignas(cmsghdr) std::byte control[kControlBytes];
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = 2;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t bytes = 0;
  bool reset = false;
  Patience patience(deadline);
  while ((bytes = recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC)) < 0) {
    if (errno == EINTR) continue;
    // Whoever hangs up without having read all leaves a reset, which the kernel reports once, ahead
    // of what was said before.
    if (errno == ECONNRESET && !std::exchange(reset, true)) continue;
    if (errno != EAGAIN && errno != EWOULDBLOCK) return result_of_errno();
    if (!patience.wait(socket, POLLIN)) return SocketResult::kTimeout;
  }
  for (cmsghdr* at = CMSG_FIRSTHDR(&message); at != nullptr; at = CMSG_NXTHDR(&message, at)) {
    if (at->cmsg_level != SOL_SOCKET || at->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (at->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t index = 0; index < count; ++index) {
      int descriptor = -1;
      std::memcpy(&descriptor, CMSG_DATA(at) + index * sizeof(int), sizeof descriptor);
      if (datagram.descriptor_count_ < kMaxDescriptors)
        datagram.descriptors_[datagram.descriptor_count_++] = descriptor;
      else
        close(descriptor);
    }
  }
  if (bytes == 0) return SocketResult::kClosed;
  const auto received = static_cast<std::size_t>(bytes);
  const bool whole = received >= sizeof(AttachHeader) && (message.msg_flags & MSG_TRUNC) == 0 &&
                     datagram.header_.magic == kAttachMagic &&
                     datagram.header_.body_bytes == received - sizeof(AttachHeader);
  const bool cut = (message.msg_flags & MSG_CTRUNC) != 0;
  if (!whole || (cut && datagram.descriptor_count_ == kMaxDescriptors)) {
    datagram.close_descriptors();
    return SocketResult::kMalformed;
  }
  datagram.body_bytes_ = received - sizeof(AttachHeader);
  return cut ? SocketResult::kCut : SocketResult::kDone;
}

TimeNs monotonic_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * kSecondNs + now.tv_nsec;
}

std::array<short, 2> wait_on(int first, short first_events, int second, short second_events,
                             TimeNs deadline) {
  pollfd waits[2] = {{.fd = first, .events = first_events, .revents = 0},
                     {.fd = second, .events = second_events, .revents = 0}};
  timespec timeout{};
  const timespec* limit = nullptr;
  if (deadline != kNeverNs) {
    const DurationNs left = std::max<DurationNs>(deadline - monotonic_ns(), 0);
    timeout.tv_sec = left / kSecondNs;
    timeout.tv_nsec = left % kSecondNs;
    limit = &timeout;
  }
  if (ppoll(waits, 2, limit, nullptr) <= 0) return {0, 0};
  return {waits[0].revents, waits[1].revents};
}

}  // namespace ringwire::ipc
