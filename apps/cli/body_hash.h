// XXH3-64 of a payload at the speed of the widest vectors that the processor has: checking a
// payload must cost a benchmark as little as it can. Pure; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace ringwire::cli {

[[nodiscard]] std::uint64_t body_hash(std::span<const std::byte> body, std::uint64_t seed);

}  // namespace ringwire::cli
