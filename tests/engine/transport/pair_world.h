// A world of two sessions in virtual time: a link that delays, queues, loses, duplicates, reorders
// and corrupts, and at each end a scripted host that sends, accepts, settles and releases, and
// checks every byte and every outcome. Everything follows from one seed.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <set>
#include <string>
#include <vector>

#include "base/random.h"
#include "engine/transport/session.h"

namespace ringwire::transport {

struct LinkConfig {
  DurationNs delay_ns = 50 * kMicrosecondNs;
  DurationNs jitter_ns = 0;  ///< above the delay: reorders
  std::uint64_t bytes_per_s = 1'000'000'000;
  std::uint64_t queue_bytes = 1 << 20;  ///< beyond: dropped
  double loss = 0;
  double duplicate = 0;
  double corrupt = 0;
};

struct HostConfig {
  DurationNs max_hold_ns = 200 * kMicrosecondNs;    ///< between arrival and release
  DurationNs max_accept_ns = 200 * kMicrosecondNs;  ///< announced messages
  bool settle_early = false;                        ///< settle at arrival, release later
  std::set<std::string> stuck_services;             ///< never released
};

inline std::vector<std::byte> pattern(std::uint64_t seed, std::size_t bytes) {
  std::vector<std::byte> data(bytes);
  Random random(seed);
  for (std::size_t at = 0; at < bytes; at += 8) {
    const std::uint64_t word = random.next();
    std::memcpy(data.data() + at, &word, std::min<std::size_t>(8, bytes - at));
  }
  return data;
}

/// One message that a host means to send.
struct Plan {
  Plan(std::size_t payload_bytes = 0, std::string to = "", Level until = Level::kProcessed,
       std::uint16_t message_flags = 0, std::size_t length_of_key = 8)
      : bytes(payload_bytes),
        service(std::move(to)),
        level(until),
        flags(message_flags),
        key_bytes(length_of_key) {}
  std::size_t bytes;
  std::string service;
  Level level;
  std::uint16_t flags;
  std::size_t key_bytes;
};

struct Outcome {
  EventKind kind{};
  Ending ending{};
  Reason reason{};
};

class PairWorld {
 public:
  struct End {
    std::unique_ptr<Session> session;
    HostConfig host;
    std::vector<Plan> plans;
    std::vector<std::vector<std::byte>> payloads;
    std::vector<std::vector<std::byte>> keys;
    std::map<std::uint32_t, Outcome> outcomes;  ///< by cookie = index of the plan
    std::map<std::uint32_t, MessageNumber> numbers;
    std::size_t next_plan = 0;
    bool blocked = false;
    bool paused = false;
    std::map<std::uint64_t, int> arrived;  ///< whole messages by sequence
    std::map<std::uint32_t, std::pair<std::uint64_t, std::vector<std::byte>>> extents;
    std::map<std::uint32_t, std::string> services;  ///< of received messages by number
    std::map<std::uint32_t, Level> levels;
    std::uint64_t withdrawn = 0;
    std::vector<std::pair<MessageId, std::uint64_t>> never_came;  ///< and what it named
    bool saw_closed = false;
    std::uint64_t credit_events = 0;
    std::vector<MessageNumber> held;  ///< of stuck services
    std::optional<Reason> refuse_with;
    TimeNs busy_until = 0;  ///< of the outgoing link
    std::uint64_t queued_bytes = 0;
  };

