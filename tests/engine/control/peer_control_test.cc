#include "engine/control/peer_control.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <limits>
#include <map>
#include <memory>
#include <random>
#include <set>

#include "base/bytes.h"
#include "engine/control/arbiter.h"
#include "tests/engine/control/samples.h"

namespace ringwire::control {
namespace {

constexpr DurationNs kMs = kMillisecondNs;
constexpr DurationNs kLatencyNs = 1 * kMs;

// Two ends of one connection in virtual time; both accept at once.
struct Pair {
  struct End {
    std::unique_ptr<PeerControl> control;
    std::vector<ControlEvent> events;
    std::deque<std::pair<TimeNs, std::vector<std::byte>>> arriving;
    bool accepts = true;
  };
  End left, right;
  TimeNs now = 0;
  bool is_cut = false;  // bytes vanish, the connection stays

  explicit Pair(const Hello& left_hello = sample_hello("a", 1),
                const Hello& right_hello = sample_hello("b", 2)) {
    left.control =
        std::make_unique<PeerControl>(PeerControlConfig{Direction::kDialled, left_hello});
    right.control =
        std::make_unique<PeerControl>(PeerControlConfig{Direction::kAccepted, right_hello});
    left.control->on_connected(0);
    right.control->on_connected(0);
  }

  void step_end(End& end, End& other) {
    while (!end.arriving.empty() && end.arriving.front().first <= now) {
      end.control->on_bytes(now, end.arriving.front().second);
      end.arriving.pop_front();
    }
    if (end.control->next_deadline_ns() <= now) end.control->on_timer(now);
    for (ControlEvent& event : end.control->take_events()) {
      if (const auto* hello = std::get_if<HelloArrived>(&event); hello && end.accepts)
        end.control->accept(
            now, sample_sessions(2, static_cast<std::uint8_t>(hello->hello.worker_count()),
                                 &end == &left ? 100 : 200));
      end.events.push_back(std::move(event));
    }
    const auto out = end.control->output();
    if (!out.empty() && !is_cut)
      other.arriving.emplace_back(now + kLatencyNs, std::vector(out.begin(), out.end()));
    end.control->consume_output(out.size());
  }

