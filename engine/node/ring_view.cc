#include "engine/node/ring_view.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <optional>
#include <utility>

namespace ringwire::node {

RingView::RingView(const RingViewOptions& options, Workers& workers, Background& background,
                   StatusPage& page)
    : options_(options), workers_(workers), background_(background), page_(page) {}

bool RingView::set_members(const std::vector<std::string>& names) {
  if (has_members() || names.empty()) return false;
  for (const std::string& name : names) {
    const auto index = page_.add(name, PageRole::kServer);
    if (!index) break;  // more than the page holds: placement refuses the list with its reason
    ring::Member member;
    member.name = name;
    member.node_index = *index;
    members_.push_back(std::move(member));
  }
  rebuild();
  return true;
}

bool RingView::is_member(const std::string& name) const {
  return std::any_of(members_.begin(), members_.end(),
                     [&](const ring::Member& member) { return member.name == name; });
}

std::vector<std::string> RingView::member_names() const {
  std::vector<std::string> names;
  for (const ring::Member& member : members_) names.push_back(member.name);
  return names;
}

void RingView::on_member(const std::string& name, std::uint32_t weight, const std::string& zone) {
  for (ring::Member& member : members_) {
    if (member.name != name || (member.weight == weight && member.zone == zone)) continue;
    member.weight = weight;
    member.zone = zone;
    rebuild();
  }
}

void RingView::rebuild() {
  ring::PlacementInput input;
  input.epoch = next_epoch_++;
  input.type = options_.type;
  input.secondaries = options_.secondaries;
  background_.run(
      [input, members = members_]() mutable -> std::shared_ptr<const ring::View> {
        input.members = members;
        auto built = ring::build_view(input);
        if (!built.ok()) return nullptr;
        return std::make_shared<const ring::View>(std::move(built).value());
      },
      [this](std::shared_ptr<const ring::View> view) {
        if (view == nullptr) {
          spdlog::error(
              "the member list gives no ring: names must be unique, weights 1/256 to 1024");
          return;
        }
        publish(std::move(view));
      });
}

void RingView::publish(std::shared_ptr<const ring::View> view) {
  current_ = view;
  kept_.push_back({view, workers_.count()});
  page_.set_epoch(view->epoch);
  workers_.send_all(worker::SetView{view});
}

void RingView::on_view_seen(const worker::ViewSeen& seen) {
  for (Kept& kept : kept_)
    if (kept.view->epoch == seen.epoch && kept.unseen > 0) --kept.unseen;
  // Everything older than the newest view that all have seen can go.
  for (std::size_t index = kept_.size(); index > 1; --index) {
    if (kept_[index - 1].unseen > 0) continue;
    kept_.erase(kept_.begin(), kept_.begin() + static_cast<std::ptrdiff_t>(index - 1));
    break;
  }
  if (ready_ && !kept_.empty() && kept_.front().unseen == 0) std::exchange(ready_, nullptr)();
}

void RingView::when_ready(std::function<void()> then) {
  ready_ = std::move(then);
  if (!kept_.empty() && kept_.front().unseen == 0) std::exchange(ready_, nullptr)();
}

std::uint64_t RingView::names_digest() const {
  if (members_.empty()) return 0;
  std::vector<ring::Member> names;
  for (const ring::Member& member : members_) {
    ring::Member bare;
    bare.name = member.name;
    names.push_back(std::move(bare));
  }
  return ring::members_digest(names);
}

}  // namespace ringwire::node
