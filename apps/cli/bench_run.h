// One run of `ringwire bench`: what was asked, what each thread measured, and the pacing that all
// patterns share. Closed loop: the next message starts when there is room for it. Open loop
// (--rate): each message has a due time fixed in advance, and its latency counts from that time, so
// that a stall is charged to all the messages that it delayed (no coordinated omission).
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "apps/cli/histogram.h"
#include "apps/cli/link.h"
#include "apps/cli/shell.h"
#include "apps/cli/stamp.h"

namespace ringwire::cli {

enum class Pattern { kEcho, kStream, kLarge, kFailover };

struct BenchOptions {
  Pattern pattern = Pattern::kEcho;
  std::string pattern_name;
  std::uint64_t payload_bytes = 64;
  std::int64_t duration_ns = 3'000'000'000;
  std::uint64_t count = 0;  ///< messages of all threads; 0: as many as the duration allows
  std::uint64_t threads = 1;
  std::uint64_t rate_per_s = 0;  ///< of all threads; 0: closed loop
  std::uint64_t window = 1;      ///< outstanding per thread
  std::uint64_t keys = 1;        ///< per thread
  std::string key = "bench";
  std::string service;
  std::uint32_t level = RW_LEVEL_PROCESSED;
  std::uint32_t order = RW_ORDER_KEY;
  bool share = false;
  std::int64_t timeout_ns = 30'000'000'000;  ///< of each message, until its outcome
  std::int64_t deadline_ns = 0;              ///< of the whole run; 0: none
};

/// What one thread measured; those of all threads add up.
struct BenchResult {
  Histogram latency;
  std::uint64_t sent = 0;
  std::uint64_t messages = 0;  ///< ended well
  std::uint64_t lost = 0;
  std::uint64_t duplicated = 0;
  std::uint64_t corrupted = 0;
  std::uint64_t redelivered = 0;
  std::uint64_t receivers = 0;  ///< that told what they saw
  std::int64_t elapsed_ns = 0;
  std::int64_t transfer_ns = 0;  ///< large: between submission and outcome, without preparing
  std::int64_t longest_gap_ns = 0;
  std::map<std::string, std::uint64_t> outcomes;

  void merge(const BenchResult& other);
  void count_outcome(const std::string& name) { ++outcomes[name]; }
};

/// When the next message of a thread is due, and whether there is one.
class Pacer {
 public:
  Pacer(const BenchOptions& options, std::uint64_t thread_index, std::int64_t start_ns);

  [[nodiscard]] bool finished(std::int64_t at_ns) const {
    return limit_ > 0 ? next_ >= limit_ : at_ns >= end_ns_;
  }
  /// When message next() is due; `at_ns` itself in a closed loop.
  [[nodiscard]] std::int64_t due_ns(std::int64_t at_ns) const;
  [[nodiscard]] std::uint64_t next() const { return next_; }
  void advance() { ++next_; }

 private:
  std::int64_t start_ns_;
  std::int64_t end_ns_;
  std::uint64_t limit_;
  std::uint64_t rate_per_s_;
  std::uint64_t next_ = 0;
};

/// Sleep until shortly before a time, then yield until it is there.
void wait_until(std::int64_t at_ns);

/// What a thread needs to send: its channel, its keys, its stream and its payload.
class BenchThread {
 public:
  BenchThread(const Shell& shell, const BenchOptions& options, rw_client* client,
              std::uint64_t thread_index);

  /// Run the pattern. Throws CommandError.
  [[nodiscard]] BenchResult run();

 private:
  void run_calls(BenchResult& result);        // bench_call.cc: echo with a window of 1, failover
  void run_call_window(BenchResult& result);  // bench_call.cc: echo with more
  void run_stream(BenchResult& result);       // bench_stream.cc
  void run_large(BenchResult& result);        // bench_large.cc
  void ask_receivers(BenchResult& result);    // bench_stream.cc

  [[nodiscard]] rw_target target_of(std::uint64_t sequence) const;
  [[nodiscard]] rw_send_options send_options() const;
  [[nodiscard]] std::span<const std::byte> next_payload(std::uint64_t sequence);
  [[noreturn]] void fail(int error, std::string_view doing) const;

  const Shell& shell_;
  const BenchOptions& options_;
  std::uint64_t thread_index_;
  std::uint64_t stream_;
  std::vector<std::string> keys_;
  std::vector<std::byte> payload_;
  Channel channel_;
};

/// Machine, versions and settings, without which a figure means nothing. `environment` is JSON
/// text.
[[nodiscard]] std::string bench_environment(const Shell& shell, const BenchOptions& options,
                                            rw_client* client, const BenchResult& result);

/// The result for a person, or as JSON with --json.
void print_bench(const Shell& shell, const BenchOptions& options, const BenchResult& result,
                 const std::string& environment);

}  // namespace ringwire::cli
