#include "tests/ring/agreement_world.h"

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <set>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/random.h"
#include "ring/agreement.h"
#include "ring/decree_codec.h"
#include "tests/ring/agreement_oracle.h"

namespace ringwire::ring {
namespace {

constexpr DurationNs kMs = kMillisecondNs;
constexpr Id128 kCluster{7, 7};
constexpr TimeNs kHealAt = 1'500 * kMs;
// Back-off reaches 0.64 s; ten rounds of it in a healed network would be a bug.
constexpr TimeNs kSettleBy = kHealAt + 10'000 * kMs;
constexpr DurationNs kHeartbeatNs = 20 * kMs;

// What a view says here: which node serves the one slot, and a number that tells decrees apart.
Decree make_decree(std::uint64_t tag, const Id128& server, IdSet voters, IdSet losers) {
  Decree decree{.voters = std::move(voters), .losers = std::move(losers), .description = {}};
  decree.description.resize(24);
  store_le(decree.description.data(), tag);
  store_le(decree.description.data() + 8, server.high);
  store_le(decree.description.data() + 16, server.low);
  return decree;
}

Id128 server_of(const Decree& decree) {
  if (decree.description.size() != 24) return {};
  return {.high = load_le<std::uint64_t>(decree.description.data() + 8),
          .low = load_le<std::uint64_t>(decree.description.data() + 16)};
}

// One life of a node, from start to crash.
struct Life {
  Life(Record record, std::uint64_t seed, TimeNs now)
      : start_epoch(record.epoch),
        grants(now),
        agreement(std::move(record), AgreementTunables{}, seed, grants),
        lease(seed) {}

  std::uint64_t start_epoch;
  Grants grants;
  Agreement agreement;
  Lease lease;
  std::uint64_t seen_epoch = 0;
  std::uint64_t yielded_epoch = 0;  // does not serve under it any more: hands over
  std::uint32_t open_beats = 0;
  std::optional<RecordToWrite> writing;
};

struct Node {
  Id128 self;
  std::unique_ptr<Life> life;
  std::uint64_t lives_count = 0;
  std::vector<std::byte> disk;
  Record durable;  // what `disk` says
  std::uint64_t best_epoch = 0;
  // Its clock, in parts per thousand of the true rate.
  std::int64_t clock_rate = 1'000;
  TimeNs clock_offset = 0;

