// Little-endian encoding and decoding of bounded byte ranges: the only way that bytes from a
// network or a file become numbers here. A reader that runs past its end, and a writer without
// room, latch `ok() == false`, return zeros / write nothing, and never touch memory outside their
// range, so that one check at the end of a decode is enough. Any thread; hot; no allocation.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>

namespace ringwire {

static_assert(std::endian::native == std::endian::little,
              "load_le and store_le copy in native order");

template <typename T>
requires std::is_unsigned_v<T>
[[nodiscard]] inline T load_le(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

template <typename T>
requires std::is_unsigned_v<T>
inline void store_le(std::byte* at, T value) { std::memcpy(at, &value, sizeof value); }

/// A number of 64 bits in groups of 7.
inline constexpr std::size_t kMaxVarintBytes = 10;

/// Bytes that varint(value) takes: 7 bits a byte, least significant group first, 1 to 10 bytes.
[[nodiscard]] constexpr std::size_t varint_bytes(std::uint64_t value) {
  std::size_t bytes = 1;
  while (value >= 0x80) {
    value >>= 7;
    ++bytes;
  }
  return bytes;
}

/// A varint as it stands somewhere; 0 bytes: there is none.
struct DecodedVarint {
  std::uint64_t value = 0;
  std::uint64_t bytes = 0;
};

/// What ByteReader::varint() reads, of at most `room_bytes` bytes. Not inline in each place: most
/// varints have one byte, and are read where they stand.
[[gnu::noinline]] inline DecodedVarint decode_varint(const std::byte* at, std::size_t room_bytes) {
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    const std::size_t index = shift / 7;
    if (index == room_bytes) return {};
    const auto group = static_cast<std::uint8_t>(at[index]);
    if (shift == 63 && group > 1) return {};
    value |= static_cast<std::uint64_t>(group & 0x7f) << shift;
    if ((group & 0x80) != 0) continue;
    if (group == 0 && shift != 0) return {};
    return {value, index + 1};
  }
  return {};
}

class ByteReader {
 public:
  explicit ByteReader(std::span<const std::byte> source)
      : begin_(source.data()), at_(source.data()), end_(source.data() + source.size()) {}

  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] bool at_end() const { return at_ == end_; }
  [[nodiscard]] std::size_t offset_bytes() const { return static_cast<std::size_t>(at_ - begin_); }
  [[nodiscard]] std::size_t remaining_bytes() const { return static_cast<std::size_t>(end_ - at_); }

  template <typename T>
  [[nodiscard]] T read() {
    if (remaining_bytes() < sizeof(T)) [[unlikely]]
      return static_cast<T>(fail());
    at_ += sizeof(T);
    return load_le<T>(at_ - sizeof(T));
  }
  [[nodiscard]] std::uint8_t u8() { return read<std::uint8_t>(); }
  [[nodiscard]] std::uint16_t u16() { return read<std::uint16_t>(); }
  [[nodiscard]] std::uint32_t u32() { return read<std::uint32_t>(); }
  [[nodiscard]] std::uint64_t u64() { return read<std::uint64_t>(); }

  /// An unsigned LEB128 number; more than 64 bits, or a needless final zero group, is an error, so
  /// that each number has exactly one encoding.
  [[nodiscard]] std::uint64_t varint() {
    if (at_ != end_ && static_cast<std::uint8_t>(*at_) < 0x80) [[likely]]
      return static_cast<std::uint8_t>(*at_++);
    const DecodedVarint decoded = decode_varint(at_, remaining_bytes());
    if (decoded.bytes == 0) [[unlikely]]
      return fail();
    at_ += decoded.bytes;
    return decoded.value;
  }

  /// The next `bytes` bytes, in place; empty and !ok() when there are fewer.
  [[nodiscard]] std::span<const std::byte> view(std::size_t bytes) {
    if (bytes > remaining_bytes()) [[unlikely]] {
      fail();
      return {};
    }
    at_ += bytes;
    return {at_ - bytes, bytes};
  }

  /// Marks the input as bad, for a rule that the caller checks itself.
  std::uint64_t fail() {
    ok_ = false;
    at_ = end_;
    return 0;
  }

 private:
  const std::byte* begin_;
  const std::byte* at_;
  const std::byte* end_;
  bool ok_ = true;
};

class ByteWriter {
 public:
  explicit ByteWriter(std::span<std::byte> target)
      : begin_(target.data()), at_(target.data()), end_(target.data() + target.size()) {}

  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] std::size_t written_bytes() const { return static_cast<std::size_t>(at_ - begin_); }
  [[nodiscard]] std::size_t room_bytes() const { return static_cast<std::size_t>(end_ - at_); }
  [[nodiscard]] std::span<std::byte> written() const { return {begin_, written_bytes()}; }

  template <typename T>
  void write(T value) {
    if (std::byte* at = claim(sizeof(T))) store_le(at, value);
  }
  void u8(std::uint8_t value) { write(value); }
  void u16(std::uint16_t value) { write(value); }
  void u32(std::uint32_t value) { write(value); }
  void u64(std::uint64_t value) { write(value); }

  void varint(std::uint64_t value) {
    // Where any number fits, its length need not be known before.
    std::byte* at = room_bytes() >= kMaxVarintBytes ? at_ : claim(varint_bytes(value));
    if (at == nullptr) [[unlikely]]
      return;
    for (; value >= 0x80; value >>= 7) *at++ = static_cast<std::byte>(value | 0x80);
    *at++ = static_cast<std::byte>(value);
    at_ = at;
  }

  void bytes(std::span<const std::byte> source) {
    if (std::byte* at = claim(source.size()); at != nullptr && !source.empty())
      std::memcpy(at, source.data(), source.size());
  }

  /// Claims `bytes` bytes to be filled in later; nullptr and !ok() when there is no room.
  [[nodiscard]] std::byte* claim(std::size_t bytes) {
    if (bytes > room_bytes()) [[unlikely]] {
      ok_ = false;
      return nullptr;
    }
    at_ += bytes;
    return at_ - bytes;
  }

 private:
  std::byte* begin_;
  std::byte* at_;
  std::byte* end_;
  bool ok_ = true;
};

[[nodiscard]] inline std::span<const std::byte> as_bytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

[[nodiscard]] inline std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace ringwire
