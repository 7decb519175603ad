// The layers between a device and an engine, each alone: a port, and a session over a port.
#pragma once

#include "perf/load/scenes.h"

namespace ringwire::load {

Figures port_ping(Stage& stage);
Figures session_ping(Stage& stage);

}  // namespace ringwire::load
