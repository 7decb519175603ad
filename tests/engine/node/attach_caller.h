// A program at the attach socket of an engine, as rude as a test wants: sends any bytes with any
// descriptors, and reads what comes back. Waits with a deadline, never sleeps.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/node/descriptor.h"
#include "ipc/attach_protocol.h"
#include "ipc/layout.h"

namespace ringwire::node {

constexpr int kCallerPatienceMs = 20'000;

struct AnswerSeen {
  ipc::AttachHeader header{};
  std::vector<std::byte> body;
  std::vector<Descriptor> descriptors;

  [[nodiscard]] ipc::AttachType type() const { return static_cast<ipc::AttachType>(header.type); }
  [[nodiscard]] ipc::AttachStatus status() const {
    return static_cast<ipc::AttachStatus>(header.status);
  }
  template <typename Body>
  [[nodiscard]] Body as() const {
    Body out{};
    if (body.size() == sizeof out) std::memcpy(&out, body.data(), sizeof out);
    return out;
  }
};

class AttachCaller {
 public:
  explicit AttachCaller(const std::string& path)
      : socket_(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.data(), path.size());
    connected_ =
        ::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  }

  [[nodiscard]] bool connected() const { return connected_; }
  void hang_up() { socket_.reset(); }

  void send_bytes(std::span<const std::byte> bytes, std::span<const int> descriptors = {},
                  int flags = 0) {
    iovec part{const_cast<std::byte*>(bytes.data()), bytes.size()};
    alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(253 * sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (!descriptors.empty()) {
      message.msg_control = control.data();
      message.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
      cmsghdr* rights = CMSG_FIRSTHDR(&message);
      rights->cmsg_level = SOL_SOCKET;
      rights->cmsg_type = SCM_RIGHTS;
      rights->cmsg_len = CMSG_LEN(descriptors.size_bytes());
      std::memcpy(CMSG_DATA(rights), descriptors.data(), descriptors.size_bytes());
    }
    static_cast<void>(::sendmsg(socket_.get(), &message, MSG_NOSIGNAL | flags));
  }

  [[nodiscard]] static ipc::AttachHeader header(ipc::AttachType type, std::uint32_t body_bytes) {
    return {ipc::kAttachMagic, static_cast<std::uint32_t>(type), 7, 0, body_bytes};
  }

  void send(const ipc::AttachHeader& header, std::span<const std::byte> body,
            std::span<const int> descriptors = {}, int flags = 0) {
    std::vector<std::byte> bytes(sizeof header + body.size());
    std::memcpy(bytes.data(), &header, sizeof header);
    if (!body.empty()) std::memcpy(bytes.data() + sizeof header, body.data(), body.size());
    send_bytes(bytes, descriptors, flags);
  }
  /// Only if the socket takes it now.
  void try_send(const ipc::AttachHeader& header, std::span<const std::byte> body) {
    send(header, body, {}, MSG_DONTWAIT);
  }
  template <typename Body>
  void request(ipc::AttachType type, const Body& body, std::span<const int> descriptors = {}) {
    send(header(type, sizeof body), std::as_bytes(std::span(&body, 1)), descriptors);
  }

  /// The next answer; nothing when the engine hung up (or the deadline passed: a failure).
  [[nodiscard]] std::optional<AnswerSeen> receive() {
    pollfd wait{socket_.get(), POLLIN, 0};
    if (::poll(&wait, 1, kCallerPatienceMs) != 1) return std::nullopt;
    AnswerSeen answer;
    answer.body.resize(ipc::kMaxDatagramBytes);
    iovec parts[2] = {{&answer.header, sizeof answer.header},
                      {answer.body.data(), answer.body.size()}};
    alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(253 * sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = parts;
    message.msg_iovlen = 2;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t got = ::recvmsg(socket_.get(), &message, MSG_CMSG_CLOEXEC);
    if (got < static_cast<ssize_t>(sizeof answer.header)) return std::nullopt;
    answer.body.resize(static_cast<std::size_t>(got) - sizeof answer.header);
    for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr;
         part = CMSG_NXTHDR(&message, part)) {
      const std::size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      for (std::size_t index = 0; index < count; ++index) {
        int number = -1;
        std::memcpy(&number, CMSG_DATA(part) + index * sizeof(int), sizeof number);
        answer.descriptors.emplace_back(number);
      }
    }
    return answer;
  }

  /// Sends and receives.
  template <typename Body>
  std::optional<AnswerSeen> ask(ipc::AttachType type, const Body& body,
                                std::span<const int> descriptors = {}) {
    request(type, body, descriptors);
    return receive();
  }

  [[nodiscard]] static ipc::HelloRequest hello(std::uint64_t id) {
    ipc::HelloRequest hello{};
    hello.attach_version = ipc::kAttachVersion;
    hello.layout_version = ipc::kLayoutVersion;
    hello.attachment_high = 1;
    hello.attachment_low = id;
    std::memcpy(hello.label, "test", 4);
    return hello;
  }
  std::optional<AnswerSeen> attach(std::uint64_t id) {
    return ask(ipc::AttachType::kHello, hello(id));
  }

 private:
  Descriptor socket_;
  bool connected_ = false;
};

/// A memory file as a program makes it.
inline Descriptor make_memory(std::uint64_t bytes, int seals = F_SEAL_SHRINK | F_SEAL_GROW) {
  Descriptor file(::memfd_create("program", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (::ftruncate(file.get(), static_cast<off_t>(bytes)) != 0) return {};
  if (seals != 0 && ::fcntl(file.get(), F_ADD_SEALS, seals) != 0) return {};
  return file;
}

}  // namespace ringwire::node
