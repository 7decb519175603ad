#include "apps/cli/bench_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <random>
#include <thread>

namespace ringwire::cli {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;
// A sleeping thread wakes some 50 us late; the rest is yielded away.
constexpr std::int64_t kWakeLatencyNs = 80'000;
// Above this the payload lives in a loan of its own (bench large).
constexpr std::uint64_t kTemplateBytes = std::uint64_t{1} << 30;

std::uint64_t share_of(std::uint64_t whole, std::uint64_t parts, std::uint64_t index) {
  return whole / parts + (index < whole % parts ? 1 : 0);
}

std::uint64_t random_stream() {
  std::random_device random;
  return (std::uint64_t{random()} << 32) | random();
}

}  // namespace

void BenchResult::merge(const BenchResult& other) {
  latency.merge(other.latency);
  sent += other.sent;
  messages += other.messages;
  lost += other.lost;
  duplicated += other.duplicated;
  corrupted += other.corrupted;
  redelivered += other.redelivered;
  receivers += other.receivers;
  elapsed_ns = std::max(elapsed_ns, other.elapsed_ns);
  transfer_ns = std::max(transfer_ns, other.transfer_ns);
  longest_gap_ns = std::max(longest_gap_ns, other.longest_gap_ns);
  for (const auto& [name, count] : other.outcomes) outcomes[name] += count;
}

Pacer::Pacer(const BenchOptions& options, std::uint64_t thread_index, std::int64_t start_ns)
    : start_ns_(start_ns),
      end_ns_(start_ns + options.duration_ns),
      limit_(share_of(options.count, options.threads, thread_index)),
      rate_per_s_(options.rate_per_s == 0
                      ? 0
                      : std::max<std::uint64_t>(
                            share_of(options.rate_per_s, options.threads, thread_index), 1)) {}

std::int64_t Pacer::due_ns(std::int64_t at_ns) const {
  if (rate_per_s_ == 0) return at_ns;
  // Whole seconds and the rest apart: next_ x 10^9 would overflow after three minutes at 100 M/s.
  const std::uint64_t seconds = next_ / rate_per_s_;
  const std::uint64_t rest = next_ % rate_per_s_ * kSecond / rate_per_s_;
  return start_ns_ + static_cast<std::int64_t>(seconds * kSecond + rest);
}

void wait_until(std::int64_t at_ns) {
  const std::int64_t left_ns = at_ns - now_ns();
  if (left_ns > kWakeLatencyNs) {
    std::this_thread::sleep_for(std::chrono::nanoseconds(left_ns - kWakeLatencyNs));
  }
  while (now_ns() < at_ns) std::this_thread::yield();
}

BenchThread::BenchThread(const Shell& shell, const BenchOptions& options, rw_client* client,
                         std::uint64_t thread_index)
    : shell_(shell),
      options_(options),
      thread_index_(thread_index),
      stream_(random_stream()),
      channel_(open_channel(client, options.pattern == Pattern::kStream)) {
  for (std::uint64_t i = 0; i < options.keys; ++i) {
    const bool single = options.keys == 1 && options.threads == 1;
    keys_.push_back(single ? options.key : fmt::format("{}-{}-{}", options.key, thread_index, i));
  }
  if (options.pattern == Pattern::kLarge) return;
  if (options.payload_bytes > kTemplateBytes) {
    throw CommandError(ExitCode::kUsage, "messages above 1 GiB are for bench large", {},
                       "ringwire bench large --size 4GiB");
  }
  payload_.resize(options.payload_bytes);
  fill_payload(payload_, {.stream = stream_, .sequence = 0});
}

BenchResult BenchThread::run() {
  BenchResult result;
  const std::int64_t start_ns = now_ns();
  switch (options_.pattern) {
    case Pattern::kEcho:
      if (options_.window > 1) {
        run_call_window(result);
      } else {
        run_calls(result);
      }
      break;
    case Pattern::kFailover:
      run_calls(result);
      break;
    case Pattern::kStream:
      run_stream(result);
      break;
    case Pattern::kLarge:
      run_large(result);
      break;
  }
  if (result.elapsed_ns == 0) result.elapsed_ns = now_ns() - start_ns;
  ask_receivers(result);
  return result;
}

rw_target BenchThread::target_of(std::uint64_t sequence) const {
  const std::string& key = keys_.size() == 1 ? keys_.front() : keys_[sequence % keys_.size()];
  rw_target target = rw_target_key(key.data(), key.size());
  target.service = options_.service.c_str();
  return target;
}

rw_send_options BenchThread::send_options() const {
  auto options = options_of<rw_send_options>();
  options.level = options_.level;
  options.order = options_.order;
  options.share = options_.share ? 1 : 0;
  options.timeout_ns = options_.timeout_ns;
  return options;
}

std::span<const std::byte> BenchThread::next_payload(std::uint64_t sequence) {
  if (!write_stamp(payload_, {.stream = stream_, .sequence = sequence})) {
    // Too small for a stamp: the number alone still tells neighbours apart.
    std::memcpy(payload_.data(), &sequence, std::min(payload_.size(), sizeof sequence));
  }
  return payload_;
}

void BenchThread::fail(int error, std::string_view doing) const {
  throw library_error(shell_, error, doing);
}

}  // namespace ringwire::cli
