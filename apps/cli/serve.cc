// `ringwire serve`: a server program from the shell. Threads receive, handle and release; the main
// thread waits for a signal or for their end.
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <ctime>
#include <exception>
#include <memory>
#include <mutex>
#include <span>
#include <stop_token>
#include <thread>
#include <vector>

#include "apps/cli/admin.h"
#include "apps/cli/delivery_options.h"
#include "apps/cli/handler.h"
#include "apps/cli/link.h"
#include "apps/cli/units.h"
#include "base/time.h"

namespace ringwire::cli {
namespace {

// Taken at once at most; what is taken and not yet handled goes back when the program stops.
constexpr int kBatch = 64;
constexpr int kOutcomeBatch = 64;
// How late an idle thread may notice that it is to stop.
constexpr std::int64_t kStopNoticeNs = 200 * kMillisecondNs;
// How long the last replies may take to be acknowledged before the program ends all the same.
constexpr std::int64_t kReplyGraceNs = 2 * kSecondNs;
constexpr std::uint64_t kMaxThreads = 256;

struct ServeOptions {
  bool echo = false;
  bool sink = false;
  bool stats = false;
  bool no_sync = false;
  bool share = false;
  std::string save;
  std::string exec;
  std::string service;
  std::uint32_t order = RW_ORDER_KEY;
  std::uint64_t count = 0;
  std::uint64_t threads = 1;
};

struct Tally {
  std::uint64_t handled = 0;
  std::uint64_t payload_bytes = 0;
  std::uint64_t redelivered = 0;
  std::uint64_t retried = 0;
  std::uint64_t refused = 0;
  std::uint64_t stale = 0;  // released too late: the engine had given them to another
};

// What the threads share. Any thread; a mutex held for a few additions per batch.
class ServeState {
 public:
  explicit ServeState(std::uint64_t limit) : limit_(limit) {}

  // One message may be handled; false when --count is reached.
  bool claim() {
    const std::lock_guard lock(mutex_);
    if (limit_ > 0 && claimed_ >= limit_) return false;
    ++claimed_;
    return true;
  }
  void give_back_claim() {
    const std::lock_guard lock(mutex_);
    --claimed_;
  }
  [[nodiscard]] bool finished() const {
    const std::lock_guard lock(mutex_);
    return limit_ > 0 && tally_.handled + tally_.refused >= limit_;
  }
  void add(const Tally& more) {
    const std::lock_guard lock(mutex_);
    tally_.handled += more.handled;
    tally_.payload_bytes += more.payload_bytes;
    tally_.redelivered += more.redelivered;
    tally_.retried += more.retried;
    tally_.refused += more.refused;
    tally_.stale += more.stale;
  }
  [[nodiscard]] Tally tally() const {
    const std::lock_guard lock(mutex_);
    return tally_;
  }
  void fail(std::exception_ptr error) {
    const std::lock_guard lock(mutex_);
    if (!error_) error_ = std::move(error);
  }
  void rethrow_failure() const {
    const std::lock_guard lock(mutex_);
    if (error_) std::rethrow_exception(error_);
  }

 private:
  mutable std::mutex mutex_;
  std::uint64_t limit_;
  std::uint64_t claimed_ = 0;
  Tally tally_;
  std::exception_ptr error_;
};

// Signals that end the program. Blocked in all threads, taken by the main thread only: a message in
// work is finished, never interrupted. SIGUSR1 is how a thread tells that it has ended by itself.
sigset_t ending_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGUSR1);
  return set;
}

class ServeLoop {
 public:
  ServeLoop(const Shell& shell, rw_channel* channel, Handler& handler, ServeState& state,
            std::stop_token stop)
      : shell_(shell),
        channel_(channel),
        handler_(handler),
        state_(state),
        stop_(std::move(stop)) {}

  void run() {
    std::array<rw_message*, kBatch> messages{};
    while (!stop_.stop_requested() && !state_.finished()) {
      const int got = rw_receive_many(channel_, kStopNoticeNs, messages.data(), kBatch);
      collect_reply_outcomes();
      if (got == RW_ETIMEOUT || got == RW_EAGAIN) continue;
      if (got < 0) throw library_error(shell_, got, "cannot receive");
      take_batch({messages.data(), static_cast<std::size_t>(got)});
    }
    await_replies();
  }

