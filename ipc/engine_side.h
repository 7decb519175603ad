// What a channel has of one engine process: the link, the queues, the maps of its files, the
// meaning of its numbers. When the engine dies it is replaced as a whole; the old one lives on,
// with only its maps, until the last message that points into them is released. One thread.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "ipc/extent_maps.h"
#include "ipc/name_table.h"
#include "ipc/program_queues.h"

namespace ringwire::ipc {

struct EngineSide {
  EngineSide(ProgramClient& client, std::uint32_t channel, std::shared_ptr<AttachLink> to)
      : link(std::move(to)), maps(client, channel) {}

  std::shared_ptr<AttachLink> link;
  std::unique_ptr<ProgramQueues> queues;
  ExtentMaps maps;
  std::vector<std::uint32_t> node_names;                          ///< by index in the status page
  std::vector<std::pair<std::uint16_t, std::uint32_t>> services;  ///< handle, name
  std::uint32_t last_node = kNoNode;
  const char* last_node_text = "";
  std::uint16_t last_service = 0;
  const char* last_service_text = "";

  [[nodiscard]] std::uint32_t node_name(NameTable& names, std::uint32_t index) {
    if (index < node_names.size() && node_names[index] != 0) return node_names[index];
    const std::string_view text = link->status().name(index);
    if (text.empty()) return 0;
    if (index >= node_names.size()) node_names.resize(index + 1);
    node_names[index] = names.intern(text);
    return node_names[index];
  }
  /// Texts for messages, of which many in a row come from one node for one service.
  [[nodiscard]] const char* node_text(NameTable& names, std::uint32_t index) {
    if (index == last_node) return last_node_text;
    const std::uint32_t name = node_name(names, index);
    const char* const text = names.text(name).c_str();
    if (name != 0) {  // else it may get one yet
      last_node = index;
      last_node_text = text;
    }
    return text;
  }
  [[nodiscard]] const char* service_text(const NameTable& names, std::uint16_t handle) {
    if (handle == last_service) return last_service_text;
    const std::uint32_t name = service_name(handle);
    const char* const text = names.text(name).c_str();
    if (name != 0) {
      last_service = handle;
      last_service_text = text;
    }
    return text;
  }
  [[nodiscard]] std::uint32_t service_name(std::uint16_t handle) const {
    for (const auto& [known, name] : services)
      if (known == handle) return name;
    return 0;
  }
};

}  // namespace ringwire::ipc

/// A received message; the ABI's opaque handle. Lives in its channel's pool.
struct rw_message {
  ringwire::ipc::Delivery entry;
  const std::byte* key;
  const std::byte* data;
  ringwire::ipc::EngineSide* side;
  ringwire::ipc::ExtentMap* map;  ///< nullptr: inline
  rw_message* next;
  const char* service;
  const char* origin_node;
  std::uint32_t worker;
  bool live;  ///< handed to the program and not released
  bool replied;
};
