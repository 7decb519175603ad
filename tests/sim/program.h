// A simulated program: sends by a script, keeps each submission until its outcome and submits it
// again to a restarted engine as the client library does, receives, works for a while, releases,
// answers. What it does next is drawn; all that it sees is told to the oracle. One thread.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <vector>

#include "base/random.h"
#include "tests/sim/node.h"
#include "tests/sim/oracle.h"
#include "tests/sim/program_channel.h"

namespace ringwire::sim {

class Program {
 public:
  enum class Role : std::uint8_t { kClient, kServer };

  Program(Stage& stage, Node& node, Role role);

  /// The engine is up: open a channel there, serve, submit again what has no outcome.
  void attach();
  void on_engine_gone();
  void on_file_ready(std::uint64_t request);
  void on_file_gone(std::uint64_t request, bool busy);

  /// The process dies.
  void die();
  void stop_until(TimeNs until) { stopped_until_ = std::max(stopped_until_, until); }
  void go_on() { stopped_until_ = 0; }
  /// What it would do now it does a little later, unless its engine's turn lets it.
  void put_off_until(TimeNs until) { late_until_ = until; }
  [[nodiscard]] bool late() const { return stage_.now < late_until_; }
  void leave();
  void come_back();

  /// What is due now. True when anything was done.
  bool step();
  /// When it will do something by itself; deliveries come besides.
  [[nodiscard]] TimeNs next_ns() const;
  /// A client that has sent all it will, or is dead.
  [[nodiscard]] bool finished_sending() const;
  [[nodiscard]] bool idle() const { return held_.empty() && outgoing_.empty(); }
  [[nodiscard]] bool dead() const { return dead_; }
  [[nodiscard]] Node& node() { return node_; }
  [[nodiscard]] bool is_server() const { return role_ == Role::kServer; }
  [[nodiscard]] std::size_t held_count() const { return held_.size(); }
  [[nodiscard]] std::size_t outgoing_count() const { return outgoing_.size(); }

 private:
  struct Outgoing {
    ipc::Submission submission{};
    std::int64_t message = -1;  ///< of the oracle's, this sender's; -1: a reply
  };
  struct File {
    std::unique_ptr<std::byte[]> data;
    std::uint64_t bytes = 0;
    bool known = false;  ///< the engine has it
    bool unused = false;
  };
  struct Held {
    ipc::Delivery delivery;
    std::uint32_t worker = 0;
    TimeNs release_at = 0;
    std::uint32_t sender = 0;
    std::uint64_t number = 0;
    std::uint64_t waits_for = 0;  ///< sequence of our own nested call, 0 = none
    bool replied = false;
  };

  [[nodiscard]] Place place(std::uint32_t worker, std::uint64_t turn) const;
  bool receive();
  void take_message(const ipc::Delivery& delivery, std::uint32_t worker);
  void take_reply(const ipc::Delivery& delivery, std::uint32_t worker);
  void take_outcomes(const ipc::Delivery& delivery);
  bool finish_held();
  bool finish_one(Held& held);
  [[nodiscard]] bool answer(Held& held);
  void call_elsewhere(Held& held);
  bool pump();
  bool compose();
  /// Numbers from the oldest without an outcome to the next.
  [[nodiscard]] std::uint64_t open_span() const {
    return outgoing_.empty() ? 0 : next_sequence_ - outgoing_.begin()->first;
  }
  void compose_one(std::uint16_t service, bool call);
  void choose_target(Message& message, ipc::Submission& submission);
  void queue(const ipc::Submission& submission, std::int64_t message);
  std::uint32_t make_file(std::uint64_t bytes, std::uint64_t front_bytes, std::byte*& data);
  void forget(std::uint64_t sequence);
  void flush_releases();
  void release(std::uint32_t worker, const ipc::Release& release);

  Stage& stage_;
  Node& node_;
  const Role role_;
  Random random_;
  const std::uint32_t id_;
  const Id128 attachment_;
  const std::uint32_t sender_;  ///< of the oracle
  std::unique_ptr<ProgramChannel> channel_;
  worker::ChannelIndex index_ = 0;
  bool dead_ = false;
  bool away_ = false;
  TimeNs stopped_until_ = 0;
  TimeNs late_until_ = 0;
  TimeNs next_send_ = 0;
  std::array<std::uint64_t, kMaxWorkers> seen_turns_{};  ///< of each worker, when last looked
  std::uint32_t prefetch_ = 1;

  std::map<std::uint64_t, Outgoing> outgoing_;  ///< by sequence, until the outcome
  std::deque<std::uint64_t> to_submit_;         ///< sequences, in order
  std::deque<std::uint64_t> to_cancel_;
  std::uint64_t next_sequence_ = 1;
  std::map<std::uint32_t, File> files_;
  std::uint32_t next_file_ = 1;
  std::vector<Held> held_;
  std::deque<std::pair<std::uint32_t, ipc::Release>> releases_;  ///< the queue was full
};

}  // namespace ringwire::sim
