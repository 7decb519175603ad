// What is done to every byte and every frame on the wire: the copy with its checksum, and the frame
// around it.
#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "engine/wire/frame.h"
#include "engine/wire/items.h"

namespace ringwire::wire {
namespace {

void crc32c_copy(benchmark::State& state) {
  const auto bytes = static_cast<std::size_t>(state.range(0));
  const std::vector<std::byte> source(bytes, std::byte{0x5a});
  std::vector<std::byte> target(bytes);
  for (auto _ : state) {
    benchmark::DoNotOptimize(copy_with_crc32c(0, target.data(), source));
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(crc32c_copy)->ArgName("bytes")->Arg(64)->Arg(1'400)->Arg(8'900)->Arg(1 << 20);

/// The floor of the one above.
void plain_copy(benchmark::State& state) {
  const auto bytes = static_cast<std::size_t>(state.range(0));
  const std::vector<std::byte> source(bytes, std::byte{0x5a});
  std::vector<std::byte> target(bytes);
  for (auto _ : state) {
    std::memcpy(target.data(), source.data(), bytes);
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(plain_copy)->ArgName("bytes")->Arg(64)->Arg(1'400)->Arg(8'900)->Arg(1 << 20);

AckItem ack_of_four_ranges() {
  AckItem ack;
  ack.delay_us = 20;
  ack.count = 4;
  for (std::uint64_t at = 0; at < 4; ++at) ack.ranges[at] = {1'000 - 10 * at, 1'004 - 10 * at};
  return ack;
}

void frame_encode(benchmark::State& state) {
  std::vector<std::byte> frame(kFrameOverheadBytes + kMaxAckBytes);
  const AckItem ack = ack_of_four_ranges();
  std::uint64_t number = 0;
  for (auto _ : state) {
    encode_frame_header({FrameKind::kMixed, 7, ++number}, frame);
    ByteWriter writer{std::span(frame).subspan(kFrameHeaderBytes, kMaxAckBytes)};
    encode_ack(writer, ack);
    seal_clear(std::span(frame).first(kFrameOverheadBytes + writer.written().size()));
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(frame_encode);

void frame_decode(benchmark::State& state) {
  std::vector<std::byte> buffer(kFrameOverheadBytes + kMaxAckBytes);
  encode_frame_header({FrameKind::kMixed, 7, 9}, buffer);
  ByteWriter writer{std::span(buffer).subspan(kFrameHeaderBytes, kMaxAckBytes)};
  encode_ack(writer, ack_of_four_ranges());
  const auto frame = std::span(buffer).first(kFrameOverheadBytes + writer.written().size());
  seal_clear(frame);
  AckItem ack;
  for (auto _ : state) {
    if (!decode_frame_header(frame) || !verify_clear(frame)) state.SkipWithError("no frame");
    // Behind the header and the type of the item.
    ByteReader reader(sealed_part(frame).subspan(kFrameHeaderBytes + 1));
    if (!decode_ack(reader, ack)) state.SkipWithError("no acknowledgement");
    benchmark::DoNotOptimize(ack.count);
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(frame_decode);

}  // namespace
}  // namespace ringwire::wire