 private:
  void take_batch(std::span<rw_message*> messages) {
    Tally tally;
    for (std::size_t i = 0; i < messages.size(); ++i) {
      try {
        take_one(messages[i], tally);
      } catch (...) {
        for (; i < messages.size(); ++i) rw_release(channel_, messages[i], RW_RETRY);
        state_.add(tally);
        throw;
      }
    }
    state_.add(tally);
  }

  void take_one(rw_message* message, Tally& tally) {
    if (stop_.stop_requested() || !state_.claim()) {
      rw_release(channel_, message, RW_RETRY);
      return;
    }
    const std::uint64_t payload_bytes = rw_message_bytes(message);
    const bool again = (rw_message_flags(message) & RW_FLAG_REDELIVERED) != 0;
    const rw_verdict verdict = handler_.handle(channel_, message);
    const int released = rw_release(channel_, message, verdict);
    if (released == RW_ESTALE) ++tally.stale;
    if (again) ++tally.redelivered;
    if (verdict == RW_RETRY) {
      ++tally.retried;
      state_.give_back_claim();
    } else if (verdict == RW_REFUSE) {
      ++tally.refused;
    } else {
      ++tally.handled;
      tally.payload_bytes += payload_bytes;
    }
  }

  // A reply that failed needs nothing from here: its caller's engine sends the call again.
  int collect_reply_outcomes() {
    std::array<rw_outcome, kOutcomeBatch> outcomes;
    int last = 0;
    do {
      last = rw_poll(channel_, outcomes.data(), kOutcomeBatch);
    } while (last == kOutcomeBatch);
    return last;
  }

  void await_replies() {
    const std::int64_t deadline_ns = now_ns() + kReplyGraceNs;
    while (rw_outstanding(channel_) > 0 && now_ns() < deadline_ns) {
      if (collect_reply_outcomes() < 0) return;
      rw_message* late = nullptr;
      // Waits for anything to happen on the channel; a message that comes now goes back.
      if (rw_receive(channel_, kStopNoticeNs / 10, &late) == RW_OK) {
        rw_release(channel_, late, RW_RETRY);
      }
    }
  }

  const Shell& shell_;
  rw_channel* channel_;
  Handler& handler_;
  ServeState& state_;
  std::stop_token stop_;
};

std::unique_ptr<Handler> make_handler(const ServeOptions& options, StreamLedger& ledger,
                                      std::uint32_t thread_index, const std::stop_token& stop) {
  if (options.echo) return make_stream_handler(StreamAnswer::kEcho, ledger);
  if (options.sink) return make_stream_handler(StreamAnswer::kNothing, ledger);
  if (!options.exec.empty()) return make_exec_handler(options.exec);
  return make_save_handler({.directory = options.save, .sync = !options.no_sync}, thread_index,
                           stop);
}

void serve_thread(const Shell& shell, const ServeOptions& options, rw_client* client,
                  StreamLedger& ledger, ServeState& state, std::uint32_t thread_index,
                  const std::stop_token& stop) {
  try {
    const std::unique_ptr<Handler> handler = make_handler(options, ledger, thread_index, stop);
    // Files and commands take long: what is done is told at once.
    const Channel channel = open_channel(client, options.echo || options.sink);
    auto serve = options_of<rw_serve_options>();
    serve.service = options.service.c_str();
    serve.order = options.order;
    serve.share = options.share ? 1 : 0;
    const int result = rw_serve(channel.get(), &serve);
    if (result < 0) throw library_error(shell, result, "cannot serve here");
    ServeLoop(shell, channel.get(), *handler, state, stop).run();
  } catch (...) {
    state.fail(std::current_exception());
  }
  ::kill(::getpid(), SIGUSR1);
}

void print_rate(const Tally& before, const Tally& now, std::int64_t elapsed_ns) {
  const double seconds = static_cast<double>(elapsed_ns) / 1e9;
  const auto per_second = [seconds](std::uint64_t more) {
    return static_cast<std::uint64_t>(static_cast<double>(more) / seconds);
  };
  fmt::print(stderr, "{}/s  {}/s  {} in all\n",
             format_count(per_second(now.handled - before.handled)),
             format_bytes(per_second(now.payload_bytes - before.payload_bytes)),
             format_count(now.handled));
}

