// Knows of every message of a world what may and may not have happened to it (docs/architecture.md,
// G1, G2, G3, G6, G7), is told all that programs see, and says what is wrong. It looks at nothing
// inside the engines. One thread.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/time.h"
#include "ipc/layout.h"
#include "tests/sim/options.h"

namespace ringwire::sim {

/// What every payload begins with: enough to know whose it is and that each byte is its own.
struct Stamp {
  std::uint32_t sender;
  std::uint32_t key;
  std::uint64_t number;  ///< of the sender's messages, from 0
  std::uint64_t bytes;
  std::uint64_t fill;
};
static_assert(sizeof(Stamp) == 32);

/// The rest of the payload behind the stamp.
void fill_payload(const Stamp& stamp, std::span<std::byte> payload);
[[nodiscard]] bool payload_intact(const Stamp& stamp, const std::byte* payload);

struct Message {
  Stamp stamp{};
  std::uint64_t sequence = 0;
  ipc::TargetKind target = ipc::TargetKind::kKey;
  ipc::Require require = ipc::Require::kAll;
  std::uint32_t targets = 1;      ///< of a multi-target send
  std::uint32_t target_node = 0;  ///< kNode
  std::uint16_t service = 0;
  Level level = Level::kProcessed;
  bool call = false;
  bool unordered = false;
  bool poison = false;
  bool cancelled = false;  ///< the sender asked for it
  bool abandoned = false;  ///< its program died
  TimeNs deadline_at = 0;  ///< of the world; 0 = none
  bool ended = false;
  Ending ending{};
  bool replied = false;
  std::uint32_t deliveries = 0;
  std::uint32_t newest_attempt = 0;  ///< that a program has had
  std::uint32_t released = 0;
  std::uint32_t targets_done = 0;
  struct AtNode {
    std::uint64_t life = 0;  ///< of the engine
    std::uint32_t deliveries = 0;
    std::uint32_t of_copy = 0;       ///< deliveries of the copy that is there now, at least
    std::uint32_t of_copy_most = 0;  ///< the same, at most: with a run it lost its first token
    std::uint64_t last_token = 0;    ///< names the copy at its worker
    std::uint32_t last_worker = 0;
    std::uint32_t holder = 0;  ///< program that has it, 0 = none
    std::uint32_t released = 0;
    bool back = false;            ///< it was handed back, or its program died: comes again
    std::uint64_t back_turn = 0;  ///< turns that its worker had had by then
    bool given_up = false;
  };
  std::map<std::uint32_t, AtNode> at;  ///< by node

  [[nodiscard]] bool multiple() const {
    return target == ipc::TargetKind::kBroadcast || target == ipc::TargetKind::kReplicas;
  }
  /// Nothing but being done, or a program's or the delivery limit's no, may end it.
  [[nodiscard]] bool must_be_done() const {
    return target == ipc::TargetKind::kKey && level != Level::kNone && deadline_at == 0 &&
           !cancelled && !abandoned;
  }
};

/// Where and by whom something was received.
struct Place {
  std::uint32_t node = 0;
  std::uint64_t life = 0;
  std::uint32_t worker = 0;
  std::uint32_t program = 0;  ///< unique in the world, from 1
  /// Turns of the worker: so far, when something is handed back; before the delivery was made, when
  /// something is received (fewer, if the program stood still meanwhile).
  std::uint64_t turn = 0;
};

struct Totals {
  std::uint64_t sent = 0;
  std::uint64_t done = 0;
  std::uint64_t failed = 0;
  std::uint64_t unknown = 0;
  std::uint64_t delivered = 0;
  std::uint64_t redelivered = 0;
};

class Oracle {
 public:
  explicit Oracle(const WorldOptions& options) : options_(options) {}

  /// A new sending channel. Returns its number.
  std::uint32_t add_sender();
  Message& add(const Message& message);
  [[nodiscard]] Message& at(std::uint32_t sender, std::uint64_t number) {
    return senders_[sender][number];
  }
  [[nodiscard]] std::span<Message> of(std::uint32_t sender) { return senders_[sender]; }

  /// A program received a message of a service. nullptr when it is none that anybody sent.
  Message* on_delivery(TimeNs now, const Place& place, const ipc::Delivery& delivery,
                       const std::byte* key, const std::byte* payload);
  /// The program handed it back.
  void on_release(const Place& place, Message& message, ipc::Verdict verdict);
  /// A program died, with all that it held.
  void on_program_gone(const Place& place);
  void on_reply(Message& message, const std::byte* payload, std::uint64_t bytes);
  void on_outcome(TimeNs now, Message& message, const ipc::OutcomeRecord& record);
  void on_target(Message& message, const ipc::OutcomeRecord& record);
  /// Nobody waits for its outcome any more.
  void abandon(std::uint32_t sender);
  /// All is over: what only now can be told.
  void at_end(bool engines_died);

  /// One line for each message without an outcome.
  [[nodiscard]] std::vector<std::string> open_messages() const;
  [[nodiscard]] std::uint64_t open() const { return open_; }
  [[nodiscard]] const Totals& totals() const { return totals_; }
  [[nodiscard]] const std::vector<std::string>& violations() const { return violations_; }
  void violation(const std::string& text) { violations_.push_back(text); }

 private:
  using KeyAt = std::tuple<std::uint32_t, std::uint64_t, std::uint16_t,
                           std::uint32_t>;  // node, life, service, key
  struct Bound {
    std::uint32_t program = 0;
    std::uint32_t count = 0;
  };
  void check_order(TimeNs now, const Place& place, const Message& message);
  void end(Message& message, Ending ending);
  void unbind(const Place& place, const Message& message);
  [[nodiscard]] static bool bound_by_key(const Message& message) { return !message.unordered; }

  const WorldOptions& options_;
  std::vector<std::vector<Message>> senders_;
  std::map<KeyAt, Bound> bound_;
  std::map<std::uint32_t, std::set<std::pair<std::uint32_t, std::uint64_t>>> held_;  // by program
  std::uint64_t open_ = 0;
  Totals totals_;
  std::vector<std::string> violations_;
};

}  // namespace ringwire::sim
