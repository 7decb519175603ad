// Where a key goes: the look-up that every send makes, and the table that is built when the members
// change.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/hash.h"
#include "ring/placement.h"

namespace ringwire::ring {
namespace {

std::vector<Member> members(std::int64_t count) {
  std::vector<Member> all(static_cast<std::size_t>(count));
  for (std::size_t at = 0; at < all.size(); ++at) {
    all[at].name = std::string("node-").append(std::to_string(at));
    all[at].node_index = static_cast<std::uint32_t>(at);
  }
  return all;
}

void placement_lookup(benchmark::State& state) {
  const std::vector<Member> all = members(state.range(0));
  const auto view = build_view({.secondaries = 1, .members = all});
  if (!view.ok()) return state.SkipWithError("no view");
  std::uint64_t key = 0;
  for (auto _ : state) {
    key += 0x9e37'79b9'7f4a'7c15;  // hashes spread over the table, as keys do
    benchmark::DoNotOptimize(view.value().replicas_of(slot_of(key)).front());
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(placement_lookup)->ArgName("members")->Arg(3)->Arg(100);

void placement_build(benchmark::State& state) {
  const std::vector<Member> all = members(state.range(0));
  for (auto _ : state) {
    auto view = build_view({.secondaries = 1, .members = all});
    benchmark::DoNotOptimize(view.ok());
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(placement_build)
    ->ArgName("members")
    ->Arg(3)
    ->Arg(16)
    ->Arg(100)
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace ringwire::ring
