// The receiving half of a session: receive slots indexed by message number, fragments placed into
// extents, results kept until they are acknowledged, grants, and the budgets of services
// (docs/wire.md W-10 to W-19, W-40 to W-45). One thread; hot; no allocation after construction.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "base/zeroed_array.h"
#include "engine/transport/dictionary.h"
#include "engine/transport/index_list.h"
#include "engine/transport/limits.h"
#include "engine/transport/message_numbers.h"
#include "engine/transport/sent_packets.h"
#include "engine/transport/session.h"

namespace ringwire::transport {

/// What the caller does with the packet that an item or fragment came in.
enum class ItemVerdict : std::uint8_t {
  kOk,         ///< go on
  kNotYet,     ///< drop the packet unacknowledged: its sender will repeat it
  kViolation,  ///< close the session
};

class Receiver {
 public:
  explicit Receiver(const SessionConfig& config);
  [[nodiscard]] static std::uint64_t memory_bytes(std::uint32_t message_slots);

  // --- what the peer says ---
  /// A MESSAGE or OPEN item; `reader` stands behind its type byte. The event, if any, is added.
  [[nodiscard]] ItemVerdict on_message(wire::ItemType type, ByteReader& reader, EventBatch& events);
  [[nodiscard]] ItemVerdict on_withdraw(std::uint32_t number, EventBatch& events);
  [[nodiscard]] ItemVerdict on_named_withdraw(ByteReader& reader, EventBatch& events);
  [[nodiscard]] ItemVerdict on_run(ByteReader& reader, EventBatch& events);
  [[nodiscard]] ItemVerdict on_run_withdraw(std::uint32_t number, std::uint32_t mask,
                                            EventBatch& events);

  /// Where a fragment belongs, judged before its packet is verified; changes nothing.
  struct Placement {
    ItemVerdict verdict = ItemVerdict::kOk;
    std::byte* target = nullptr;  ///< nullptr: not wanted (any more)
  };
  [[nodiscard]] Placement place(std::uint32_t number, std::uint64_t fragment,
                                std::size_t bytes) const;
  /// The fragment was verified and stands in its place; it counts now.
  void commit(std::uint32_t number, std::uint64_t fragment, EventBatch& events);

  // --- the user's calls (session.h says what they mean) ---
  void accept(std::uint32_t number, std::byte* extent);
  void tag(std::uint32_t number, std::uint32_t cookie);
  void settle(std::uint32_t number, Ending ending, Reason reason);
  void release(std::uint32_t number);
  void settle_run(std::uint32_t number, std::uint32_t mask, Ending ending, Reason reason);
  void release_run(std::uint32_t number, std::uint32_t mask);

  // --- the fate of what was sent ---
  void on_result_acked(std::uint32_t number, bool released);
  void on_result_lost(std::uint32_t number, bool released);
  void on_grant_lost(std::uint32_t number);
  void on_credit_lost(std::uint32_t service_class);

  // --- output ---
  [[nodiscard]] bool has_items() const {
    return !results_.empty() || !grants_.empty() || credits_ != 0;
  }
  /// Items that somebody waits for. The results of replies, and those that say that a reply
  /// follows, only free slots: they may ride with the next packet.
  [[nodiscard]] bool has_urgent_items() const { return urgent_results_ != 0 || has_permits(); }
  /// Grants and credits.
  [[nodiscard]] bool has_permits() const { return !grants_.empty() || credits_ != 0; }
  [[nodiscard]] std::uint32_t urgent_results() const { return urgent_results_; }
  /// Write results, grants and credits while they fit, at most `max_items`.
  std::size_t write_items(ByteWriter& writer, SentPackets& sent, std::size_t max_items);

  std::uint64_t messages_received = 0;  ///< counter

