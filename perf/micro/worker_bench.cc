// What a worker does without and with work. A turn with programs attached that do nothing: what an
// engine that spins pays for them (idle channels are parked after a while, and cost nothing more).
// And messages from one program to another of the same node, both played by the worker's own
// thread: the code alone, without the distance between two cores.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <cstring>
#include <deque>
#include <memory>
#include <vector>

#include "base/endpoint_text.h"
#include "engine/port/sim_port.h"
#include "engine/worker/worker.h"
#include "ipc/extent_pool.h"
#include "ipc/memory_file.h"
#include "tests/sim/program.h"

namespace ringwire::worker {
namespace {

class IdleWorker {
 public:
  explicit IdleWorker(std::int64_t attachments) {
    port::SimPortOptions options;
    options.local = endpoint_of_ipv4({10, 0, 0, 1}, 3'200);
    port_ = network_.make_port(options);
    WorkerConfig config;
    worker_ = std::make_unique<Worker>(config, *port_, commands_, notices_, now_);
    for (std::int64_t count = 0; count < attachments; ++count) {
      programs_.push_back(std::make_unique<sim::ProgramChannel>(1, 1, 0));
      const auto index = static_cast<std::uint32_t>(count);
      Command command = AddChannel{index, programs_.back()->engine(), {1, index + 1U}, 0, 0, 1};
      while (!commands_.try_push(command)) turn();
    }
    // Long enough for all to be taken up and parked.
    for (int count = 0; count < 10'000; ++count) turn();
  }

  bool turn() {
    Notice notice;
    while (notices_.try_pop(notice)) {
    }
    return worker_->turn(now_ += kMicrosecondNs);
  }

 private:
  port::SimNetwork network_{port::SimOptions{}};
  std::unique_ptr<port::SimPort> port_;
  CommandBox commands_;
  NoticeBox notices_;
  TimeNs now_ = 0;
  std::vector<std::unique_ptr<sim::ProgramChannel>> programs_;  // outlive the worker
  std::unique_ptr<Worker> worker_;
};

void worker_idle_turn(benchmark::State& state) {
  IdleWorker worker(state.range(0));
  for (auto _ : state) benchmark::DoNotOptimize(worker.turn());
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(worker_idle_turn)->ArgName("attachments")->Arg(0)->Arg(1)->Arg(64)->Arg(1'000);

/// A program that sends to a service of its own, on the worker's thread.
class LocalMessages {
 public:
  LocalMessages() {
    port::SimPortOptions options;
    options.local = endpoint_of_ipv4({10, 0, 0, 1}, 3'200);
    port_ = network_.make_port(options);
    worker_ = std::make_unique<Worker>(WorkerConfig{}, *port_, commands_, notices_, now_);
    Command add = AddChannel{0, program_.engine(), {1, 1}, 0, 0, 1};
    Command serve = AddConsumer{.index = 0, .service = 0, .order_none = false, .prefetch = 64};
    RW_CHECK(commands_.try_push(add));
    RW_CHECK(commands_.try_push(serve));
    turn();
    submission_.target = static_cast<std::uint8_t>(ipc::TargetKind::kNode);
    submission_.level = static_cast<std::uint8_t>(Level::kProcessed);
    submission_.payload_bytes = 64;
  }

  /// `count` messages, each sent, received, released and told of its outcome.
  void pass(std::uint64_t count, bool many_keys) {
    for (std::uint64_t sent = 0; sent < count; ++sent) {
      ++submission_.sequence;
      submission_.hash = many_keys ? submission_.sequence : 1;
      RW_CHECK(program_.submit(submission_));
    }
    std::uint64_t outcomes = 0;
    while (outcomes < count) {
      turn();
      ipc::Delivery delivery;
      for (std::uint32_t worker = 0; program_.receive(delivery, worker);) {
        if (delivery.kind == static_cast<std::uint8_t>(ipc::DeliveryKind::kOutcomes)) {
          outcomes += delivery.count;
        } else {
          RW_CHECK(program_.release(worker, {delivery.token, 0, 0}));
        }
      }
    }
  }

 private:
  void turn() {
    Notice notice;
    while (notices_.try_pop(notice)) {
    }
    worker_->turn(now_ += kMicrosecondNs);
  }

  port::SimNetwork network_{port::SimOptions{}};
  std::unique_ptr<port::SimPort> port_;
  CommandBox commands_;
  NoticeBox notices_;
  TimeNs now_ = 0;
  sim::ProgramChannel program_{1, 1, 0};  // outlives the worker
  std::unique_ptr<Worker> worker_;
  ipc::Submission submission_{};
};

void worker_local_message(benchmark::State& state) {
  LocalMessages messages;
  constexpr std::uint64_t kBatch = 32;
  for (auto _ : state) messages.pass(kBatch, state.range(0) != 0);
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kBatch));
}
BENCHMARK(worker_local_message)->ArgName("many_keys")->Arg(0)->Arg(1);

constexpr std::uint64_t kMegabyte = 1'000'000;
constexpr std::uint64_t kLargeUnderWay = 4;

ipc::MemoryFile make_file(std::uint64_t bytes) {
  auto made = ipc::MemoryFile::create("bench", bytes);
  RW_CHECK(made.ok());
  return std::move(made).value();
}

/// As above, with payloads in a file of the program, which the worker copies into files of its own.
class LocalMegabytes {
 public:
  LocalMegabytes() {
    port::SimPortOptions options;
    options.local = endpoint_of_ipv4({10, 0, 0, 1}, 3'200);
    port_ = network_.make_port(options);
    worker_ = std::make_unique<Worker>(WorkerConfig{}, *port_, commands_, notices_, now_);
    tell(AddChannel{0, program_.engine(), {1, 1}, 0, 0, 1});
    tell(AddConsumer{.index = 0, .service = 0, .order_none = false, .prefetch = 64});
    tell(AddFile{0, 1, source_.data(), source_.bytes(), 1, 0});
    turn();
    submission_.target = static_cast<std::uint8_t>(ipc::TargetKind::kNode);
    submission_.level = static_cast<std::uint8_t>(Level::kProcessed);
    submission_.payload_bytes = kMegabyte;
    submission_.extent_file = 1;
    submission_.hash = 1;
  }

  void pass() {
    for (std::uint64_t slot = 0; slot < kLargeUnderWay; ++slot) {
      ++submission_.sequence;
      submission_.payload_offset = slot * kMegabyte;
      RW_CHECK(program_.submit(submission_));
    }
    std::uint64_t outcomes = 0;
    while (outcomes < kLargeUnderWay) {
      turn();
      ipc::Delivery delivery;
      for (std::uint32_t worker = 0; program_.receive(delivery, worker);) {
        if (delivery.kind == static_cast<std::uint8_t>(ipc::DeliveryKind::kOutcomes)) {
          outcomes += delivery.count;
        } else {
          RW_CHECK(delivery.payload_bytes == kMegabyte);
          RW_CHECK(program_.release(worker, {delivery.token, 0, 0}));
        }
      }
    }
  }

 private:
  void tell(Command command) { RW_CHECK(commands_.try_push(command)); }
  void turn() {
    for (Notice notice; notices_.try_pop(notice);) {
      const auto* need = std::get_if<NeedLarge>(&notice);
      if (need == nullptr) continue;
      files_.push_back(make_file(need->bytes));
      const auto number = static_cast<std::uint32_t>(files_.size());
      tell(AddExtentFile{need->domain,
                         number,
                         files_.back().data(),
                         files_.back().bytes(),
                         ipc::kLargeClass,
                         need->request,
                         {}});
    }
    worker_->turn(now_ += kMicrosecondNs);
  }

  port::SimNetwork network_{port::SimOptions{}};
  std::unique_ptr<port::SimPort> port_;
  CommandBox commands_;
  NoticeBox notices_;
  TimeNs now_ = 0;
  ipc::MemoryFile source_ = make_file(kLargeUnderWay * kMegabyte);
  std::deque<ipc::MemoryFile> files_;
  sim::ProgramChannel program_{1, 1, 0};  // outlives the worker
  std::unique_ptr<Worker> worker_;
  ipc::Submission submission_{};
};

void worker_local_megabyte(benchmark::State& state) {
  LocalMegabytes messages;
  messages.pass();
  for (auto _ : state) messages.pass();
  state.SetBytesProcessed(state.iterations() *
                          static_cast<std::int64_t>(kLargeUnderWay * kMegabyte));
}
BENCHMARK(worker_local_megabyte);

void memcpy_megabyte(benchmark::State& state) {
  ipc::MemoryFile source = make_file(kLargeUnderWay * kMegabyte);
  std::deque<ipc::MemoryFile> targets;
  for (std::uint64_t slot = 0; slot < kLargeUnderWay; ++slot)
    targets.push_back(make_file(1u << 20));
  for (auto _ : state) {
    for (std::uint64_t slot = 0; slot < kLargeUnderWay; ++slot) {
      std::memcpy(targets[slot].data(), source.data() + slot * kMegabyte, kMegabyte);
      benchmark::ClobberMemory();
    }
  }
  state.SetBytesProcessed(state.iterations() *
                          static_cast<std::int64_t>(kLargeUnderWay * kMegabyte));
}
BENCHMARK(memcpy_megabyte);

}  // namespace
}  // namespace ringwire::worker
