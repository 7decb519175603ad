#include "tests/sim/world.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <set>

#include "base/hash.h"
#include "ring/placement.h"

namespace ringwire::sim {
namespace {

using worker::Command;
using worker::PeerState;

constexpr DurationNs kSafetyLimitNs = 120 * kSecondNs;

Endpoint endpoint_of(std::uint32_t node) {
  Endpoint endpoint;
  endpoint.address = {0, 0, 0,    0,    0,  0, 0, 0,
                      0, 0, 0xff, 0xff, 10, 0, 0, static_cast<std::uint8_t>(node + 1)};
  endpoint.port = 3200;
  return endpoint;
}

/// What a payload holds: enough to know whose it is and that every byte is its own.
struct Stamp {
  std::uint32_t client;
  std::uint32_t key;
  std::uint64_t sequence;
  std::uint64_t bytes;
  std::uint64_t fill;
};

std::uint8_t fill_byte(const Stamp& stamp, std::uint64_t at) {
  return static_cast<std::uint8_t>(mix64(stamp.fill + at / 8) >> (at % 8 * 8));
}

}  // namespace

struct World::Sent {
  Stamp stamp{};
  bool call = false;
  bool broadcast = false;
  Level level = Level::kProcessed;
  bool ended = false;
  Ending ending{};
  std::uint32_t deliveries = 0;
  std::uint32_t released_done = 0;
  bool replied = false;
  bool submitted = false;  // large ones wait until the engine has their file
  ipc::Submission submission{};
  std::unique_ptr<ipc::MemoryFile> file;  // the payload, when it is not inline
};

struct World::Server {
  std::unique_ptr<ProgramChannel> channel;
  worker::ChannelIndex index = 0;
  struct Held {
    ipc::Delivery delivery;
    TimeNs release_at = 0;
    Stamp stamp{};
  };
  std::vector<Held> held;
  std::uint64_t next_sequence = 1;
  Id128 attachment;
  TimeNs stopped_until = 0;
};

struct World::Node {
  std::uint32_t index = 0;
  bool server = false;
  bool alive = false;
  TimeNs hung_until = 0;
  TimeNs restart_at = 0;
  std::unique_ptr<port::SimPort> port;
  std::unique_ptr<worker::CommandBox> commands;
  std::unique_ptr<worker::NoticeBox> notices;
  std::unique_ptr<worker::Worker> worker;
  std::vector<std::unique_ptr<Server>> servers;
  std::vector<std::unique_ptr<ProgramChannel>> graveyard;  // until ChannelGone
  std::map<std::uint32_t, std::unique_ptr<ipc::MemoryFile>> files;
  std::uint32_t next_file = 1;
  std::uint32_t next_channel = 0;
  std::map<std::uint64_t, std::uint64_t>
      last_of_key;  // (client, key) -> newest first delivery here
  std::set<std::pair<std::uint32_t, std::uint64_t>> seen;  // (client, sequence) handed out here

