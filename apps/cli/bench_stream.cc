// bench stream: one way, with a window of messages that have no outcome yet. And the question to
// the receivers that closes every pattern: what did you see of my stream?
#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "apps/cli/bench_run.h"
#include "apps/cli/delivery_options.h"
#include "apps/cli/ticket_table.h"

namespace ringwire::cli {
namespace {

constexpr int kOutcomeBatch = 256;
// Collecting outcomes every so many sends keeps the cost of a collection off most of them.
constexpr std::uint64_t kSendsPerCollection = 16;
constexpr std::int64_t kWaitNs = 100'000'000;
constexpr std::int64_t kDrainNs = 30'000'000'000;
constexpr std::int64_t kQuestionTimeoutNs = 5'000'000'000;
/// In a row that find no program that was not asked before: then nobody is left who was not.
constexpr std::uint64_t kQuestionsInVain = 256;

// Sends without an outcome, oldest first.
class StreamWindow {
 public:
  StreamWindow(rw_channel* channel, std::size_t window)
      : channel_(channel), pending_(window), order_(window) {}

  [[nodiscard]] std::size_t outstanding() const { return pending_.size(); }

  void started(rw_ticket ticket, std::int64_t due_ns) {
    pending_.insert(ticket, due_ns);
    order_[newest_++ % order_.size()] = ticket;
  }

  /// Whether another send fits behind the oldest without an outcome.
  [[nodiscard]] bool has_room() {
    skip_ended();
    return newest_ - oldest_ < order_.size();
  }

  int collect(BenchResult& result) {
    std::array<rw_outcome, kOutcomeBatch> outcomes;
    for (;;) {
      const int count = rw_poll(channel_, outcomes.data(), kOutcomeBatch);
      if (count < 0) return count == RW_EAGAIN ? RW_OK : count;
      const std::int64_t at_ns = count > 0 ? now_ns() : 0;
      for (int i = 0; i < count; ++i) {
        on_outcome(outcomes[static_cast<std::size_t>(i)], at_ns, result);
      }
      if (count < kOutcomeBatch) return RW_OK;
    }
  }

  /// Sleep until the oldest has its outcome or timeout_ns is over.
  int await_oldest(std::int64_t timeout_ns, BenchResult& result) {
    skip_ended();
    if (oldest_ == newest_) return RW_OK;
    rw_outcome outcome{};
    const int error = rw_wait(channel_, order_[oldest_ % order_.size()], timeout_ns, &outcome);
    if (error == RW_ETIMEOUT || error == RW_EAGAIN) return RW_OK;
    if (error != RW_OK) return error;
    on_outcome(outcome, now_ns(), result);
    return RW_OK;
  }

 private:
  void skip_ended() {
    while (oldest_ != newest_ && !pending_.contains(order_[oldest_ % order_.size()])) ++oldest_;
  }

  void on_outcome(const rw_outcome& outcome, std::int64_t at_ns, BenchResult& result) {
    const auto due_ns = pending_.take(outcome.ticket);
    if (!due_ns) return;
    result.count_outcome(outcome_name(outcome));
    if (outcome.attempts > 1) ++result.redelivered;
    if (outcome.ending != RW_ENDING_DONE) return;
    ++result.messages;
    result.latency.record(at_ns - *due_ns);
  }

