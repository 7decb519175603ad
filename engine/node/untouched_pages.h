// Zeroed memory straight from the system: a page is given when it is first touched, whatever the
// process has had and given back before (a heap hands out again what it got back, cleared by
// writing it). For the tables of sessions, most of which idle. Any thread; cold.
#pragma once

#include "base/zeroed_array.h"

namespace ringwire::node {

[[nodiscard]] ZeroedMemory untouched_pages();

}  // namespace ringwire::node
