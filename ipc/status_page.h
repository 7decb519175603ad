// The status page: the nodes that an engine knows and the state of each, written by the engine's
// ring manager, mapped read-only by every program (docs/segment.md, S-50, S-51). Records are only
// appended; a record is complete before node_count shows it. Cold.
//
//   field                        | written by            | read by
//   header but epoch, counts ... | begin(), before magic | programs, after magic
//   magic, epoch, self, state    | the ring manager      | programs, at any time
//   record i: name, role         | append(), before      | programs, after node_count
//   node_count                   |   node_count shows it |
//   record i: role, state        | the ring manager      | programs, at any time
//
// An engine that dies between two of these stores leaves a page without the node that it was about
// to add, or with a node whose state is the one before.
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

#include "ipc/doorbell.h"
#include "ipc/layout.h"

namespace ringwire::ipc {

/// The engine's side. One thread. `data` is kStatusBytes of zeroed memory.
template <typename Words>
class BasicStatusPageWriter {
 public:
  explicit BasicStatusPageWriter(std::byte* data) : data_(data) {}

  void begin(Id128 incarnation, std::uint32_t cluster_type) {
    StatusHeader& head = header();
    head.layout_version = kLayoutVersion;
    head.node_capacity = kMaxNodes;
    head.incarnation_high = incarnation.high;
    head.incarnation_low = incarnation.low;
    head.self = kNoNode;
    head.cluster_type = cluster_type;
    head.features = kKnownFeatures;
    store_published<Words>(head.magic, std::uint64_t{kStatusMagic});
  }
  /// Add a node whose name is not there yet. Its index; kNoNode when the page is full or the name
  /// is empty or too long.
  std::uint32_t append(std::string_view name, std::uint32_t role) {
    const std::uint32_t index = load_published<Words>(header().node_count);
    if (name.empty() || name.size() > kMaxNameBytes || index >= kMaxNodes) return kNoNode;
    NodeRecord& fresh = record(index);
    std::memcpy(fresh.name, name.data(), name.size());
    fresh.role = role;
    store_published<Words>(fresh.name_bytes, static_cast<std::uint32_t>(name.size()));
    store_published<Words>(header().node_count, index + 1);
    return index;
  }
  void set_node_role(std::uint32_t index, std::uint32_t role) {
    store_published<Words>(record(index).role, role);
  }
  void set_node_state(std::uint32_t index, NodeState state) {
    store_published<Words>(record(index).state, static_cast<std::uint32_t>(state));
  }
  void set_node_incarnation(std::uint32_t index, std::uint64_t incarnation_low) {
    store_published<Words>(record(index).incarnation_low, incarnation_low);
  }
  void set_self(std::uint32_t index) { store_published<Words>(header().self, index); }
  void set_state(NodeState state) {
    store_published<Words>(header().state, static_cast<std::uint32_t>(state));
  }
  void set_epoch(std::uint64_t epoch) { store_published<Words>(header().epoch, epoch); }

 private:
  [[nodiscard]] StatusHeader& header() { return *reinterpret_cast<StatusHeader*>(data_); }
  [[nodiscard]] NodeRecord& record(std::uint32_t index) {
    return reinterpret_cast<NodeRecord*>(data_ + kStatusRecordsOffset)[index];
  }
  std::byte* data_;
};
using StatusPageWriter = BasicStatusPageWriter<SharedWords>;

/// A program's side: whatever the page says, nothing outside of kStatusBytes is read. Any thread.
template <typename Words>
class BasicStatusPage {
 public:
  BasicStatusPage() = default;
  explicit BasicStatusPage(const std::byte* data) : data_(data) {}

  [[nodiscard]] bool valid() const {
    return data_ != nullptr && load_published<Words>(header().magic) == kStatusMagic &&
           header().layout_version == kLayoutVersion && (header().features & ~kKnownFeatures) == 0;
  }
  [[nodiscard]] std::uint32_t layout_version() const { return header().layout_version; }
  [[nodiscard]] std::uint32_t node_count() const {
    const std::uint32_t count = load_published<Words>(header().node_count);
    return count < kMaxNodes ? count : kMaxNodes;
  }
  /// Empty when there is no such node.
  [[nodiscard]] std::string_view name(std::uint32_t index) const {
    if (index >= node_count()) return {};
    const std::uint32_t name_bytes = load_published<Words>(record(index).name_bytes);
    return {record(index).name, name_bytes <= kMaxNameBytes ? name_bytes : 0};
  }
  /// kNoNode when there is none.
  [[nodiscard]] std::uint32_t find(std::string_view name_wanted) const {
    const std::uint32_t count = node_count();
    for (std::uint32_t index = 0; index < count; ++index)
      if (!name_wanted.empty() && name(index) == name_wanted) return index;
    return kNoNode;
  }
  [[nodiscard]] std::uint32_t node_state(std::uint32_t index) const {
    return index < node_count() ? load_published<Words>(record(index).state) : 0;
  }
  [[nodiscard]] std::uint32_t node_role(std::uint32_t index) const {
    return index < node_count() ? load_published<Words>(record(index).role) : 0;
  }
  [[nodiscard]] std::uint32_t self() const { return load_published<Words>(header().self); }
  [[nodiscard]] std::uint32_t state() const { return load_published<Words>(header().state); }
  [[nodiscard]] std::uint64_t epoch() const { return load_published<Words>(header().epoch); }

 private:
  [[nodiscard]] const StatusHeader& header() const {
    return *reinterpret_cast<const StatusHeader*>(data_);
  }
  [[nodiscard]] const NodeRecord& record(std::uint32_t index) const {
    return reinterpret_cast<const NodeRecord*>(data_ + kStatusRecordsOffset)[index];
  }
  const std::byte* data_ = nullptr;
};
using StatusPage = BasicStatusPage<SharedWords>;

}  // namespace ringwire::ipc