  rw_channel* channel_;
  TicketTable pending_;
  std::vector<rw_ticket> order_;
  std::uint64_t oldest_ = 0;
  std::uint64_t newest_ = 0;
};

struct Answer {
  std::string receiver;
  std::uint64_t received = 0;
  std::uint64_t duplicated = 0;
  std::uint64_t damaged = 0;
  std::uint64_t redelivered = 0;
};

bool read_answer(std::span<const std::byte> payload, Answer& answer) {
  const auto json = nlohmann::json::parse(
      reinterpret_cast<const char*>(payload.data()),
      reinterpret_cast<const char*>(payload.data()) + payload.size(), nullptr, false);
  if (!json.is_object() || !json.contains("receiver")) return false;
  answer.receiver = json.value("receiver", "");
  answer.received = json.value("received", std::uint64_t{0});
  answer.duplicated = json.value("duplicated", std::uint64_t{0});
  answer.damaged = json.value("damaged", std::uint64_t{0});
  answer.redelivered = json.value("redelivered", std::uint64_t{0});
  return true;
}

}  // namespace

void BenchThread::run_stream(BenchResult& result) {
  const rw_send_options options = send_options();
  const std::int64_t start_ns = now_ns();
  Pacer pacer(options_, thread_index_, start_ns);
  StreamWindow window(channel_.get(), options_.window);
  for (std::int64_t at_ns = start_ns; !pacer.finished(at_ns); at_ns = now_ns()) {
    const std::int64_t due_ns = pacer.due_ns(at_ns);
    if (due_ns > at_ns) {
      if (const int error = window.collect(result); error != RW_OK) fail(error, "no outcomes");
      wait_until(due_ns);
    }
    while (!window.has_room()) {
      int error = window.collect(result);
      if (error == RW_OK && !window.has_room()) error = window.await_oldest(kWaitNs, result);
      if (error != RW_OK) fail(error, "no outcomes");
    }
    const auto payload = next_payload(pacer.next());
    const rw_target target = target_of(pacer.next());
    rw_ticket ticket = 0;
    const int error =
        rw_send(channel_.get(), &target, payload.data(), payload.size(), &options, &ticket);
    if (error != RW_OK) fail(error, "the run ended early");
    window.started(ticket, due_ns);
    pacer.advance();
    ++result.sent;
    if (pacer.next() % kSendsPerCollection != 0) continue;
    if (const int polled = window.collect(result); polled != RW_OK) fail(polled, "no outcomes");
  }
  const std::int64_t deadline_ns = now_ns() + kDrainNs;
  while (window.outstanding() > 0 && now_ns() < deadline_ns) {
    if (window.await_oldest(kWaitNs, result) != RW_OK) break;
    if (window.collect(result) != RW_OK) break;
  }
  result.elapsed_ns = now_ns() - start_ns;
  result.lost += window.outstanding();
}

void BenchThread::ask_receivers(BenchResult& result) {
  // Without stamps the receivers counted nothing; below `processed` messages may still be under
  // way.
  if (options_.payload_bytes < kStampBytes || options_.level != RW_LEVEL_PROCESSED) return;
  rw_send_options options = send_options();
  options.timeout_ns = kQuestionTimeoutNs;
  std::array<std::byte, kQuestionBytes> question;
  write_question(question, stream_);
  std::set<std::string> answered;
  std::uint64_t distinct = 0;
  std::uint64_t redelivered = 0;
  bool complete = true;
  // Several programs of a node share its messages: each is asked in its turn, until nobody is found
  // who was not asked before.
  std::uint64_t in_vain = 0;
  for (std::uint64_t i = 0;
       i < keys_.size() || (distinct < result.messages && in_vain < kQuestionsInVain); ++i) {
    const rw_target target = target_of(i);
    ++in_vain;
    rw_message* reply = nullptr;
    if (rw_call(channel_.get(), &target, question.data(), question.size(), &options, &reply,
                nullptr) != RW_OK) {
      // No second try with the next key: each may cost the whole timeout.
      complete = false;
      break;
    }
    Answer answer;
    complete = read_answer(payload_of(reply), answer) && complete;
    rw_release(channel_.get(), reply, RW_DONE);
    if (answer.receiver.empty() || !answered.insert(answer.receiver).second) continue;
    in_vain = 0;
    ++result.receivers;
    distinct += answer.received - std::min(answer.received, answer.duplicated);
    result.duplicated += answer.duplicated;
    result.corrupted += answer.damaged;
    redelivered += answer.redelivered;
  }
  // Both sides see some that the other does not: a retry that no receiver had before is no
  // redelivery there, and what an engine's restart replays is one attempt for its sender.
  result.redelivered = std::max(result.redelivered, redelivered);
  // A receiver that died took its counts with it, so after a failover this cannot be said.
  if (complete && options_.pattern != Pattern::kFailover && result.messages > distinct) {
    result.lost += result.messages - distinct;
  }
}

}  // namespace ringwire::cli