  explicit PairWorld(std::uint64_t seed, LinkConfig link = {}, SessionConfig base = {})
      : random_(seed), link_(link), seed_(seed) {
    base.peer_receive_queue_bytes = std::max<std::uint64_t>(base.peer_receive_queue_bytes, 65'536);
    for (std::size_t side = 0; side < 2; ++side) {
      SessionConfig config = base;
      config.local_connection_id = 100 + side;
      config.remote_connection_id = 100 + (1 - side);
      ends_[side].session = std::make_unique<Session>(config, now_);
    }
    buffer_.resize(base.max_packet_bytes);
  }

  End& end(std::size_t side) { return ends_[side]; }
  Session& session(std::size_t side) { return *ends_[side].session; }
  Random& random() { return random_; }
  TimeNs now() const { return now_; }
  LinkConfig& link() { return link_; }

  void plan(std::size_t side, Plan plan) {
    End& at = ends_[side];
    at.payloads.push_back(pattern(payload_seed(side, at.plans.size()), plan.bytes));
    at.keys.push_back(pattern(~payload_seed(side, at.plans.size()), plan.key_bytes));
    at.plans.push_back(std::move(plan));
  }

  /// Tries to send the plan with this index now.
  SendVerdict send(std::size_t side, std::size_t index) {
    End& at = ends_[side];
    const Plan& plan = at.plans[index];
    OutgoingMessage message;
    message.header.id = {{7, 9 + side}, 1, index + 1};
    message.header.hash = index;
    message.header.payload_bytes = plan.bytes;
    message.header.flags = plan.flags;
    message.header.level = plan.level;
    message.header.key = at.keys[index];
    message.header.service = plan.service;
    if ((plan.flags & wire::kReply) != 0) message.header.in_reply_to = {{3, 4}, 5, 6};
    message.payload = at.payloads[index].data();
    message.cookie = static_cast<std::uint32_t>(index);
    MessageNumber number{};
    const SendVerdict verdict = at.session->send(message, number);
    if (verdict == SendVerdict::kTaken) at.numbers[message.cookie] = number;
    return verdict;
  }

  /// Advances until `done` holds; false when the deadline (virtual) or a standstill comes first.
  bool run(const std::function<bool()>& done, DurationNs limit_ns = 60 * kSecondNs) {
    const TimeNs deadline = now_ + limit_ns;
    for (;;) {
      for (std::size_t side = 0; side < 2; ++side) pump(side);
      if (done()) return true;
      const TimeNs next = next_time();
      if (next > deadline) return false;
      now_ = std::max(now_, next);
      step();
    }
  }

  bool run_for(DurationNs duration_ns) {
    const TimeNs until = now_ + duration_ns;
    at(until, [] {});
    return run([&] { return now_ >= until; }, duration_ns + 1);
  }

  bool all_ended(std::size_t side) const {
    return ends_[side].outcomes.size() == ends_[side].plans.size();
  }

  void at(TimeNs when, std::function<void()> task) {
    tasks_.emplace(std::pair(when, ++task_count_), std::move(task));
  }

  /// Hands bytes straight to a session.
  bool inject(std::size_t side, std::span<const std::byte> packet) {
    const bool taken = ends_[side].session->on_packet(now_, packet, events_);
    handle(side);
    return taken;
  }

  /// Called for each packet before it enters the link; returns false to drop it.
  std::function<bool(std::size_t from, std::span<const std::byte>)> tap;

 private:
  struct Flight {
    TimeNs arrival;
    std::uint64_t order;
    std::size_t target;
    std::vector<std::byte> bytes;
    bool operator>(const Flight& other) const {
      return std::pair(arrival, order) > std::pair(other.arrival, other.order);
    }
  };

  std::uint64_t payload_seed(std::size_t side, std::size_t index) const {
    return seed_ * 1'000'003 + side * 500'009 + index;
  }

  void pump(std::size_t side) {
    End& at = ends_[side];
    if (at.paused) return;
    while (!at.blocked && at.next_plan < at.plans.size()) {
      const SendVerdict verdict = send(side, at.next_plan);
      if (verdict == SendVerdict::kTaken)
        ++at.next_plan;
      else
        at.blocked = true;
    }
    while (const std::size_t bytes = at.session->poll_transmit(now_, buffer_))
      transmit(side, std::span(buffer_).first(bytes));
  }

  void transmit(std::size_t side, std::span<const std::byte> packet) {
    End& at = ends_[side];
    if (tap && !tap(side, packet)) return;
    if (random_.chance(link_.loss)) return;
    const TimeNs start = std::max(now_, at.busy_until);
    const auto wire_ns = static_cast<DurationNs>(packet.size() * 1'000'000'000 / link_.bytes_per_s);
    const auto backlog = static_cast<std::uint64_t>(start - now_) * link_.bytes_per_s / kSecondNs;
    if (backlog > link_.queue_bytes) return;
    at.busy_until = start + wire_ns;
    const int copies = random_.chance(link_.duplicate) ? 2 : 1;
    for (int copy = 0; copy < copies; ++copy) {
      Flight flight{
          at.busy_until + link_.delay_ns, ++order_, 1 - side, {packet.begin(), packet.end()}};
      if (link_.jitter_ns > 0)
        flight.arrival +=
            static_cast<DurationNs>(random_.below(static_cast<std::uint64_t>(link_.jitter_ns)));
      if (random_.chance(link_.corrupt))
        flight.bytes[random_.below(packet.size())] ^=
            static_cast<std::byte>(random_.between(1, 255));
      flights_.push(std::move(flight));
    }
  }

  TimeNs next_time() const {
    TimeNs next = kNeverNs;
    if (!flights_.empty()) next = flights_.top().arrival;
    if (!tasks_.empty()) next = std::min(next, tasks_.begin()->first.first);
    for (const End& at : ends_)
      if (!at.paused) next = std::min(next, at.session->next_deadline_ns());
    return next;
  }

  void step() {
    while (!tasks_.empty() && tasks_.begin()->first.first <= now_) {
      auto task = std::move(tasks_.begin()->second);
      tasks_.erase(tasks_.begin());
      task();
    }
    while (!flights_.empty() && flights_.top().arrival <= now_) {
      const Flight flight = flights_.top();
      flights_.pop();
      if (ends_[flight.target].paused) {
        stopped_[flight.target].push_back(flight.bytes);
        continue;
      }
      ends_[flight.target].session->on_packet(now_, flight.bytes, events_);
      handle(flight.target);
    }
    for (std::size_t side = 0; side < 2; ++side) {
      End& at = ends_[side];
      if (at.paused || at.session->next_deadline_ns() > now_) continue;
      at.session->on_timer(now_, events_);
      handle(side);
    }
  }

 public:
  /// Stops one side; its socket keeps what arrives, up to the receive queue.
  void pause(std::size_t side) { ends_[side].paused = true; }
  void resume(std::size_t side, std::uint64_t receive_queue_bytes) {
    ends_[side].paused = false;
    std::uint64_t bytes = 0;
    for (const auto& packet : stopped_[side]) {
      bytes += packet.size();
      if (bytes > receive_queue_bytes) break;
      ends_[side].session->on_packet(now_, packet, events_);
      handle(side);
    }
    stopped_[side].clear();
  }

  void handle(std::size_t side) {
    End& at = ends_[side];
    for (const Event& event : events_.all()) {
      const auto number = static_cast<std::uint32_t>(event.number);
      switch (event.kind) {
        case EventKind::kMessage:
          check_header(side, event);
          at.levels[number] = event.header.level;
          check_bytes(side, event.header.id.sequence, event.payload);
          finish(side, event.number, std::string(event.header.service));
          break;
        case EventKind::kOpen:
          check_header(side, event);
          at.levels[number] = event.header.level;
          on_open(side, event);
          break;
        case EventKind::kComplete: {
          const auto& [sequence, extent] = at.extents.at(number);
          check_bytes(side, sequence, extent);
          finish(side, event.number, at.services.at(number));
          break;
        }
        case EventKind::kWithdrawn:
          ++at.withdrawn;
          break;
        case EventKind::kNeverCame:
          at.never_came.emplace_back(event.header.id, event.header.predecessor);
          break;
        case EventKind::kResult:
        case EventKind::kSent: {
          const Outcome outcome{event.kind, event.ending, event.reason};
          EXPECT_TRUE(at.outcomes.emplace(event.cookie, outcome).second)
              << "two outcomes for " << event.cookie << ", seed " << seed_;
          break;
        }
        case EventKind::kRun:
        case EventKind::kRunWithdrawn:
        case EventKind::kRunResult:
          ADD_FAILURE() << "nobody sent a run";
          break;
        case EventKind::kCredit:
          at.blocked = false;
          ++at.credit_events;
          break;
        case EventKind::kClosed:
          at.saw_closed = true;
          break;
      }
    }
  }

 private:
  void check_header(std::size_t side, const Event& event) {
    const End& from = ends_[1 - side];
    const std::size_t index = event.header.id.sequence - 1;
    ASSERT_LT(index, from.plans.size());
    const Plan& plan = from.plans[index];
    EXPECT_EQ(event.header.id, (MessageId{{7, 9 + (1 - side)}, 1, index + 1}));
    EXPECT_EQ(event.header.hash, index);
    EXPECT_EQ(event.header.payload_bytes, plan.bytes);
    EXPECT_EQ(event.header.flags, plan.flags);
    EXPECT_EQ(event.header.level, plan.level);
    EXPECT_EQ(event.header.service, plan.service);
    EXPECT_TRUE(std::ranges::equal(event.header.key, from.keys[index]));
    const bool reply = (plan.flags & wire::kReply) != 0;
    EXPECT_EQ(event.header.in_reply_to, reply ? (MessageId{{3, 4}, 5, 6}) : MessageId{});
  }

  void check_bytes(std::size_t side, std::uint64_t sequence, std::span<const std::byte> bytes) {
    ++ends_[side].arrived[sequence];
    EXPECT_EQ(ends_[side].arrived[sequence], 1) << "seed " << seed_;
    EXPECT_TRUE(std::ranges::equal(bytes, ends_[1 - side].payloads.at(sequence - 1)))
        << "seed " << seed_ << " sequence " << sequence;
  }

  void on_open(std::size_t side, const Event& event) {
    End& at = ends_[side];
    const MessageNumber number = event.number;
    if (at.refuse_with) {
      at.session->refuse(number, *at.refuse_with);
      return;
    }
    auto& extent = at.extents[static_cast<std::uint32_t>(number)];
    extent.first = event.header.id.sequence;
    extent.second.assign(event.header.payload_bytes, std::byte{0xee});
    at.services[static_cast<std::uint32_t>(number)] = event.header.service;
    std::byte* target = extent.second.data();
    if (!event.announced) {
      at.session->accept(number, target);
      return;
    }
    this->at(now_ + random_delay(at.host.max_accept_ns),
             [&at, number, target] { at.session->accept(number, target); });
  }

  void finish(std::size_t side, MessageNumber number, const std::string& service) {
    End& at = ends_[side];
    if (at.host.stuck_services.contains(service)) {
      at.held.push_back(number);
      return;
    }
    const bool settles = at.levels[static_cast<std::uint32_t>(number)] != Level::kNone;
    if (settles && at.host.settle_early) at.session->settle(number, Ending::kDone, Reason::kNone);
    this->at(now_ + random_delay(at.host.max_hold_ns), [&at, number, settles] {
      if (settles && !at.host.settle_early)
        at.session->settle(number, Ending::kDone, Reason::kNone);
      at.session->release(number);
    });
  }

  DurationNs random_delay(DurationNs max_ns) {
    return static_cast<DurationNs>(random_.below(static_cast<std::uint64_t>(max_ns) + 1));
  }

  Random random_;
  LinkConfig link_;
  std::uint64_t seed_;
  TimeNs now_ = kSecondNs;
  End ends_[2];
  EventBatch events_;
  std::vector<std::byte> buffer_;
  std::priority_queue<Flight, std::vector<Flight>, std::greater<>> flights_;
  std::map<std::pair<TimeNs, std::uint64_t>, std::function<void()>> tasks_;
  std::vector<std::vector<std::byte>> stopped_[2];
  std::uint64_t task_count_ = 0;
  std::uint64_t order_ = 0;
};

}  // namespace ringwire::transport