 private:
  enum class Phase : std::uint8_t {
    kFree,       ///< released, or never used
    kWhole,      ///< all bytes are here (small, or completed)
    kOpened,     ///< waits for accept()
    kReceiving,  ///< fragments are placed
    kGone,       ///< withdrawn or refused: fragments are ignored
  };
  /// Zero bytes before its first use: free, of generation 0.
  struct Slot {
    std::byte* extent = nullptr;
    std::uint64_t payload_bytes = 0;
    std::uint64_t fragment_count = 0;
    std::uint64_t arrived = 0;  ///< unscheduled: bit per fragment; announced: those without a gap
    std::uint32_t generation = 0;
    std::uint32_t charge_bytes = 0;
    IndexLink result_link;
    std::uint8_t window = 0;  ///< announced: index into windows_
    std::uint8_t service_class = 0;
    Phase phase = Phase::kFree;
    Level level{};
    Ending ending{};
    Reason reason{};
    bool announced : 1 = false;
    bool run : 1 = false;  ///< then some of the fields above hold other things: see Run
    bool reply : 1 = false;
    bool withdrawn : 1 = false;
    bool settled : 1 = false;
    bool result_urgent : 1 = false;  ///< stands in the list of results, and somebody waits for it
    bool result_acked : 1 = true;    ///< the newest state of the result needs no repeating
    std::uint32_t tag = Session::kNoTag;
  };
  static_assert(sizeof(Slot) == 64);  // one cache line a message
  /// A slot's fields as those of a run, which has no fragments; masks have a bit per message.
  struct Run {
    Slot& slot;
    [[nodiscard]] std::uint32_t count() const {
      return static_cast<std::uint32_t>(slot.payload_bytes);
    }
    [[nodiscard]] std::uint32_t settled() const { return static_cast<std::uint32_t>(slot.arrived); }
    [[nodiscard]] std::uint32_t released() const {
      return static_cast<std::uint32_t>(slot.arrived >> 32);
    }
    [[nodiscard]] std::uint32_t failed() const {
      return static_cast<std::uint32_t>(slot.fragment_count);
    }
    /// Messages that wait for the next result to be sent.
    [[nodiscard]] std::uint8_t& waiting() const { return slot.window; }
  };
  /// Of an announced message: what has arrived beyond the first gap, and what was granted.
  struct Window {
    std::array<std::uint64_t, kGrantWindowFragments / 64> bits{};
    std::uint64_t granted = 0;
    std::uint32_t slot = kNoIndex;
    IndexLink grant_link;
    [[nodiscard]] bool test(std::uint64_t fragment) const {
      return (bits[fragment / 64 % bits.size()] >> (fragment % 64) & 1) != 0;
    }
    void flip(std::uint64_t fragment) {
      bits[fragment / 64 % bits.size()] ^= std::uint64_t{1} << (fragment % 64);
    }
  };
  struct ServiceClass {
    std::uint32_t window_messages = 0;
    std::uint32_t window_bytes = 0;
    std::uint32_t open_messages = 0;
    std::uint32_t open_bytes = 0;
    std::uint32_t released = 0;      ///< since the window last grew
    bool short_of_messages = false;  ///< was used up since the window last grew
    bool short_of_bytes = false;
  };

  [[nodiscard]] Slot* find(std::uint32_t number);
  [[nodiscard]] bool has_come(std::uint32_t number) const;
  [[nodiscard]] std::uint32_t index_of(const Slot& slot) const {
    return static_cast<std::uint32_t>(&slot - slots_.data());
  }
  [[nodiscard]] std::uint32_t number_of(const Slot& slot) const {
    return numbers_.number_of(index_of(slot), slot.generation);
  }
  [[nodiscard]] bool charge(Slot& slot);
  void discharge(Slot& slot);
  void grow(std::uint8_t service_class);
  [[nodiscard]] bool take_window(Slot& slot);
  void drop_window(Slot& slot);
  void update_grant(Slot& slot);
  void queue_result(Slot& slot);
  void queue_run_result(Slot& slot, std::uint32_t news);
  void write_run_result(Slot& slot, ByteWriter& writer, SentPackets& sent);
  void unlist_result(std::uint32_t index);

  MessageNumbers numbers_;
  std::uint32_t fragment_bytes_;
  std::uint32_t grant_fragments_;
  std::uint32_t max_reply_slots_;
  std::uint32_t max_window_messages_;
  std::uint32_t max_windows_sum_;
  ZeroedArray<Slot> slots_;
  ZeroedArray<wire::RunFailures> failures_;  ///< by slot
  ZeroedArray<Window> windows_;
  std::vector<std::uint8_t> free_windows_;
  std::vector<ServiceClass> classes_;
  AttachmentReceiver attachments_;
  ServiceReceiver services_;
  IndexList<Slot, &Slot::result_link> results_{1};
  std::uint32_t urgent_results_ = 0;
  IndexList<Window, &Window::grant_link> grants_{1};
  std::uint64_t credits_ = 0;  ///< bit per service class whose CREDIT is to be sent
  std::uint32_t windows_sum_ = 0;
  std::uint32_t open_replies_ = 0;
  std::uint32_t open_announced_[2] = {0, 0};  ///< requests, replies
};

static_assert(kServiceClasses <= 64);  // one word of bits
static_assert(2 * kMaxAnnounced <= 256);

}  // namespace ringwire::transport
