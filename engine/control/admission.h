// May these two engines work together? One pure function over their Hellos; both sides ask it, so
// both know the reason. Cold.
#pragma once

#include <optional>

#include "engine/control/messages.h"

namespace ringwire::control {

/// Why `own` turns `peer` away, with a sentence that says what was found and what is needed;
/// nothing when they fit. The digests are compared only where both sides have one.
[[nodiscard]] std::optional<HelloRefuse> find_refusal(const Hello& own, const Hello& peer);

/// The wire version that both speak; only of Hellos that fit.
[[nodiscard]] std::uint16_t agreed_wire_version(const Hello& own, const Hello& peer);

}  // namespace ringwire::control
