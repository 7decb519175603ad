// CRC32C (Castagnoli, RFC 3720 appendix B.4): the checksum of frames in clear mode, alone or in the
// same pass as a copy. Folds by carry-less multiplication where the processor has it in 512-bit
// registers; else uses the crc32 instruction, three streams interleaved (its latency is three
// cycles, its throughput one); else tables. Not a protection against forgery. Any thread; hot; no
// allocation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace ringwire::wire {

/// Continue a checksum over more bytes. `crc` is 0 for the first call, else the last result.
[[nodiscard]] std::uint32_t crc32c(std::uint32_t crc, std::span<const std::byte> bytes);

/// Copy `source` to `target` (as many bytes, no overlap) and continue the checksum over them.
[[nodiscard]] std::uint32_t copy_with_crc32c(std::uint32_t crc, std::byte* target,
                                             std::span<const std::byte> source);

/// The same by tables only: the reference, and the way of processors without the instruction.
[[nodiscard]] std::uint32_t portable_crc32c(std::uint32_t crc, std::span<const std::byte> bytes);

/// The same by the crc32 instruction where there is one: the way of processors that cannot fold.
[[nodiscard]] std::uint32_t instruction_crc32c(std::uint32_t crc, std::span<const std::byte> bytes);

}  // namespace ringwire::wire
