#include "engine/node/engine.h"

#include <pthread.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <optional>
#include <thread>
#include <utility>

#include "base/endpoint_text.h"
#include "base/random.h"
#include "engine/node/admin.h"
#include "engine/node/attach_server.h"
#include "engine/node/attachments.h"
#include "engine/node/background.h"
#include "engine/node/clock.h"
#include "engine/node/control_links.h"
#include "engine/node/extent_files.h"
#include "engine/node/memory_budget.h"
#include "engine/node/node_paths.h"
#include "engine/node/node_ports.h"
#include "engine/node/peers.h"
#include "engine/node/ring_view.h"
#include "engine/node/services.h"
#include "engine/node/snapshots.h"
#include "engine/node/start_check.h"
#include "engine/node/start_error.h"
#include "engine/node/state_directory.h"
#include "engine/node/status_page.h"
#include "engine/node/stopped_programs.h"
#include "engine/node/telemetry.h"
#include "engine/node/workers.h"
#include "engine/transport/session.h"
#include "ring/placement.h"

namespace ringwire::node {
namespace {

/// Message slots of a session in each direction: what its worker can have on the way to one worker
/// of a peer.
constexpr std::uint32_t kMessageSlots = 4'096;
constexpr std::chrono::seconds kBusySample(1);

/// Every program costs some descriptors, every large message one: take what the system allows.
/// Returns what it allows.
std::uint64_t raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1'024;  // what POSIX systems give by default
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
  return limit.rlim_cur;
}

/// The checks of `ringwire conf check`, once more: an engine may be given any configuration.
void refuse_problems(const Config& config) {
  std::string text;
  for (const ConfigProblem& problem : start_problems(config))
    text.append(text.empty() ? "" : "\n").append(problem.to_text());
  if (!text.empty()) throw ConfigRefused(text);
}

std::vector<std::uint32_t> user_ids(const std::vector<std::string>& users) {
  std::vector<std::uint32_t> ids;
  for (const std::string& user : users)
    if (const auto id = find_user(user)) ids.push_back(*id);
  return ids;
}

worker::WorkerConfig worker_config(const Config& config, const Id128& incarnation,
                                   worker::NodeIndex self) {
  const Id128 secret = random_id();
  worker::WorkerConfig worker = worker_settings(config);
  worker.self = self;
  worker.incarnation_low = incarnation.low;
  worker.origin_secret[0] = secret.high;
  worker.origin_secret[1] = secret.low;
  worker.seed = secret.high ^ secret.low;
  return worker;
}

/// The members of the static bootstrap. A slave may learn them from its seeds.
std::vector<std::string> members_of(const Config& config) {
  if (!config.cluster.members.empty()) return config.cluster.members;
  if (config.node.role == NodeRole::kSlave) return {};
  return {config.node.name};
}

MemoryBudget make_budget(const Config& config, const worker::WorkerConfig& worker,
                         const NodePorts& ports) {
  MemoryBudget budget = fixed_budget(config, worker, ports.memory_bytes);
  if (const std::string problem = memory_problem(budget); !problem.empty())
    throw ConfigRefused("[limits] memory " + problem);
  return budget;
}

control::Hello make_hello(const Config& config, const Id128& incarnation, const NodePorts& ports,
                          const port::Port& port) {
  control::Hello hello;
  hello.cluster_name = config.cluster.name;
  hello.node_name = config.node.name;
  hello.incarnation = incarnation;
  hello.role =
      config.node.role == NodeRole::kServer ? control::Role::kServer : control::Role::kSlave;
  hello.cluster_kind = config.cluster.type == ClusterType::kHash ? control::ClusterKind::kHash
                                                                 : control::ClusterKind::kRandom;
  hello.secondaries = config.cluster.secondaries;
  hello.placement_version = ring::kPlacementVersion;
  hello.data_endpoints = ports.advertised;
  hello.max_packet_bytes = port.max_payload_bytes();
  hello.receive_queue_bytes = port.receive_queue_bytes();
  hello.message_slots = kMessageSlots;
  hello.software_version = RINGWIRE_VERSION;
  hello.started_at_ns = static_cast<std::uint64_t>(wall_clock_ns());
  hello.weight = config.node.weight;
  hello.zone = config.node.zone;
  hello.nonce = random_id().low;
  return hello;
}

}  // namespace

// In the order of construction; taken down in reverse.
struct Engine::State {
  explicit State(const Config& given);

  void on_notice(std::uint32_t index, worker::Notice& notice);
  void begin_drain();
  void end_drain();
  void fail(const std::string& sentence);
  void sample_busy();
  void report_ready();

