#include "engine/worker/messages.h"

#include <cstddef>
#include <cstring>

namespace ringwire::worker {
namespace {

template <typename T>
void reset_but_generation(T& object) {
  const std::uint32_t generation = object.generation;
  object = T{};
  object.generation = generation;
}

}  // namespace

void OutMessage::reset() { reset_but_generation(*this); }
void InMessage::reset() { reset_but_generation(*this); }

}  // namespace ringwire::worker
