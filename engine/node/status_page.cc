#include "engine/node/status_page.h"

#include <atomic>
#include <cstring>

#include "base/check.h"
#include "engine/node/start_error.h"

namespace ringwire::node {
namespace {

// Release: pairs with the acquire in the client library; makes the record behind a count, or the
// name behind its length, visible before them. For states it orders nothing that matters.
template <typename Word>
void publish(Word& word, Word value) {
  std::atomic_ref<Word>(word).store(value, std::memory_order_release);
}

}  // namespace

StatusPage::StatusPage(const Id128& incarnation, bool random_cluster) {
  auto file = ipc::MemoryFile::create("ringwire-status", ipc::kStatusBytes);
  if (!file.ok()) throw StartError("no memory for the status page: see `free` and `df /dev/shm`");
  file_ = std::move(file).value();
  ipc::StatusHeader& page = header();
  page.layout_version = ipc::kLayoutVersion;
  page.node_capacity = ipc::kMaxNodes;
  page.incarnation_high = incarnation.high;
  page.incarnation_low = incarnation.low;
  page.self = ipc::kNoNode;
  page.cluster_type = random_cluster ? 1 : 0;
  page.features = ipc::kKnownFeatures;
  publish(page.magic, std::uint64_t{ipc::kStatusMagic});
}

std::optional<worker::NodeIndex> StatusPage::add(std::string_view name, PageRole role) {
  RW_CHECK(!name.empty() && name.size() <= kMaxNameBytes);
  if (const auto known = find(name)) {
    set_role(*known, role);
    return known;
  }
  const std::uint32_t index = count();
  if (index == ipc::kMaxNodes) return std::nullopt;
  ipc::NodeRecord& node = record(index);
  std::memcpy(node.name, name.data(), name.size());
  node.role = static_cast<std::uint32_t>(role);
  publish(node.name_bytes, static_cast<std::uint32_t>(name.size()));
  publish(header().node_count, index + 1);
  indices_.emplace(name, index);
  return index;
}

std::optional<worker::NodeIndex> StatusPage::find(std::string_view name) const {
  const auto found = indices_.find(std::string(name));
  if (found == indices_.end()) return std::nullopt;
  return found->second;
}

std::string StatusPage::name(worker::NodeIndex index) const {
  const ipc::NodeRecord& node = record(index);
  return {node.name, node.name_bytes};
}

std::uint32_t StatusPage::count() const { return header().node_count; }

void StatusPage::set_self(worker::NodeIndex index) { publish(header().self, index); }

void StatusPage::set_role(worker::NodeIndex index, PageRole role) {
  publish(record(index).role, static_cast<std::uint32_t>(role));
}

void StatusPage::set_state(worker::NodeIndex index, ipc::NodeState state) {
  publish(record(index).state, static_cast<std::uint32_t>(state));
  if (header().self == index) publish(header().state, static_cast<std::uint32_t>(state));
}

ipc::NodeState StatusPage::state(worker::NodeIndex index) const {
  return static_cast<ipc::NodeState>(record(index).state);
}

void StatusPage::set_incarnation(worker::NodeIndex index, std::uint64_t incarnation_low) {
  publish(record(index).incarnation_low, incarnation_low);
}

void StatusPage::set_epoch(std::uint64_t epoch) { publish(header().epoch, epoch); }

ipc::StatusHeader& StatusPage::header() const {
  return *reinterpret_cast<ipc::StatusHeader*>(file_.data());
}

ipc::NodeRecord& StatusPage::record(worker::NodeIndex index) const {
  RW_CHECK(index < ipc::kMaxNodes);
  return reinterpret_cast<ipc::NodeRecord*>(file_.data() + ipc::kStatusRecordsOffset)[index];
}

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
