// The engine's answers to `ringwire status`, `nodes`, `slots`, `attachments`, `drops`, `version`
// and `drain`: JSON in, JSON out. Only reads what the other rooms of the node know; the counters of
// the workers come by snapshot. Ring manager only; cold.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/endpoint.h"
#include "base/ids.h"
#include "engine/node/attach_server.h"
#include "engine/node/attachments.h"
#include "engine/node/extent_files.h"
#include "engine/node/memory_budget.h"
#include "engine/node/peers.h"
#include "engine/node/ring_view.h"
#include "engine/node/services.h"
#include "engine/node/snapshots.h"
#include "engine/node/status_page.h"
#include "engine/node/workers.h"

namespace ringwire::node {

/// What never changes while the engine runs.
struct NodeFacts {
  std::string node;
  std::string cluster;
  bool random_cluster = false;
  bool server = true;
  std::string without_majority;
  Id128 incarnation;
  TimeNs started_ns = 0;
  Endpoint control;
  std::vector<Endpoint> data;
};

class Admin {
 public:
  using Answer = std::function<void(std::string json, std::uint32_t exit_code)>;

  struct Rooms {
    Workers& workers;
    Attachments& attachments;
    Services& services;
    MemoryBudget& budget;
    const ExtentFiles& extents;
    StatusPage& page;
    RingView& view;
    Peers& peers;
    Snapshots& snapshots;
    std::function<AttachCounters()> callers;
    /// Busy share of a worker over the last second, in 1/1,000.
    std::function<std::uint32_t(std::uint32_t worker)> busy_permille;
    /// Begin to drain; the engine ends after it.
    std::function<void()> drain;
  };

  Admin(NodeFacts facts, Rooms rooms);

  /// Answer one request. `owner`: the caller is the engine's own user or root; only it may drain.
  void handle(const std::string& request, bool owner, const Answer& answer);

 private:
  NodeFacts facts_;
  Rooms rooms_;
};

}  // namespace ringwire::node