// Returns when a signal came or a thread has ended.
void wait_for_end(const ServeOptions& options, const ServeState& state) {
  const sigset_t signals = ending_signals();
  if (!options.stats) {
    int signal = 0;
    sigwait(&signals, &signal);
    return;
  }
  Tally before;
  std::int64_t before_ns = now_ns();
  constexpr timespec kOneSecond{1, 0};
  while (sigtimedwait(&signals, nullptr, &kOneSecond) < 0) {
    const Tally tally = state.tally();
    const std::int64_t at_ns = now_ns();
    print_rate(before, tally, at_ns - before_ns);
    before = tally;
    before_ns = at_ns;
  }
}

void print_summary(const Shell& shell, const ServeOptions& options, const Tally& tally) {
  if (shell.json) {
    const Json summary{{"handled", tally.handled},         {"bytes", tally.payload_bytes},
                       {"redelivered", tally.redelivered}, {"retried", tally.retried},
                       {"refused", tally.refused},         {"stale", tally.stale}};
    fmt::print("{}\n", summary.dump());
  } else if (options.stats) {
    fmt::print(stderr, "{} messages, {}; {} redelivered, {} handed back, {} refused, {} stale\n",
               format_count(tally.handled), format_bytes(tally.payload_bytes),
               format_count(tally.redelivered), format_count(tally.retried),
               format_count(tally.refused), format_count(tally.stale));
  }
}

ExitCode run_serve(const Shell& shell, const ServeOptions& options) {
  const sigset_t signals = ending_signals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  // A restarted engine finds its server programs waiting, however long it was away.
  const Client client = attach(shell, kWaitForever);
  StreamLedger ledger;
  ServeState state(options.count);
  std::stop_source stop;
  std::vector<std::jthread> threads;
  for (std::uint32_t i = 0; i < options.threads; ++i) {
    threads.emplace_back(
        [&, i] { serve_thread(shell, options, client.get(), ledger, state, i, stop.get_token()); });
  }
  wait_for_end(options, state);
  stop.request_stop();
  for (std::jthread& thread : threads) thread.join();
  print_summary(shell, options, state.tally());
  state.rethrow_failure();
  return ExitCode::kDone;
}

void check_options(const ServeOptions& options) {
  const int ways = (options.echo ? 1 : 0) + (options.sink ? 1 : 0) +
                   (options.save.empty() ? 0 : 1) + (options.exec.empty() ? 0 : 1);
  if (ways != 1) {
    throw CLI::ValidationError("serve", "needs one of --echo, --sink, --save DIR, --exec CMD");
  }
  if (options.threads == 0 || options.threads > kMaxThreads) {
    throw CLI::ValidationError("--threads", fmt::format("is from 1 to {}", kMaxThreads));
  }
}

}  // namespace

void add_serve(CLI::App& app, Shell& shell) {
  CLI::App* command = app.add_subcommand("serve", "Serve messages from the shell");
  auto options = std::make_shared<ServeOptions>();
  add_engine_options(*command, shell);
  command->add_flag("--echo", options->echo, "Reply to each call with its payload");
  command->add_flag("--sink", options->sink, "Check bench payloads and drop them");
  command->add_option("--save", options->save, "Write each message to a file named by its key")
      ->type_name("DIR");
  command->add_option("--exec", options->exec, "Run sh -c CMD for each message")->type_name("CMD");
  add_service_option(*command, options->service);
  add_order_option(*command, options->order);
  add_number_option(*command, "--count", options->count, "End after so many messages");
  add_number_option(*command, "--threads", options->threads, "Serving threads [1]");
  command->add_flag("--no-sync", options->no_sync, "With --save: do not wait for the disk");
  add_share_option(*command, options->share);
  command->add_flag("--stats", options->stats, "Print rates once a second");
  command->callback([&shell, options] {
    check_options(*options);
    shell.command = [&shell, options] { return run_serve(shell, *options); };
  });
}

}  // namespace ringwire::cli
