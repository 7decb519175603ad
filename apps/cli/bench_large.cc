// bench large: one message at a time, written into a loan, verified by the receiver as a whole.
#include "apps/cli/bench_run.h"
#include "apps/cli/delivery_options.h"

namespace ringwire::cli {

void BenchThread::run_large(BenchResult& result) {
  rw_send_options options = send_options();
  // A message of gigabytes may take longer than the timeout that suits small ones.
  options.timeout_ns = 0;
  const std::int64_t start_ns = now_ns();
  Pacer pacer(options_, thread_index_, start_ns);
  // At least one, however short the duration.
  for (std::int64_t at_ns = start_ns; !pacer.finished(at_ns) || result.sent == 0;
       at_ns = now_ns()) {
    rw_loan_t loan{};
    int error = rw_loan(channel_.get(), options_.payload_bytes, &loan);
    if (error != RW_OK) fail(error, "cannot get memory for the message");
    const std::span payload(static_cast<std::byte*>(loan.data), loan.bytes);
    const Stamp stamp{.stream = stream_, .sequence = pacer.next()};
    fill_payload(payload, stamp);
    write_stamp(payload, stamp);
    const rw_target target = target_of(pacer.next());
    const std::int64_t due_ns = now_ns();
    rw_ticket ticket = 0;
    error = rw_send_loan(channel_.get(), &target, &loan, &options, &ticket);
    if (error != RW_OK) fail(error, "cannot send");
    rw_outcome outcome{};
    error = rw_wait(channel_.get(), ticket, kWaitForever, &outcome);
    if (error != RW_OK) fail(error, "no outcome");
    const std::int64_t elapsed_ns = now_ns() - due_ns;
    pacer.advance();
    ++result.sent;
    result.count_outcome(outcome_name(outcome));
    if (outcome.attempts > 1) ++result.redelivered;
    if (outcome.ending != RW_ENDING_DONE) continue;
    ++result.messages;
    result.transfer_ns += elapsed_ns;
    result.latency.record(elapsed_ns);
  }
  result.elapsed_ns = now_ns() - start_ns;
}

}  // namespace ringwire::cli
