// The sending half of a session: message slots, credit, which message goes next, and what to repeat
// (docs/wire.md W-10 to W-19, W-40 to W-45). It knows nothing of packets beyond "this was lost,
// that arrived". One thread; hot; no allocation after construction.
#pragma once

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

class Sender {
 public:
  explicit Sender(const SessionConfig& config);
  [[nodiscard]] static std::uint64_t memory_bytes(std::uint32_t message_slots);

  // --- the user's calls (session.h says what they mean) ---
  [[nodiscard]] SendVerdict send(const wire::MessageHeader& header, const std::byte* payload,
                                 std::uint32_t cookie, MessageNumber& number);
  void withdraw(std::uint32_t number);
  [[nodiscard]] SendVerdict send_run(const wire::RunHeader& header, std::span<const std::byte> body,
                                     std::uint32_t cookie, MessageNumber& number);
  void withdraw_run(std::uint32_t number, std::uint32_t mask);
  [[nodiscard]] std::uint32_t max_run_bytes() const {
    return static_cast<std::uint32_t>(body_bytes_ - wire::kMaxFixedRunBytes - kMaxNameBytes);
  }
  [[nodiscard]] std::uint32_t window_messages(std::string_view service) {
    return classes_[services_.class_of(service)].window_messages;
  }
  [[nodiscard]] std::uint32_t messages_open() const { return open_; }

  // --- what the peer says; false: a rule is broken ---
  [[nodiscard]] bool on_result(const wire::ResultItem& result);
  [[nodiscard]] bool on_run_result(ByteReader& reader);
  [[nodiscard]] bool on_grant(const wire::GrantItem& grant);
  [[nodiscard]] bool on_credit(const wire::CreditItem& credit);

  // --- the fate of what was sent ---
  void on_header_acked(std::uint32_t number);
  void on_header_lost(std::uint32_t number);
  void on_withdraw_lost(std::uint32_t number);
  void on_fragment_lost(std::uint32_t number, std::uint64_t fragment);

  // --- output ---
  [[nodiscard]] bool has_items() const;
  [[nodiscard]] bool has_fragments() const {
    return lost_count_ > 0 || !middle_.empty() || !large_.empty();
  }
  /// Write withdrawals, repeated headers and new messages while they fit, at most `max_items`.
  std::size_t write_items(ByteWriter& writer, SentPackets& sent, std::size_t max_items);

  struct Fragment {
    std::uint32_t number = 0;
    std::uint64_t index = 0;
    std::span<const std::byte> payload;
    bool in_place = false;  ///< worth it, and no fragment of this message was ever lost
  };
  /// The next fragment to send; false when there is none.
  [[nodiscard]] bool take_fragment(Fragment& fragment);

  // --- events ---
  [[nodiscard]] bool has_events() const {
    return !events_.empty() || !run_events_.empty() || wake_refused_;
  }
  void flush_events(EventBatch& events);
  /// The session is over: one kResult for each message still open, as many as fit. True when all
  /// are out.
  bool fail_all(EventBatch& events);

  std::uint64_t messages_sent = 0;  ///< counter: headers sent for the first time

