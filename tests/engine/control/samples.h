// Example messages for the tests of this folder.
#pragma once

#include <string>

#include "engine/control/messages.h"

namespace ringwire::control {

inline Endpoint sample_endpoint(std::uint16_t port) {
  Endpoint endpoint;
  endpoint.address = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1};
  endpoint.port = port;
  return endpoint;
}

/// A Hello of node `name`; all of them fit each other.
inline Hello sample_hello(const std::string& name, std::uint64_t incarnation) {
  Hello hello;
  hello.features = 0b101;
  hello.cluster_name = "orders";
  hello.cluster_id = {7, 8};
  hello.node_name = name;
  hello.incarnation = {incarnation, 1};
  hello.secondaries = 1;
  hello.placement_version = 1;
  hello.placement_digest = 0x1111;
  hello.members_digest = 0x2222;
  hello.data_endpoints = {sample_endpoint(3200), sample_endpoint(3201)};
  hello.max_packet_bytes = 8'900;
  hello.receive_queue_bytes = 200'000;
  hello.message_slots = 4'096;
  hello.software_version = "0.1.0";
  hello.started_at_ns = 1'700'000'000'000'000'000;
  hello.weight = 65'536;
  hello.zone = "rack 1";
  hello.control_endpoint = sample_endpoint(3100);
  hello.nonce = 99;
  return hello;
}

/// Connection ids base, base + 1, ... for so many workers.
inline Sessions sample_sessions(std::uint8_t own_workers, std::uint8_t peer_workers,
                                std::uint64_t base) {
  Sessions sessions{own_workers, peer_workers, 8'944, {}};
  for (int count = own_workers * peer_workers; count > 0; --count)
    sessions.connection_ids.push_back(base++);
  return sessions;
}

}  // namespace ringwire::control
