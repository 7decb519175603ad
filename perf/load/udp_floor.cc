#include "perf/load/udp_floor.h"

#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "base/bytes.h"
#include "base/check.h"
#include "engine/port/socket_address.h"
#include "engine/wire/crc32c.h"
#include "ipc/memory_file.h"

namespace ringwire::load {
namespace {

/// Beside the port's own number.
constexpr std::uint16_t kPortDistance = 50;
/// Seven segments of the port's size are one send of at most 64 KiB.
constexpr std::size_t kSegments = 7;
constexpr std::size_t kNumberAt = 0;
constexpr std::size_t kOffsetAt = 8;
constexpr std::size_t kChecksumAt = 16;
constexpr std::size_t kHeaderBytes = 20;

class Socket {
 public:
  explicit Socket(const Stage& stage) : segment_bytes_(stage.port.max_payload_bytes()) {
    Endpoint local = stage.port.local();
    Endpoint remote = stage.remote;
    local.port = static_cast<std::uint16_t>(local.port + kPortDistance);
    remote.port = static_cast<std::uint16_t>(remote.port + kPortDistance);
    fd_ = ::socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const sockaddr_storage own = port::to_sockaddr(local);
    const sockaddr_storage other = port::to_sockaddr(remote);
    RW_CHECK(::bind(fd_, reinterpret_cast<const sockaddr*>(&own), sizeof(sockaddr_in)) == 0);
    RW_CHECK(::connect(fd_, reinterpret_cast<const sockaddr*>(&other), sizeof(sockaddr_in)) == 0);
    const int bytes = 4 << 20;
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
  }
  ~Socket() { ::close(fd_); }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  /// As one datagram, or cut into segments of the port's size. The other side may be late.
  void send(std::span<const std::byte> bytes) {
    while (::send(fd_, bytes.data(), bytes.size(), 0) < 0) {
    }
  }
  std::span<std::byte> receive() {
    const ssize_t bytes = ::recv(fd_, received_.data(), received_.size(), 0);
    return std::span(received_).first(static_cast<std::size_t>(std::max<ssize_t>(bytes, 0)));
  }
  void batch() {
    const int segment = static_cast<int>(segment_bytes_);
    const int on = 1;
    RW_CHECK(::setsockopt(fd_, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof segment) == 0);
    RW_CHECK(::setsockopt(fd_, IPPROTO_UDP, UDP_GRO, &on, sizeof on) == 0);
  }
  [[nodiscard]] std::size_t segment_bytes() const { return segment_bytes_; }

 private:
  std::size_t segment_bytes_;
  int fd_ = -1;
  std::array<std::byte, 65'536> received_{};
};

class Messages {
 public:
  Messages(std::uint64_t bytes, std::size_t count) : bytes_(bytes), count_(count) {
    auto made = ipc::MemoryFile::create("load-floor", bytes * count);
    RW_CHECK(made.ok());
    file_ = std::move(made).value();
  }
  std::byte* at(std::uint64_t message, std::uint64_t offset) {
    return file_.data() + (message % count_) * bytes_ + offset;
  }

 private:
  std::uint64_t bytes_;
  std::size_t count_;
  ipc::MemoryFile file_;
};

void send_copies(Stage& stage, Socket& socket, Messages& messages, std::uint64_t bytes) {
  const std::size_t room = socket.segment_bytes() - kHeaderBytes;
  std::vector<std::byte> run(kSegments * socket.segment_bytes());
  const TimeNs end = node::clock_now_ns() + stage.scene_ns;
  for (std::uint64_t number = 0; node::clock_now_ns() < end; ++number) {
    for (std::uint64_t offset = 0; offset < bytes;) {
      std::size_t filled = 0;
      for (std::size_t count = 0; count < kSegments && offset < bytes; ++count) {
        const std::size_t now = std::min<std::uint64_t>(room, bytes - offset);
        std::byte* data = run.data() + filled;
        store_le<std::uint64_t>(data + kNumberAt, number);
        store_le<std::uint64_t>(data + kOffsetAt, offset);
        store_le<std::uint32_t>(
            data + kChecksumAt,
            wire::copy_with_crc32c(0, data + kHeaderBytes, {messages.at(number, offset), now}));
        filled += kHeaderBytes + now;
        offset += now;
      }
      socket.send(std::span(run).first(filled));
    }
  }
}

void take_copies(Stage& stage, Socket& socket, Messages& messages) {
  Arrivals arrivals;
  while (!stage.meeting.stopped()) {
    std::span<std::byte> run = socket.receive();
    std::uint64_t bytes = 0;
    while (run.size() > kHeaderBytes) {
      const auto segment = run.first(std::min(run.size(), socket.segment_bytes()));
      const std::span<const std::byte> payload = segment.subspan(kHeaderBytes);
      std::byte* to = messages.at(load_le<std::uint64_t>(segment.data() + kNumberAt),
                                  load_le<std::uint64_t>(segment.data() + kOffsetAt));
      RW_CHECK(wire::copy_with_crc32c(0, to, payload) ==
               load_le<std::uint32_t>(segment.data() + kChecksumAt));
      bytes += payload.size();
      run = run.subspan(segment.size());
    }
    if (bytes != 0) arrivals.add(node::clock_now_ns(), 1, bytes);
  }
  arrivals.tell(stage.meeting);
}

Figures copy(Stage& stage, std::uint64_t bytes, std::size_t count) {
  Socket socket(stage);
  socket.batch();
  Messages messages(bytes, count);
  stage.meeting.meet();
  if (stage.meeting.is_a()) {
    send_copies(stage, socket, messages, bytes);
    stage.meeting.stop();
  } else {
    take_copies(stage, socket, messages);
  }
  stage.meeting.meet();
  return stage.meeting.is_a() ? Arrivals::told(stage.meeting) : Figures{};
}

}  // namespace

Figures udp_ping(Stage& stage) {
  Socket socket(stage);
  Figures figures;
  stage.meeting.meet();
  const TimeNs deadline = Meeting::deadline();
  if (stage.meeting.is_a()) {
    RoundTrips trips(stage);
    std::array<std::byte, kSmallBytes> bytes{};
    std::uint64_t number = 0;
    do {
      store_le<std::uint64_t>(bytes.data(), ++number);
      socket.send(bytes);
      for (bool came = false; !came; stage.meeting.check(deadline)) {
        const auto received = socket.receive();
        came = received.size() == kSmallBytes && load_le<std::uint64_t>(received.data()) == number;
      }
    } while (trips.next());
    figures = trips.figures(0);
    stage.meeting.stop();
  } else {
    while (!stage.meeting.stopped()) {
      const auto received = socket.receive();
      if (!received.empty()) socket.send(received);
    }
  }
  stage.meeting.meet();
  return figures;
}

Figures udp_copy_1mb(Stage& stage) { return copy(stage, kMegabyte, 4); }
Figures udp_copy_64mb(Stage& stage) { return copy(stage, 64 * kMegabyte, 2); }

}  // namespace ringwire::load
