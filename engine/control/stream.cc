#include "engine/control/stream.h"

#include <algorithm>

#include "base/bytes.h"

namespace ringwire::control {

std::size_t MessageStream::feed(std::span<const std::byte> bytes) {
  if (error_) return bytes.size();
  buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(taken_));
  taken_ = 0;
  const std::size_t room = kLengthBytes + kMaxMessageBytes - buffer_.size();
  const auto fitting = bytes.first(std::min(room, bytes.size()));
  buffer_.insert(buffer_.end(), fitting.begin(), fitting.end());
  return fitting.size();
}

Result<std::optional<Message>, MessageError> MessageStream::next() {
  if (error_) return Failure{*error_};
  const auto held = std::span<const std::byte>(buffer_).subspan(taken_);
  if (held.size() < kLengthBytes) return std::optional<Message>{};
  const std::size_t length = load_le<std::uint32_t>(held.data());
  // Judged before it has come: a wrong length must not make us wait for bytes.
  if (length > kMaxMessageBytes) return fail(MessageError::kTooLong);
  if (length < kTypeBytes) return fail(MessageError::kTooShort);
  if (held.size() < kLengthBytes + length) return std::optional<Message>{};
  auto message = decode(held.subspan(kLengthBytes, length));
  if (!message) return fail(message.error());
  taken_ += kLengthBytes + length;
  return std::optional<Message>{std::move(message).value()};
}

Failure<MessageError> MessageStream::fail(MessageError error) {
  error_ = error;
  buffer_.clear();
  taken_ = 0;
  return Failure{error};
}

}  // namespace ringwire::control