  [[nodiscard]] TimeNs local(TimeNs now) const { return clock_offset + now / 1'000 * clock_rate; }
};

class World {
 public:
  World(std::uint64_t seed, std::uint64_t voters_count) : random_(seed) {
    loss_ = draw_rate(0.3);
    duplication_ = draw_rate(0.5);
    max_delay_ = static_cast<DurationNs>(random_.between(1, 30)) * kMs;
    max_write_ = static_cast<DurationNs>(random_.between(1, 20)) * kMs;
    crash_ = draw_rate(0.25);
    partition_ = draw_rate(0.5);
    voters_change_ = draw_rate(0.8);
    server_change_ = draw_rate(0.9);
    loses_a_disk_ = random_.chance(0.3);

    IdSet founders;
    for (std::uint64_t i = 0; i < voters_count + 2; ++i) {
      Node node;
      node.self = next_identity();
      const std::int64_t rates[] = {950, 1'000, 1'050, random_number(950, 1'050)};
      node.clock_rate = rates[random_.below(4)];
      node.clock_offset = random_number(0, 1'000'000'000'000);
      if (i < voters_count) insert(founders, node.self);
      nodes_.push_back(std::move(node));
    }
    const Decree founding = make_decree(0, {}, founders, {});
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      Record record = blank_record(nodes_[i].self);
      if (i < voters_count) {
        record.epoch = 1;
        record.decree = founding;
      }
      nodes_[i].durable = record;
      nodes_[i].disk = encode_record(record);
      start(i);
    }
    at(random_time(10 * kMs), [this] { tick(); });
  }

  AgreementWorldOutcome run() {
    while (oracle_.violation.empty() && !is_settled()) {
      if (now_ > kSettleBy) {
        oracle_.fail("not settled in time: " + describe());
        break;
      }
      auto event = std::move(const_cast<Event&>(events_.top()));
      events_.pop();
      now_ = event.time;
      event.action();
      check_servers();
    }
    AgreementWorldOutcome outcome;
    outcome.violation = oracle_.violation;
    outcome.epochs_count = oracle_.committed.size();
    outcome.restarts_count = restarts_;
    outcome.servers_count = handovers_;
    outcome.settle_ms = static_cast<std::uint64_t>((now_ - kHealAt) / kMs);
    return outcome;
  }

 private:
  struct Event {
    TimeNs time;
    std::uint64_t order;
    std::function<void()> action;
    bool operator<(const Event& other) const {
      return std::pair(time, order) > std::pair(other.time, other.order);
    }
  };

  double draw_rate(double max) { return random_.chance(0.5) ? 0 : random_.unit() * max; }
  std::int64_t random_number(std::int64_t low, std::int64_t high) {
    return low + static_cast<std::int64_t>(random_.below(static_cast<std::uint64_t>(high - low)));
  }
  TimeNs random_time(DurationNs within) { return now_ + random_number(1, within); }
  Id128 next_identity() { return {.high = random_.next() | 1, .low = ++identities_}; }
  bool is_fire() const { return now_ < kHealAt; }
  static Record blank_record(const Id128& self) {
    Record record;
    record.cluster = kCluster;
    record.self = self;
    return record;
  }

  void at(TimeNs time, std::function<void()> action) {
    events_.push({.time = time, .order = ++order_, .action = std::move(action)});
  }

  // Does something to a node unless it died meanwhile.
  void at_life(TimeNs time, std::size_t index, std::function<void(Node&, Life&)> action) {
    at(time, [this, index, life = nodes_[index].lives_count, action = std::move(action)] {
      Node& node = nodes_[index];
      if (node.life == nullptr || node.lives_count != life) return;
      action(node, *node.life);
      pump(index);
    });
  }

  void start(std::size_t index) {
    Node& node = nodes_[index];
    ++node.lives_count;
    const auto record = decode_record(node.disk);
    if (!record || record.value() != node.durable) {
      oracle_.fail("a record was not read back");
      return;
    }
    node.life = std::make_unique<Life>(record.value(), random_.next(), node.local(now_));
    pump(index);
    beat(index);
    expire(index);
  }

  void crash(std::size_t index) {
    Node& node = nodes_[index];
    if (node.life == nullptr) return;
    ++restarts_;
    // Between the write and what it allows to say: on the disk, but nobody was told.
    if (node.life->writing && random_.chance(0.5)) write(node, node.life->writing->bytes);
    node.life.reset();
    if (loses_a_disk_ && random_.chance(0.3)) {
      loses_a_disk_ = false;
      node.self = next_identity();
      node.durable = blank_record(node.self);
      node.disk = encode_record(node.durable);
      node.best_epoch = 0;
    }
    at(random_time(300 * kMs), [this, index] { start(index); });
  }

  void write(Node& node, const std::vector<std::byte>& bytes) {
    node.disk = bytes;
    node.durable = decode_record(bytes).value();
    oracle_.on_durable(node.durable);
  }

  // Takes out of a node what it has to give.
  void pump(std::size_t index) {
    Node& node = nodes_[index];
    Life& life = *node.life;
    if (auto record = life.agreement.take_record()) {
      life.writing = std::move(record);
      at_life(random_time(max_write_), index, [this](Node& writer, Life& writers) {
        const RecordToWrite written = *std::exchange(writers.writing, std::nullopt);
        write(writer, written.bytes);
        writers.agreement.on_durable(writer.local(now_), written.version);
      });
    }
    for (const Message& message : life.agreement.take_messages()) {
      oracle_.on_sent(message, node.durable);
      post(index, message.to, [this, bytes = encode_message(message)](Node& to, Life& receiver) {
        const auto decoded = decode_message(bytes);
        if (!decoded) return oracle_.fail("a message was not read back");
        const Intake verdict = receiver.agreement.on_message(to.local(now_), decoded.value());
        if (verdict == Intake::kConflict || verdict == Intake::kOtherCluster)
          oracle_.fail("a correct message was refused");
      });
    }
    if (life.agreement.epoch() != life.seen_epoch) {
      life.seen_epoch = life.agreement.epoch();
      if (life.seen_epoch < node.best_epoch) oracle_.fail("an epoch fell");
      if (node.durable.epoch < life.seen_epoch) oracle_.fail("a view seen before it was durable");
      node.best_epoch = life.seen_epoch;
      life.lease.on_view(life.seen_epoch, life.agreement.decree().voters);
      oracle_.on_committed(life.seen_epoch, life.agreement.decree());
    }
    static_cast<void>(life.agreement.take_ending());
  }

  // Sends to whoever has that identity now; the network does what it does.
  void post(std::size_t from, const Id128& to, const std::function<void(Node&, Life&)>& deliver) {
    for (std::size_t index = 0; index < nodes_.size(); ++index) {
      if (nodes_[index].self != to) continue;
      for (int copies = is_fire() && random_.chance(duplication_) ? 2 : 1; copies > 0; --copies) {
        if (is_fire() && (random_.chance(loss_) || blocked_.contains({from, index}))) continue;
        at(random_time(is_fire() ? max_delay_ : kMs), [this, index, to, deliver] {
          Node& node = nodes_[index];
          if (node.life == nullptr || node.self != to) return;
          deliver(node, *node.life);
          pump(index);
        });
      }
    }
  }

  // Every node looks at its deadlines each 5 ms.
  void expire(std::size_t index) {
    at_life(random_time(5 * kMs), index, [this, index](Node& node, Life& life) {
      const TimeNs now = node.local(now_);
      if (life.agreement.next_deadline_ns() <= now) life.agreement.on_timer(now);
      expire(index);
    });
  }

  // A heartbeat: epochs to all, a lease asked of the voters, an open vote looked after.
  void beat(std::size_t index) {
    at_life(random_time(kHeartbeatNs), index, [this, index](Node& node, Life& life) {
      const std::uint64_t epoch = life.agreement.epoch();
      for (const Node& other : nodes_) {
        post(index, other.self, [this, from = node.self, epoch](Node& to, Life& receiver) {
          receiver.agreement.on_peer_epoch(to.local(now_), from, epoch);
        });
      }
      life.open_beats = life.agreement.has_open_vote() ? life.open_beats + 1 : 0;
      if (life.open_beats > 5) life.agreement.prepare(node.local(now_));
      if (server_of(life.agreement.decree()) == node.self) ask_for_lease(index, node, life);
      beat(index);
    });
  }

  void ask_for_lease(std::size_t index, Node& node, Life& life) {
    const LeaseRequest request = life.lease.ask(node.local(now_));
    for (const Id128& voter : life.agreement.decree().voters) {
      const auto grant = [this, request, index, holder = node.self](Node& to, Life& grantor) {
        if (!grantor.agreement.may_grant_under(request.epoch) ||
            !grantor.grants.try_grant(to.local(now_), holder))
          return;
        const auto take = [request, from = to.self](Node&, Life& receiver) {
          receiver.lease.on_granted(from, request);
        };
        if (to.self == holder) {
          take(to, grantor);
        } else {
          post(static_cast<std::size_t>(&to - nodes_.data()), holder, take);
        }
      };
      if (voter == node.self) {
        grant(node, life);
      } else {
        post(index, voter, grant);
      }
    }
  }

  // Faults and wishes; after the fire, wishes only, until one came through.
  void tick() {
    const std::size_t index = random_.below(nodes_.size());
    if (is_fire()) {
      if (random_.chance(crash_)) crash(index);
      if (random_.chance(partition_)) draw_partition();
      if (random_.chance(0.2)) blocked_.clear();
      if (random_.chance(0.1) && nodes_[index].life != nullptr) {
        nodes_[index].life->agreement.prepare(nodes_[index].local(now_));
        pump(index);
      }
    }
    if (nodes_[index].life != nullptr) propose(index);
    at(random_time(20 * kMs), [this] { tick(); });
  }

  void draw_partition() {
    blocked_.clear();
    const bool is_one_way = random_.chance(0.3);
    const std::uint64_t side = random_.next();
    for (std::size_t from = 0; from < nodes_.size(); ++from)
      for (std::size_t to = 0; to < nodes_.size(); ++to)
        if (((side >> from) & 1) != ((side >> to) & 1) &&
            (!is_one_way || ((side >> from) & 1) != 0))
          blocked_.insert({from, to});
  }

  // At least three voters, so that one lost state directory never costs the majority.
  IdSet draw_voters(const IdSet& old) {
    if (!random_.chance(voters_change_)) return old;
    IdSet voters = random_.chance(0.5) ? old : IdSet{};
    if (voters.size() > 3) voters.erase(voters.begin() + random_number(0, 3));
    while (voters.size() < 3 || random_.chance(0.5)) {
      insert(voters, nodes_[random_.below(nodes_.size())].self);
      if (voters.size() == nodes_.size()) break;
    }
    return voters;
  }

  void propose(std::size_t index) {
    Node& node = nodes_[index];
    Life& life = *node.life;
    const Decree& old = life.agreement.decree();
    const std::uint64_t epoch = life.agreement.epoch();
    if (epoch == 0 || (!is_fire() && oracle_.committed.rbegin()->first >= wanted_epoch())) return;
    Id128 server = server_of(old);
    IdSet losers;
    if (random_.chance(server_change_) || server.empty()) {
      const Id128 next = nodes_[random_.below(nodes_.size())].self;
      const bool yields = server == node.self && random_.chance(0.5);
      if (next != server && !server.empty() && !yields) losers = {server};
      server = next;
      Decree decree = make_decree(++tags_, server, draw_voters(old.voters), losers);
      if (!life.agreement.propose(node.local(now_), decree).ok()) return;
      if (yields) life.yielded_epoch = epoch;
      oracle_.on_proposed(epoch + 1, decree);
    } else {
      const Decree decree = make_decree(++tags_, server, draw_voters(old.voters), {});
      if (!life.agreement.propose(node.local(now_), decree).ok()) return;
      oracle_.on_proposed(epoch + 1, decree);
    }
    pump(index);
  }

  // Two epochs after the healing: the first may have been under way.
  std::uint64_t wanted_epoch() {
    if (healed_epoch_ == 0) healed_epoch_ = oracle_.committed.rbegin()->first;
    return healed_epoch_ + 2;
  }

  [[nodiscard]] bool serves(const Node& node) const {
    if (node.life == nullptr) return false;
    const Life& life = *node.life;
    const std::uint64_t epoch = life.agreement.epoch();
    // A node that started again is "returning" until a later view says otherwise (M-25).
    return epoch > life.start_epoch && epoch != life.yielded_epoch &&
           server_of(life.agreement.decree()) == node.self && life.lease.holds(node.local(now_));
  }

  // At every instant at most one node serves. Service begins with an event, so looking after each
  // one is enough.
  void check_servers() {
    const Node* found = nullptr;
    for (const Node& node : nodes_) {
      if (!serves(node)) continue;
      if (found != nullptr)
        oracle_.fail(std::string("two nodes serve at ms ").append(std::to_string(now_ / kMs)));
      found = &node;
    }
    if (found != nullptr && found->self != last_server_) {
      last_server_ = found->self;
      ++handovers_;
    }
  }

  // Everybody is up, at the same epoch, which was committed after the healing, and the server of
  // that view serves, if it is still the node that it was.
  bool is_settled() {
    if (is_fire() || oracle_.committed.empty()) return false;
    const std::uint64_t epoch = oracle_.committed.rbegin()->first;
    if (epoch < wanted_epoch()) return false;
    const Decree& decree = oracle_.committed.rbegin()->second;
    for (const Node& node : nodes_) {
      if (node.life == nullptr || node.life->agreement.epoch() != epoch) return false;
      if (node.self == server_of(decree) && epoch > node.life->start_epoch &&
          epoch != node.life->yielded_epoch && !serves(node))
        return false;
    }
    return true;
  }

  std::string describe() {
    std::string text = std::string("wanted ").append(std::to_string(wanted_epoch())).append(";");
    for (const Node& node : nodes_) {
      if (node.life == nullptr) {
        text += " down";
        continue;
      }
      text.append(" ").append(std::to_string(node.life->agreement.epoch()));
      if (contains(oracle_.committed.rbegin()->second.voters, node.self)) text += "v";
      if (node.life->agreement.has_open_vote()) text += "o";
      if (serves(node)) text += "s";
    }
    return text;
  }

  Random random_;
  double loss_, duplication_, crash_, partition_, voters_change_, server_change_;
  DurationNs max_delay_, max_write_;
  bool loses_a_disk_;

  TimeNs now_ = 0;
  std::priority_queue<Event> events_;
  std::uint64_t order_ = 0;
  std::vector<Node> nodes_;
  std::set<std::pair<std::size_t, std::size_t>> blocked_;
  AgreementOracle oracle_;
  std::uint64_t identities_ = 0;
  std::uint64_t tags_ = 0;
  std::uint64_t healed_epoch_ = 0;
  std::uint64_t restarts_ = 0;
  std::uint64_t handovers_ = 0;
  Id128 last_server_;
};

}  // namespace

AgreementWorldOutcome run_agreement_world(std::uint64_t seed, std::uint64_t voters_count) {
  return World(seed, voters_count).run();
}

}  // namespace ringwire::ring