  void command(Command item) { RW_CHECK(commands->try_push(item)); }
};

struct World::Client {
  std::uint32_t number = 0;
  std::uint32_t node = 0;
  Id128 attachment;
  std::unique_ptr<ProgramChannel> channel;
  worker::ChannelIndex index = 0;
  std::vector<Sent> sent;  // by sequence - 1
  std::uint32_t open = 0;
  std::uint32_t window = 32;
  std::optional<std::uint64_t> awaiting_file;
  TimeNs next_send = 0;
};

WorldOptions draw_options(std::uint64_t seed) {
  Random random(seed);
  WorldOptions options;
  options.seed = seed;
  options.servers = static_cast<std::uint32_t>(random.between(1, 4));
  options.clients = static_cast<std::uint32_t>(random.between(1, 2));
  options.secondaries = static_cast<std::uint32_t>(random.below(options.servers));
  options.messages = static_cast<std::uint32_t>(random.between(40, 250));
  options.keys = static_cast<std::uint32_t>(random.between(1, 20));
  options.consumers = static_cast<std::uint32_t>(random.between(1, 3));
  options.large_chance = random.chance(0.5) ? random.unit() * 0.15 : 0;
  options.large_bytes = random.between(1'000, 600'000);
  options.call_chance = random.chance(0.5) ? random.unit() : 0;
  options.broadcast_chance = random.chance(0.2) ? random.unit() * 0.3 : 0;
  options.local_clients = random.chance(0.35);
  if (random.chance(0.3)) options.accepted_chance = random.unit() * 0.5;
  if (random.chance(0.2)) options.none_chance = random.unit() * 0.3;
  if (random.chance(0.3)) options.deadline_chance = random.unit() * 0.4;
  if (random.chance(0.3)) options.cancel_chance = random.unit() * 0.3;
  Faults& faults = options.faults;
  if (random.chance(0.3)) faults.stop_program = random.unit() * 0.03;
  if (random.chance(0.6)) faults.loss = random.unit() * random.unit() * 0.3;
  if (random.chance(0.4)) faults.duplicate = random.unit() * 0.5;
  if (random.chance(0.5)) faults.reorder = random.unit() * 0.3;
  if (random.chance(0.2)) faults.corrupt = random.unit() * 0.05;
  if (random.chance(0.3) && options.servers > 1) faults.crash_engine = random.unit() * 0.02;
  if (random.chance(0.3) && options.servers > 1) faults.hang_engine = random.unit() * 0.03;
  if (random.chance(0.3)) faults.crash_program = random.unit() * 0.02;
  if (random.chance(0.2)) faults.retry = random.unit() * 0.3;
  if (random.chance(0.2)) faults.lose_session = random.unit() * 0.02;
  return options;
}

World::World(const WorldOptions& options)
    : options_(options),
      random_(options.seed * 0x9e3779b97f4a7c15ULL + 7),
      network_({.seed = options.seed, .flights_count = 32'768}) {
  port::SimPath path;
  path.delay_ns = static_cast<DurationNs>(random_.between(5, 400)) * kMicrosecondNs;
  path.jitter_ns = static_cast<DurationNs>(random_.below(100)) * kMicrosecondNs;
  path.bytes_per_s = 1'250'000'000;
  path.loss = options.faults.loss;
  path.duplicate = options.faults.duplicate;
  path.reorder = options.faults.reorder;
  path.corrupt = options.faults.corrupt;
  network_.set_default_path(path);
  network_.advance(now_);

  std::vector<ring::Member> members;
  ring::PlacementInput input;
  input.epoch = 1;
  input.secondaries = options.secondaries;
  for (std::uint32_t at = 0; at < options.servers; ++at) {
    ring::Member member;
    member.name = "node" + std::to_string(at);
    member.node_index = at;
    members.push_back(member);
  }
  input.members = members;
  auto built = ring::build_view(input);
  RW_CHECK(built.ok());
  view_ = std::make_shared<const ring::View>(std::move(built).value());

  for (std::uint32_t at = 0; at < options.servers + options.clients; ++at) {
    nodes_.push_back(std::make_unique<Node>());
    nodes_[at]->index = at;
    nodes_[at]->server = at < options.servers;
    start_node(at);
  }
  for (std::uint32_t at = 0; at < options.clients; ++at) {
    auto client = std::make_unique<Client>();
    client->number = at;
    client->node = options.local_clients ? 0 : options.servers + at;
    client->attachment = {random_.next(), random_.next()};
    client->channel = std::make_unique<ProgramChannel>(1);
    client->window = static_cast<std::uint32_t>(random_.between(1, 60));
    client->sent.reserve(options.messages);
    Node& node = *nodes_[client->node];
    client->index = node.next_channel++;
    node.command(
        worker::AddChannel{client->index, client->channel->engine(), client->attachment, 0, 0, 1});
    clients_.push_back(std::move(client));
  }
  next_fault_ns_ = now_ + kMillisecondNs;
}

World::~World() = default;

void World::start_node(std::uint32_t index) {
  Node& node = *nodes_[index];
  node.alive = true;
  node.hung_until = 0;
  node.seen.clear();
  node.last_of_key.clear();
  port::SimPortOptions port_options;
  port_options.local = endpoint_of(index);
  port_options.receive_queue_bytes = 1u << 20;
  node.port = network_.make_port(port_options);
  node.commands = std::make_unique<worker::CommandBox>();
  node.notices = std::make_unique<worker::NoticeBox>();
  worker::WorkerConfig config;
  config.self = index;
  config.server = node.server;
  config.incarnation_low = random_.next();
  config.origin_secret[0] = random_.next();
  config.origin_secret[1] = random_.next();
  config.out_messages = 1'024;
  config.in_messages = 2'048;
  config.duplicate_windows = 32;
  config.max_deliveries = 1'000;
  config.seed = random_.next();
  node.worker =
      std::make_unique<worker::Worker>(config, *node.port, *node.commands, *node.notices, now_);
  node.command(worker::SetView{view_});
  if (node.server)
    for (std::uint32_t at = 0; at < options_.consumers; ++at) start_server(node);
  for (std::uint32_t other = 0; other < nodes_.size(); ++other)
    if (other != index && nodes_[other]->alive) connect(index, other);
}

void World::connect(std::uint32_t left, std::uint32_t right) {
  const std::uint64_t left_id = random_.next() | 1;
  const std::uint64_t right_id = random_.next() | 1;
  const auto make = [&](std::uint64_t local, std::uint64_t remote) {
    transport::SessionConfig config;
    config.local_connection_id = local;
    config.remote_connection_id = remote;
    config.max_packet_bytes = 8'944;
    config.peer_receive_queue_bytes = 512 * 1024;
    config.message_slots = 256;
    config.seed = random_.next();
    return std::make_unique<transport::Session>(config, now_);
  };
  Node& a = *nodes_[left];
  Node& b = *nodes_[right];
  a.command(worker::AddSession{right, 0, 1, endpoint_of(right), left_id, make(left_id, right_id)});
  b.command(worker::AddSession{left, 0, 1, endpoint_of(left), right_id, make(right_id, left_id)});
  a.command(worker::SetPeerState{right, PeerState::kUp});
  b.command(worker::SetPeerState{left, PeerState::kUp});
}

void World::stop_node(std::uint32_t index) {
  Node& node = *nodes_[index];
  trace("engine %u dies", index);
  node.alive = false;
  node.worker.reset();
  node.servers.clear();
  node.graveyard.clear();
  node.port.reset();
  node.files.clear();
  for (std::uint32_t other = 0; other < nodes_.size(); ++other) {
    if (other == index || !nodes_[other]->alive) continue;
    nodes_[other]->command(worker::CloseSessions{index});
    nodes_[other]->command(worker::SetPeerState{index, PeerState::kDown});
  }
}

void World::tell_states(std::uint32_t about, PeerState state) {
  for (std::uint32_t other = 0; other < nodes_.size(); ++other)
    if (other != about && nodes_[other]->alive)
      nodes_[other]->command(worker::SetPeerState{about, state});
}

void World::start_server(Node& node) {
  auto server = std::make_unique<Server>();
  server->channel = std::make_unique<ProgramChannel>(1);
  server->index = node.next_channel++ % worker::kMaxChannels;
  server->attachment = {random_.next(), random_.next()};
  node.command(
      worker::AddChannel{server->index, server->channel->engine(), server->attachment, 0, 0, 1});
  node.command(worker::AddConsumer{server->index, 0, false,
                                   static_cast<std::uint32_t>(random_.between(1, 40))});
  node.servers.push_back(std::move(server));
}

void World::stop_server(Node& node, std::size_t at) {
  trace("program %u of node %u dies", node.servers[at]->index, node.index);
  node.command(worker::RemoveChannel{node.servers[at]->index});
  node.graveyard.push_back(std::move(node.servers[at]->channel));
  node.servers.erase(node.servers.begin() + static_cast<std::ptrdiff_t>(at));
}

void World::pump_notices(Node& node) {
  worker::Notice notice;
  while (node.notices->try_pop(notice)) {
    const auto add_file = [&](worker::DomainIndex domain, std::uint64_t bytes,
                              std::uint16_t size_class, std::uint64_t request) {
      auto made = ipc::MemoryFile::create("sim", bytes);
      RW_CHECK(made.ok());
      const std::uint32_t file = node.next_file++;
      node.files[file] = std::make_unique<ipc::MemoryFile>(std::move(made).value());
      node.command(worker::AddExtentFile{domain, file, node.files[file]->data(),
                                         node.files[file]->bytes(), size_class, request});
    };
    if (auto* need = std::get_if<worker::NeedClassFile>(&notice))
      add_file(need->domain, ipc::kClassFileBytes, need->size_class, 0);
    if (auto* need = std::get_if<worker::NeedLarge>(&notice))
      add_file(need->domain, need->bytes, ipc::kLargeClass, need->request);
    if (auto* gone = std::get_if<worker::ReturnFile>(&notice)) node.files.erase(gone->file);
    if (auto* own = std::get_if<worker::OwnFile>(&notice))
      node.files[own->file] = std::move(own->memory);
    if (std::holds_alternative<worker::ChannelViolated>(notice))
      violation("a channel was violated");
    if (auto* broken = std::get_if<worker::SessionBroken>(&notice)) {
      violation("a session broke between nodes " + std::to_string(node.index) + " and " +
                std::to_string(broken->node));
    }
    for (auto& client : clients_)
      if (auto* ready = std::get_if<worker::FileReady>(&notice);
          ready != nullptr && client->node == node.index && client->awaiting_file == ready->request)
        client->awaiting_file.reset();
    notice = std::monostate{};
  }
  node.worker->bell_changes().clear();
}

// ---- actors -------------------------------------------------------------------------------------

void World::step_client(Client& client) {
  Node& node = *nodes_[client.node];
  ipc::Delivery delivery;
  while (client.channel->receive(delivery)) {
    const auto kind = static_cast<ipc::DeliveryKind>(delivery.kind);
    if (kind == ipc::DeliveryKind::kReply) {
      Sent& sent = client.sent.at(delivery.ticket - 1);
      if (sent.ended)
        violation("a reply came after the outcome of " + std::to_string(delivery.ticket));
      if (!sent.replied) violation("a reply came that no program made");
      sent.ended = true;
      sent.ending = Ending::kDone;
      ++verdict_.done;
      --client.open;
      note(delivery.ticket);
      client.channel->release({delivery.token, 0, 0});
      continue;
    }
    if (kind != ipc::DeliveryKind::kOutcomes) continue;
    for (std::uint8_t at = 0; at < delivery.count; ++at) {
      ipc::OutcomeRecord record;
      std::memcpy(&record, delivery.inline_bytes + at * sizeof record, sizeof record);
      Sent& sent = client.sent.at(record.sequence - 1);
      if (sent.ended) violation("two outcomes of " + std::to_string(record.sequence));
      sent.ended = true;
      sent.ending = static_cast<Ending>(record.ending);
      --client.open;
      note(record.sequence * 4 + record.ending);
      trace("client %u: %llu ended %u reason %u attempts %u", client.number,
            static_cast<unsigned long long>(record.sequence), record.ending, record.reason,
            record.attempt);
      if (sent.ending == Ending::kDone) ++verdict_.done;
      if (sent.ending == Ending::kFailed) ++verdict_.failed;
      if (sent.ending == Ending::kUnknown) ++verdict_.unknown;
      if (sent.ending == Ending::kFailed && sent.deliveries != 0)
        violation("failed, but a program had " + std::to_string(record.sequence));
      if (sent.ending == Ending::kDone && sent.level == Level::kProcessed &&
          sent.released_done == 0)
        violation("done, but no program released " + std::to_string(record.sequence));
    }
  }
  // A large one is submitted once its file is known.
  if (client.awaiting_file) return;
  if (!client.sent.empty()) {
    Sent& last = client.sent.back();
    if (last.file && !last.submitted) {
      if (!client.channel->submit(last.submission)) return;
      last.submitted = true;
    }
  }
  while (client.sent.size() < options_.messages && client.open < client.window &&
         now_ >= client.next_send && !client.awaiting_file) {
    Sent sent;
    const std::uint64_t sequence = client.sent.size() + 1;
    sent.stamp = {client.number, static_cast<std::uint32_t>(random_.below(options_.keys)), sequence,
                  sizeof(Stamp), random_.next()};
    sent.broadcast = random_.chance(options_.broadcast_chance);
    sent.call = !sent.broadcast && random_.chance(options_.call_chance);
    ipc::Submission& submission = sent.submission;
    submission.sequence = sequence;
    submission.hash = sent.stamp.key;
    submission.key_bytes = 4;
    std::memcpy(submission.inline_bytes, &sent.stamp.key, 4);
    submission.target = static_cast<std::uint8_t>(sent.broadcast ? ipc::TargetKind::kBroadcast
                                                                 : ipc::TargetKind::kKey);
    if (!sent.call && random_.chance(options_.accepted_chance)) sent.level = Level::kAccepted;
    if (!sent.call && random_.chance(options_.none_chance)) sent.level = Level::kNone;
    submission.level = static_cast<std::uint8_t>(sent.level);
    if (random_.chance(options_.deadline_chance))
      submission.deadline_ns =
          now_ + static_cast<DurationNs>(random_.between(1, 60)) * kMillisecondNs;
    if (sent.call) submission.flags |= ipc::kSubmitCall;
    if (random_.chance(options_.large_chance)) {
      sent.stamp.bytes = random_.between(sizeof(Stamp), options_.large_bytes + sizeof(Stamp));
      auto made = ipc::MemoryFile::create("sim-tx", sent.stamp.bytes);
      RW_CHECK(made.ok());
      sent.file = std::make_unique<ipc::MemoryFile>(std::move(made).value());
      std::memcpy(sent.file->data(), &sent.stamp, sizeof(Stamp));
      for (std::uint64_t at = sizeof(Stamp); at < sent.stamp.bytes; ++at)
        sent.file->data()[at] = std::byte{fill_byte(sent.stamp, at)};
      submission.extent_file = static_cast<std::uint32_t>(sequence);
      node.command(worker::AddFile{client.index, submission.extent_file, sent.file->data(),
                                   sent.file->bytes(), sequence});
      client.awaiting_file = sequence;
    } else {
      std::memcpy(submission.inline_bytes + 4, &sent.stamp, sizeof(Stamp));
    }
    submission.payload_bytes = sent.stamp.bytes;
    if (!sent.file && !client.channel->submit(submission)) return;
    const bool file = sent.file != nullptr;
    if (!file && random_.chance(options_.cancel_chance)) {
      ipc::Submission cancel{};
      cancel.sequence = random_.between(1, sequence);
      cancel.flags = ipc::kSubmitCancel;
      client.channel->submit(cancel);
    }
    client.sent.push_back(std::move(sent));
    ++client.open;
    if (file) return;  // submitted when the engine has the file
    if (random_.chance(0.1))
      client.next_send = now_ + static_cast<DurationNs>(random_.below(3'000)) * kMicrosecondNs;
  }
}

void World::step_server(Node& node, Server& server) {
  if (now_ < server.stopped_until) return;
  ipc::Delivery delivery;
  while (server.channel->receive(delivery)) {
    const auto kind = static_cast<ipc::DeliveryKind>(delivery.kind);
    if (kind != ipc::DeliveryKind::kMessage) continue;  // outcomes of replies
    Server::Held held;
    held.delivery = delivery;
    const std::byte* payload = delivery.inline_bytes + delivery.key_bytes;
    std::uint32_t key = 0;
    if (delivery.extent_file != 0) {
      const auto file = node.files.find(delivery.extent_file);
      if (file == node.files.end()) {
        violation("a delivery names a file that does not exist");
        continue;
      }
      payload = file->second->data() + delivery.payload_offset;
      std::memcpy(&key, payload - 4, 4);
    } else {
      std::memcpy(&key, delivery.inline_bytes, 4);
    }
    std::memcpy(&held.stamp, payload, sizeof(Stamp));
    const Stamp& stamp = held.stamp;
    if (stamp.client >= clients_.size() || stamp.sequence == 0 ||
        stamp.sequence > clients_[stamp.client]->sent.size()) {
      violation("a payload that nobody sent");
      continue;
    }
    Sent& sent = clients_[stamp.client]->sent[stamp.sequence - 1];
    if (std::memcmp(&stamp, &sent.stamp, sizeof stamp) != 0 || key != stamp.key ||
        delivery.payload_bytes != stamp.bytes)
      violation("a payload came changed");
    for (std::uint64_t at = sizeof(Stamp); at < stamp.bytes; ++at) {
      if (payload[at] != std::byte{fill_byte(stamp, at)}) {
        violation("byte " + std::to_string(at) + " of a payload came changed");
        break;
      }
    }
    ++sent.deliveries;
    if (sent.ended && sent.ending == Ending::kFailed)
      violation("handed out after it had failed: " + std::to_string(stamp.sequence));
    ++verdict_.delivered;
    const bool redelivered = (delivery.flags & ipc::kDeliverRedelivered) != 0;
    if (redelivered) ++verdict_.redelivered;
    note(stamp.sequence * 31 + node.index);
    trace("node %u program %u gets %u/%llu key %u attempt %u%s", node.index, server.index,
          stamp.client, static_cast<unsigned long long>(stamp.sequence), stamp.key,
          delivery.attempt, redelivered ? " redelivered" : "");
    if (!node.seen.insert({stamp.client, stamp.sequence}).second && !redelivered)
      violation("twice at one node and not flagged: " + std::to_string(stamp.sequence));
    // FIFO per (channel, key): when a message is handed out for the first time, none after it of
    // its key has been handed out before, here or elsewhere. (One that ended without that never
    // comes.)
    // What its sender gave up (its deadline, say) may still arrive, late: it was told `unknown`.
    if (!sent.broadcast && sent.deliveries == 1 && !sent.ended && sent.level != Level::kNone) {
      const auto& all = clients_[stamp.client]->sent;
      for (std::uint64_t after = stamp.sequence + 1; after <= all.size(); ++after) {
        const Sent& younger = all[after - 1];
        if (younger.stamp.key == stamp.key && !younger.broadcast && younger.deliveries != 0)
          violation("message " + std::to_string(after) + " overtook " +
                    std::to_string(stamp.sequence) + " of its key");
      }
    }
    held.release_at = now_ + static_cast<DurationNs>(random_.below(500)) * kMicrosecondNs;
    server.held.push_back(held);
  }
  for (std::size_t at = 0; at < server.held.size();) {
    Server::Held& held = server.held[at];
    if (held.release_at > now_) {
      ++at;
      continue;
    }
    Sent& sent = clients_[held.stamp.client]->sent[held.stamp.sequence - 1];
    const bool call = (held.delivery.flags & ipc::kDeliverCall) != 0;
    if (random_.chance(options_.faults.retry) && faults_on_) {
      server.channel->release(
          {held.delivery.token, static_cast<std::uint32_t>(ipc::Verdict::kRetry), 0});
    } else {
      std::uint32_t flags = 0;
      if (call) {
        ipc::Submission reply{};
        reply.sequence = server.next_sequence;
        reply.target = static_cast<std::uint8_t>(ipc::TargetKind::kOrigin);
        reply.flags = ipc::kSubmitReply;
        reply.level = static_cast<std::uint8_t>(Level::kAccepted);
        std::memcpy(reply.inline_bytes, &held.delivery.origin, sizeof held.delivery.origin);
        std::memcpy(reply.inline_bytes + 64, &held.stamp.sequence, 8);
        reply.payload_bytes = 8;
        if (!server.channel->submit(reply)) {
          ++at;
          continue;
        }
        ++server.next_sequence;
        sent.replied = true;
        flags = ipc::kReleaseReplied;
      }
      ++sent.released_done;
      server.channel->release({held.delivery.token, 0, flags});
    }
    server.held.erase(server.held.begin() + static_cast<std::ptrdiff_t>(at));
  }
}

// ---- faults -------------------------------------------------------------------------------------

void World::inject_faults() {
  if (now_ < next_fault_ns_) return;
  next_fault_ns_ = now_ + kMillisecondNs;
  const Faults& faults = options_.faults;
  for (auto& node : nodes_) {
    if (!node->server) continue;
    if (!node->alive) {
      if (now_ >= node->restart_at) {
        trace("engine %u starts", node->index);
        start_node(node->index);
      }
      continue;
    }
    if (node->hung_until != 0) {
      if (now_ >= node->hung_until) {
        node->hung_until = 0;
        trace("engine %u goes on", node->index);
        tell_states(node->index, PeerState::kUp);
      }
      continue;
    }
    if (!faults_on_) continue;
    const bool spared = options_.local_clients && node->index == 0;
    if (!spared && random_.chance(faults.crash_engine)) {
      stop_node(node->index);
      node->restart_at = now_ + static_cast<DurationNs>(random_.between(1, 100)) * kMillisecondNs;
      continue;
    }
    if (!spared && random_.chance(faults.hang_engine)) {
      node->hung_until = now_ + static_cast<DurationNs>(random_.between(1, 200)) * kMillisecondNs;
      trace("engine %u hangs", node->index);
      if (random_.chance(0.8)) tell_states(node->index, PeerState::kHung);
      continue;
    }
    if (random_.chance(faults.stop_program) && !node->servers.empty()) {
      Server& server = *node->servers[random_.below(node->servers.size())];
      server.stopped_until =
          now_ + static_cast<DurationNs>(random_.between(1, 300)) * kMillisecondNs;
      trace("program %u of node %u stops", server.index, node->index);
    }
    if (random_.chance(faults.crash_program) && !node->servers.empty()) {
      stop_server(*node, random_.below(node->servers.size()));
      start_server(*node);
    }
  }
  if (faults_on_ && random_.chance(faults.lose_session)) {
    const auto left = static_cast<std::uint32_t>(random_.below(nodes_.size()));
    const auto right = static_cast<std::uint32_t>(random_.below(nodes_.size()));
    if (left != right && nodes_[left]->alive && nodes_[right]->alive) {
      trace("sessions of %u and %u are made anew", left, right);
      connect(left, right);
    }
  }
}

// ---- the run ------------------------------------------------------------------------------------

bool World::finished() const {
  for (const auto& client : clients_)
    if (client->sent.size() < options_.messages || client->open != 0) return false;
  return true;
}

Verdict World::run() {
  const TimeNs start = now_;
  std::uint64_t ended_before = 0;
  TimeNs progress_at = now_;
  while (!finished()) {
    if (now_ - start > kSafetyLimitNs || now_ - progress_at > 20 * kSecondNs) {
      violation("no progress");
      for (const auto& client : clients_)
        for (const Sent& sent : client->sent)
          if (!sent.ended)
            trace("open: %u/%llu key %u deliveries %u released %u call %d replied %d level %d",
                  client->number, static_cast<unsigned long long>(sent.stamp.sequence),
                  sent.stamp.key, sent.deliveries, sent.released_done, sent.call, sent.replied,
                  static_cast<int>(sent.level));
      break;
    }
    if (now_ - start > 3 * kSecondNs && faults_on_) {
      faults_on_ = false;  // from here on the world heals, and all must end
      port::SimPath path = network_.path(endpoint_of(0), endpoint_of(1));
      path.loss = path.duplicate = path.reorder = path.corrupt = 0;
      network_.set_default_path(path);
    }
    network_.advance(now_);
    inject_faults();
    bool worked = false;
    TimeNs next = next_fault_ns_;
    for (auto& node : nodes_) {
      if (!node->alive || node->hung_until != 0) continue;
      worked |= node->worker->turn(now_);
      pump_notices(*node);
      for (auto& server : node->servers) {
        step_server(*node, *server);
        if (server->channel->take_bell()) node->worker->wake_channel(server->index);
        for (const auto& held : server->held) next = std::min(next, held.release_at);
      }
      next = std::min(next, node->worker->next_deadline_ns());
    }
    for (auto& client : clients_) {
      step_client(*client);
      if (client->channel->take_bell()) nodes_[client->node]->worker->wake_channel(client->index);
    }
    if (!verdict_.violations.empty()) break;
    const std::uint64_t ended = verdict_.done + verdict_.failed + verdict_.unknown;
    if (ended != ended_before) {
      ended_before = ended;
      progress_at = now_;
    }
    next = std::min(next, network_.next_event_ns());
    // A turn costs a few microseconds; who did work gets the next turn that soon.
    now_ = worked ? now_ + 5 * kMicrosecondNs
                  : std::max(now_ + kMicrosecondNs, std::min(next, now_ + 200 * kMicrosecondNs));
  }
  verdict_.ended_at_ns = now_ - start;
  if (verdict_.violations.empty()) check_end();
  return verdict_;
}

void World::check_end() {
  for (const auto& client : clients_)
    for (const Sent& sent : client->sent)
      if (sent.ending == Ending::kFailed && sent.deliveries != 0)
        violation("failed, but a program had " + std::to_string(sent.stamp.sequence));
}

void World::violation(const std::string& text) {
  verdict_.violations.push_back("at " + std::to_string(now_ / 1000) + " us: " + text);
  trace("VIOLATION %s", text.c_str());
}

void World::note(std::uint64_t value) {
  verdict_.trace_hash =
      mix64(verdict_.trace_hash ^ value ^ mix64(static_cast<std::uint64_t>(now_)));
}

void World::trace(const char* format, ...) {
  if (!options_.trace) return;
  std::printf("%12.3f us  ", static_cast<double>(now_) / 1e3);
  va_list arguments;
  va_start(arguments, format);
  std::vprintf(format, arguments);
  va_end(arguments);
  std::putchar('\n');
}

}  // namespace ringwire::sim
