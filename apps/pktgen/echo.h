// Sends each packet back to where it came from. One thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <utility>

#include "base/endpoint.h"
#include "engine/port/port.h"

namespace ringwire::pktgen {

/// Sources that are answered at a time; packets of others are dropped.
inline constexpr std::size_t kMaxSources = 1'024;

class Echo {
 public:
  void answer(port::Port& port, std::span<const port::RxPacket> packets);
  [[nodiscard]] std::uint64_t echoed() const { return echoed_; }
  [[nodiscard]] std::uint64_t dropped() const { return dropped_; }

 private:
  std::optional<port::DestinationId> destination_of(port::Port& port, const Endpoint& source);

  std::map<std::pair<port::Port*, Endpoint>, port::DestinationId> known_;
  port::Port* last_port_ = nullptr;
  Endpoint last_source_;
  port::DestinationId last_{};
  std::uint64_t echoed_ = 0;
  std::uint64_t dropped_ = 0;
};

}  // namespace ringwire::pktgen
