// Objects in one array, named by 32-bit index, taken and given back in O(1), and lists of them that
// need no memory of their own. Allocation happens at construction only. Hot; one thread.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "base/check.h"

namespace ringwire::worker {

inline constexpr std::uint32_t kNone = 0xffff'ffff;

/// Two links: enough for an object to stand in one list.
struct ListLink {
  std::uint32_t previous = kNone;
  std::uint32_t next = kNone;
};

/// T must have `std::uint32_t generation` (survives reuse) and `ListLink link`.
template <typename T>
class IndexPool {
 public:
  explicit IndexPool(std::uint32_t capacity) : items_(capacity) {
    free_.reserve(capacity);
    for (std::uint32_t index = capacity; index-- > 0;) free_.push_back(index);
  }

  [[nodiscard]] std::uint32_t capacity() const { return static_cast<std::uint32_t>(items_.size()); }
  /// What take() can give.
  [[nodiscard]] std::uint32_t free_count() const {
    return static_cast<std::uint32_t>(free_.size()) - reserved_;
  }
  [[nodiscard]] std::uint32_t used_count() const { return capacity() - free_count(); }

  /// Take an object, reset to its defaults, with a generation it never had; kNone when all are
  /// taken.
  [[nodiscard]] std::uint32_t take() { return free_count() == 0 ? kNone : take_any(); }
  void give_back(std::uint32_t index) {
    RW_DCHECK(free_.size() < items_.size());
    ++items_[index].generation;  // who still holds the old name now sees that it is stale
    free_.push_back(index);
  }

  /// Keep so many for take_reserved(), whatever others take. Never more than free_count().
  void reserve(std::uint32_t count = 1) {
    RW_DCHECK(free_count() >= count);
    reserved_ += count;
  }
  void give_up_reserved(std::uint32_t count = 1) {
    RW_DCHECK(reserved_ >= count);
    reserved_ -= count;
  }
  [[nodiscard]] std::uint32_t take_reserved() {
    give_up_reserved();
    return take_any();
  }

  [[nodiscard]] T& operator[](std::uint32_t index) { return items_[index]; }
  [[nodiscard]] const T& operator[](std::uint32_t index) const { return items_[index]; }

 private:
  std::uint32_t take_any() {
    const std::uint32_t index = free_.back();
    free_.pop_back();
    const std::uint32_t generation = items_[index].generation + 1;
    items_[index].reset();
    items_[index].generation = generation;
    return index;
  }

  std::vector<T> items_;
  std::vector<std::uint32_t> free_;
  std::uint32_t reserved_ = 0;
};

/// A double-ended list through T::*Link of the objects of one pool.
template <typename T, ListLink T::*Link = &T::link>
class IndexList {
 public:
  [[nodiscard]] bool empty() const { return head_ == kNone; }
  [[nodiscard]] std::uint32_t front() const { return head_; }
  [[nodiscard]] std::uint32_t back() const { return tail_; }
  [[nodiscard]] std::uint32_t count() const { return count_; }
  [[nodiscard]] static std::uint32_t next(const IndexPool<T>& pool, std::uint32_t index) {
    return (pool[index].*Link).next;
  }

  void push_back(IndexPool<T>& pool, std::uint32_t index) {
    pool[index].*Link = {tail_, kNone};
    (tail_ == kNone ? head_ : (pool[tail_].*Link).next) = index;
    tail_ = index;
    ++count_;
  }
  void push_front(IndexPool<T>& pool, std::uint32_t index) {
    pool[index].*Link = {kNone, head_};
    (head_ == kNone ? tail_ : (pool[head_].*Link).previous) = index;
    head_ = index;
    ++count_;
  }
  /// Before `at`, which stands in this list.
  void insert_before(IndexPool<T>& pool, std::uint32_t at, std::uint32_t index) {
    const std::uint32_t previous = (pool[at].*Link).previous;
    if (previous == kNone) return push_front(pool, index);
    pool[index].*Link = {previous, at};
    (pool[previous].*Link).next = index;
    (pool[at].*Link).previous = index;
    ++count_;
  }
  /// Only for an object that stands in this list.
  void remove(IndexPool<T>& pool, std::uint32_t index) {
    const ListLink link = pool[index].*Link;
    (link.previous == kNone ? head_ : (pool[link.previous].*Link).next) = link.next;
    (link.next == kNone ? tail_ : (pool[link.next].*Link).previous) = link.previous;
    pool[index].*Link = {};
    --count_;
  }
  std::uint32_t pop_front(IndexPool<T>& pool) {
    const std::uint32_t index = head_;
    if (index != kNone) remove(pool, index);
    return index;
  }

 private:
  std::uint32_t head_ = kNone;
  std::uint32_t tail_ = kNone;
  std::uint32_t count_ = 0;
};

}  // namespace ringwire::worker
