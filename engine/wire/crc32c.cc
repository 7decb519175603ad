#include "engine/wire/crc32c.h"

#include <array>
#include <cstring>

#include "base/bytes.h"

#if defined(__x86_64__)
#pragma GCC diagnostic push
#if !defined(__clang__)
// GCC 12's own header makes "undefined" registers in a way that it warns of (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>
#pragma GCC diagnostic pop
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

// Folding by carry-less multiplication, 256 bytes a round in four 512-bit registers (Gopal et al.,
// "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ Instruction", Intel 2009). A lane
// of 16 bytes that `distance_bits` follow is worth its two halves multiplied by x^(distance + 64)
// and x^distance modulo the polynomial. A product of two bit-reflected numbers stands one bit too
// low, which the exponents make up for.
constexpr std::uint64_t fold_constant(std::size_t exponent) {
  std::uint32_t power = 0x8000'0000;  // x^0
  for (std::size_t step = 0; step < exponent; ++step)
    power = (power >> 1) ^ ((power & 1) != 0 ? kPolynomial : 0);
  return std::uint64_t{power} << 32;
}

struct FoldConstants {
  std::uint64_t first_half;  // of the 8 bytes that come first in memory
  std::uint64_t second_half;
};

constexpr FoldConstants fold_constants(std::size_t distance_bits) {
  return {fold_constant(distance_bits + 64 - 1), fold_constant(distance_bits - 1)};
}

constexpr std::size_t kFoldBytes = 256;  // one round
constexpr FoldConstants kFold2048 = fold_constants(2048);
constexpr FoldConstants kFold512 = fold_constants(512);
constexpr FoldConstants kFold128 = fold_constants(128);

#define RW_FOLD_TARGET __attribute__((target("avx512f,avx512vl,vpclmulqdq,pclmul,sse4.2")))

RW_FOLD_TARGET inline __m512i fold(__m512i sum, __m512i constants, __m512i next) {
  const __m512i first = _mm512_clmulepi64_epi128(sum, constants, 0x00);
  const __m512i second = _mm512_clmulepi64_epi128(sum, constants, 0x11);
  return _mm512_ternarylogic_epi64(first, second, next, 0x96);  // exclusive or of three
}

RW_FOLD_TARGET inline __m128i fold(__m128i sum, __m128i constants, __m128i next) {
  const __m128i first = _mm_clmulepi64_si128(sum, constants, 0x00);
  const __m128i second = _mm_clmulepi64_si128(sum, constants, 0x11);
  return _mm_ternarylogic_epi64(first, second, next, 0x96);
}

RW_FOLD_TARGET inline __m128i load(FoldConstants constants) {
  return _mm_set_epi64x(static_cast<long long>(constants.second_half),
                        static_cast<long long>(constants.first_half));
}

template <bool kCopy>
RW_FOLD_TARGET inline __m512i take(const Cursor& cursor, std::size_t offset) {
  const __m512i words = _mm512_loadu_si512(cursor.source + offset);
  if constexpr (kCopy) _mm512_storeu_si512(cursor.target + offset, words);
  return words;
}

