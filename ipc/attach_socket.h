// Datagrams of the attach protocol on a SOCK_SEQPACKET socket, with their file descriptors. Used by
// both ends. Checks the form (magic, lengths, descriptor count); the meaning is the caller's. Cold;
// any thread, one at a time per socket and direction.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <type_traits>
#include <vector>

#include "base/time.h"
#include "ipc/attach_protocol.h"

namespace ringwire::ipc {

enum class SocketResult : std::uint8_t {
  kDone,
  kClosed,     ///< the other side hung up
  kTimeout,    ///< deadline passed
  kMalformed,  ///< a datagram that breaks the form; its descriptors are closed
  kCut,        ///< whole but for descriptors: this process may have no more of them
  kSystem,     ///< errno tells
};

/// One received datagram; closes the descriptors that nobody took.
class Datagram {
 public:
  Datagram() = default;
  ~Datagram() { close_descriptors(); }
  Datagram(const Datagram&) = delete;
  Datagram& operator=(const Datagram&) = delete;

  [[nodiscard]] const AttachHeader& header() const { return header_; }
  [[nodiscard]] std::span<const std::byte> body() const { return {body_.data(), body_bytes_}; }
  /// The body as T; nothing when it has another size.
  template <typename T>
  requires std::is_trivially_copyable_v<T>
  [[nodiscard]] std::optional<T> body_as() const {
    if (body_bytes_ != sizeof(T)) return std::nullopt;
    T value;
    std::memcpy(&value, body_.data(), sizeof value);
    return value;
  }
  [[nodiscard]] std::size_t descriptor_count() const { return descriptor_count_; }
  /// Take the memory that receiving needs. Throws bad_alloc, and receiving then does not.
  void prepare() { body_.resize(kMaxDatagramBytes - sizeof(AttachHeader)); }
  /// The caller owns it from now; -1 when there is none.
  [[nodiscard]] int take_descriptor(std::size_t index);

 private:
  friend SocketResult receive_datagram(int socket, Datagram& datagram, TimeNs deadline);
  void close_descriptors();

  AttachHeader header_{};
  std::vector<std::byte> body_;
  std::size_t body_bytes_ = 0;
  std::array<int, kMaxDescriptors> descriptors_{};
  std::size_t descriptor_count_ = 0;
};

/// Send one datagram; blocks while the socket is full, until `deadline`, and longer by as much as
/// this process itself was stopped meanwhile. Descriptors stay the caller's.
SocketResult send_datagram(int socket, const AttachHeader& header, std::span<const std::byte> body,
                           std::span<const int> descriptors, TimeNs deadline);
/// Receive one; deadline 0 = do not wait. Waits as send_datagram does.
SocketResult receive_datagram(int socket, Datagram& datagram, TimeNs deadline);

/// Now on CLOCK_MONOTONIC, for the waits of this room.
TimeNs monotonic_ns();
/// Wait until `deadline` for `events` (poll bits) on up to two descriptors (-1: none). Returns the
/// bits seen on each; both 0 = timeout or signal.
std::array<short, 2> wait_on(int first, short first_events, int second, short second_events,
                             TimeNs deadline);

}  // namespace ringwire::ipc