  Config config;
  std::string socket_path;
  Id128 incarnation = random_id();
  TimeNs started_ns = clock_now_ns();
  boost::asio::io_context loop{1};
  std::optional<StateDirectory> directory;
  NodePorts ports;
  std::vector<Endpoint> data;
  StatusPage page;
  worker::NodeIndex self = 0;
  worker::WorkerConfig worker;
  control::Hello hello;
  std::optional<MemoryBudget> budget;
  std::optional<Background> background;
  std::optional<Background> bulk;  ///< large extents
  std::optional<Workers> workers;
  std::optional<Services> services;
  std::optional<ExtentFiles> extents;
  std::optional<Attachments> attachments;
  std::optional<StoppedPrograms> stopped_programs;
  std::optional<RingView> view;
  std::optional<Peers> peers;
  std::optional<Snapshots> snapshots;
  std::optional<Admin> admin;
  std::optional<Telemetry> telemetry;
  std::optional<ControlLinks> links;
  std::optional<AttachServer> server;

  boost::asio::steady_timer drain_timer{loop};
  boost::asio::steady_timer busy_timer{loop};
  std::vector<DurationNs> busy_before_ns;
  std::vector<std::uint32_t> busy_permille;
  TimeNs busy_sampled_ns = 0;
  std::uint32_t undrained = 0;
  bool draining = false;
  bool extents_ready = false;
  bool view_ready = false;
  bool stopped = false;
  std::function<void(const std::string&)> on_ready;
  std::function<void()> on_end;
  bool failed = false;  ///< of the ring manager until its thread has ended
  std::thread thread;
};

Engine::State::State(const Config& given)
    : config(given), page(incarnation, given.cluster.type == ClusterType::kRandom) {
  const std::uint64_t descriptors = raise_descriptor_limit();
  refuse_problems(config);
  const bool is_server = config.node.role == NodeRole::kServer;
  const std::vector<std::string> members = members_of(config);
  const std::vector<UserId> users = user_ids(config.allow.users);
  std::vector<UserId> named = users;  // that have a part of everything
  named.push_back(::geteuid());
  socket_path =
      config.node.socket.empty() ? default_socket_path(config.node.name) : config.node.socket;
  directory.emplace(
      config.node.state.empty() ? default_state_path(config.node.name) : config.node.state,
      config.node.name, config.cluster.name);
  ports = open_ports(config);
  for (const auto& port : ports.ports) data.push_back(port->local());
  self = *page.add(config.node.name, is_server ? PageRole::kServer : PageRole::kSlave);
  page.set_self(self);
  page.set_incarnation(self, incarnation.low);
  worker = worker_config(config, incarnation, self);
  hello = make_hello(config, incarnation, ports, *ports.ports.front());
  budget.emplace(make_budget(config, worker, ports));
  spdlog::info("memory: {} bytes are left for messages, channels and sessions; fixed terms:\n{}",
               budget->dynamic_bytes(), budget->sum_text());

  background.emplace(loop);
  bulk.emplace(loop);
  WorkersOptions threads;
  threads.worker = worker;
  threads.cores = ports.cores;
  threads.spin = config.node.idle == IdlePolicy::kSpin;
  workers.emplace(loop, threads, std::move(ports.ports));
  services.emplace(*workers, named);
  extents.emplace(*workers, *background, *bulk, *budget, named);
  // A file is up to a quarter larger than the message that it was made for.
  const std::uint64_t max_message_bytes =
      std::min(config.limits.message_bytes, extents->most_bytes() / 5 * 4);
  AttachmentsOptions attaching;
  attaching.max_attachments = config.limits.attachments;
  attaching.quota_bytes = budget->budget_bytes();
  attaching.channels_bytes = budget->budget_bytes();
  // The rest is for sockets and for the files of received messages.
  attaching.max_descriptors = descriptors / 4 * 3;
  attaching.users = named;
  attaching.server = is_server;
  attachments.emplace(attaching, *workers, *background, *budget, *services);
  stopped_programs.emplace(loop, *attachments, config.limits.hold_ns);
  attachments->set_on_freed([this] { extents->retry(); });

  RingViewOptions ring;
  ring.type = config.cluster.type == ClusterType::kRandom ? ring::ClusterType::kRandom
                                                          : ring::ClusterType::kHash;
  ring.secondaries = config.cluster.secondaries;
  view.emplace(ring, *workers, *background, page);
  PeersOptions judging;
  judging.tunables.heartbeat_ns = config.timing.heartbeat_ns;
  judging.tunables.suspect_after_ns = config.timing.suspect_after_ns;
  judging.tunables.idle_silence_ns = config.timing.idle_silence_ns;
  judging.max_packet_bytes = hello.max_packet_bytes;
  judging.message_slots = kMessageSlots;
  peers.emplace(judging, *workers, *budget, page, *view);

  ControlLinksOptions linking;
  linking.listen = config.node.control;
  linking.seeds = config.cluster.seeds;
  linking.node_name = config.node.name;
  linking.server = is_server;
  linking.heartbeat_ns = config.timing.heartbeat_ns;
  linking.handshake_ns = config.timing.handshake_ns;
  linking.retry_ns = config.timing.reconnect_ns;
  linking.allowed = config.allow.addresses;
  linking.allowed_nodes = config.allow.nodes;
  linking.seed = incarnation.high;
  linking.hello = hello;
  linking.advertise = config.node.advertise;
  linking.on_name_taken = [this] {
    fail("a living engine of this cluster is called " + config.node.name +
         " already: choose another [node] name, or stop that one");
  };
  links.emplace(linking, ControlLinks::Rooms{loop, *peers, *view, page});
  snapshots.emplace(loop, *workers);
  busy_before_ns.resize(workers->count(), 0);
  busy_permille.resize(workers->count(), 0);

  NodeFacts facts;
  facts.node = config.node.name;
  facts.cluster = config.cluster.name;
  facts.random_cluster = config.cluster.type == ClusterType::kRandom;
  facts.server = is_server;
  facts.without_majority =
      config.cluster.without_majority == WithoutMajority::kServe ? "serve" : "refuse";
  facts.incarnation = incarnation;
  facts.started_ns = started_ns;
  facts.control = links->local();
  facts.data = data;
  admin.emplace(
      facts, Admin::Rooms{*workers, *attachments, *services, *budget, *extents, page, *view, *peers,
                          *snapshots, [this] { return server->counters(); },
                          [this](std::uint32_t index) { return busy_permille[index]; },
                          [this] { begin_drain(); }});
  if (ports.eal != nullptr) telemetry.emplace(loop, *admin);
  AttachServerOptions attach;
  attach.socket_path = socket_path;
  attach.users = users;
  attach.own_folder = config.node.socket.empty();
  attach.node_name = config.node.name;
  attach.incarnation = incarnation;
  attach.max_message_bytes = max_message_bytes;
  attach.quota_bytes = budget->budget_bytes();
  attach.max_attachments = config.limits.attachments;
  attach.silence_ns = config.timing.handshake_ns;
  server.emplace(
      attach, AttachServer::Rooms{loop, *workers, *attachments, *extents, *services, page},
      [this](const std::string& request, bool owner, const AttachServer::AdminAnswer& answer) {
        admin->handle(request, owner, answer);
      });
  if (!members.empty()) {
    view->set_members(members);
    view->on_member(config.node.name, config.node.weight, config.node.zone);
  }
}

