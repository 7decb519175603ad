// What was put into which packet and is not yet known to have arrived: a ring of packets by number,
// and a ring of the items of mixed packets (docs/wire.md W-22, W-23). It tells nobody anything by
// itself: the session asks and acts. One thread; hot.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <span>

#include "base/mutant.h"
#include "base/time.h"
#include "base/zeroed_array.h"
#include "engine/transport/limits.h"

namespace ringwire::transport {

/// What an item was about, so that it can be repeated when lost.
enum class SentKind : std::uint8_t { kHeader, kWithdraw, kResult, kGrant, kCredit, kPing };

struct SentItem {
  std::uint32_t value = 0;  ///< message number, or service class
  SentKind kind{};
  bool released = false;  ///< kResult: it carried the release
};

struct SentPacket {
  std::uint64_t number = 0;
  TimeNs sent_at = 0;
  std::uint64_t fragment = 0;  ///< bulk
  std::uint32_t message = 0;   ///< bulk
  std::uint32_t bytes = 0;
  std::uint64_t first_item = 0;  ///< mixed: running index into the item ring
  std::uint16_t item_count = 0;
  bool bulk = false;
  bool timed_out =
      false;  ///< declared lost by a time-out of the probe, not by what was acknowledged
};

class SentPackets {
 public:
  explicit SentPackets(const ZeroedMemory& memory = {});
  [[nodiscard]] static constexpr std::uint64_t memory_bytes() {
    return kSentPackets * sizeof(SentPacket) + kSentItems * sizeof(SentItem) + kSentPackets / 4;
  }

  /// Number of the next packet. Every packet takes one, acknowledgement-eliciting or not.
  [[nodiscard]] std::uint64_t next_number() const { return next_; }
  /// The ring is full: resolve oldest() first.
  [[nodiscard]] bool full() const { return next_ - oldest_ >= kSentPackets; }
  /// Lowest number that is outstanding; next_number() when none is.
  [[nodiscard]] std::uint64_t oldest() const { return oldest_; }
  [[nodiscard]] std::uint32_t item_room() const {
    return kSentItems - static_cast<std::uint32_t>(next_item_ - oldest_item_);
  }
  [[nodiscard]] std::uint64_t bytes_in_flight() const { return bytes_in_flight_; }

  /// Note an item of the packet being built. Precondition: item_room() > 0.
  void add_item(const SentItem& item) { items_[next_item_++ % kSentItems] = item; }
  /// Forget the items added since the last packet.
  void drop_items() { next_item_ = packet_items_; }
  [[nodiscard]] std::uint32_t items_added() const {
    return static_cast<std::uint32_t>(next_item_ - packet_items_);
  }

  /// The packet next_number() was sent. Items added since the last one are its items.
  void on_sent_mixed(TimeNs now, std::uint32_t bytes);
  void on_sent_bulk(TimeNs now, std::uint32_t bytes, std::uint32_t message, std::uint64_t fragment);
  /// A packet that needs no acknowledgement.
  void on_sent_silent(TimeNs now);

  [[nodiscard]] const SentPacket& packet(std::uint64_t number) const {
    return packets_[number % kSentPackets];
  }
  [[nodiscard]] const SentItem& item(const SentPacket& packet, std::uint32_t index) const {
    return items_[(packet.first_item + index + (RW_MUTANT(21) ? 1 : 0)) % kSentItems];
  }

  [[nodiscard]] bool outstanding(std::uint64_t number) const {
    return number < next_ && number + kSentPackets >= next_ && test(outstanding_, number);
  }
  /// Lowest outstanding or (with `lost`) declared-lost number in [from, to]; 0 when there is none.
  [[nodiscard]] std::uint64_t find_open(std::uint64_t from, std::uint64_t to) const;
  [[nodiscard]] bool declared_lost(std::uint64_t number) const { return test(lost_, number); }

  /// An outstanding packet is acknowledged, or declared lost (and remembered as such while the ring
  /// still holds it).
  void resolve_acked(std::uint64_t number);
  void resolve_lost(std::uint64_t number, bool timed_out);
  /// A packet that was declared lost arrived after all.
  void forget_lost(std::uint64_t number) {
    if (!test(lost_, number)) return;
    reset(lost_, number);
    --lost_count_;
  }

 private:
  using Bits = std::array<std::uint64_t, kSentPackets / 64>;
  static bool test(const Bits& bits, std::uint64_t number) {
    return (bits[number / 64 % bits.size()] >> (number % 64) & 1) != 0;
  }
  static void set(Bits& bits, std::uint64_t number) {
    bits[number / 64 % bits.size()] |= std::uint64_t{1} << (number % 64);
  }
  static void reset(Bits& bits, std::uint64_t number) {
    bits[number / 64 % bits.size()] &= ~(std::uint64_t{1} << (number % 64));
  }
  SentPacket& add(TimeNs now, std::uint32_t bytes);
  void resolve(std::uint64_t number);

  ZeroedArray<SentPacket> packets_;
  ZeroedArray<SentItem> items_;
  Bits outstanding_{};
  Bits lost_{};
  std::uint32_t lost_count_ = 0;  ///< in lost_
  std::uint64_t next_ = 1;
  std::uint64_t oldest_ = 1;
  std::uint64_t next_item_ = 0;
  std::uint64_t packet_items_ = 0;  ///< where the items of the packet being built begin
  std::uint64_t oldest_item_ = 0;   ///< first item of the oldest outstanding packet
  std::uint64_t bytes_in_flight_ = 0;
};

}  // namespace ringwire::transport
