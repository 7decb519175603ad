#include "tests/conformance/dpdk_rings.h"

#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_ring.h>

#include <array>
#include <cstring>

namespace ringwire::port::conformance {
namespace {

constexpr unsigned kRingPackets = 1'024;
constexpr unsigned kMaxQueues = 4;
using Rings = std::array<rte_ring*, kMaxQueues>;

bool make_rings(const std::string& name, unsigned count, Rings& rings) {
  for (unsigned index = 0; index < count; ++index) {
    const std::string one = name + "_" + std::to_string(index);
    rings[index] = rte_ring_create(one.c_str(), kRingPackets, SOCKET_ID_ANY,
                                   RING_F_SP_ENQ | RING_F_SC_DEQ | RING_F_EXACT_SZ);
    if (rings[index] == nullptr) return false;
  }
  return true;
}

/// Of the device's first queue, as the port names it.
rte_mempool* pool_of(std::uint16_t id) {
  const std::string name = "rw_" + std::to_string(id) + "_0";
  return rte_mempool_lookup(name.c_str());
}

}  // namespace

bool make_ring_pair(const std::string& a, const std::string& b, unsigned queues_count) {
  Rings to_a{};
  Rings to_b{};
  if (queues_count > kMaxQueues || !make_rings("to_" + a, queues_count, to_a) ||
      !make_rings("to_" + b, queues_count, to_b))
    return false;
  return rte_eth_from_rings(a.c_str(), to_a.data(), queues_count, to_b.data(), queues_count, 0) >=
             0 &&
         rte_eth_from_rings(b.c_str(), to_b.data(), queues_count, to_a.data(), queues_count, 0) >=
             0;
}

bool send_frame(const std::string& device, std::span<const Bytes> pieces) {
  std::uint16_t id = 0;
  if (rte_eth_dev_get_port_by_name(device.c_str(), &id) != 0) return false;
  rte_mempool* pool = pool_of(id);
  rte_mbuf* frame = nullptr;
  for (const Bytes& piece : pieces) {
    rte_mbuf* buffer = pool == nullptr ? nullptr : rte_pktmbuf_alloc(pool);
    char* room = buffer == nullptr
                     ? nullptr
                     : rte_pktmbuf_append(buffer, static_cast<std::uint16_t>(piece.size()));
    if (room == nullptr) return false;
    std::memcpy(room, piece.data(), piece.size());
    if (frame == nullptr)
      frame = buffer;
    else if (rte_pktmbuf_chain(frame, buffer) != 0)
      return false;
  }
  return frame != nullptr && rte_eth_tx_burst(id, 0, &frame, 1) == 1;
}

std::vector<Bytes> take_frames(const std::string& device) {
  std::vector<Bytes> frames;
  std::uint16_t id = 0;
  if (rte_eth_dev_get_port_by_name(device.c_str(), &id) != 0) return frames;
  std::array<rte_mbuf*, 64> received;
  const unsigned count = rte_eth_rx_burst(id, 0, received.data(), received.size());
  for (rte_mbuf* buffer : std::span(received).first(count)) {
    const auto* data = rte_pktmbuf_mtod(buffer, const std::byte*);
    frames.emplace_back(data, data + buffer->data_len);
    rte_pktmbuf_free(buffer);
  }
  return frames;
}

HeldBuffers::HeldBuffers(const std::string& device) {
  std::uint16_t id = 0;
  if (rte_eth_dev_get_port_by_name(device.c_str(), &id) != 0) return;
  rte_mempool* pool = pool_of(id);
  while (rte_mbuf* buffer = rte_pktmbuf_alloc(pool)) buffers_.push_back(buffer);
}
HeldBuffers::~HeldBuffers() {
  for (void* buffer : buffers_) rte_pktmbuf_free(static_cast<rte_mbuf*>(buffer));
}

}  // namespace ringwire::port::conformance
