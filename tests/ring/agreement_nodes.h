// The small language of the agreement's tests: nodes with disks, and a network that carries what it
// is told to. Everything happens when the test says so.
#pragma once

#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "ring/agreement.h"
#include "ring/decree_codec.h"

namespace ringwire::ring {

inline constexpr DurationNs kMs = kMillisecondNs;
inline constexpr Id128 kCluster{77, 77};

inline Id128 id(std::uint64_t number) { return {.high = 0, .low = number}; }

inline Decree decree(int tag, const IdSet& voters, const IdSet& losers = {}) {
  return {.voters = voters, .losers = losers, .description = {static_cast<std::byte>(tag)}};
}

// Some nodes with disks that write at once, unless told otherwise, and a network that carries what
// it is told to. Time starts when nothing granted before the start can still run.
struct Nodes {
  struct Node {
    explicit Node(Record record, std::uint64_t seed)
        : grants(-kGrantNs), agreement(std::move(record), AgreementTunables{}, seed, grants) {}
    Grants grants;
    Agreement agreement;
  };

  IdSet founders;
  std::map<Id128, std::unique_ptr<Node>> nodes;
  std::map<Id128, std::vector<std::byte>> disks;
  std::map<Id128, bool> disk_works;
  std::vector<Message> wire;
  TimeNs now = 0;

  explicit Nodes(std::uint64_t count, std::uint64_t guests = 0) {
    for (std::uint64_t i = 1; i <= count; ++i) founders.push_back(id(i));
    for (std::uint64_t i = 1; i <= count + guests; ++i) {
      Record record{.cluster = kCluster,
                    .self = id(i),
                    .epoch = 0,
                    .decree = {},
                    .promised = {},
                    .accepted = {},
                    .accepted_decree = {}};
      if (i <= count) {
        record.epoch = 1;
        record.decree = decree(1, founders);
      }
      disk_works[id(i)] = true;
      start(record);
    }
  }

  Agreement& at(std::uint64_t number) { return nodes.at(id(number))->agreement; }

  void start(const Record& record) {
    nodes[record.self] = std::make_unique<Node>(record, record.self.low);
    flush();
  }
  // kill -9 and again from what the disk holds.
  void restart(std::uint64_t number) { start(decode_record(disks.at(id(number))).value()); }
  Record disk(std::uint64_t number) { return decode_record(disks.at(id(number))).value(); }

  // Writes what is to be written, collects what may leave.
  void flush() {
    for (auto& [self, node] : nodes) {
      while (disk_works[self]) {
        const auto record = node->agreement.take_record();
        if (!record) break;
        disks[self] = record->bytes;
        node->agreement.on_durable(now, record->version);
      }
      for (Message& message : node->agreement.take_messages()) wire.push_back(std::move(message));
    }
  }

  // Carries messages until none is left; `pass` says which arrive.
  void run(const std::function<bool(const Message&)>& pass = [](const Message&) { return true; }) {
    for (flush(); !wire.empty(); flush()) {
      const Message message = wire.front();
      wire.erase(wire.begin());
      if (nodes.contains(message.to) && pass(message)) {
        const auto decoded = decode_message(encode_message(message));
        nodes.at(message.to)->agreement.on_message(now, decoded.value());
      }
    }
  }

  void wait(DurationNs duration) {
    now += duration;
    for (auto& [self, node] : nodes) node->agreement.on_timer(now);
  }

  // Times out again and again until everybody who is up is at this epoch, or 40 times.
  void settle(std::uint64_t epoch) {
    for (int i = 0; i < 40; ++i) {
      run();
      bool all = true;
      for (auto& [self, node] : nodes) all = all && node->agreement.epoch() == epoch;
      if (all) return;
      wait(400 * kMs);
    }
  }
};

inline auto only(std::initializer_list<std::uint64_t> numbers) {
  IdSet up;
  for (const std::uint64_t number : numbers) insert(up, id(number));
  return [up](const Message& message) {
    return contains(up, message.from) && contains(up, message.to);
  };
}

inline auto without(MessageKind kind) {
  return [kind](const Message& message) { return message.kind != kind; };
}

}  // namespace ringwire::ring
