// A doubly linked list of slots by index, the links being a member of the slots themselves: O(1)
// append, removal anywhere, no allocation. A slot is in at most one list per link. One thread; hot.
#pragma once

#include <cstdint>
#include <span>

#include "base/check.h"

namespace ringwire::transport {

inline constexpr std::uint32_t kNoIndex = 0xffff'ffff;

struct IndexLink {
  std::uint32_t previous = kNoIndex;
  std::uint32_t next = kNoIndex;
  std::uint8_t list = 0;  ///< 0 = in none
};

/// `kLink` selects the link member of `Slot`. Lists over one array have distinct ids above 0.
template <typename Slot, IndexLink Slot::*kLink>
class IndexList {
 public:
  explicit IndexList(std::uint8_t id) : id_(id) {}

  [[nodiscard]] bool empty() const { return head_ == kNoIndex; }
  [[nodiscard]] std::uint32_t front() const { return head_; }
  [[nodiscard]] bool contains(const Slot& slot) const { return (slot.*kLink).list == id_; }

  void push_back(std::span<Slot> slots, std::uint32_t index) {
    IndexLink& link = slots[index].*kLink;
    RW_DCHECK(link.list == 0);
    link = IndexLink{tail_, kNoIndex, id_};
    if (tail_ == kNoIndex)
      head_ = index;
    else
      (slots[tail_].*kLink).next = index;
    tail_ = index;
  }

  void push_front(std::span<Slot> slots, std::uint32_t index) {
    IndexLink& link = slots[index].*kLink;
    RW_DCHECK(link.list == 0);
    link = IndexLink{kNoIndex, head_, id_};
    if (head_ == kNoIndex)
      tail_ = index;
    else
      (slots[head_].*kLink).previous = index;
    head_ = index;
  }

  /// Takes the slot out if it is in this list.
  void remove(std::span<Slot> slots, std::uint32_t index) {
    IndexLink& link = slots[index].*kLink;
    if (link.list != id_) return;
    if (link.previous == kNoIndex)
      head_ = link.next;
    else
      (slots[link.previous].*kLink).next = link.next;
    if (link.next == kNoIndex)
      tail_ = link.previous;
    else
      (slots[link.next].*kLink).previous = link.previous;
    link = IndexLink{};
  }

 private:
  std::uint32_t head_ = kNoIndex;
  std::uint32_t tail_ = kNoIndex;
  std::uint8_t id_;
};

}  // namespace ringwire::transport