void Engine::State::on_notice(std::uint32_t index, worker::Notice& notice) {
  const TimeNs now = clock_now_ns();
  if (auto* gone = std::get_if<worker::ChannelGone>(&notice)) {
    attachments->on_channel_gone(*gone);
  } else if (auto* ready = std::get_if<worker::FileReady>(&notice)) {
    attachments->on_file_ready(*ready);
  } else if (auto* file = std::get_if<worker::FileGone>(&notice)) {
    attachments->on_file_gone(*file);
  } else if (auto* violated = std::get_if<worker::ChannelViolated>(&notice)) {
    server->on_channel_violated(*violated);
  } else if (auto* small = std::get_if<worker::NeedClassFile>(&notice)) {
    extents->on_need_class_file(index, *small);
  } else if (auto* large = std::get_if<worker::NeedLarge>(&notice)) {
    extents->on_need_large(index, *large);
  } else if (auto* cancel = std::get_if<worker::CancelLarge>(&notice)) {
    extents->on_cancel_large(index, *cancel);
  } else if (auto* returned = std::get_if<worker::ReturnFile>(&notice)) {
    extents->on_return_file(*returned);
  } else if (auto* own = std::get_if<worker::OwnFile>(&notice)) {
    extents->on_own_file(*own);
  } else if (auto* evidence = std::get_if<worker::PeerEvidence>(&notice)) {
    peers->on_evidence(now, *evidence);
  } else if (auto* broken = std::get_if<worker::SessionBroken>(&notice)) {
    links->on_session_broken(*broken);
  } else if (auto* seen = std::get_if<worker::ViewSeen>(&notice)) {
    view->on_view_seen(*seen);
  } else if (std::holds_alternative<worker::Drained>(notice)) {
    if (draining && undrained > 0 && --undrained == 0) end_drain();
  } else if (auto* taken = std::get_if<worker::SnapshotTaken>(&notice)) {
    snapshots->on_taken(index, *taken);
  }
}

