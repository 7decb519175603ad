// bench echo and bench failover: calls, whose replies are compared with what was sent.
#include <algorithm>
#include <array>
#include <cstring>

#include "apps/cli/bench_run.h"
#include "apps/cli/delivery_options.h"
#include "apps/cli/ticket_table.h"

namespace ringwire::cli {
namespace {

constexpr int kBatch = 64;
constexpr std::int64_t kDrainNs = 10'000'000'000;
constexpr std::int64_t kIdleNs = 100'000'000;

bool same_bytes(std::span<const std::byte> left, std::span<const std::byte> right) {
  return left.size() == right.size() &&
         (left.empty() || std::memcmp(left.data(), right.data(), left.size()) == 0);
}

// The longest time without a successful reply, from the start of the run to its end.
class GapMeter {
 public:
  explicit GapMeter(std::int64_t start_ns) : last_ns_(start_ns) {}
  void on_reply(std::int64_t at_ns) {
    longest_ns_ = std::max(longest_ns_, at_ns - last_ns_);
    last_ns_ = at_ns;
  }
  [[nodiscard]] std::int64_t longest_ns() const { return longest_ns_; }

 private:
  std::int64_t last_ns_;
  std::int64_t longest_ns_ = 0;
};

// A call that ended without a reply and without a reason for that is lost; the others say why.
void count_failed_call(BenchResult& result, int error, const rw_outcome& outcome) {
  if (error == RW_EFAILED || error == RW_EUNKNOWN) {
    result.count_outcome(outcome_name(outcome));
  } else {
    result.count_outcome(rw_error_name(error));
    if (error == RW_ENOREPLY || error == RW_ETIMEOUT) ++result.lost;
  }
}

bool ends_run(int error) {
  return error == RW_EINVAL || error == RW_ENOENGINE || error == RW_ECLOSED ||
         error == RW_EVERSION || error == RW_EDENIED;
}

}  // namespace

void BenchThread::run_calls(BenchResult& result) {
  const rw_send_options options = send_options();
  const std::int64_t start_ns = now_ns();
  Pacer pacer(options_, thread_index_, start_ns);
  GapMeter gaps(start_ns);
  for (std::int64_t at_ns = start_ns; !pacer.finished(at_ns); at_ns = now_ns()) {
    const std::int64_t due_ns = pacer.due_ns(at_ns);
    if (due_ns > at_ns) wait_until(due_ns);
    const auto payload = next_payload(pacer.next());
    const rw_target target = target_of(pacer.next());
    rw_message* reply = nullptr;
    rw_outcome outcome{};
    const int error = rw_call(channel_.get(), &target, payload.data(), payload.size(), &options,
                              &reply, &outcome);
    if (ends_run(error)) fail(error, "the run ended early");
    const std::int64_t ended_ns = now_ns();
    pacer.advance();
    ++result.sent;
    if (error != RW_OK) {
      count_failed_call(result, error, outcome);
      continue;
    }
    const bool intact = same_bytes(payload, payload_of(reply));
    rw_release(channel_.get(), reply, RW_DONE);
    if (outcome.attempts > 1) ++result.redelivered;
    if (!intact) {
      ++result.corrupted;
      continue;
    }
    ++result.messages;
    result.count_outcome("done");
    result.latency.record(ended_ns - due_ns);
    gaps.on_reply(ended_ns);
  }
  result.elapsed_ns = now_ns() - start_ns;
  gaps.on_reply(now_ns());
  result.longest_gap_ns = gaps.longest_ns();
}

namespace {

// Calls started and not answered, up to a window of them.
class CallWindow {
 public:
  CallWindow(rw_channel* channel, std::size_t window) : channel_(channel), pending_(window) {}

  [[nodiscard]] std::size_t outstanding() const { return pending_.size(); }
  void started(rw_ticket ticket, std::int64_t due_ns) { pending_.insert(ticket, due_ns); }

  /// Take replies and failures; wait at most timeout_ns for the first. Returns RW_OK or an error.
  int collect(std::int64_t timeout_ns, std::uint64_t stream, BenchResult& result) {
    std::array<rw_message*, kBatch> replies{};
    const int got = rw_receive_many(channel_, timeout_ns, replies.data(), kBatch);
    const std::int64_t at_ns = now_ns();
    for (int i = 0; i < got; ++i)
      on_reply(replies[static_cast<std::size_t>(i)], stream, at_ns, result);
    std::array<rw_outcome, kBatch> outcomes;
    const int ended = rw_poll(channel_, outcomes.data(), kBatch);
    for (int i = 0; i < ended; ++i) on_outcome(outcomes[static_cast<std::size_t>(i)], result);
    return got < 0 && got != RW_ETIMEOUT && got != RW_EAGAIN ? got : RW_OK;
  }

 private:
  void on_reply(rw_message* reply, std::uint64_t stream, std::int64_t at_ns, BenchResult& result) {
    const auto due_ns = pending_.take(rw_message_ticket(reply));
    const CheckedStamp checked = check_stamp(payload_of(reply));
    const bool stamped = rw_message_bytes(reply) >= kStampBytes;
    rw_release(channel_, reply, RW_DONE);
    if (!due_ns) {
      ++result.duplicated;
    } else if (stamped &&
               (checked.verdict != StampVerdict::kIntact || checked.stamp.stream != stream)) {
      ++result.corrupted;
    } else {
      ++result.messages;
      result.count_outcome("done");
      result.latency.record(at_ns - *due_ns);
    }
  }

  // The outcome of a call that is done comes beside its reply and adds nothing to it.
  void on_outcome(const rw_outcome& outcome, BenchResult& result) {
    if (outcome.ending == RW_ENDING_DONE) return;
    if (pending_.take(outcome.ticket)) result.count_outcome(outcome_name(outcome));
  }

  rw_channel* channel_;
  TicketTable pending_;
};

}  // namespace

void BenchThread::run_call_window(BenchResult& result) {
  const rw_send_options options = send_options();
  const std::size_t window = options_.window;
  const std::int64_t start_ns = now_ns();
  Pacer pacer(options_, thread_index_, start_ns);
  CallWindow calls(channel_.get(), window);
  std::int64_t at_ns = start_ns;
  while (!pacer.finished(at_ns)) {
    const std::int64_t due_ns = pacer.due_ns(at_ns);
    if (due_ns <= at_ns && calls.outstanding() < window) {
      const auto payload = next_payload(pacer.next());
      const rw_target target = target_of(pacer.next());
      rw_ticket ticket = 0;
      const int error =
          rw_call_start(channel_.get(), &target, payload.data(), payload.size(), &options, &ticket);
      if (error != RW_OK) fail(error, "the run ended early");
      calls.started(ticket, due_ns);
      pacer.advance();
      ++result.sent;
      at_ns = now_ns();
      if (calls.outstanding() < window && pacer.due_ns(at_ns) <= at_ns) continue;
    }
    const bool full = calls.outstanding() >= window;
    const std::int64_t idle_ns = full ? kIdleNs : std::max<std::int64_t>(due_ns - at_ns, 0);
    const int error = calls.collect(std::min(idle_ns, kIdleNs), stream_, result);
    if (error != RW_OK) fail(error, "the run ended early");
    at_ns = now_ns();
  }
  const std::int64_t deadline_ns = now_ns() + kDrainNs;
  while (calls.outstanding() > 0 && now_ns() < deadline_ns) {
    if (calls.collect(kIdleNs, stream_, result) != RW_OK) break;
  }
  result.elapsed_ns = now_ns() - start_ns;
  result.lost += calls.outstanding();
}

}  // namespace ringwire::cli
