// Messages from a program at one node to a program at another, both workers and both programs on
// one thread, packets handed over in memory: the code of both engines together, without a device
// and without the distance between two cores.
#include <benchmark/benchmark.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/endpoint_text.h"
#include "base/hash.h"
#include "engine/worker/worker.h"
#include "ring/placement.h"
#include "tests/sim/program_channel.h"

namespace ringwire::worker {
namespace {

constexpr std::uint32_t kPacketBytes = 8'944;
constexpr std::size_t kPackets = 256;

/// One end of a wire of two: what it sends lies in the other's queue until that asks for it.
class PipePort final : public port::Port {
 public:
  explicit PipePort(std::uint8_t number) : number_(number), memory_(kPackets * kPacketBytes) {
    free_.reserve(kPackets);
    for (std::size_t at = 0; at < kPackets; ++at) free_.push_back(&memory_[at * kPacketBytes]);
    queue_.reserve(kPackets);
    handed_out_.reserve(kPackets);
  }
  void join(PipePort& other) { other_ = &other; }

  [[nodiscard]] std::uint32_t max_payload_bytes() const override { return kPacketBytes; }
  [[nodiscard]] std::uint64_t receive_queue_bytes() const override { return 1U << 20; }
  [[nodiscard]] Endpoint local() const override {
    return endpoint_of_ipv4({10, 0, 0, number_}, 3'200);
  }
  bool open_destination(const Endpoint&, port::DestinationId& destination) override {
    destination = {};
    return true;
  }
  void close_destination(port::DestinationId) override {}
  std::size_t rx_burst(std::span<port::RxPacket> packets) override {
    for (std::byte* buffer : handed_out_) other_->free_.push_back(buffer);
    handed_out_.clear();
    std::size_t count = 0;
    for (; count < packets.size() && next_ < queue_.size(); ++count) {
      const port::TxPacket& packet = queue_[next_++];
      packets[count] = {{packet.data, packet.bytes}, other_->local(), 0};
      handed_out_.push_back(packet.data);
    }
    if (next_ == queue_.size()) {
      queue_.clear();
      next_ = 0;
    }
    return count;
  }
  std::size_t tx_alloc(std::span<port::TxPacket> packets) override {
    std::size_t count = 0;
    for (; count < packets.size() && !free_.empty(); ++count) {
      packets[count] = {.data = free_.back(), .capacity_bytes = kPacketBytes};
      free_.pop_back();
    }
    return count;
  }
  std::size_t tx_burst(std::span<const port::TxPacket> packets) override {
    other_->queue_.insert(other_->queue_.end(), packets.begin(), packets.end());
    counters_.tx_packets += packets.size();
    return packets.size();
  }
  void tx_free(std::span<const port::TxPacket> packets) override {
    for (const port::TxPacket& packet : packets) free_.push_back(packet.data);
  }
  void flush() override {}
  [[nodiscard]] int wait_descriptor() const override { return -1; }
  [[nodiscard]] const port::PortCounters& counters() const override { return counters_; }

 private:
  std::uint8_t number_;
  PipePort* other_ = nullptr;
  std::vector<std::byte> memory_;
  std::vector<std::byte*> free_;
  std::vector<port::TxPacket> queue_;
  std::size_t next_ = 0;
  std::vector<std::byte*> handed_out_;
  port::PortCounters counters_;
};

std::shared_ptr<const ring::View> view_of_two() {
  std::array<ring::Member, 2> members;
  for (std::uint32_t node : {0U, 1U}) {
    members[node].name = std::string(1, node == 0 ? 'a' : 'b');
    members[node].node_index = node;
  }
  ring::PlacementInput input;
  input.epoch = 1;
  input.secondaries = 0;
  input.members = members;
  auto built = ring::build_view(input);
  RW_CHECK(built.ok());
  return std::make_shared<const ring::View>(std::move(built).value());
}

/// A worker with one program of one channel.
class Node {
 public:
  Node(std::uint32_t self, PipePort& port, const std::shared_ptr<const ring::View>& view) {
    const std::uint32_t other = 1 - self;
    WorkerConfig config;
    config.self = self;
    config.incarnation_low = 1 + self;
    config.seed = 7 + self;
    worker_ = std::make_unique<Worker>(config, port, commands_, notices_, 0);
    tell(SetView{view});
    tell(AddChannel{0, program_.engine(), {1 + self, 1}, 0, 0, 1});
    tell(AddConsumer{.index = 0, .service = 0, .order_none = false, .prefetch = 0});
    transport::SessionConfig session;
    session.local_connection_id = 1 + self;
    session.remote_connection_id = 1 + other;
    session.max_packet_bytes = port.max_payload_bytes();
    session.peer_receive_queue_bytes = port.receive_queue_bytes();
    tell(AddSession{other, 0, 1, endpoint_of_ipv4({10, 0, 0, 1}, 3'200), 1 + self,
                    std::make_unique<transport::Session>(session, 0)});
    tell(SetPeerState{other, PeerState::kUp});
    turn(0);
    submission_.target = static_cast<std::uint8_t>(ipc::TargetKind::kKey);
    submission_.payload_bytes = 64;
    while (view->members[view->replicas_of(slot_of(submission_.hash)).front()].node_index != other)
      ++submission_.hash;
  }

  void turn(TimeNs now) {
    Notice notice;
    while (notices_.try_pop(notice)) {
    }
    worker_->turn(now);
  }
  void send(Level level) {
    submission_.level = static_cast<std::uint8_t>(level);
    ++submission_.sequence;
    RW_CHECK(program_.submit(submission_));
    if (program_.take_bell(0)) worker_->wake_channel(0);
  }
  /// Releases what came; how many outcomes did.
  std::uint64_t receive() {
    std::uint64_t outcomes = 0;
    ipc::Delivery delivery;
    for (std::uint32_t from = 0; program_.receive(delivery, from);) {
      if (delivery.kind == static_cast<std::uint8_t>(ipc::DeliveryKind::kOutcomes))
        outcomes += delivery.count;
      else
        RW_CHECK(program_.release(from, {delivery.token, 0, 0}));
      if (program_.take_bell(0)) worker_->wake_channel(0);
    }
    return outcomes;
  }

  void call() {
    submission_.flags = ipc::kSubmitCall;
    send(Level::kProcessed);
  }
  bool take_answer() {
    ipc::Delivery delivery;
    std::uint32_t from = 0;
    if (!program_.receive(delivery, from)) return false;
    RW_CHECK(delivery.kind == static_cast<std::uint8_t>(ipc::DeliveryKind::kReply));
    RW_CHECK(program_.release(from, {delivery.token, 0, 0}));
    if (program_.take_bell(0)) worker_->wake_channel(0);
    return true;
  }
  void answer() {
    ipc::Delivery delivery;
    for (std::uint32_t from = 0; program_.receive(delivery, from);) {
      if (delivery.kind != static_cast<std::uint8_t>(ipc::DeliveryKind::kMessage)) continue;
      ipc::Submission reply{};
      reply.sequence = ++submission_.sequence;
      reply.target = static_cast<std::uint8_t>(ipc::TargetKind::kOrigin);
      reply.flags = ipc::kSubmitReply;
      reply.level = static_cast<std::uint8_t>(Level::kAccepted);
      reply.payload_bytes = delivery.payload_bytes;
      std::memcpy(reply.inline_bytes, &delivery.origin, sizeof delivery.origin);
      std::memcpy(reply.inline_bytes + sizeof delivery.origin, delivery.inline_bytes,
                  static_cast<std::size_t>(delivery.payload_bytes));
      RW_CHECK(program_.submit(reply));
      RW_CHECK(program_.release(from, {delivery.token, 0, ipc::kReleaseReplied}));
      if (program_.take_bell(0)) worker_->wake_channel(0);
    }
  }

 private:
  void tell(Command command) { RW_CHECK(commands_.try_push(command)); }

  CommandBox commands_;
  NoticeBox notices_;
  sim::ProgramChannel program_{1, 1, 0, ipc::kDefaultSubmissionEntries};  // outlives the worker
  std::unique_ptr<Worker> worker_;
  ipc::Submission submission_{};
};

struct Pair {
  Pair() {
    left_port.join(right_port);
    right_port.join(left_port);
  }
  PipePort left_port{1};
  PipePort right_port{2};
  const std::shared_ptr<const ring::View> view = view_of_two();
  Node left{0, left_port, view};
  Node right{1, right_port, view};
};

/// `per_turn` messages are submitted between two turns of the sender, up to 512 under way.
void worker_remote_message(benchmark::State& state) {
  constexpr std::uint64_t kUnderWay = 512;
  const auto per_turn = static_cast<std::uint64_t>(state.range(0));
  const auto level = static_cast<Level>(state.range(1));
  Pair pair;
  Node& left = pair.left;
  Node& right = pair.right;
  TimeNs now = 0;
  std::uint64_t sent = 0;
  std::uint64_t done = 0;
  std::uint64_t counted = 0;
  for (auto _ : state) {
    while (done == counted) {
      for (std::uint64_t at = 0; at < per_turn && sent - done < kUnderWay; ++at, ++sent)
        left.send(level);
      left.turn(now += kMicrosecondNs);
      done += left.receive();
      right.turn(now);
      right.receive();
    }
    ++counted;
  }
  state.SetItemsProcessed(state.iterations());
  state.counters["packets"] =
      benchmark::Counter(static_cast<double>(pair.left_port.counters().tx_packets +
                                             pair.right_port.counters().tx_packets) /
                         static_cast<double>(sent));
}
BENCHMARK(worker_remote_message)
    ->ArgNames({"per_turn", "level"})
    ->Args({1, 0})
    ->Args({1, 2})
    ->Args({128, 0})
    ->Args({128, 2});

/// Calls and their answers, so many under way.
void worker_remote_call(benchmark::State& state) {
  Pair pair;
  Node& left = pair.left;
  Node& right = pair.right;
  const auto under_way = static_cast<std::uint64_t>(state.range(0));
  TimeNs now = 0;
  std::uint64_t called = 0;
  std::uint64_t answered = 0;
  std::uint64_t counted = 0;
  for (auto _ : state) {
    while (answered == counted) {
      for (; called - answered < under_way; ++called) left.call();
      left.turn(now += kMicrosecondNs);
      while (left.take_answer()) ++answered;
      right.turn(now);
      right.answer();
    }
    ++counted;
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(worker_remote_call)->ArgName("under_way")->Arg(1)->Arg(128);

}  // namespace
}  // namespace ringwire::worker
