// The view of the ring that this node works with, from the static member list: built on the
// background thread, published to the workers, kept until all have seen its successor. Names come
// from the configuration, weights and zones from the members' own hellos. Ring manager only; cold.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/node/background.h"
#include "engine/node/status_page.h"
#include "engine/node/workers.h"
#include "ring/placement.h"
#include "ring/view.h"

namespace ringwire::node {

struct RingViewOptions {
  ring::ClusterType type = ring::ClusterType::kHash;
  std::uint32_t secondaries = 0;
};

class RingView {
 public:
  RingView(const RingViewOptions& options, Workers& workers, Background& background,
           StatusPage& page);

  /// Set the members, if none are set yet; their node indices are those of the status page.
  /// Returns false when there is a list already.
  bool set_members(const std::vector<std::string>& names);
  [[nodiscard]] bool has_members() const { return !members_.empty(); }
  [[nodiscard]] bool is_member(const std::string& name) const;
  [[nodiscard]] std::vector<std::string> member_names() const;

  /// A member told its weight (16 fraction bits) and zone: a change makes a new view.
  void on_member(const std::string& name, std::uint32_t weight, const std::string& zone);
  void on_view_seen(const worker::ViewSeen& seen);
  /// Called once, when all workers have the first view.
  void when_ready(std::function<void()> then);

  /// Digest of the names alone, 0 without a list: what two nodes must have in common.
  [[nodiscard]] std::uint64_t names_digest() const;
  /// The newest view that was published, or nullptr.
  [[nodiscard]] const ring::View* current() const { return current_.get(); }

 private:
  void rebuild();
  void publish(std::shared_ptr<const ring::View> view);

  struct Kept {
    std::shared_ptr<const ring::View> view;
    std::uint32_t unseen = 0;  ///< workers that have not said ViewSeen
  };

  RingViewOptions options_;
  Workers& workers_;
  Background& background_;
  StatusPage& page_;
  std::vector<ring::Member> members_;
  std::uint64_t next_epoch_ = 1;
  std::shared_ptr<const ring::View> current_;
  std::vector<Kept> kept_;
  std::function<void()> ready_;
};

}  // namespace ringwire::node
