#include "engine/node/admin_text.h"

#include <cstdio>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/endpoint_text.h"
#include "base/hash.h"

#include "engine/node/clock.h"

namespace ringwire::node {
namespace {

using worker::WorkerCounters;

std::string id_text(const Id128& id) { return hex_text(id.high) + hex_text(id.low); }

/// Visit every counter of a port by name.
template <typename Visit>
void each_counter(const port::PortCounters& counters, Visit visit) {
  visit("rx_packets", counters.rx_packets);
  visit("rx_bytes", counters.rx_bytes);
  visit("tx_packets", counters.tx_packets);
  visit("tx_bytes", counters.tx_bytes);
  visit("rx_errors", counters.rx_errors);
  visit("tx_errors", counters.tx_errors);
  visit("tx_full", counters.tx_full);
  visit("buffers_exhausted", counters.buffers_exhausted);
  visit("system_calls", counters.system_calls);
  visit("handed_over", counters.handed_over);
}

template <typename Visit>
void each_counter(const transport::SessionCounters& counters, Visit visit) {
  visit("packets_sent", counters.packets_sent);
  visit("packets_received", counters.packets_received);
  visit("packets_lost", counters.packets_lost);
  visit("packets_spurious", counters.packets_spurious);
  visit("bytes_sent", counters.bytes_sent);
  visit("bytes_received", counters.bytes_received);
  visit("bytes_retransmitted", counters.bytes_retransmitted);
  visit("probes_sent", counters.probes_sent);
  visit("messages_sent", counters.messages_sent);
  visit("messages_received", counters.messages_received);
  visit("dropped_duplicate_packet", counters.dropped_duplicate_packet);
  visit("dropped_bad_packet", counters.dropped_bad_packet);
  visit("dropped_malformed", counters.dropped_malformed);
  visit("dropped_early_fragment", counters.dropped_early_fragment);
  visit("dropped_old_packet", counters.dropped_old_packet);
  visit("congestion_events", counters.congestion_events);
}

std::uint64_t sum(const Snapshots::All& all, std::uint64_t WorkerCounters::*field) {
  std::uint64_t total = 0;
  for (const auto& snapshot : all)
    if (snapshot != nullptr) total += snapshot->counters.*field;
  return total;
}

Json workers_json(const Admin::Rooms& rooms, const Snapshots::All& all) {
  Json workers = Json::array();
  for (std::uint32_t index = 0; index < rooms.workers.count(); ++index) {
    const auto& snapshot = all[index];
    Json port = Json::object();
    each_counter(rooms.workers.port(index).counters(),
                 [&](const char* name, std::uint64_t count) { port[name] = count; });
    workers.push_back({{"index", index},
                       {"answered", snapshot != nullptr},
                       {"busy_permille", rooms.busy_permille(index)},
                       {"sleeping", rooms.workers.thread(index).sleeping()},
                       {"turns", snapshot == nullptr ? 0 : snapshot->counters.turns},
                       {"sync_growth", snapshot == nullptr ? 0 : snapshot->counters.sync_growth},
                       {"port", std::move(port)}});
  }
  return workers;
}

Json memory_json(const MemoryBudget& budget) {
  Json terms = Json::array();
  for (const MemoryTerm& term : budget.terms())
    terms.push_back({{"name", term.name}, {"bytes", term.bytes}});
  return {{"budget_bytes", budget.budget_bytes()},
          {"used_bytes", budget.used_bytes()},
          {"terms", std::move(terms)}};
}

Json messages_json(const Snapshots::All& all) {
  return {{"taken", sum(all, &WorkerCounters::taken)},
          {"done", sum(all, &WorkerCounters::done)},
          {"failed", sum(all, &WorkerCounters::failed)},
          {"unknown", sum(all, &WorkerCounters::unknown)},
          {"in_flight", sum(all, &WorkerCounters::in_flight_now)},
          {"retried", sum(all, &WorkerCounters::retried)},
          {"redelivered", sum(all, &WorkerCounters::redelivered)},
          {"late_outcomes", sum(all, &WorkerCounters::late_outcomes)},
          {"received", sum(all, &WorkerCounters::received)},
          {"delivered", sum(all, &WorkerCounters::delivered)},
          {"shared", sum(all, &WorkerCounters::shared)},
          {"duplicates", sum(all, &WorkerCounters::duplicates)},
          {"held_too_long", sum(all, &WorkerCounters::held_too_long)}};
}

bool is_up(ipc::NodeState state) {
  return state != ipc::NodeState::kUnknown && state != ipc::NodeState::kDown &&
         state != ipc::NodeState::kHung && state != ipc::NodeState::kOut;
}

Json sessions_json(const Snapshots::All& all, worker::NodeIndex node) {
  Json sessions = Json::array();
  for (std::size_t worker = 0; worker < all.size(); ++worker) {
    if (all[worker] == nullptr) continue;
    for (const worker::SessionSnapshot& session : all[worker]->sessions) {
      if (session.node != node) continue;
      Json json = {{"local_worker", worker},
                   {"remote_worker", session.remote_worker},
                   {"open_messages", session.open_messages},
                   {"bytes_in_flight", session.bytes_in_flight},
                   {"rtt_ns", session.rtt_ns}};
      each_counter(session.counters,
                   [&](const char* name, std::uint64_t count) { json[name] = count; });
      sessions.push_back(std::move(json));
    }
  }
  return sessions;
}

Json endpoints_json(const std::vector<Endpoint>& endpoints) {
  Json texts = Json::array();
  for (const Endpoint& endpoint : endpoints) texts.push_back(endpoint_text(endpoint));
  return texts;
}

const worker::ChannelSnapshot* find_snapshot(const Snapshots::All& all, const Channel& channel) {
  if (all[channel.home_worker] == nullptr) return nullptr;
  for (const worker::ChannelSnapshot& row : all[channel.home_worker]->channels)
    if (row.index == channel.index) return &row;
  return nullptr;
}

Json channel_json(const Admin::Rooms& rooms, const Snapshots::All& all, const Channel& channel) {
  Json serves = Json::array();
  for (const auto& [service, add] : channel.serves) serves.push_back(rooms.services.name(service));
  worker::ChannelSnapshot at_home;
  if (const auto* row = find_snapshot(all, channel)) at_home = *row;
  // Messages are delivered by every worker; submissions are taken by the home worker alone.
  std::uint64_t delivered = 0;
  std::uint64_t held = 0;
  for (const auto& snapshot : all) {
    if (snapshot == nullptr) continue;
    for (const worker::ChannelSnapshot& row : snapshot->channels) {
      if (row.index != channel.index) continue;
      delivered += row.delivered;
      held += row.held;
    }
  }
  return {{"index", channel.number},
          {"home_worker", channel.home_worker},
          {"outstanding", at_home.outstanding},
          {"submitted", at_home.submitted},
          {"delivered", delivered},
          {"held", held},
          {"serves", std::move(serves)},
          {"parked", at_home.parked}};
}

Json groups_json(const Admin::Rooms& rooms, const Snapshots::All& all) {
  Json groups = Json::array();
  for (std::uint16_t service = 0; service < rooms.services.count(); ++service) {
    worker::GroupSnapshot whole;
    for (const auto& snapshot : all) {
      if (snapshot == nullptr) continue;
      for (const worker::GroupSnapshot& part : snapshot->groups) {
        if (part.service != service) continue;
        // Every worker knows all consumers, and has messages of its own.
        whole.consumers = std::max(whole.consumers, part.consumers);
        whole.queued += part.queued;
        whole.in_flight += part.in_flight;
        whole.order_none = whole.order_none || part.order_none;
      }
    }
    if (whole.consumers == 0 && whole.queued == 0 && whole.in_flight == 0) continue;
    groups.push_back({{"service", rooms.services.name(service)},
                      {"consumers", whole.consumers},
                      {"queued", whole.queued},
                      {"in_flight", whole.in_flight},
                      {"order", whole.order_none ? "none" : "key"}});
  }
  return groups;
}

/// Server programs of this node, and the services whose messages wait here with none to take them.
void add_consumers(Json& json, const Admin::Rooms& rooms, const Snapshots::All& all) {
  std::uint32_t consumers = 0;
  Json waiting = Json::array();
  for (const Json& group : groups_json(rooms, all)) {
    const auto count = group["consumers"].get<std::uint32_t>();
    consumers += count;
    if (count == 0) waiting.push_back(group["service"]);
  }
  json["consumers"] = consumers;
  json["services_without_consumer"] = std::move(waiting);
}

std::string serving_member(const Admin::Rooms& rooms, const ring::View& view, std::uint32_t slot) {
  for (const ring::MemberIndex member : view.replicas_of(slot))
    if (rooms.page.state(view.members[member].node_index) == ipc::NodeState::kServing)
      return view.members[member].name;
  return "";
}

}  // namespace

std::string hex_text(std::uint64_t number) {
  char text[17];
  std::snprintf(text, sizeof text, "%016lx", static_cast<unsigned long>(number));
  return text;
}

Json status_json(const NodeFacts& facts, const Admin::Rooms& rooms, const Snapshots::All& all,
                 TimeNs now) {
  std::uint32_t up = 0;
  std::uint32_t serving = 0;
  std::uint32_t members_up = 0;
  const auto self = rooms.page.find(facts.node);
  for (worker::NodeIndex index = 0; index < rooms.page.count(); ++index) {
    const ipc::NodeState state = rooms.page.state(index);
    if (is_up(state)) ++up;
    if (state == ipc::NodeState::kServing) ++serving;
    if (is_up(state) && rooms.view.is_member(rooms.page.name(index))) ++members_up;
  }
  const std::size_t members = rooms.view.member_names().size();
  Json json;
  json["node"] = facts.node;
  json["cluster"] = facts.cluster;
  json["type"] = facts.random_cluster ? "random" : "hash";
  json["role"] = facts.server ? "server" : "slave";
  json["state"] = node_state_text(self ? rooms.page.state(*self) : ipc::NodeState::kUnknown);
  json["epoch"] = rooms.view.current() == nullptr ? 0 : rooms.view.current()->epoch;
  json["incarnation"] = id_text(facts.incarnation);
  json["version"] = RINGWIRE_VERSION;
  json["uptime_ns"] = now - facts.started_ns;
  json["without_majority"] = facts.without_majority;
  json["degraded"] = members > 0 && members_up * 2 <= members;
  json["workers"] = workers_json(rooms, all);
  json["memory"] = memory_json(rooms.budget);
  json["messages"] = messages_json(all);
  json["receiving"] = sum(all, &WorkerCounters::receiving_now);
  json["unprocessed"] = sum(all, &WorkerCounters::unprocessed_now);
  json["attachments"] = rooms.attachments.all().size();
  add_consumers(json, rooms, all);
  json["nodes"] = {{"known", rooms.page.count()}, {"up", up}, {"serving", serving}};
  return json;
}

Json nodes_json(const NodeFacts& facts, const Admin::Rooms& rooms, const Snapshots::All& all,
                TimeNs now) {
  Json nodes = Json::array();
  for (worker::NodeIndex index = 0; index < rooms.page.count(); ++index) {
    const std::string name = rooms.page.name(index);
    const bool self = name == facts.node;
    const Peer* peer = rooms.peers.find(name);
    Json node;
    node["name"] = name;
    const bool slave =
        self ? !facts.server : peer != nullptr && peer->hello.role == control::Role::kSlave;
    node["role"] = slave ? "slave" : "server";
    node["state"] = node_state_text(rooms.page.state(index));
    node["self"] = self;
    node["control"] = self                                         ? endpoint_text(facts.control)
                      : peer != nullptr && peer->control.port != 0 ? endpoint_text(peer->control)
                                                                   : "";
    node["data"] = endpoints_json(self              ? facts.data
                                  : peer != nullptr ? peer->hello.data_endpoints
                                                    : std::vector<Endpoint>());
    node["rtt_ns"] = peer == nullptr ? 0 : peer->rtt_ns;
    node["silent_ns"] = peer == nullptr ? 0 : now - peer->heard_ns;
    node["incarnation"] = self              ? id_text(facts.incarnation)
                          : peer != nullptr ? id_text(peer->hello.incarnation)
                                            : "";
    node["version"] = self ? RINGWIRE_VERSION : peer != nullptr ? peer->hello.software_version : "";
    node["sessions"] = sessions_json(all, index);
    nodes.push_back(std::move(node));
  }
  return {{"epoch", rooms.view.current() == nullptr ? 0 : rooms.view.current()->epoch},
          {"nodes", std::move(nodes)}};
}

Json attachments_json(const Admin::Rooms& rooms, const Snapshots::All& all) {
  Json attachments = Json::array();
  for (const auto& [number, attachment] : rooms.attachments.all()) {
    Json channels = Json::array();
    std::set<std::uint16_t> services;
    for (const auto& [name, index] : attachment.channels) {
      const Channel& channel = *rooms.attachments.find_channel(index);
      channels.push_back(channel_json(rooms, all, channel));
      for (const auto& [service, add] : channel.serves) services.insert(service);
    }
    Json names = Json::array();
    for (const std::uint16_t service : services) names.push_back(rooms.services.name(service));
    attachments.push_back({{"pid", attachment.pid},
                           {"uid", attachment.uid},
                           {"label", attachment.label},
                           {"since_ns", clock_now_ns() - attachment.since_ns},
                           {"channels", std::move(channels)},
                           {"adopted_bytes", attachment.adopted_bytes},
                           {"channel_bytes", attachment.channel_bytes},
                           {"descriptors", attachment.descriptors},
                           {"services", std::move(names)}});
  }
  return {{"attachments", std::move(attachments)}, {"groups", groups_json(rooms, all)}};
}

/// Visit every reason for which callers and requests at the attach socket are turned away.
template <typename Visit>
void each_refusal(const AttachCounters& callers, const QuotaCounters& quotas, Visit visit) {
  visit("wrong_user", callers.wrong_user);
  visit("too_many_callers", callers.too_many_callers);
  visit("said_nothing", callers.said_nothing);
  visit("malformed", callers.malformed);
  visit("surplus_descriptors", callers.surplus_descriptors);
  visit("wrong_version", callers.wrong_version);
  visit("id_taken", callers.id_taken);
  visit("attachments_reached", callers.attachments_reached);
  visit("answers_not_read", callers.answers_not_read);
  visit("broken_queues", callers.broken_queues);
  visit("no_descriptor", callers.no_descriptor);
  visit("waits_for_reader", callers.waits_for_reader);
  visit("waits_for_work", callers.waits_for_work);
  visit("quota_channels", quotas.channels);
  visit("quota_descriptors", quotas.descriptors);
  visit("quota_files", quotas.files);
  visit("quota_adopted_bytes", quotas.adopted_bytes);
  visit("quota_channel_bytes", quotas.channel_bytes);
}

Json drops_json(const Admin::Rooms& rooms, const Snapshots::All& all, bool every) {
  Json drops = Json::array();
  const auto add = [&](const std::string& where, const char* reason, std::uint64_t count) {
    if (count != 0 || every)
      drops.push_back({{"where", where}, {"reason", reason}, {"count", count}});
  };
  each_refusal(
      rooms.callers(), rooms.attachments.refused(),
      [&](const char* reason, std::uint64_t count) { add("attach socket", reason, count); });
  add("receiving memory", "quota_receiving_bytes", rooms.extents.beyond_share());
  for (std::uint32_t index = 0; index < rooms.workers.count(); ++index) {
    const std::string where = "worker " + std::to_string(index);
    const port::PortCounters& port = rooms.workers.port(index).counters();
    add(where + " port", "rx_errors", port.rx_errors);
    add(where + " port", "tx_errors", port.tx_errors);
    if (all[index] == nullptr) continue;
    const WorkerCounters& counters = all[index]->counters;
    add(where, "unknown_connection", counters.drop_unknown_connection);
    add(where, "not_a_frame", counters.drop_not_a_frame);
    add(where, "bad_submissions", counters.bad_submissions);
    add(where, "bad_releases", counters.bad_releases);
    add(where, "late_releases", counters.late_releases);
    add(where, "stale", counters.stale);
    add(where, "queue_full", counters.dropped_oldest);
    add(where, "duplicates", counters.duplicates);
    for (const worker::SessionSnapshot& session : all[index]->sessions) {
      const std::string peer = where + " session " + rooms.page.name(session.node) + "/" +
                               std::to_string(session.remote_worker);
      add(peer, "duplicate_packet", session.counters.dropped_duplicate_packet);
      add(peer, "bad_packet", session.counters.dropped_bad_packet);
      add(peer, "malformed", session.counters.dropped_malformed);
      add(peer, "early_fragment", session.counters.dropped_early_fragment);
      add(peer, "old_packet", session.counters.dropped_old_packet);
    }
  }
  return {{"drops", std::move(drops)}};
}

Json slots_json(const NodeFacts& facts, const Admin::Rooms& rooms, const SlotQuestion& question) {
  const ring::View* view = rooms.view.current();
  Json json;
  json["epoch"] = view == nullptr ? 0 : view->epoch;
  json["algorithm"] = facts.random_cluster
                          ? std::string("random")
                          : "rendezvous-" + std::to_string(ring::kPlacementVersion);
  json["digest"] = hex_text(view == nullptr ? 0 : view->digest);
  json["slot_count"] = kSlotCount;
  json["members"] = Json::array();
  if (view == nullptr) return json;
  std::vector<std::uint32_t> primary(view->members.size(), 0);
  std::vector<std::uint32_t> replica(view->members.size(), 0);
  for (std::size_t at = 0; at < view->table.size(); ++at) {
    const bool owner = at % view->replicas_count == 0;
    ++(owner ? primary : replica)[view->table[at]];
  }
  Json serving = Json::array();
  for (std::size_t member = 0; member < view->members.size(); ++member) {
    const ring::Member& one = view->members[member];
    const ipc::NodeState state = rooms.page.state(one.node_index);
    if (state == ipc::NodeState::kServing) serving.push_back(one.name);
    json["members"].push_back({{"name", one.name},
                               {"state", node_state_text(state)},
                               {"primary", primary[member]},
                               {"replica", replica[member]}});
  }
  if (!question.key && !question.hash) return json;
  const std::uint64_t hash =
      question.hash ? *question.hash : key_hash(as_bytes(std::string_view(*question.key)));
  const std::uint32_t slot = slot_of(hash);
  Json& key = json["key"];
  if (question.key) key["key"] = *question.key;
  key["hash"] = "0x" + hex_text(hash);
  key["slot"] = slot;
  key["replicas"] = Json::array();
  for (const ring::MemberIndex member : view->replicas_of(slot))
    key["replicas"].push_back(view->members[member].name);
  // A random cluster has no owners: whoever serves takes any key.
  key["serving"] = facts.random_cluster ? "" : serving_member(rooms, *view, slot);
  if (facts.random_cluster) key["serving_any"] = std::move(serving);
  return json;
}

}  // namespace ringwire::node
