#include "tests/sim/node.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <utility>

#include "base/hash.h"
#include "ipc/extent_pool.h"
#include "tests/sim/program.h"

namespace ringwire::sim {
namespace {

/// What a turn costs: who did work has the next one so much later.
constexpr DurationNs kTurnNs = 5 * kMicrosecondNs;
/// Beyond the first of each class and worker.
constexpr std::uint64_t kMoreClassFiles = 8;

}  // namespace

void Stage::note(std::uint64_t value) {
  hash = mix64(hash ^ value ^ mix64(static_cast<std::uint64_t>(now)));
}

void Stage::trace(const char* format, ...) {
  if (!options.trace) return;
  std::printf("%12.3f us  ", static_cast<double>(now) / 1e3);
  va_list arguments;
  va_start(arguments, format);
  std::vprintf(format, arguments);
  va_end(arguments);
  std::putchar('\n');
}

Node::Node(Stage& stage, std::uint32_t node, bool is_server)
    : index(node), server(is_server), stage_(stage) {
  const std::int64_t drift = stage.options.skewed_clocks
                                 ? static_cast<std::int64_t>(stage.random.below(100'001)) - 50'000
                                 : 0;
  clock = LocalClock(static_cast<TimeNs>(stage.random.below(1'000)) * kSecondNs, drift);
}

Node::~Node() = default;

// ---- beginning and end --------------------------------------------------------------------------

void Node::start() {
  const WorldOptions& options = stage_.options;
  alive = true;
  ++life;
  restart_at = kNeverNs;
  paused_until_ = 0;
  slowness_ = 1;
  draining_ = false;
  drained_count_ = 0;
  ManagerConfig config;
  config.self = index;
  config.nodes = static_cast<std::uint32_t>(stage_.nodes.size());
  config.servers = options.servers;
  config.workers = server ? options.workers : 1;
  config.server = server;
  config.secondaries = options.secondaries;
  config.max_packet_bytes = options.max_packet_bytes;
  config.receive_queue_bytes = options.receive_queue_bytes;
  config.message_slots = options.message_slots;
  config.heartbeat_ns = options.heartbeat_ns;
  config.seed = stage_.random.next();
  workers_.resize(config.workers);
  crossing_ = std::make_unique<worker::Crossing>(config.workers);
  snapshots_.clear();
  snapshots_.resize(config.workers);
  const std::uint64_t incarnation = stage_.random.next();
  const std::uint64_t secret[2] = {stage_.random.next(), stage_.random.next()};
  for (std::uint32_t worker = 0; worker < config.workers; ++worker) {
    WorkerSlot& slot = workers_[worker];
    port::SimPortOptions port_options;
    port_options.local = endpoint_of(index, worker);
    port_options.receive_queue_bytes =
        options.receive_queue_bytes * stage_.nodes.size() * options.workers;
    slot.port = stage_.network.make_port(port_options);
    slot.commands = std::make_unique<worker::CommandBox>();
    slot.notices = std::make_unique<worker::NoticeBox>();
    worker::WorkerConfig worker_config;
    worker_config.index = worker;
    worker_config.worker_count = config.workers;
    worker_config.crossing = crossing_.get();
    worker_config.self = index;
    worker_config.server = server;
    worker_config.incarnation_low = incarnation;
    worker_config.origin_secret[0] = secret[0];
    worker_config.origin_secret[1] = secret[1];
    worker_config.out_messages = options.out_messages;
    worker_config.in_messages = options.in_messages;
    worker_config.duplicate_windows = options.duplicate_windows;
    worker_config.max_deliveries = options.max_deliveries;
    worker_config.program_grace_ns = options.program_grace_ns;
    worker_config.seed = stage_.random.next();
    slot.worker = std::make_unique<worker::Worker>(worker_config, *slot.port, *slot.commands,
                                                   *slot.notices, local_now());
    slot.due = stage_.now;
    for (std::uint16_t service = 1; service < options.services; ++service)
      command(worker, worker::AddService{service, "service" + std::to_string(service)});
    command(worker, worker::SetView{stage_.view});
    for (std::uint16_t size_class = 0; size_class < ipc::kExtentClassBytes.size(); ++size_class)
      add_file(worker, size_class, ipc::kClassFileBytes, 0, 0);
  }
  manager_ = std::make_unique<Manager>(config, *this, local_now());
  manager_due_ = stage_.now;
  stage_.control.set_listening(index, true, stage_.now);
}

void Node::crash() {
  stage_.trace("engine %u ends", index);
  alive = false;
  stage_.control.set_listening(index, false, stage_.now);
  arrivals_.clear();
  manager_.reset();
  for (const auto& [channel, program] : programs_) program->on_engine_gone();
  workers_.clear();
  programs_.clear();
  leaving_.clear();
  next_channel_ = 0;
  files_.clear();
  class_files_.clear();
  file_bytes_.clear();
  own_files_.clear();
  large_needs_.clear();
  commits_.clear();
  class_needs_.clear();
  class_bytes_ = large_bytes_ = own_bytes_ = 0;
}

void Node::begin_drain() {
  if (draining_) return;
  draining_ = true;
  stage_.trace("engine %u drains", index);
  manager_->drain(local_now());
  for (std::uint32_t worker = 0; worker < workers_.size(); ++worker)
    command(worker, worker::Drain{});
}

void Node::pause_until(TimeNs until) { paused_until_ = std::max(paused_until_, until); }

// ---- programs -----------------------------------------------------------------------------------

worker::ChannelIndex Node::attach(Program& program, ProgramChannel& channel,
                                  const Id128& attachment, std::uint64_t next_sequence) {
  const worker::ChannelIndex at = next_channel_++;
  RW_CHECK(at < worker::kMaxChannels);
  programs_[at] = &program;
  for (std::uint32_t worker = 0; worker < workers_.size(); ++worker)
    command(worker, worker::AddChannel{at, channel.engine(), attachment, 0, 0, next_sequence});
  return at;
}

void Node::detach(worker::ChannelIndex at, std::unique_ptr<ProgramChannel> channel) {
  programs_.erase(at);
  leaving_[at] = {std::move(channel), static_cast<std::uint32_t>(workers_.size())};
  for (std::uint32_t worker = 0; worker < workers_.size(); ++worker)
    command(worker, worker::RemoveChannel{at});
}

void Node::serve(worker::ChannelIndex at, std::uint16_t service, std::uint32_t prefetch) {
  for (std::uint32_t worker = 0; worker < workers_.size(); ++worker)
    command(worker, worker::AddConsumer{at, service, false, prefetch});
}

void Node::unserve(worker::ChannelIndex at, std::uint16_t service) {
  for (std::uint32_t worker = 0; worker < workers_.size(); ++worker)
    command(worker, worker::RemoveConsumer{at, service});
}

void Node::command(std::uint32_t worker, worker::Command item) {
  WorkerSlot& slot = workers_[worker];
  if (!slot.waiting.empty() || !slot.commands->try_push(item))
    slot.waiting.push_back(std::move(item));
  slot.due = std::min(slot.due, stage_.now);
}

std::byte* Node::file_data(std::uint32_t file) const {
  if (const auto own = own_files_.find(file); own != own_files_.end()) return own->second->data();
  const auto found = files_.find(file);
  return found == files_.end() ? nullptr : found->second.get();
}

// ---- time ---------------------------------------------------------------------------------------

TimeNs Node::next_ns() const {
  if (!alive) return restart_at;
  TimeNs next = manager_due_;
  if (!arrivals_.empty()) next = stage_.now;
  if (!commits_.empty()) next = std::min(next, commits_.front().ready_at);
  for (const WorkerSlot& slot : workers_) next = std::min(next, slot.due);
  return std::max(next, paused_until_);
}

bool Node::run() {
  if (!alive || stage_.now < paused_until_) return false;
  bool did = false;
  while (!arrivals_.empty()) {
    did = true;
    manager_->on_arrival(local_now(), arrivals_.front());
    arrivals_.pop_front();
    manager_due_ = clock.world(manager_->next_deadline_ns());
  }
  if (manager_due_ <= stage_.now) {
    did = true;
    manager_->run(local_now());
    manager_due_ = std::max(clock.world(manager_->next_deadline_ns()), stage_.now + kMicrosecondNs);
  }
  while (!commits_.empty() && commits_.front().ready_at <= stage_.now) {
    did = true;
    command(commits_.front().worker, commits_.front().file);
    commits_.pop_front();
  }
  for (std::uint32_t worker = 0; worker < workers_.size(); ++worker) {
    if (workers_[worker].due > stage_.now) continue;
    did = true;
    turn(worker);
  }
  return did;
}

void Node::turn(std::uint32_t at) {
  WorkerSlot& slot = workers_[at];
  while (!slot.waiting.empty() && slot.commands->try_push(slot.waiting.front()))
    slot.waiting.pop_front();
  ++turns_;
  ++slot.turns;
  const bool worked = slot.worker->turn(local_now());
  const std::uint32_t wakes = slot.worker->take_wakes();
  for (std::uint32_t other = 0; other < workers_.size(); ++other)
    if ((wakes >> other & 1) != 0)
      workers_[other].due = std::min(workers_[other].due, stage_.now + kTurnNs);
  take_notices(at);
  const auto pause = static_cast<DurationNs>(static_cast<double>(kTurnNs) * slowness_);
  // A program may act between a turn and the decision to sleep.
  if (!programs_.empty() && stage_.random.chance(stage_.options.late_chance)) {
    auto some = programs_.begin();
    std::advance(some, static_cast<std::ptrdiff_t>(stage_.random.below(programs_.size())));
    if (worked)
      some->second->put_off_until(stage_.now + 3 * pause);
    else
      some->second->step();
  }
  slot.due = stage_.now + pause;
  if (worked || !slot.waiting.empty() || slot.port->waits() || !slot.worker->prepare_sleep())
    return;
  slot.due = std::max(slot.due, clock.world(slot.worker->next_deadline_ns()));
}

void Node::on_control(ControlNet::Arrival& arrival) { arrivals_.push_back(std::move(arrival)); }

void Node::look_at_ports() {
  for (WorkerSlot& slot : workers_)
    if (slot.port && slot.port->waits())
      slot.due = std::min(slot.due, stage_.now + static_cast<DurationNs>(slowness_) * 100);
}

void Node::look_at_bells(worker::ChannelIndex channel_index, ProgramChannel& channel) {
  for (std::uint32_t worker = 0; worker < workers_.size(); ++worker) {
    if (!channel.take_bell(worker)) continue;
    workers_[worker].worker->wake_channel(channel_index);
    workers_[worker].due = std::min(workers_[worker].due, stage_.now);
  }
}

void Node::ask_snapshots() {
  for (std::uint32_t worker = 0; worker < workers_.size(); ++worker) {
    snapshots_[worker].reset();
    auto snapshot = std::make_unique<worker::WorkerSnapshot>();
    snapshot->sessions.reserve(64);
    command(worker, worker::TakeSnapshot{std::move(snapshot)});
  }
}

// ---- what workers say ---------------------------------------------------------------------------

void Node::take_notices(std::uint32_t at) {
  worker::Notice notice;
  while (alive && workers_[at].notices->try_pop(notice)) {
    on_notice(at, notice);
    notice = std::monostate{};
  }
  workers_[at].worker->bell_changes().clear();
}

void Node::on_notice(std::uint32_t at, worker::Notice& notice) {
  if (const auto* gone = std::get_if<worker::ChannelGone>(&notice)) {
    const auto found = leaving_.find(gone->index);
    if (found == leaving_.end())
      stage_.oracle.violation("a channel is gone that nobody closed");
    else if (--found->second.workers_left == 0)
      leaving_.erase(found);
  } else if (const auto* ready = std::get_if<worker::FileReady>(&notice)) {
    if (const auto found = programs_.find(ready->index); found != programs_.end())
      found->second->on_file_ready(ready->request);
  } else if (const auto* dropped = std::get_if<worker::FileGone>(&notice)) {
    if (const auto found = programs_.find(dropped->index); found != programs_.end())
      found->second->on_file_gone(dropped->request, dropped->busy);
  } else if (std::holds_alternative<worker::ChannelViolated>(notice)) {
    stage_.oracle.violation("an honest channel was called violated");
  } else if (const auto* need = std::get_if<worker::NeedClassFile>(&notice)) {
    // A worker asks again with each message until the file comes.
    const bool known =
        std::any_of(class_needs_.begin(), class_needs_.end(), [&](const auto& other) {
          return other.first == at && other.second.size_class == need->size_class;
        });
    if (!known) class_needs_.emplace_back(at, *need);
    retry_needs();
  } else if (const auto* large = std::get_if<worker::NeedLarge>(&notice)) {
    if (large->bytes > stage_.options.memory_bytes)
      command(at, worker::RefuseLarge{large->request, Reason::kTooLarge});
    else
      large_needs_.push_back({at, *large});
    retry_needs();
    stage_.trace(
        "node %u wants a large extent of %llu bytes, request %llx; %llu in use, %zu waiting", index,
        static_cast<unsigned long long>(large->bytes),
        static_cast<unsigned long long>(large->request),
        static_cast<unsigned long long>(large_bytes_), large_needs_.size());
  } else if (const auto* cancel = std::get_if<worker::CancelLarge>(&notice)) {
    std::erase_if(large_needs_, [&](const LargeNeed& other) {
      return other.worker == at && other.need.request == cancel->request;
    });
    retry_needs();
  } else if (const auto* returned = std::get_if<worker::ReturnFile>(&notice)) {
    if (const auto file = file_bytes_.find(returned->file); file != file_bytes_.end()) {
      (class_files_.erase(returned->file) != 0 ? class_bytes_ : large_bytes_) -= file->second;
      file_bytes_.erase(file);
    }
    stage_.trace("node %u gives a file of extents back", index);
    files_.erase(returned->file);
    if (const auto own = own_files_.find(returned->file); own != own_files_.end()) {
      own_bytes_ -= own->second->bytes();
      own_files_.erase(own);
    }
    retry_needs();
  } else if (auto* own = std::get_if<worker::OwnFile>(&notice)) {
    own_bytes_ += own->memory->bytes();
    own_files_[own->file] = std::move(own->memory);
  } else if (const auto* evidence = std::get_if<worker::PeerEvidence>(&notice)) {
    manager_->on_evidence(local_now(), *evidence);
    manager_due_ = std::min(manager_due_, clock.world(manager_->next_deadline_ns()));
  } else if (const auto* broken = std::get_if<worker::SessionBroken>(&notice);
             broken != nullptr && broken->path_swallows_large) {
    manager_->on_path_too_small(local_now(), broken->node);
    manager_due_ = std::min(manager_due_, clock.world(manager_->next_deadline_ns()));
  } else if (broken != nullptr) {
    stage_.oracle.violation("a session broke between nodes " + std::to_string(index) + " and " +
                            std::to_string(broken->node));
  } else if (std::holds_alternative<worker::Drained>(notice)) {
    ++drained_count_;
  } else if (auto* taken = std::get_if<worker::SnapshotTaken>(&notice)) {
    snapshots_[at] = std::move(taken->snapshot);
  }
}

void Node::add_file(std::uint32_t at, std::uint16_t size_class, std::uint64_t bytes,
                    std::uint64_t request, std::uint32_t domain) {
  const std::uint32_t number = next_file_++;
  auto& data = files_[number];
  data.reset(new std::byte[bytes]);
  file_bytes_[number] = bytes;
  if (size_class != ipc::kLargeClass) class_files_.insert(number);
  (size_class == ipc::kLargeClass ? large_bytes_ : class_bytes_) += bytes;
  const worker::AddExtentFile file{domain, number, data.get(), bytes, size_class, request, {}};
  const DurationNs per_mib = stage_.options.commit_ns_per_mib;
  if (size_class != ipc::kLargeClass || per_mib == 0) return command(at, file);
  const TimeNs begin = commits_.empty() ? stage_.now : commits_.back().ready_at;
  commits_.push_back({begin + per_mib * static_cast<DurationNs>(bytes >> 10) / 1'024, at, file});
}

void Node::retry_needs() {
  // Files of small extents have a budget of their own here: they are given back only when idle, so
  // that in one with the large ones they would keep those out.
  const std::uint64_t class_bound =
      (workers_.size() * ipc::kExtentClassBytes.size() + kMoreClassFiles) * ipc::kClassFileBytes;
  while (!class_needs_.empty() && class_bytes_ + ipc::kClassFileBytes <= class_bound) {
    const auto [at, need] = class_needs_.front();
    class_needs_.pop_front();
    add_file(at, need.size_class, ipc::kClassFileBytes, 0, need.domain);
  }
  while (!large_needs_.empty() &&
         large_bytes_ + large_needs_.front().need.bytes <= stage_.options.memory_bytes) {
    const LargeNeed large = large_needs_.front();
    large_needs_.pop_front();
    add_file(large.worker, ipc::kLargeClass, large.need.bytes, large.need.request,
             large.need.domain);
  }
}

// ---- the control plane's hands ------------------------------------------------------------------

ControlNet::End Node::dial(std::uint32_t node) {
  return stage_.control.dial(index, node, stage_.now);
}
void Node::send(ControlNet::End end, std::span<const std::byte> bytes) {
  stage_.control.send(end, bytes, stage_.now);
}
void Node::close(ControlNet::End end) { stage_.control.close(end, stage_.now); }
void Node::on_state(std::uint32_t node, worker::PeerState state) {
  stage_.trace("node %u: node %u is %u (0 unknown, 1 up, 2 hung, 3 down, 4 leaving)", index, node,
               static_cast<unsigned>(state));
  if (stage_.options.nobody_ails && node < stage_.options.servers &&
      (state == worker::PeerState::kHung || state == worker::PeerState::kDown))
    stage_.oracle.violation("node " + std::to_string(index) + " gave node " + std::to_string(node) +
                            " up, which nothing ails");
}
void Node::on_established(std::uint32_t node, std::uint64_t own_id, std::uint64_t peer_id) {
  stage_.trace("node %u: connected to node %u, connection ids %04x %04x", index, node,
               static_cast<unsigned>(own_id & 0xffff), static_cast<unsigned>(peer_id & 0xffff));
}

}  // namespace ringwire::sim