  void run(DurationNs duration) {
    for (const TimeNs end = now + duration; now < end; now += kMs) {
      step_end(left, right);
      step_end(right, left);
    }
  }
};

template <typename T>
std::vector<T> all_of_kind(const Pair::End& end) {
  std::vector<T> found;
  for (const ControlEvent& event : end.events)
    if (const T* one = std::get_if<T>(&event)) found.push_back(*one);
  return found;
}

TEST(PeerControl, a_pair_is_established_with_each_others_ids) {
  Pair pair;
  pair.run(10 * kMs);
  for (const auto* end : {&pair.left, &pair.right}) {
    EXPECT_EQ(end->control->state(), PeerControl::State::kEstablished);
    const auto established = all_of_kind<Established>(*end);
    ASSERT_EQ(established.size(), 1U);
    EXPECT_EQ(established[0].own.at(1, 0), end == &pair.left ? 102U : 202U);
    EXPECT_EQ(established[0].peer.at(1, 0), end == &pair.left ? 202U : 102U);
    EXPECT_EQ(established[0].wire_version, 1);
    EXPECT_EQ(established[0].features, 0b101U);
  }
  EXPECT_EQ(all_of_kind<HelloArrived>(pair.left).at(0).hello, sample_hello("b", 2));
  EXPECT_TRUE(pair.left.control->is_chooser());
  EXPECT_FALSE(pair.right.control->is_chooser());
}

// The difference of two times must not overflow, whatever the peer says it was asked at.
TEST(PeerControl, an_answer_from_before_all_time_ends_the_connection) {
  Pair pair;
  pair.run(10 * kMs);
  ASSERT_TRUE(pair.left.control->send_heartbeat(pair.now));
  std::vector<std::byte> bytes;
  encode(HeartbeatAck{1, std::numeric_limits<TimeNs>::min()}, bytes);
  pair.left.control->on_bytes(pair.now, bytes);
  EXPECT_TRUE(pair.left.control->wants_close());
}

TEST(PeerControl, only_features_of_both_are_in_force) {
  Hello left = sample_hello("a", 1);
  left.features = 0b110;
  Pair pair(left);
  pair.run(10 * kMs);
  EXPECT_EQ(all_of_kind<Established>(pair.right).at(0).features, 0b100U);
}

TEST(PeerControl, a_misfit_is_refused_and_both_know_why) {
  Hello right = sample_hello("b", 2);
  right.cluster_name = "invoices";
  Pair pair(sample_hello("a", 1), right);
  pair.run(10 * kMs);
  for (const auto* end : {&pair.left, &pair.right}) {
    EXPECT_TRUE(end->control->wants_close());
    const auto refused = all_of_kind<Refused>(*end);
    ASSERT_EQ(refused.size(), 1U);
    EXPECT_EQ(refused[0].reason, RefuseReason::kClusterName);
    EXPECT_TRUE(all_of_kind<Established>(*end).empty());
  }
}

TEST(PeerControl, the_owner_may_refuse_with_any_reason) {
  for (const RefuseReason reason :
       {RefuseReason::kTooManyNodes, RefuseReason::kDraining, RefuseReason::kDuplicateConnection}) {
    Pair pair;
    pair.left.accepts = false;
    pair.run(5 * kMs);
    pair.left.control->refuse(pair.now, reason, std::string(300, 'x'));
    pair.run(5 * kMs);
    const auto refused = all_of_kind<Refused>(pair.right);
    ASSERT_EQ(refused.size(), 1U);
    EXPECT_EQ(refused[0].reason, reason);
    EXPECT_EQ(refused[0].text.size(), kMaxTextBytes);
    EXPECT_EQ(refused[0].by, RefusedBy::kPeer);
    EXPECT_EQ(all_of_kind<Refused>(pair.left).at(0).by, RefusedBy::kUs);
  }
}

TEST(PeerControl, one_that_never_accepts_is_left_after_the_handshake_timeout) {
  for (const bool chooser_accepts : {false, true}) {
    Pair pair;
    (chooser_accepts ? pair.right : pair.left).accepts = false;
    pair.run(5'010 * kMs);
    for (const auto* end : {&pair.left, &pair.right})
      EXPECT_EQ(all_of_kind<Lost>(*end).at(0).reason, LostReason::kHandshakeTimeout);
  }
}

TEST(PeerControl, idle_connections_beat_every_100_ms_and_measure_the_round_trip) {
  Pair pair;
  pair.run(1'050 * kMs);
  const auto measured = all_of_kind<RttMeasured>(pair.left);
  EXPECT_GE(measured.size(), 4U);  // an answer counts as something sent, and puts ours off
  EXPECT_LE(measured.size(), 10U);
  for (const RttMeasured& one : measured) {
    EXPECT_GE(one.rtt_ns, 2 * kLatencyNs);
    EXPECT_LE(one.rtt_ns, 2 * kLatencyNs + 2 * kMs);  // the steps of this world
  }
}

TEST(PeerControl, news_arrive_in_order) {
  Pair pair;
  const NodeState state{NodeCondition::kSuspended, 3};
  EXPECT_FALSE(pair.left.control->send_state(0, state));  // not yet
  EXPECT_FALSE(pair.left.control->send_goodbye(0, GoodbyeReason::kDraining));
  EXPECT_FALSE(pair.left.control->send_heartbeat(0));
  pair.run(10 * kMs);
  const PeerList list{{{"c", sample_endpoint(5)}}};
  EXPECT_TRUE(pair.left.control->send_state(pair.now, state));
  EXPECT_TRUE(pair.left.control->send_peers(pair.now, list.peers));
  EXPECT_TRUE(pair.left.control->send_goodbye(pair.now, GoodbyeReason::kRestart));
  pair.right.events.clear();
  pair.run(5 * kMs);
  ASSERT_EQ(pair.right.events.size(), 3U);
  EXPECT_EQ(std::get<StateArrived>(pair.right.events[0]).state, state);
  EXPECT_EQ(std::get<PeersArrived>(pair.right.events[1]).list, list);
  EXPECT_EQ(std::get<GoodbyeArrived>(pair.right.events[2]).reason, GoodbyeReason::kRestart);
}

TEST(PeerControl, more_peers_than_one_list_holds_come_in_several) {
  Pair pair;
  pair.run(10 * kMs);
  const std::vector<PeerList::Peer> peers(kMaxNodes, {"c", sample_endpoint(5)});
  pair.left.control->send_peers(pair.now, peers);
  pair.run(5 * kMs);
  const auto lists = all_of_kind<PeersArrived>(pair.right);
  ASSERT_EQ(lists.size(), 2U);
  EXPECT_EQ(lists[0].list.peers.size() + lists[1].list.peers.size(), peers.size());
}

TEST(PeerControl, a_challenge_is_answered_once) {
  Pair pair;
  pair.run(10 * kMs);
  pair.left.control->challenge(pair.now, 7);
  pair.left.control->challenge(pair.now, 8);  // nothing: the first is on its way
  pair.run(5 * kMs);
  EXPECT_EQ(all_of_kind<ChallengeAnswered>(pair.left).size(), 1U);
  EXPECT_EQ(pair.left.control->state(), PeerControl::State::kEstablished);
}

TEST(PeerControl, a_connection_on_which_nothing_comes_is_closed_late) {
  Pair pair;
  pair.run(10 * kMs);
  pair.is_cut = true;
  pair.run(29 * kSecondNs);
  EXPECT_EQ(pair.left.control->state(), PeerControl::State::kEstablished);
  pair.run(2 * kSecondNs);
  EXPECT_EQ(all_of_kind<Lost>(pair.left).at(0).reason, LostReason::kSilence);
}

TEST(PeerControl, the_end_of_the_connection_is_told_once_with_its_kind) {
  Pair pair;
  pair.run(10 * kMs);
  pair.left.control->on_closed(pair.now, CloseKind::kFinOrReset);
  pair.left.control->on_closed(pair.now, CloseKind::kTimeout);
  pair.right.control->on_closed(pair.now, CloseKind::kTimeout);
  pair.run(kMs);
  ASSERT_EQ(all_of_kind<Lost>(pair.left).size(), 1U);
  EXPECT_EQ(all_of_kind<Lost>(pair.left)[0].reason, LostReason::kClosedByPeer);
  EXPECT_EQ(all_of_kind<Lost>(pair.right).at(0).reason, LostReason::kConnectionTimeout);
  EXPECT_EQ(pair.left.control->next_deadline_ns(), kNeverNs);
}

TEST(PeerControl, close_lets_out_what_was_sent_before) {
  Pair pair;
  pair.run(10 * kMs);
  pair.left.control->send_goodbye(pair.now, GoodbyeReason::kDraining);
  pair.left.control->close();
  EXPECT_TRUE(pair.left.control->wants_close());
  pair.run(5 * kMs);
  EXPECT_EQ(all_of_kind<GoodbyeArrived>(pair.right).size(), 1U);
  EXPECT_EQ(all_of_kind<Lost>(pair.left).at(0).reason, LostReason::kClosedByUs);
}

TEST(PeerControl, a_peer_that_does_not_read_is_given_up_at_1_mib) {
  PeerControl control(PeerControlConfig{Direction::kAccepted, sample_hello("a", 1)});
  std::vector<std::byte> bytes;
  encode(sample_hello("b", 2), bytes);
  control.on_connected(0);
  control.on_bytes(0, bytes);
  bytes.clear();
  for (int count = 0; count < 1'000; ++count) encode(Challenge{1}, bytes);
  std::size_t largest = 0;
  for (int round = 0; round < 1'000 && !control.wants_close(); ++round) {
    control.on_bytes(0, bytes);
    largest = std::max(largest, control.output().size());
  }
  ASSERT_TRUE(control.wants_close());
  EXPECT_GT(largest, kMaxOutputBytes / 2);
  EXPECT_LE(largest, kMaxOutputBytes);
  EXPECT_TRUE(control.output().empty());
  const auto events = control.take_events();
  EXPECT_EQ(std::get<Lost>(events.back()).reason, LostReason::kOutputFull);
}

struct RuleRow {
  const char* name;
  bool peer_is_chooser;
  bool we_accept;
  std::vector<Message> messages;
};

TEST(PeerControl, messages_out_of_turn_end_the_connection) {
  const Hello hello = sample_hello("p", 5);
  const Sessions sessions = sample_sessions(2, 2, 1);
  const RuleRow rows[] = {
      {"sessions first", true, true, {sessions}},
      {"heartbeat first", true, true, {Heartbeat{1, 0}}},
      {"challenge first", true, true, {Challenge{1}}},
      {"two hellos", true, true, {hello, hello}},
      {"heartbeat before sessions", true, true, {hello, Heartbeat{1, 0}}},
      {"state before sessions", true, true, {hello, NodeState{}}},
      {"peers before sessions", true, true, {hello, PeerList{}}},
      {"goodbye before sessions", true, true, {hello, Goodbye{GoodbyeReason::kDraining}}},
      {"sessions twice", true, true, {hello, sessions, sessions}},
      {"too few sessions", true, true, {hello, sample_sessions(1, 2, 1)}},
      {"sessions for too many", true, true, {hello, sample_sessions(2, 3, 1)}},
      {"sessions before the chooser's", false, false, {hello, sessions}},
      {"refusal after acceptance",
       true,
       true,
       {hello, sessions, HelloRefuse{RefuseReason::kSelf, ""}}},
      {"answer to no heartbeat", true, true, {hello, sessions, HeartbeatAck{1, 0}}},
      {"answer to no challenge", true, true, {hello, sessions, ChallengeAnswer{1}}},
  };
  for (const RuleRow& row : rows) {
    PeerControl control(
        PeerControlConfig{Direction::kAccepted, sample_hello("us", row.peer_is_chooser ? 9 : 1)});
    control.on_connected(0);
    std::vector<ControlEvent> events;
    for (const Message& message : row.messages) {
      EXPECT_FALSE(control.wants_close()) << row.name;
      std::vector<std::byte> bytes;
      encode(message, bytes);
      control.on_bytes(0, bytes);
      for (ControlEvent& event : control.take_events()) {
        if (std::holds_alternative<HelloArrived>(event) && row.we_accept)
          control.accept(0, sample_sessions(2, 2, 50));
        events.push_back(std::move(event));
      }
    }
    ASSERT_FALSE(events.empty()) << row.name;
    const Lost* lost = std::get_if<Lost>(&events.back());
    ASSERT_NE(lost, nullptr) << row.name;
    EXPECT_EQ(lost->reason, LostReason::kProtocolError) << row.name;
    EXPECT_FALSE(lost->text.empty()) << row.name;
  }
}

TEST(PeerControl, hostile_bytes_never_do_more_than_end_the_connection) {
  std::mt19937_64 random(3);
  std::size_t ended = 0;
  for (int round = 0; round < 10'000; ++round) {
    PeerControl control(PeerControlConfig{Direction::kAccepted, sample_hello("us", 9)});
    std::vector<std::byte> bytes;
    encode(sample_hello("p", 5), bytes);
    encode(sample_sessions(2, 2, 1), bytes);
    encode(Heartbeat{1, 2}, bytes);
    encode(Challenge{3}, bytes);
    for (std::uint64_t flips = random() % 4; flips > 0; --flips)
      bytes[random() % bytes.size()] = static_cast<std::byte>(random());
    for (std::span<const std::byte> rest = bytes; !rest.empty();) {
      const std::size_t piece = std::min<std::size_t>(1 + random() % 200, rest.size());
      control.on_bytes(0, rest.first(piece));
      rest = rest.subspan(piece);
      for (const ControlEvent& event : control.take_events())
        if (const auto* hello = std::get_if<HelloArrived>(&event);
            hello != nullptr && control.state() == PeerControl::State::kJudging)
          control.accept(
              0, sample_sessions(2, static_cast<std::uint8_t>(hello->hello.worker_count()), 50));
    }
    ended += control.wants_close() ? 1U : 0U;
  }
  EXPECT_GT(ended, 1'000U);
  EXPECT_LT(ended, 9'000U);  // else the good part was never reached
}

// ---- two engines that dial each other, with their arbiters --------------------------------------

struct TwoEngines {
  struct Engine {
    Hello hello;
    Arbiter arbiter;
    std::map<ConnectionNumber, PeerControl> connections;
    std::set<ConnectionNumber> established;
    explicit Engine(const Hello& own) : hello(own), arbiter(own.incarnation) {}
  };
  struct Flight {
    TimeNs at;
    int to;
    ConnectionNumber connection;
    std::vector<std::byte> bytes;  // empty: the end of the connection
  };
  Engine engines[2];
  std::deque<Flight> flights;  // in order of sending; each connection keeps its order
  std::mt19937_64 random;
  TimeNs now = 0;
  std::map<std::pair<int, ConnectionNumber>, TimeNs> last_arrival;

  TwoEngines(const Hello& first, const Hello& second, std::uint64_t seed)
      : engines{Engine(first), Engine(second)}, random(seed) {}

  void open(int from, ConnectionNumber connection) {
    for (const int side : {0, 1}) {
      const Direction direction = side == from ? Direction::kDialled : Direction::kAccepted;
      auto& control =
          engines[side]
              .connections.emplace(connection, PeerControlConfig{direction, engines[side].hello})
              .first->second;
      control.on_connected(now);
    }
  }

  void post(int to, ConnectionNumber connection, std::vector<std::byte> bytes) {
    TimeNs& last = last_arrival[{to, connection}];
    last = std::max(last, now + kMs * static_cast<DurationNs>(1 + random() % 30));
    flights.push_back({last, to, connection, std::move(bytes)});
  }

  void obey(Engine& engine, const std::vector<Decision>& decisions) {
    for (const Decision& decision : decisions) {
      const auto at = engine.connections.find(decision.connection);
      if (at == engine.connections.end()) continue;
      switch (decision.kind) {
        case Decision::Kind::kAccept:
          if (at->second.state() == PeerControl::State::kJudging)
            at->second.accept(now, sample_sessions(2, 2, 1));
          break;
        case Decision::Kind::kRefuse:
          at->second.refuse(now, decision.reason, "refused");
          break;
        case Decision::Kind::kChallenge:
          at->second.challenge(now, 1);
          break;
        case Decision::Kind::kClose:
          at->second.close();
          break;
      }
    }
  }

  void pump(int side) {
    Engine& engine = engines[side];
    if (engine.arbiter.next_deadline_ns() <= now) obey(engine, engine.arbiter.on_timer(now));
    std::vector<ConnectionNumber> gone;
    for (auto& [number, control] : engine.connections) {
      if (control.next_deadline_ns() <= now) control.on_timer(now);
      for (const ControlEvent& event : control.take_events()) {
        if (const auto* hello = std::get_if<HelloArrived>(&event))
          obey(engine, engine.arbiter.on_hello(now, number, hello->hello.node_name,
                                               hello->hello.incarnation));
        if (std::holds_alternative<Established>(event)) {
          engine.established.insert(number);
          obey(engine, engine.arbiter.on_established(number));
        }
        if (std::holds_alternative<ChallengeAnswered>(event))
          obey(engine, engine.arbiter.on_challenge_answered(number));
        if (std::holds_alternative<Lost>(event) || std::holds_alternative<Refused>(event))
          obey(engine, engine.arbiter.on_ended(number));
      }
      if (const auto out = control.output(); !out.empty()) {
        post(1 - side, number, std::vector(out.begin(), out.end()));
        control.consume_output(out.size());
      }
      if (control.wants_close()) gone.push_back(number);
    }
    for (const ConnectionNumber number : gone) {
      post(1 - side, number, {});
      engine.connections.erase(number);
      engine.established.erase(number);
    }
  }

  void run(DurationNs duration) {
    for (const TimeNs end = now + duration; now < end; now += kMs) {
      for (std::size_t index = 0; index < flights.size();) {
        if (flights[index].at > now) {
          ++index;
          continue;
        }
        const Flight flight = flights[index];
        flights.erase(flights.begin() + static_cast<std::ptrdiff_t>(index));
        auto& connections = engines[flight.to].connections;
        const auto at = connections.find(flight.connection);
        if (at == connections.end()) continue;
        if (flight.bytes.empty())
          at->second.on_closed(now, CloseKind::kFinOrReset);
        else
          at->second.on_bytes(now, flight.bytes);
      }
      pump(0);
      pump(1);
    }
  }
};

TEST(PeerControl, a_simultaneous_dial_leaves_exactly_one_connection_and_the_same_at_both_ends) {
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    TwoEngines world(sample_hello("a", 1 + seed % 2 * 8), sample_hello("b", 5), seed);
    world.open(0, 1);
    world.run(kMs * static_cast<DurationNs>(world.random() % 40));
    world.open(1, 2);
    world.run(2 * kSecondNs);
    ASSERT_EQ(world.engines[0].established.size(), 1U) << "seed " << seed;
    ASSERT_EQ(world.engines[0].established, world.engines[1].established) << "seed " << seed;
    ASSERT_EQ(world.engines[0].connections.size(), 1U) << "seed " << seed;
    ASSERT_EQ(world.engines[1].connections.size(), 1U) << "seed " << seed;
  }
}

TEST(PeerControl, a_new_dial_replaces_a_connection_that_only_one_end_still_believes_in) {
  for (const std::uint64_t incarnation : {1U, 9U}) {
    TwoEngines world(sample_hello("a", incarnation), sample_hello("b", 5), 1);
    world.open(0, 1);
    world.run(200 * kMs);
    ASSERT_TRUE(world.engines[1].established.contains(1));
    // The dialler's end vanishes without a word: a lost FIN.
    (void)world.engines[0].arbiter.on_ended(1);
    world.engines[0].connections.erase(1);
    world.engines[0].established.erase(1);
    world.open(0, 2);
    world.run(2 * kSecondNs);
    EXPECT_EQ(world.engines[0].established, std::set<ConnectionNumber>{2});
    EXPECT_EQ(world.engines[1].established, std::set<ConnectionNumber>{2});
  }
}

}  // namespace
}  // namespace ringwire::control
