#include "engine/worker/messages.h"

#include <cstddef>
#include <cstring>
#include <type_traits>
#include <utility>

namespace ringwire::worker {
namespace {

/// A line at a time: told to copy hundreds of bytes at once, the compiler takes `rep movs`, which
/// is slow to begin.
template <std::size_t... kLine>
void copy_lines(std::byte* to, const std::byte* from, std::index_sequence<kLine...>) {
  (std::memcpy(to + kLine * 64, from + kLine * 64, 64), ...);
}

/// All but the generation, and the inline bytes: nobody reads of those more than was written.
template <typename T>
void reset_message(T& message) {
  static_assert(std::is_trivially_copyable_v<T>);
  constexpr std::size_t kLines = offsetof(T, bytes) / 64;
  constexpr std::size_t kRest = offsetof(T, bytes) % 64;
  static constexpr T kFresh{};
  const std::uint32_t generation = message.generation;
  auto* const to = reinterpret_cast<std::byte*>(&message);
  const auto* const from = reinterpret_cast<const std::byte*>(&kFresh);
  copy_lines(to, from, std::make_index_sequence<kLines>());
  std::memcpy(to + kLines * 64, from + kLines * 64, kRest);
  message.generation = generation;
}

}  // namespace

void OutMessage::reset() { reset_message(*this); }
void InMessage::reset() { reset_message(*this); }

}  // namespace ringwire::worker
