#include "engine/node/attach_socket.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

namespace ringwire::node {
namespace {

/// Linux passes at most 253 descriptors in one datagram (SCM_MAX_FD): with room for all of them a
/// truncated control message means that this process has no descriptor left.
constexpr std::size_t kMaxPassedDescriptors = 253;

void take_descriptors(msghdr& message, std::vector<Descriptor>& descriptors) {
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr;
       part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t index = 0; index < count; ++index) {
      int number = -1;
      std::memcpy(&number, CMSG_DATA(part) + index * sizeof(int), sizeof number);
      descriptors.emplace_back(number);
    }
  }
}

}  // namespace

Received receive(int socket, Request& request) {
  request = Request{};
  request.body.resize(ipc::kMaxDatagramBytes);
  iovec parts[2] = {{&request.header, sizeof request.header},
                    {request.body.data(), request.body.size()}};
  alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(kMaxPassedDescriptors * sizeof(int))> control;
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = 2;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t got = ::recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (got < 0) return errno == EAGAIN || errno == EINTR ? Received::kNothing : Received::kClosed;
  take_descriptors(message, request.descriptors);
  if (got == 0 && request.descriptors.empty()) return Received::kClosed;
  const auto bytes = static_cast<std::size_t>(got);
  const bool good =
      (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0 && bytes >= sizeof request.header &&
      bytes <= ipc::kMaxDatagramBytes && request.descriptors.size() <= ipc::kMaxDescriptors &&
      request.header.magic == ipc::kAttachMagic && request.header.request != 0 &&
      request.header.status == 0 && request.header.body_bytes == bytes - sizeof request.header;
  if (!good) {
    request.refused_descriptors = request.descriptors.size();
    request.descriptors.clear();
    return Received::kMalformed;
  }
  request.body.resize(request.header.body_bytes);
  return Received::kRequest;
}

bool AnswerQueue::push(const ipc::AttachHeader& header, std::span<const std::byte> body,
                       std::span<const int> descriptors) {
  if (answers_.size() == kMaxAnswers) return false;
  Answer answer;
  answer.bytes.resize(sizeof header + body.size());
  std::memcpy(answer.bytes.data(), &header, sizeof header);
  if (!body.empty()) std::memcpy(answer.bytes.data() + sizeof header, body.data(), body.size());
  for (const int number : descriptors) {
    answer.descriptors.emplace_back(::fcntl(number, F_DUPFD_CLOEXEC, 0));
    if (!answer.descriptors.back()) return false;
  }
  answers_.push_back(std::move(answer));
  return true;
}

bool AnswerQueue::flush(int socket) {
  while (!answers_.empty()) {
    Answer& answer = answers_.front();
    iovec part{answer.bytes.data(), answer.bytes.size()};
    alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(ipc::kMaxDescriptors * sizeof(int))>
        control{};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (!answer.descriptors.empty()) {
      const std::size_t bytes = answer.descriptors.size() * sizeof(int);
      message.msg_control = control.data();
      message.msg_controllen = CMSG_SPACE(bytes);
      cmsghdr* rights = CMSG_FIRSTHDR(&message);
      rights->cmsg_level = SOL_SOCKET;
      rights->cmsg_type = SCM_RIGHTS;
      rights->cmsg_len = CMSG_LEN(bytes);
      for (std::size_t index = 0; index < answer.descriptors.size(); ++index) {
        const int number = answer.descriptors[index].get();
        std::memcpy(CMSG_DATA(rights) + index * sizeof(int), &number, sizeof number);
      }
    }
    if (::sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
      return errno == EAGAIN || errno == EINTR || errno == ENOBUFS;
    answers_.pop_front();
  }
  return true;
}

}  // namespace ringwire::node