void Engine::State::begin_drain() {
  if (draining || stopped) return;
  draining = true;
  spdlog::info("node {} drains: at most {}", config.node.name,
               duration_text(config.timing.drain_ns));
  undrained = workers->count();
  page.set_state(self, ipc::NodeState::kLeaving);
  links->drain(clock_now_ns());
  server->drain();
  workers->send_all(worker::Drain{});
  drain_timer.expires_after(std::chrono::nanoseconds(config.timing.drain_ns));
  drain_timer.async_wait([this](const boost::system::error_code& error) {
    if (error || !draining) return;
    spdlog::warn(
        "not everything was finished in time: what came from other nodes is sent again from there; "
        "programs here submit again what has no outcome, to the next engine of this node");
    end_drain();
  });
}

void Engine::State::fail(const std::string& sentence) {
  if (failed) return;
  spdlog::error("{}", sentence);
  failed = true;
  end_drain();
}

void Engine::State::end_drain() {
  undrained = 0;
  drain_timer.cancel();
  if (on_end) std::exchange(on_end, nullptr)();
}

void Engine::State::sample_busy() {
  const TimeNs now = clock_now_ns();
  for (std::uint32_t index = 0; index < workers->count(); ++index) {
    const DurationNs busy_ns = workers->thread(index).busy_ns();
    const DurationNs passed_ns = std::max<DurationNs>(now - busy_sampled_ns, 1);
    busy_permille[index] = static_cast<std::uint32_t>(
        std::clamp<DurationNs>((busy_ns - busy_before_ns[index]) * 1'000 / passed_ns, 0, 1'000));
    busy_before_ns[index] = busy_ns;
  }
  busy_sampled_ns = now;
  busy_timer.expires_after(kBusySample);
  busy_timer.async_wait([this](const boost::system::error_code& error) {
    if (!error) sample_busy();
  });
}

void Engine::State::report_ready() {
  if (!extents_ready || !view_ready || !on_ready) return;
  const bool is_server = config.node.role == NodeRole::kServer;
  page.set_state(self, is_server ? ipc::NodeState::kServing : ipc::NodeState::kUp);
  links->start(clock_now_ns());
  std::string line = "ringwire-engine " + config.node.name + " ready: socket " + socket_path +
                     ", control " + endpoint_text(links->local()) + ", data";
  for (const Endpoint& endpoint : data) line.append(1, ' ').append(endpoint_text(endpoint));
  std::exchange(on_ready, nullptr)(line);
}

Engine::Engine(const Config& config) : state_(std::make_unique<State>(config)) {}

Engine::~Engine() { stop(); }

bool Engine::failed() const { return state_->failed; }

void Engine::start(std::function<void(const std::string&)> on_ready, std::function<void()> on_end) {
  State& state = *state_;
  state.on_ready = std::move(on_ready);
  state.on_end = std::move(on_end);
  state.workers->start(
      [&state](std::uint32_t worker, worker::Notice& notice) { state.on_notice(worker, notice); });
  state.busy_sampled_ns = clock_now_ns();
  state.sample_busy();
  state.stopped_programs->start();
  state.extents->add_domain(0, ::geteuid(), ExtentFiles::Charge::kFixed, [&state](bool made) {
    if (!made) {
      return state.fail("no memory for the first extent files: see `free` and [limits] memory");
    }
    state.extents_ready = true;
    state.report_ready();
  });
  if (state.view->has_members()) {
    state.view->when_ready([&state] {
      state.view_ready = true;
      state.report_ready();
    });
  } else {
    state.view_ready = true;
  }
  state.thread = std::thread([&state] {
    const auto work = boost::asio::make_work_guard(state.loop);
    state.loop.run();
  });
  ::pthread_setname_np(state.thread.native_handle(), "rw-manager");
}

void Engine::drain() {
  State& state = *state_;
  boost::asio::post(state.loop, [&state] { state.begin_drain(); });
}

void Engine::stop() {
  State& state = *state_;
  if (std::exchange(state.stopped, true)) return;
  state.loop.stop();
  if (state.thread.joinable()) state.thread.join();
  // From here on this is the only thread that touches anything but workers and background.
  state.server->close();
  state.links->close();
  state.snapshots->cancel();
  state.workers->stop();
  state.background->join();
  state.bulk->join();
  state.workers->clear();
}

const std::string& Engine::socket_path() const { return state_->socket_path; }

std::string Engine::control_address() const { return endpoint_text(state_->links->local()); }

}  // namespace ringwire::node
