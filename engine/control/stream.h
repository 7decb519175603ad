// Cuts the bytes of a control connection into messages. Holds at most one message's worth of bytes;
// after the first error it stays in error, for there is no way to find the next message. Pure,
// cold.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "engine/control/messages.h"

namespace ringwire::control {

class MessageStream {
 public:
  /// Take bytes from the front, as many as fit. Returns how many; the caller takes messages out
  /// with next() and offers the rest again. After an error everything is swallowed.
  std::size_t feed(std::span<const std::byte> bytes);

  /// The next whole message, if there is one. Errors: MessageError, for good.
  [[nodiscard]] Result<std::optional<Message>, MessageError> next();

  [[nodiscard]] std::size_t held_bytes() const { return buffer_.size() - taken_; }

 private:
  Failure<MessageError> fail(MessageError error);

  std::vector<std::byte> buffer_;
  std::size_t taken_ = 0;  // bytes at the front of buffer_ that were decoded already
  std::optional<MessageError> error_;
};

}  // namespace ringwire::control
