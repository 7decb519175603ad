// `ringwire bench echo|stream|large|failover`: load, measured and verified.
#include <fmt/format.h>

#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <exception>
#include <latch>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "apps/cli/bench_run.h"
#include "apps/cli/delivery_options.h"
#include "apps/cli/duplicate_window.h"
#include "apps/cli/units.h"

namespace ringwire::cli {
namespace {

constexpr std::uint64_t kMaxThreads = 256;
// What a receiver can still tell apart (duplicate_window.h).
constexpr std::uint64_t kMaxWindow = DuplicateWindow::kWindow / 2;
constexpr std::uint64_t kStreamWindow = 256;
constexpr std::uint64_t kMaxKeys = 65'536;
// 200 calls a second see a gap to within 5 ms.
constexpr std::uint64_t kFailoverRate = 200;
constexpr std::uint64_t kLargeBytes = std::uint64_t{1} << 30;
// After the last message has ended in its time: asking the receivers, and closing.
constexpr std::int64_t kReportNs = 10'000'000'000;

struct Collected {
  std::mutex mutex;
  std::condition_variable changed;
  std::uint64_t threads_ended = 0;
  BenchResult result;
  std::exception_ptr error;
};

void bench_thread(const Shell& shell, const BenchOptions& options, rw_client* client,
                  std::uint64_t thread_index, std::latch& ready, Collected& collected) {
  try {
    std::unique_ptr<BenchThread> thread;
    try {
      thread = std::make_unique<BenchThread>(shell, options, client, thread_index);
    } catch (...) {
      ready.count_down();
      throw;
    }
    // All start together: a thread that is still filling its payload would measure alone later.
    ready.arrive_and_wait();
    const BenchResult result = thread->run();
    const std::lock_guard lock(collected.mutex);
    collected.result.merge(result);
  } catch (...) {
    const std::lock_guard lock(collected.mutex);
    if (!collected.error) collected.error = std::current_exception();
  }
  const std::lock_guard lock(collected.mutex);
  ++collected.threads_ended;
  collected.changed.notify_one();
}

// Threads may stand in a call that only an engine can end, and it may be the engine that stands:
// nothing can be asked of them, so the process ends, as it would by a signal.
[[noreturn]] void give_up(const BenchOptions& options) {
  const CommandError error(
      ExitCode::kTimedOut,
      fmt::format("the run did not end within {}", format_duration(options.deadline_ns)),
      "an engine and receivers that run (`ringwire status`), or a longer --deadline");
  std::_Exit(static_cast<int>(tell(error)));
}

void await_threads(const BenchOptions& options, Collected& collected) {
  std::unique_lock lock(collected.mutex);
  const auto all_ended = [&] { return collected.threads_ended == options.threads; };
  if (options.deadline_ns == 0) return collected.changed.wait(lock, all_ended);
  if (!collected.changed.wait_for(lock, std::chrono::nanoseconds(options.deadline_ns), all_ended))
    give_up(options);
}

ExitCode run_bench(const Shell& shell, const BenchOptions& options) {
  const Client client = attach(shell, options.timeout_ns);
  Collected collected;
  std::latch ready(static_cast<std::ptrdiff_t>(options.threads));
  {
    std::vector<std::jthread> threads;
    for (std::uint64_t i = 0; i < options.threads; ++i) {
      threads.emplace_back(
          [&, i] { bench_thread(shell, options, client.get(), i, ready, collected); });
    }
    await_threads(options, collected);
  }
  if (collected.error) std::rethrow_exception(collected.error);
  const BenchResult& result = collected.result;
  print_bench(shell, options, result, bench_environment(shell, options, client.get(), result));
  const bool intact = result.lost == 0 && result.corrupted == 0;
  return intact && result.messages > 0 ? ExitCode::kDone : ExitCode::kFailed;
}

void check_range(const char* name, std::uint64_t value, std::uint64_t most) {
  if (value == 0 || value > most) {
    throw CLI::ValidationError(name, fmt::format("is from 1 to {}", most));
  }
}

// What stands for "not given" inside is none of a user's.
void refuse_zero(const CLI::Option* option) {
  if (option->count() > 0 && option->as<std::uint64_t>() == 0) {
    throw CLI::ValidationError(option->get_name(), "is from 1 on");
  }
}

// A run by duration is over when its last message has ended, and the receivers were asked. How long
// so many messages take, or a large one, is not known.
std::int64_t usual_deadline_ns(const BenchOptions& options) {
  if (options.count > 0 || options.pattern == Pattern::kLarge || options.timeout_ns == 0) return 0;
  return options.duration_ns + 2 * options.timeout_ns + kReportNs;
}

bool is_call(Pattern pattern) { return pattern == Pattern::kEcho || pattern == Pattern::kFailover; }

void check_options(const BenchOptions& options) {
  check_range("--threads", options.threads, kMaxThreads);
  check_range("--keys", options.keys, kMaxKeys);
  check_range("--window", options.window, kMaxWindow);
  if (options.count > 0 && options.count < options.threads) {
    throw CLI::ValidationError("--count", "is at least the number of threads");
  }
  if (options.count == 0 && options.duration_ns <= 0) {
    throw CLI::ValidationError("--duration", "is above 0");
  }
  if (is_call(options.pattern) && options.level != RW_LEVEL_PROCESSED) {
    throw CLI::ValidationError("--ack", "is for one way: a call is done when its reply is here");
  }
  if (options.key.size() + 24 > RW_MAX_KEY_BYTES) {
    throw CLI::ValidationError("--key", "leaves no room for thread and key numbers");
  }
}

void add_pattern(CLI::App& bench, Shell& shell, const std::string& name, const std::string& help,
                 const BenchOptions& defaults) {
  CLI::App* command = bench.add_subcommand(name, help);
  auto options = std::make_shared<BenchOptions>(defaults);
  options->pattern_name = name;
  add_engine_options(*command, shell);
  add_size_option(*command, "--size", options->payload_bytes, "Payload of a message");
  add_duration_option(*command, "--duration", options->duration_ns, "How long to send [3s]");
  const CLI::Option* count = add_number_option(*command, "--count", options->count,
                                               "So many messages in place of a duration");
  add_number_option(*command, "--threads", options->threads, "Sending threads, a channel each [1]");
  add_number_option(*command, "--rate", options->rate_per_s,
                    "Messages a second of all threads (open loop); 0: as fast as they end");
  add_number_option(*command, "--window", options->window,
                    fmt::format("Outstanding messages per thread [{}]", options->window));
  add_number_option(*command, "--keys", options->keys, "Different keys per thread [1]");
  command->add_option("--key", options->key, "The key, or its beginning [bench]")->type_name("K");
  add_ack_option(*command, options->level);
  add_order_option(*command, options->order);
  add_share_option(*command, options->share);
  add_service_option(*command, options->service);
  add_duration_option(*command, "--timeout", options->timeout_ns, "Of each message [30s]");
  CLI::Option* deadline =
      add_duration_option(*command, "--deadline", options->deadline_ns,
                          "Of the whole run: exit 4 [its duration, twice the timeout and 10s; "
                          "none with --count, or for large]");
  command->callback([&shell, options, count, deadline] {
    refuse_zero(count);
    check_options(*options);
    if (deadline->count() == 0) options->deadline_ns = usual_deadline_ns(*options);
    shell.command = [&shell, options] { return run_bench(shell, *options); };
  });
}

}  // namespace

void add_bench(CLI::App& app, Shell& shell) {
  CLI::App* bench = app.add_subcommand("bench", "Measure and verify under load");
  bench->require_subcommand(1);
  BenchOptions echo;
  add_pattern(*bench, shell, "echo", "Calls to serve --echo", echo);
  BenchOptions stream;
  stream.pattern = Pattern::kStream;
  stream.window = kStreamWindow;
  add_pattern(*bench, shell, "stream", "One way to serve --sink", stream);
  BenchOptions large;
  large.pattern = Pattern::kLarge;
  large.payload_bytes = kLargeBytes;
  add_pattern(*bench, shell, "large", "Large messages to serve --sink, one at a time", large);
  BenchOptions failover;
  failover.pattern = Pattern::kFailover;
  failover.rate_per_s = kFailoverRate;
  add_pattern(*bench, shell, "failover", "Steady calls to serve --echo while nodes fail", failover);
}

}  // namespace ringwire::cli
