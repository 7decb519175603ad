#include "apps/cli/body_hash.h"

// The library's variant that picks AVX2 or AVX-512 at run time; only x86 has it.
#if defined(__x86_64__)
#include <xxh_x86dispatch.h>
#else
#include <xxhash.h>
#endif

namespace ringwire::cli {

std::uint64_t body_hash(std::span<const std::byte> body, std::uint64_t seed) {
  return XXH3_64bits_withSeed(body.data(), body.size(), seed);
}

}  // namespace ringwire::cli
