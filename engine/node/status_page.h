// The page that every program maps read-only: names and states of the nodes, the epoch, this node's
// state (ipc/layout.h). Also the engine's own table of node indices: an index never changes its
// name. Ring manager only; programs read at any time, so what they may see changing is stored
// atomically.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/ids.h"
#include "engine/worker/commands.h"
#include "ipc/layout.h"
#include "ipc/memory_file.h"
#include "ipc/status_page.h"

namespace ringwire::node {

enum class PageRole : std::uint32_t { kServer = 0, kSlave = 1 };

class StatusPage {
 public:
  /// Errors: StartError when there is no memory for the page.
  StatusPage(const Id128& incarnation, bool random_cluster);

  /// The index of a node, new or known. Nothing when ipc::kMaxNodes are known already.
  std::optional<worker::NodeIndex> add(std::string_view name, PageRole role);
  [[nodiscard]] std::optional<worker::NodeIndex> find(std::string_view name) const;
  [[nodiscard]] std::string name(worker::NodeIndex index) const;
  [[nodiscard]] std::uint32_t count() const;

  void set_self(worker::NodeIndex index);
  void set_role(worker::NodeIndex index, PageRole role);
  void set_state(worker::NodeIndex index, ipc::NodeState state);
  [[nodiscard]] ipc::NodeState state(worker::NodeIndex index) const;
  void set_incarnation(worker::NodeIndex index, std::uint64_t incarnation_low);
  void set_epoch(std::uint64_t epoch);

  /// A new read-only descriptor for a program; the caller closes it. -1 with errno.
  [[nodiscard]] int open_read_only() const { return file_.open_read_only(); }

 private:
  ipc::MemoryFile file_;
  ipc::StatusPageWriter writer_{nullptr};
  ipc::StatusPage page_;
  std::unordered_map<std::string, worker::NodeIndex> indices_;
};

/// "up", "serving", ...
[[nodiscard]] const char* node_state_text(ipc::NodeState state);

}  // namespace ringwire::node
