// One simulated engine: its workers over simulated ports, its ring manager, its memory for received
// messages, and the programs attached to it. It plays what engine/node does with threads, sockets
// and files. Virtual time; one thread.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "engine/port/sim_port.h"
#include "engine/worker/crossing.h"
#include "engine/worker/worker.h"
#include "ipc/memory_file.h"
#include "ring/view.h"
#include "tests/sim/local_clock.h"
#include "tests/sim/oracle.h"
#include "tests/sim/program_channel.h"
#include "tests/sim/ring_manager.h"

namespace ringwire::sim {

class Program;

/// What nodes and programs share.
struct Stage {
  const WorldOptions& options;
  Random random;
  TimeNs now = 0;
  port::SimNetwork& network;
  ControlNet& control;
  Oracle& oracle;
  std::shared_ptr<const ring::View> view;
  std::vector<std::unique_ptr<class Node>> nodes;
  bool faults_on = true;
  bool engines_died = false;
  std::uint32_t next_program = 1;
  std::uint64_t hash = 0;

  /// Folds what happened into the hash of the trace.
  void note(std::uint64_t value);
  void trace(const char* format, ...) __attribute__((format(printf, 2, 3)));
};

class Node final : public Manager::Host {
 public:
  Node(Stage& stage, std::uint32_t index, bool server);
  ~Node() override;

  // --- faults ---
  void start();
  /// The engine dies with all it knew.
  void crash();
  void begin_drain();
  [[nodiscard]] bool drained() const { return drained_count_ == workers_.size(); }
  void pause_until(TimeNs until);
  void resume() { paused_until_ = 0; }
  [[nodiscard]] bool draining() const { return draining_; }
  void set_slowness(double factor) { slowness_ = factor; }

  // --- programs ---
  /// Opens a channel for a program at the running engine.
  worker::ChannelIndex attach(Program& program, ProgramChannel& channel, const Id128& attachment,
                              std::uint64_t next_sequence);
  /// The program is gone, or closed its channel, which belongs to the node from now on.
  void detach(worker::ChannelIndex index, std::unique_ptr<ProgramChannel> channel);
  void serve(worker::ChannelIndex index, std::uint16_t service, std::uint32_t prefetch);
  void unserve(worker::ChannelIndex index, std::uint16_t service);
  void command(std::uint32_t worker, worker::Command command) override;
  [[nodiscard]] std::byte* file_data(std::uint32_t file) const;

  // --- time ---
  [[nodiscard]] TimeNs next_ns() const;
  /// Everything that is due. True when anything was done.
  bool run();
  void on_control(ControlNet::Arrival& arrival);
  /// Packets may have arrived.
  void look_at_ports();
  /// A program rang.
  void look_at_bells(worker::ChannelIndex index, ProgramChannel& channel);

  /// Asks all workers for a snapshot; it is there after their next turn.
  void ask_snapshots();
  [[nodiscard]] const std::vector<std::unique_ptr<worker::WorkerSnapshot>>& snapshots() const {
    return snapshots_;
  }
  /// Of received messages: all files that the node and its workers have made.
  [[nodiscard]] std::uint64_t memory_bytes() const {
    return class_bytes_ + large_bytes_ + own_bytes_;
  }
  [[nodiscard]] std::size_t channels_going() const { return leaving_.size(); }
  [[nodiscard]] std::uint64_t turns() const { return turns_; }
  [[nodiscard]] std::uint64_t turns_of(std::uint32_t worker) const {
    return worker < workers_.size() ? workers_[worker].turns : 0;
  }

  [[nodiscard]] const Manager& manager() const { return *manager_; }
  [[nodiscard]] TimeNs local_now() const { return clock.local(stage_.now); }

  const std::uint32_t index;
  const bool server;
  LocalClock clock;
  bool alive = false;
  std::uint64_t life = 0;  ///< counts engines of this node
  TimeNs restart_at = kNeverNs;

 private:
  struct WorkerSlot {
    std::unique_ptr<port::SimPort> port;
    std::unique_ptr<worker::CommandBox> commands;
    std::unique_ptr<worker::NoticeBox> notices;
    std::unique_ptr<worker::Worker> worker;
    std::deque<worker::Command> waiting;  ///< the mailbox was full
    TimeNs due = 0;
    std::uint64_t turns = 0;
  };
  struct Leaving {
    std::unique_ptr<ProgramChannel> channel;
    std::uint32_t workers_left = 0;
  };
  struct LargeNeed {
    std::uint32_t worker = 0;
    worker::NeedLarge need;
  };
  /// A large extent whose memory is being committed; the node's helper does one after another.
  struct Commit {
    TimeNs ready_at = 0;
    std::uint32_t worker = 0;
    worker::AddExtentFile file;
  };

  ControlNet::End dial(std::uint32_t node) override;
  void send(ControlNet::End end, std::span<const std::byte> bytes) override;
  void close(ControlNet::End end) override;
  void on_state(std::uint32_t node, worker::PeerState state) override;
  void on_established(std::uint32_t node, std::uint64_t own_id, std::uint64_t peer_id) override;

  void start_worker(std::uint32_t worker);
  void turn(std::uint32_t worker);
  void take_notices(std::uint32_t worker);
  void on_notice(std::uint32_t worker, worker::Notice& notice);
  void add_file(std::uint32_t worker, std::uint16_t size_class, std::uint64_t bytes,
                std::uint64_t request, std::uint32_t domain);
  void retry_needs();

  Stage& stage_;
  std::unique_ptr<worker::Crossing> crossing_;
  std::vector<WorkerSlot> workers_;
  std::unique_ptr<Manager> manager_;
  TimeNs manager_due_ = 0;
  std::deque<ControlNet::Arrival> arrivals_;
  TimeNs paused_until_ = 0;
  double slowness_ = 1;
  std::size_t drained_count_ = 0;
  bool draining_ = false;

  std::map<worker::ChannelIndex, Program*> programs_;
  std::map<worker::ChannelIndex, Leaving> leaving_;
  worker::ChannelIndex next_channel_ = 0;

  std::map<std::uint32_t, std::unique_ptr<std::byte[]>> files_;
  std::map<std::uint32_t, std::uint64_t> file_bytes_;
  std::set<std::uint32_t> class_files_;
  std::map<std::uint32_t, std::unique_ptr<ipc::MemoryFile>> own_files_;
  std::uint32_t next_file_ = 1;
  std::uint64_t class_bytes_ = 0;
  std::uint64_t large_bytes_ = 0;
  std::uint64_t own_bytes_ = 0;
  std::deque<LargeNeed> large_needs_;
  std::deque<Commit> commits_;
  std::deque<std::pair<std::uint32_t, worker::NeedClassFile>> class_needs_;

  std::vector<std::unique_ptr<worker::WorkerSnapshot>> snapshots_;
  std::uint64_t turns_ = 0;
};

}  // namespace ringwire::sim
