// Memory of the heap that is reserved for the worst case is not there yet: its pages come when they
// are first written, one fault each, in whoever writes first. What a worker may need on its way is
// written once when it is made. Header-only leaf.
#pragma once

#include <cstddef>
#include <vector>

namespace ringwire {

/// Reserve room for `count` items in an empty vector, and write it: to fill it later takes neither
/// an allocation nor a page fault.
template <typename T>
void reserve_touched(std::vector<T>& items, std::size_t count) {
  items.resize(count);
  items.clear();
}

}  // namespace ringwire
