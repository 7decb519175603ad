#include "perf/load/load_node.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/hash.h"
#include "ipc/extent_pool.h"
#include "perf/load/trap.h"
#include "ring/placement.h"

namespace ringwire::load {
namespace {

/// As the client library asks for.
constexpr std::uint32_t kEntries = ipc::kDefaultSubmissionEntries;
constexpr DurationNs kSettleNs = 3 * kMillisecondNs;

std::uint32_t node_of(Side side) { return static_cast<std::uint32_t>(side); }
Side other(Side side) { return side == Side::kA ? Side::kB : Side::kA; }
/// Any two numbers that differ and are not 0.
std::uint64_t connection_id(Side to) { return 0x10ad'0000 + node_of(to) + 1; }

std::shared_ptr<const ring::View> view() {
  std::vector<ring::Member> members(2);
  for (const Side side : {Side::kA, Side::kB}) {
    members[node_of(side)].name = std::string(1, side == Side::kA ? 'a' : 'b');
    members[node_of(side)].node_index = node_of(side);
  }
  ring::PlacementInput input;
  input.epoch = 1;
  input.secondaries = 0;
  input.members = members;
  auto built = ring::build_view(input);
  RW_CHECK(built.ok());
  return std::make_shared<const ring::View>(std::move(built).value());
}

std::uint64_t hash_owned_by(const ring::View& view, Side side) {
  std::uint64_t hash = 1;
  while (view.members[view.replicas_of(slot_of(hash)).front()].node_index != node_of(side)) ++hash;
  return hash;
}

}  // namespace

LoadNode::LoadNode(Side side, port::Port& port, const Endpoint& remote,
                   std::uint64_t receive_queue_bytes)
    : side_(side), port_(port) {
  returned_.reserve(64);
  const TimeNs now = node::clock_now_ns();
  worker::WorkerConfig config;
  config.self = node_of(side);
  config.incarnation_low = 1 + node_of(side);
  config.seed = 7 + node_of(side);
  worker_ = std::make_unique<worker::Worker>(config, port_, commands_, notices_, now);
  const auto known = view();
  hash_ = hash_owned_by(*known, other(side));
  command(worker::SetView{known});
  for (std::uint16_t size_class = 0; size_class < ipc::kExtentClassBytes.size(); ++size_class)
    add_file(size_class, ipc::kClassFileBytes, 0);
  program_ = std::make_unique<sim::ProgramChannel>(1, 1, 0, kEntries);
  command(worker::AddChannel{0, program_->engine(), {1 + node_of(side), 1}, 0, 0, 1});
  command(worker::AddConsumer{0, 0, false, 0});
  transport::SessionConfig session;
  session.local_connection_id = connection_id(side);
  session.remote_connection_id = connection_id(other(side));
  session.max_packet_bytes = port.max_payload_bytes();
  session.peer_receive_queue_bytes = receive_queue_bytes;
  command(worker::AddSession{node_of(other(side)), 0, 1, remote, session.local_connection_id,
                             std::make_unique<transport::Session>(session, now)});
  command(worker::SetPeerState{node_of(other(side)), worker::PeerState::kUp});
  turn();
}

LoadNode::~LoadNode() = default;

void LoadNode::turn(TimeNs now) {
  worker_->turn(now);
  if (!notices_.empty()) obey();
}

void LoadNode::settle() {
  ipc::Delivery delivery;
  const TimeNs deadline = Meeting::deadline();
  while (in_flight() != 0) {
    turn();
    while (receive(delivery)) release(delivery);
    RW_CHECK(node::clock_now_ns() < deadline);
  }
  for (const TimeNs end = node::clock_now_ns() + kSettleNs; node::clock_now_ns() < end;) {
    turn();
    while (receive(delivery)) release(delivery);
  }
}

// ---- the program --------------------------------------------------------------------------------

ipc::Submission LoadNode::message() {
  ipc::Submission message;
  std::memset(&message, 0, offsetof(ipc::Submission, inline_bytes));
  message.sequence = next_sequence_;
  message.hash = hash_;
  message.target = static_cast<std::uint8_t>(ipc::TargetKind::kKey);
  message.level = static_cast<std::uint8_t>(Level::kProcessed);
  return message;
}

bool LoadNode::submit(const ipc::Submission& submission) {
  if (!program_->submit(submission)) return false;
  if (program_->take_bell(0)) worker_->wake_channel(0);
  ++next_sequence_;
  ++submitted_;
  return true;
}

bool LoadNode::receive(ipc::Delivery& delivery) {
  std::uint32_t worker = 0;
  while (program_->receive(delivery, worker)) {
    if (program_->take_bell(0)) worker_->wake_channel(0);
    const auto kind = static_cast<ipc::DeliveryKind>(delivery.kind);
    if (kind == ipc::DeliveryKind::kMessage) return true;
    if (kind == ipc::DeliveryKind::kReply) {
      ++ended_;
      return true;
    }
    for (std::uint8_t at = 0; at < delivery.count; ++at) {
      ipc::OutcomeRecord record;
      std::memcpy(&record, delivery.inline_bytes + at * sizeof record, sizeof record);
      ++ended_;
      if (record.ending != static_cast<std::uint8_t>(Ending::kDone)) ++failed_;
    }
  }
  return false;
}

void LoadNode::release(const ipc::Delivery& delivery, std::uint32_t flags) {
  RW_CHECK(program_->release(0, {delivery.token, 0, flags}));
  if (program_->take_bell(0)) worker_->wake_channel(0);
}

std::vector<LoadNode::Buffer> LoadNode::buffers(std::uint64_t bytes, std::size_t count) {
  std::vector<Buffer>& known = buffers_[bytes];
  while (known.size() < count) {
    auto made = ipc::MemoryFile::create("load-send", bytes);
    RW_CHECK(made.ok());
    sending_.push_back(std::move(made).value());
    const auto file = static_cast<std::uint32_t>(sending_.size());
    known.push_back({sending_.back().data(), file});
    command(worker::AddFile{0, file, sending_.back().data(), bytes, file});
    while (files_ready_ < file) turn();
  }
  return {known.begin(), known.begin() + static_cast<std::ptrdiff_t>(count)};
}

const std::byte* LoadNode::payload_of(const ipc::Delivery& delivery) const {
  if (delivery.extent_file == 0) return delivery.inline_bytes + delivery.key_bytes;
  const std::uint32_t file = delivery.extent_file;
  const std::byte* data = file >= worker::kWorkerFileBase
                              ? own_files_[file - worker::kWorkerFileBase]->data()
                              : file_data_[file];
  return data + delivery.payload_offset;
}

transport::SessionCounters LoadNode::session_counters() {
  auto asked = std::make_unique<worker::WorkerSnapshot>();
  asked->sessions.reserve(4);
  asked->channels.reserve(4);
  asked->groups.reserve(4);
  command(worker::TakeSnapshot{std::move(asked)});
  while (snapshot_ == nullptr) turn();
  const auto taken = std::exchange(snapshot_, nullptr);
  return taken->sessions.empty() ? transport::SessionCounters{} : taken->sessions.front().counters;
}

// ---- the ring manager ---------------------------------------------------------------------------

void LoadNode::command(worker::Command item) {
  while (!commands_.try_push(item)) turn();
}

void LoadNode::obey() {
  worker::Notice notice;
  while (notices_.try_pop(notice)) {
    if (const auto* ready = std::get_if<worker::FileReady>(&notice)) {
      files_ready_ = static_cast<std::uint32_t>(ready->request);
    } else if (const auto* small = std::get_if<worker::NeedClassFile>(&notice)) {
      add_file(small->size_class, ipc::kClassFileBytes, 0);
    } else if (const auto* large = std::get_if<worker::NeedLarge>(&notice)) {
      add_file(ipc::kLargeClass, large->bytes, large->request);
    } else if (const auto* back = std::get_if<worker::ReturnFile>(&notice)) {
      // Files come back after seconds without use, which a slow machine has between two scenes; an
      // engine's helper unmaps them, and makes others when they are wanted again.
      if (system_calls_forbidden())
        returned_.push_back(back->file);
      else
        files_.erase(back->file);
    } else if (auto* own = std::get_if<worker::OwnFile>(&notice)) {
      own_files_.push_back(std::move(own->memory));
    } else if (auto* taken = std::get_if<worker::SnapshotTaken>(&notice)) {
      snapshot_ = std::move(taken->snapshot);
    }
    RW_CHECK(!std::holds_alternative<worker::SessionBroken>(notice));
    notice = std::monostate{};
  }
  worker_->bell_changes().clear();
}

void LoadNode::add_file(std::uint16_t size_class, std::uint64_t bytes, std::uint64_t request) {
  const auto kept = std::find_if(returned_.begin(), returned_.end(), [&](std::uint32_t number) {
    return files_.at(number).bytes() == bytes;
  });
  if (kept != returned_.end()) {
    const std::uint32_t number = *kept;
    returned_.erase(kept);
    command(worker::AddExtentFile{0, number, files_.at(number).data(), bytes, size_class, request});
    return;
  }
  auto made = ipc::MemoryFile::create("load-receive", bytes);
  RW_CHECK(made.ok());
  const std::uint32_t number = next_file_++;
  std::byte* data = made.value().data();
  files_[number] = std::move(made).value();
  file_data_.resize(number + 1);
  file_data_[number] = data;
  command(worker::AddExtentFile{0, number, data, bytes, size_class, request, {}});
}

}  // namespace ringwire::load
