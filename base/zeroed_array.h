// An array whose elements are zero bytes until they are written. From a source that gives pages
// when they are first touched, what is reserved for the worst case costs no memory until it is
// used. For plain data whose all-zero form means "never used"; member initialisers do not run.
// Allocates at construction only. Any thread, one owner.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <type_traits>
#include <utility>

#include "base/check.h"

namespace ringwire {

/// Where zeroed memory comes from and goes back to; both may be called by any thread. The default
/// is the C library's heap, which clears by writing what it has had before.
struct ZeroedMemory {
  /// At least `bytes` zero bytes, aligned for anything; nullptr: there are none.
  void* (*take)(std::size_t bytes) = [](std::size_t bytes) { return std::calloc(1, bytes); };
  void (*give_back)(void* memory, std::size_t bytes) = [](void* memory, std::size_t) {
    std::free(memory);
  };
};

template <typename T>
class ZeroedArray {
  // Objects of such types begin to live with the memory that calloc or mmap gives (C++20, P0593).
  static_assert(std::is_trivially_copyable_v<T>);
  static_assert(std::is_trivially_destructible_v<T>);
  static_assert(alignof(T) <= alignof(std::max_align_t));

 public:
  /// Aborts when there is no memory, like any construction in a room without exceptions.
  explicit ZeroedArray(std::size_t count, const ZeroedMemory& memory = {})
      : memory_(memory), elements_(static_cast<T*>(memory.take(count * sizeof(T)))), count_(count) {
    RW_CHECK(elements_ != nullptr);
  }
  ZeroedArray(ZeroedArray&& other) noexcept
      : memory_(other.memory_),
        elements_(std::exchange(other.elements_, nullptr)),
        count_(std::exchange(other.count_, 0)) {}
  ZeroedArray(const ZeroedArray&) = delete;
  ZeroedArray& operator=(const ZeroedArray&) = delete;
  ~ZeroedArray() {
    if (elements_ != nullptr) memory_.give_back(elements_, count_ * sizeof(T));
  }

  [[nodiscard]] std::size_t size() const { return count_; }
  [[nodiscard]] T* data() { return elements_; }
  [[nodiscard]] const T* data() const { return elements_; }
  [[nodiscard]] T* begin() { return elements_; }
  [[nodiscard]] T* end() { return elements_ + count_; }
  [[nodiscard]] const T* begin() const { return elements_; }
  [[nodiscard]] const T* end() const { return elements_ + count_; }
  [[nodiscard]] T& operator[](std::size_t index) { return elements_[index]; }
  [[nodiscard]] const T& operator[](std::size_t index) const { return elements_[index]; }

 private:
  ZeroedMemory memory_;
  T* elements_;
  std::size_t count_;
};

}  // namespace ringwire