 private:
  /// Zero bytes before its first use.
  struct Slot {
    wire::MessageHeader header;  ///< of a run: what it has of these fields
    const std::byte* payload = nullptr;
    std::uint64_t fragment_count = 0;  ///< 0: small
    std::uint64_t next_fragment = 0;   ///< of those never sent
    std::uint64_t granted = 0;         ///< fragments that may flow
    std::uint32_t generation = 0;
    std::uint32_t cookie = 0;
    std::uint32_t charge_bytes = 0;
    IndexLink attention;  ///< free, header, withdraw or event list
    IndexLink bulk;       ///< middle or large list
    EntryIndex attachment = kNoEntry;
    EntryIndex reply_attachment = kNoEntry;
    std::uint32_t run_count = 0;      ///< messages of the run, 0: it is none
    std::uint32_t run_settled = 0;    ///< bit per message: it has ended
    std::uint32_t run_released = 0;   ///< the peer gave its credit back
    std::uint32_t run_told = 0;       ///< its event is out
    std::uint32_t run_failed = 0;     ///< it did not just end as done
    std::uint32_t run_withdrawn = 0;  ///< it was asked back
    std::uint8_t service_class = 0;
    Ending ending{};
    Reason reason{};
    bool active = false;
    bool announced = false;
    bool reply = false;
    bool sent = false;   ///< some byte of it was put into a packet
    bool lossy = false;  ///< a fragment of it was lost
    bool acked = false;  ///< its header arrived
    bool withdrawn = false;
    bool ended = false;     ///< an event is queued or out
    bool reported = false;  ///< the event is out
    bool as_sent = false;   ///< the event is kSent
    bool released = false;  ///< the peer gave slot and credit back
  };
  struct ServiceClass {
    std::uint32_t window_messages = 0;
    std::uint32_t window_bytes = 0;
    std::uint32_t open_messages = 0;
    std::uint32_t open_bytes = 0;
    bool refused = false;
  };
  struct LostFragment {
    std::uint64_t index = 0;
    std::uint32_t number = 0;
  };
  using AttentionList = IndexList<Slot, &Slot::attention>;
  using BulkList = IndexList<Slot, &Slot::bulk>;

  [[nodiscard]] static std::size_t largest_header_bytes(const wire::MessageHeader& header);
  [[nodiscard]] Slot* find(std::uint32_t number);
  [[nodiscard]] std::uint32_t index_of(const Slot& slot) const {
    return static_cast<std::uint32_t>(&slot - slots_.data());
  }
  [[nodiscard]] AttentionList& header_list(const Slot& slot) {
    return slot.header.priority > 0 ? high_ : normal_;
  }
  [[nodiscard]] bool write_run(Slot& slot, ByteWriter& writer, SentPackets& sent);
  void settle_run(Slot& slot, std::uint32_t mask);
  void release_run(Slot& slot, std::uint32_t mask);
  void free_run_if_over(Slot& slot);
  void wake_refused(ServiceClass& service);
  void flush_run_events(EventBatch& events);
  void unlink(Slot& slot);
  void end(Slot& slot, Ending ending, Reason reason, bool as_sent);
  void release(Slot& slot);
  void free(Slot& slot);
  [[nodiscard]] bool has_free_slot() const { return !free_.empty() || used_slots_ < slots_.size(); }
  [[nodiscard]] std::uint32_t take_slot();
  [[nodiscard]] bool write_header(Slot& slot, ByteWriter& writer, SentPackets& sent);
  [[nodiscard]] bool take_lost(Fragment& fragment);
  void fill_fragment(const Slot& slot, std::uint64_t index, Fragment& fragment) const;
  void rotate(BulkList& list, Slot& slot);
  void choose_large();
  void report(Slot& slot, Event& event);

  MessageNumbers numbers_;
  std::uint32_t fragment_bytes_;
  std::size_t body_bytes_;
  std::uint32_t max_reply_slots_;
  ZeroedArray<Slot> slots_;
  std::uint32_t used_slots_ = 0;  ///< from the first on; those behind them were never taken
  std::vector<ServiceClass> classes_;
  ZeroedArray<wire::RunFailures> failures_;  ///< by slot
  ZeroedArray<LostFragment> lost_;
  std::size_t lost_head_ = 0;
  std::size_t lost_count_ = 0;
  AttachmentSender attachments_;
  ServiceSender services_;
  AttentionList free_{1};
  AttentionList repeat_{2};
  AttentionList high_{3};
  AttentionList normal_{4};
  AttentionList withdraw_{5};
  AttentionList events_{6};
  BulkList middle_{1};
  BulkList large_{2};
  BulkList run_events_{3};  ///< runs have no fragments
  std::uint32_t open_ = 0;
  std::uint32_t open_replies_ = 0;
  std::uint32_t open_announced_[2] = {0, 0};  ///< requests, replies
  std::uint32_t turn_fragments_ = 0;          ///< sent in a row by the head of large_
  std::uint32_t turns_ = 0;
  std::uint32_t since_announced_ = 0;  ///< bulk packets since one of an announced message
  std::uint32_t fail_cursor_ = 0;
  bool refused_slot_ = false;
  bool wake_refused_ = false;  ///< a kCredit event is due
};

}  // namespace ringwire::transport
