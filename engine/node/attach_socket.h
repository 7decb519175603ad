// Datagrams with descriptors on a UNIX SOCK_SEQPACKET socket: whole ones in, whole ones out, never
// blocking. Knows the header of ipc/attach_protocol.h and nothing of its meaning. Ring manager
// only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <span>
#include <type_traits>
#include <vector>

#include "engine/node/descriptor.h"
#include "ipc/attach_protocol.h"

namespace ringwire::node {

/// One received datagram. Its descriptors are closed with it unless taken.
struct Request {
  ipc::AttachHeader header{};
  std::vector<std::byte> body;
  std::vector<Descriptor> descriptors;
  std::size_t refused_descriptors = 0;  ///< of a bad datagram: closed already

  /// The body as one fixed struct; false when its size is another.
  template <typename Body>
  [[nodiscard]] bool read(Body& out) const {
    static_assert(std::is_trivially_copyable_v<Body>);
    if (body.size() != sizeof(Body)) return false;
    std::memcpy(&out, body.data(), sizeof(Body));
    return true;
  }
};

enum class Received : std::uint8_t {
  kRequest,
  kNothing,    ///< no datagram waits
  kClosed,     ///< the program hung up
  kMalformed,  ///< truncated, too short, wrong magic, length or status: end the attachment
};

/// Receive one datagram. All descriptors that came with a bad one are closed.
[[nodiscard]] Received receive(int socket, Request& request);

/// What waits to be sent to one program. Bounded: who does not read its answers is closed.
class AnswerQueue {
 public:
  /// 256 answers of at most 64 KiB: a program may have that many requests on the way.
  static constexpr std::size_t kMaxAnswers = 256;

  /// Queue an answer. `descriptors` are duplicated now. False when the queue is full or no
  /// descriptor is left.
  [[nodiscard]] bool push(const ipc::AttachHeader& header, std::span<const std::byte> body,
                          std::span<const int> descriptors);
  /// Send what the socket takes. False when the program is gone.
  [[nodiscard]] bool flush(int socket);
  [[nodiscard]] bool empty() const { return answers_.empty(); }

 private:
  struct Answer {
    std::vector<std::byte> bytes;
    std::vector<Descriptor> descriptors;
  };
  std::deque<Answer> answers_;
};

}  // namespace ringwire::node
