// A turn of a worker that has nothing to do, with programs attached that do nothing: what an engine
// that spins pays for them. Idle channels are parked after a while, and cost nothing more.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "base/endpoint_text.h"
#include "engine/port/sim_port.h"
#include "engine/worker/worker.h"
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
BENCHMARK(worker_idle_turn)->ArgName("attachments")->Arg(0)->Arg(1)->Arg(64)->Arg(500);

}  // namespace
}  // namespace ringwire::worker
