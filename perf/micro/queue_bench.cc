// The shared-memory queue, both ends on one thread: the work of the code and of one core's cache,
// without the distance between two.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <vector>

#include "ipc/layout.h"
#include "ipc/spsc_queue.h"

namespace ringwire {
namespace {

constexpr std::uint32_t kEntries = 1'024;  // the client library's default

struct Queue {
  Queue() {
    producer.attach(entries.data(), kEntries, &tail, &head);
    consumer.attach(entries.data(), kEntries, &tail, &head);
  }
  std::vector<ipc::Submission> entries = std::vector<ipc::Submission>(kEntries);
  alignas(64) std::uint64_t tail = 0;
  alignas(64) std::uint64_t head = 0;
  ipc::SpscProducer<ipc::Submission> producer;
  ipc::SpscConsumer<ipc::Submission> consumer;
};

/// `range(0)` entries are written, published once, copied out, given back once.
void queue_push_pop(benchmark::State& state) {
  Queue queue;
  const auto batch = state.range(0);
  ipc::Submission taken;
  for (auto _ : state) {
    for (std::int64_t count = 0; count < batch; ++count)
      queue.producer.claim()->sequence = static_cast<std::uint64_t>(count);
    queue.producer.publish();
    while (queue.consumer.poll(taken)) benchmark::DoNotOptimize(taken.sequence);
    queue.consumer.publish();
  }
  state.SetItemsProcessed(state.iterations() * batch);
  state.SetBytesProcessed(state.iterations() * batch *
                          static_cast<std::int64_t>(sizeof(ipc::Submission)));
}
BENCHMARK(queue_push_pop)->ArgName("batch")->Arg(1)->Arg(16)->Arg(256);

void queue_poll_empty(benchmark::State& state) {
  Queue queue;
  ipc::Submission taken;
  for (auto _ : state) benchmark::DoNotOptimize(queue.consumer.poll(taken));
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(queue_poll_empty);

}  // namespace
}  // namespace ringwire
