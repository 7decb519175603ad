// What comes over a control connection: a message or an error, the same however the bytes are cut,
// and decode(encode(x)) == x. The first byte says how the stream is cut.
#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "base/check.h"
#include "engine/control/messages.h"
#include "engine/control/stream.h"

namespace {

using namespace ringwire;
using namespace ringwire::control;

struct Read {
  std::vector<Message> messages;
  bool failed = false;
  MessageError error{};
  bool operator==(const Read&) const = default;
};

Read read_stream(std::span<const std::byte> bytes, std::size_t piece_bytes) {
  Read read;
  MessageStream stream;
  while (!bytes.empty()) {
    const auto piece = bytes.first(std::min(piece_bytes, bytes.size()));
    const std::size_t taken = stream.feed(piece);
    RW_CHECK(taken <= piece.size());
    bytes = bytes.subspan(taken);
    for (;;) {
      auto next = stream.next();
      // What a connection can make us hold is one message.
      RW_CHECK(stream.held_bytes() <= kLengthBytes + kMaxMessageBytes);
      if (!next) {
        read.failed = true;
        read.error = next.error();
        RW_CHECK(stream.held_bytes() == 0);
        return read;
      }
      if (!next.value()) break;
      read.messages.push_back(*std::move(next).value());
    }
    RW_CHECK(taken > 0);
  }
  return read;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::span bytes(reinterpret_cast<const std::byte*>(data) + 1, size - 1);
  // Alone, as the body of one message.
  const auto alone = decode(bytes);
  const Read whole = read_stream(bytes, std::max<std::size_t>(bytes.size(), 1));
  const Read cut = read_stream(bytes, 1 + data[0] % 64U);
  RW_CHECK(whole == cut);

  std::vector<Message> all = whole.messages;
  if (alone) all.push_back(alone.value());
  for (const Message& message : all) {
    std::vector<std::byte> encoded;
    encode(message, encoded);
    RW_CHECK(load_le<std::uint32_t>(encoded.data()) == encoded.size() - kLengthBytes);
    const auto again = decode(std::span<const std::byte>(encoded).subspan(kLengthBytes));
    RW_CHECK(again.ok());
    RW_CHECK(again.value() == message);
  }
  return 0;
}
