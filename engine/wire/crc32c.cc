#include "engine/wire/crc32c.h"

#include <array>
#include <cstring>

#include "base/bytes.h"

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace ringwire::wire {
namespace {

constexpr std::uint32_t kPolynomial = 0x82f63b78;  // reflected Castagnoli

using Table = std::array<std::uint32_t, 256>;

constexpr std::array<Table, 8> make_slicing_tables() {
  std::array<Table, 8> tables{};
  for (std::uint32_t index = 0; index < 256; ++index) {
    std::uint32_t crc = index;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? kPolynomial : 0);
    tables[0][index] = crc;
  }
  for (std::size_t slice = 1; slice < 8; ++slice)
    for (std::size_t index = 0; index < 256; ++index) {
      const std::uint32_t before = tables[slice - 1][index];
      tables[slice][index] = (before >> 8) ^ tables[0][before & 0xff];
    }
  return tables;
}

constexpr std::array<Table, 8> kSlices = make_slicing_tables();

std::uint32_t update_portable(std::uint32_t state, const std::byte* at, std::size_t bytes) {
  while (bytes >= 8) {
    const std::uint64_t word = load_le<std::uint64_t>(at) ^ state;
    state = 0;
    for (std::size_t slice = 0; slice < 8; ++slice)
      state ^= kSlices[7 - slice][(word >> (8 * slice)) & 0xff];
    at += 8;
    bytes -= 8;
  }
  for (; bytes > 0; --bytes, ++at)
    state = (state >> 8) ^ kSlices[0][(state ^ static_cast<std::uint32_t>(*at)) & 0xff];
  return state;
}

#if defined(__x86_64__)

// Three streams of kLong (then kShort) bytes each are computed side by side; the checksums are
// joined by "multiplying" the earlier one by as many zero bytes as follow it, four table look-ups.
constexpr std::size_t kLongBytes = 1024;  // 3 KiB a round: two rounds in an 8 KiB fragment
constexpr std::size_t kShortBytes = 128;  // the rest, and frames of about 1 KiB

using ShiftTables = std::array<Table, 4>;

// A linear map of 32-bit vectors over GF(2), one image per bit.
using Matrix = std::array<std::uint32_t, 32>;

constexpr std::uint32_t apply(const Matrix& matrix, std::uint32_t vector) {
  std::uint32_t sum = 0;
  for (std::size_t bit = 0; bit < 32; ++bit)
    if ((vector >> bit & 1) != 0) sum ^= matrix[bit];
  return sum;
}

// The map "append `zero_bytes` zero bytes", for a power of two, by repeated squaring.
constexpr ShiftTables make_shift_tables(std::size_t zero_bytes) {
  Matrix matrix{};
  matrix[0] = kPolynomial;  // one zero bit
  for (std::size_t bit = 1; bit < 32; ++bit) matrix[bit] = std::uint32_t{1} << (bit - 1);
  for (std::size_t bits = 1; bits < zero_bytes * 8; bits *= 2) {
    Matrix squared{};
    for (std::size_t bit = 0; bit < 32; ++bit) squared[bit] = apply(matrix, matrix[bit]);
    matrix = squared;
  }
  ShiftTables tables{};
  for (std::size_t group = 0; group < 4; ++group)
    for (std::uint32_t value = 0; value < 256; ++value)
      tables[group][value] = apply(matrix, value << (8 * group));
  return tables;
}

constexpr ShiftTables kLongShift = make_shift_tables(kLongBytes);
constexpr ShiftTables kShortShift = make_shift_tables(kShortBytes);

inline std::uint64_t shift(const ShiftTables& tables, std::uint64_t crc) {
  return tables[0][crc & 0xff] ^ tables[1][(crc >> 8) & 0xff] ^ tables[2][(crc >> 16) & 0xff] ^
         tables[3][(crc >> 24) & 0xff];
}

struct Cursor {
  const std::byte* source;
  std::byte* target;  // nullptr: checksum only
  std::size_t bytes;
};

template <bool kCopy, std::size_t kStreamBytes>
__attribute__((target("sse4.2"))) inline std::uint64_t three_streams(std::uint64_t crc0,
                                                                     Cursor& cursor,
                                                                     const ShiftTables& tables) {
  while (cursor.bytes >= 3 * kStreamBytes) {
    std::uint64_t crc1 = 0;
    std::uint64_t crc2 = 0;
    for (std::size_t offset = 0; offset < kStreamBytes; offset += 8) {
      const auto word0 = load_le<std::uint64_t>(cursor.source + offset);
      const auto word1 = load_le<std::uint64_t>(cursor.source + kStreamBytes + offset);
      const auto word2 = load_le<std::uint64_t>(cursor.source + 2 * kStreamBytes + offset);
      if constexpr (kCopy) {
        store_le(cursor.target + offset, word0);
        store_le(cursor.target + kStreamBytes + offset, word1);
        store_le(cursor.target + 2 * kStreamBytes + offset, word2);
      }
      crc0 = _mm_crc32_u64(crc0, word0);
      crc1 = _mm_crc32_u64(crc1, word1);
      crc2 = _mm_crc32_u64(crc2, word2);
    }
    crc0 = shift(tables, crc0) ^ crc1;
    crc0 = shift(tables, crc0) ^ crc2;
    cursor.source += 3 * kStreamBytes;
    if constexpr (kCopy) cursor.target += 3 * kStreamBytes;
    cursor.bytes -= 3 * kStreamBytes;
  }
  return crc0;
}

template <bool kCopy>
__attribute__((target("sse4.2"))) std::uint32_t update_sse42(std::uint32_t state, Cursor cursor) {
  std::uint64_t crc = three_streams<kCopy, kLongBytes>(state, cursor, kLongShift);
  crc = three_streams<kCopy, kShortBytes>(crc, cursor, kShortShift);
  while (cursor.bytes >= 8) {
    const auto word = load_le<std::uint64_t>(cursor.source);
    if constexpr (kCopy) {
      store_le(cursor.target, word);
      cursor.target += 8;
    }
    crc = _mm_crc32_u64(crc, word);
    cursor.source += 8;
    cursor.bytes -= 8;
  }
  auto narrow = static_cast<std::uint32_t>(crc);
  for (; cursor.bytes > 0; --cursor.bytes) {
    if constexpr (kCopy) *cursor.target++ = *cursor.source;
    narrow = _mm_crc32_u8(narrow, static_cast<std::uint8_t>(*cursor.source++));
  }
  return narrow;
}

bool has_crc_instruction() {
  static const bool kHas = __builtin_cpu_supports("sse4.2") != 0;
  return kHas;
}

#endif

}  // namespace

std::uint32_t portable_crc32c(std::uint32_t crc, std::span<const std::byte> bytes) {
  return ~update_portable(~crc, bytes.data(), bytes.size());
}

std::uint32_t crc32c(std::uint32_t crc, std::span<const std::byte> bytes) {
#if defined(__x86_64__)
  if (has_crc_instruction()) [[likely]]
    return ~update_sse42<false>(~crc, Cursor{bytes.data(), nullptr, bytes.size()});
#endif
  return portable_crc32c(crc, bytes);
}

std::uint32_t copy_with_crc32c(std::uint32_t crc, std::byte* target,
                               std::span<const std::byte> source) {
#if defined(__x86_64__)
  if (has_crc_instruction()) [[likely]]
    return ~update_sse42<true>(~crc, Cursor{source.data(), target, source.size()});
#endif
  if (!source.empty()) std::memcpy(target, source.data(), source.size());
  return portable_crc32c(crc, source);
}

}  // namespace ringwire::wire