/// At least kFoldBytes; what is left over at the end goes on with the crc32 instruction.
template <bool kCopy>
RW_FOLD_TARGET std::uint32_t update_folding(std::uint32_t state, Cursor cursor) {
  const __m512i by_round = _mm512_broadcast_i32x4(load(kFold2048));
  const __m512i by_register = _mm512_broadcast_i32x4(load(kFold512));
  const __m128i by_lane = load(kFold128);
  const auto advance = [&cursor](std::size_t bytes) {
    cursor.source += bytes;
    if constexpr (kCopy) cursor.target += bytes;
    cursor.bytes -= bytes;
  };
  const __m512i before = _mm512_zextsi128_si512(_mm_cvtsi32_si128(static_cast<int>(state)));
  __m512i sum0 = _mm512_xor_si512(take<kCopy>(cursor, 0), before);
  __m512i sum1 = take<kCopy>(cursor, 64);
  __m512i sum2 = take<kCopy>(cursor, 128);
  __m512i sum3 = take<kCopy>(cursor, 192);
  advance(kFoldBytes);
  while (cursor.bytes >= kFoldBytes) {
    sum0 = fold(sum0, by_round, take<kCopy>(cursor, 0));
    sum1 = fold(sum1, by_round, take<kCopy>(cursor, 64));
    sum2 = fold(sum2, by_round, take<kCopy>(cursor, 128));
    sum3 = fold(sum3, by_round, take<kCopy>(cursor, 192));
    advance(kFoldBytes);
  }
  __m512i sum = fold(sum0, by_register, sum1);
  sum = fold(sum, by_register, sum2);
  sum = fold(sum, by_register, sum3);
  while (cursor.bytes >= 64) {
    sum = fold(sum, by_register, take<kCopy>(cursor, 0));
    advance(64);
  }
  __m128i lane = _mm512_castsi512_si128(sum);
  lane = fold(lane, by_lane, _mm512_extracti32x4_epi32(sum, 1));
  lane = fold(lane, by_lane, _mm512_extracti32x4_epi32(sum, 2));
  lane = fold(lane, by_lane, _mm512_extracti32x4_epi32(sum, 3));
  // The checksum of these 16 bytes is that of all before them.
  std::uint64_t crc = _mm_crc32_u64(0, static_cast<std::uint64_t>(_mm_cvtsi128_si64(lane)));
  crc = _mm_crc32_u64(crc, static_cast<std::uint64_t>(_mm_extract_epi64(lane, 1)));
  return update_sse42<kCopy>(static_cast<std::uint32_t>(crc), cursor);
}

enum class Means : std::uint8_t { kTables, kInstruction, kFolding };

Means means() {
  static const Means kMeans = [] {
    if (__builtin_cpu_supports("sse4.2") == 0) return Means::kTables;
    const bool folds = __builtin_cpu_supports("avx512f") != 0 &&
                       __builtin_cpu_supports("avx512vl") != 0 &&
                       __builtin_cpu_supports("vpclmulqdq") != 0;
    return folds ? Means::kFolding : Means::kInstruction;
  }();
  return kMeans;
}

template <bool kCopy>
std::uint32_t update(Means how, std::uint32_t state, const Cursor& cursor) {
  return how == Means::kFolding && cursor.bytes >= kFoldBytes ? update_folding<kCopy>(state, cursor)
                                                              : update_sse42<kCopy>(state, cursor);
}

#endif

}  // namespace

std::uint32_t portable_crc32c(std::uint32_t crc, std::span<const std::byte> bytes) {
  return ~update_portable(~crc, bytes.data(), bytes.size());
}

std::uint32_t crc32c(std::uint32_t crc, std::span<const std::byte> bytes) {
#if defined(__x86_64__)
  if (const Means how = means(); how != Means::kTables) [[likely]]
    return ~update<false>(how, ~crc, Cursor{bytes.data(), nullptr, bytes.size()});
#endif
  return portable_crc32c(crc, bytes);
}

std::uint32_t instruction_crc32c(std::uint32_t crc, std::span<const std::byte> bytes) {
#if defined(__x86_64__)
  if (means() != Means::kTables)
    return ~update_sse42<false>(~crc, Cursor{bytes.data(), nullptr, bytes.size()});
#endif
  return portable_crc32c(crc, bytes);
}

std::uint32_t copy_with_crc32c(std::uint32_t crc, std::byte* target,
                               std::span<const std::byte> source) {
#if defined(__x86_64__)
  if (const Means how = means(); how != Means::kTables) [[likely]]
    return ~update<true>(how, ~crc, Cursor{source.data(), target, source.size()});
#endif
  if (!source.empty()) std::memcpy(target, source.data(), source.size());
  return portable_crc32c(crc, source);
}

}  // namespace ringwire::wire
