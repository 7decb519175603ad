// Counters of all workers at one moment, gathered without stopping them: asked for by mailbox,
// answered by notice, or given up after a deadline. Ring manager only; cold.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <vector>

#include "engine/node/workers.h"
#include "engine/worker/commands.h"

namespace ringwire::node {

class Snapshots {
 public:
  /// One per worker; nullptr for a worker that did not answer in time.
  using All = std::vector<std::unique_ptr<worker::WorkerSnapshot>>;
  using Then = std::function<void(const All&)>;

  Snapshots(boost::asio::io_context& manager, Workers& workers);

  /// Rows that each list may have; the worker fills in no more.
  struct Room {
    std::size_t sessions = 0;
    std::size_t channels = 0;
    std::size_t groups = 0;
  };
  /// Take one, and call `then` on the loop. Requests that come while one is under way share the
  /// next.
  void take(const Room& room, Then then);
  void on_taken(std::uint32_t worker, worker::SnapshotTaken& taken);
  void cancel();

 private:
  void start();
  void finish();

  boost::asio::steady_timer timer_;
  Workers& workers_;
  Room room_;
  All all_;
  std::vector<bool> asked_;  ///< a worker still holds one of an earlier round
  std::size_t missing_ = 0;
  bool under_way_ = false;
  std::vector<Then> now_;
  std::vector<Then> next_;
};

}  // namespace ringwire::node
