#include "engine/node/status_page.h"

#include "base/check.h"
#include "engine/node/start_error.h"

namespace ringwire::node {

StatusPage::StatusPage(const Id128& incarnation, bool random_cluster) {
  auto file = ipc::MemoryFile::create("ringwire-status", ipc::kStatusBytes);
  if (!file.ok()) throw StartError("no memory for the status page: see `free` and `df /dev/shm`");
  file_ = std::move(file).value();
  writer_ = ipc::StatusPageWriter(file_.data());
  page_ = ipc::StatusPage(file_.data());
  writer_.begin(incarnation, random_cluster ? 1 : 0);
}

std::optional<worker::NodeIndex> StatusPage::add(std::string_view name, PageRole role) {
  RW_CHECK(!name.empty() && name.size() <= kMaxNameBytes);
  if (const auto known = find(name)) {
    set_role(*known, role);
    return known;
  }
  const std::uint32_t index = writer_.append(name, static_cast<std::uint32_t>(role));
  if (index == ipc::kNoNode) return std::nullopt;  // full
  indices_.emplace(name, index);
  return index;
}

std::optional<worker::NodeIndex> StatusPage::find(std::string_view name) const {
  const auto found = indices_.find(std::string(name));
  if (found == indices_.end()) return std::nullopt;
  return found->second;
}

std::string StatusPage::name(worker::NodeIndex index) const {
  return std::string(page_.name(index));
}

std::uint32_t StatusPage::count() const { return page_.node_count(); }

void StatusPage::set_self(worker::NodeIndex index) { writer_.set_self(index); }

void StatusPage::set_role(worker::NodeIndex index, PageRole role) {
  RW_CHECK(index < count());
  writer_.set_node_role(index, static_cast<std::uint32_t>(role));
}

void StatusPage::set_state(worker::NodeIndex index, ipc::NodeState state) {
  RW_CHECK(index < count());
  writer_.set_node_state(index, state);
  if (page_.self() == index) writer_.set_state(state);
}

ipc::NodeState StatusPage::state(worker::NodeIndex index) const {
  return static_cast<ipc::NodeState>(page_.node_state(index));
}

void StatusPage::set_incarnation(worker::NodeIndex index, std::uint64_t incarnation_low) {
  RW_CHECK(index < count());
  writer_.set_node_incarnation(index, incarnation_low);
}

void StatusPage::set_epoch(std::uint64_t epoch) { writer_.set_epoch(epoch); }

const char* node_state_text(ipc::NodeState state) {
  switch (state) {
    case ipc::NodeState::kUnknown:
      return "unknown";
    case ipc::NodeState::kUp:
      return "up";
    case ipc::NodeState::kServing:
      return "serving";
    case ipc::NodeState::kSuspended:
      return "suspended";
    case ipc::NodeState::kReturning:
      return "returning";
    case ipc::NodeState::kJoining:
      return "joining";
    case ipc::NodeState::kLeaving:
      return "leaving";
    case ipc::NodeState::kOut:
      return "out";
    case ipc::NodeState::kDown:
      return "down";
    case ipc::NodeState::kHung:
      return "hung";
  }
  return "unknown";
}

}  // namespace ringwire::node
