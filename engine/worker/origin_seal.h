// The seal of origin tokens: SipHash-2-4 (Aumasson and Bernstein 2012) under the engine's secret,
// so that a program can only answer who has spoken to this engine. Hot; pure.
#pragma once

#include <cstdint>

#include "ipc/layout.h"

namespace ringwire::worker {

/// The seal of all bytes of `token` but the seal itself.
[[nodiscard]] std::uint64_t origin_seal(const ipc::OriginToken& token,
                                        const std::uint64_t secret[2]);

}  // namespace ringwire::worker
