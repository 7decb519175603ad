// local-path: the way of a small message between a program and the worker of its engine, beside the
// bare queue that is the least it can cost.
//
//   local-path pair   two threads hand a 64-byte entry to and fro through two bare queues, polled
//   local-path batch  one thread passes 64-byte entries to another in batches of 32
//   local-path hop    one thread sends to a service that it serves itself: program, worker, program
//   local-path flow   the same with many under way: messages received per second
//   local-path stream one program sends to another, which releases: as zmq-floor's, nothing is
//   checked local-path attach a program attaches, opens a channel, and leaves local-path copy
//   copies of --size bytes within 2 MiB and within 16 MiB options: --socket PATH (of the engine),
//   --duration SECONDS, --cores PROGRAM,OTHER (pins; OTHER
//            is the second thread of pair and batch), --size BYTES, --level
//            none|accepted|processed,
//            --window N (flow, stream: messages under way at most), --key one|many, --batch yes|no
//
// Prints one JSON object: latency percentiles in ns per round trip, or items (bytes) per second.
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "ipc/ringwire.h"
#include "ipc/spsc_queue.h"

namespace {

using Clock = std::chrono::steady_clock;
constexpr std::uint32_t kEntries = 512;  // the client library's default
constexpr std::size_t kBatch = 32;

struct Options {
  std::string mode;
  std::string socket;
  double seconds = 1;
  int program_core = -1;
  int other_core = -1;
  std::size_t bytes = 64;
  std::uint32_t level = RW_LEVEL_PROCESSED;
  std::size_t window = 256;
  bool many_keys = false;
  bool batch = true;
};

[[noreturn]] void fail(const char* what) {
  std::fprintf(stderr, "local-path: %s\n", what);
  std::exit(1);
}

void expect(int result, const char* what) {
  if (result >= 0) return;
  std::fprintf(stderr, "local-path: %s: %s (%s)\n", what, rw_error_text(result), rw_last_error());
  std::exit(1);
}

void pin(int core) {
  if (core < 0) return;
  cpu_set_t cores;
  CPU_ZERO(&cores);
  CPU_SET(static_cast<std::size_t>(core), &cores);
  if (pthread_setaffinity_np(pthread_self(), sizeof cores, &cores) != 0) fail("cannot pin");
}

Clock::duration nanoseconds(double seconds) {
  return std::chrono::nanoseconds(static_cast<std::int64_t>(seconds * 1e9));
}

/// Latencies of round trips, sampled with the clock read once per trip.
class Trips {
 public:
  explicit Trips(double seconds) : before_(Clock::now()), end_(before_ + nanoseconds(seconds)) {
    samples_.reserve(1 << 24);
  }
  void restart() { before_ = Clock::now(); }
  /// False when the time is over.
  bool count() {
    const auto now = Clock::now();
    if (samples_.size() < samples_.capacity()) samples_.push_back(now - before_);
    before_ = now;
    return now < end_;
  }
  void print(const Options& options) {
    std::sort(samples_.begin(), samples_.end());
    const auto at = [&](double share) {
      const auto last = static_cast<double>(samples_.size() - 1);
      return static_cast<long long>(
          std::chrono::nanoseconds(samples_[static_cast<std::size_t>(share * last)]).count());
    };
    std::printf(
        "{\"pattern\":\"%s\",\"size_bytes\":%zu,\"trips\":%zu,"
        "\"latency_ns\":{\"p50\":%lld,\"p90\":%lld,\"p99\":%lld,\"p99_9\":%lld}}\n",
        options.mode.c_str(), options.bytes, samples_.size(), at(0.5), at(0.9), at(0.99),
        at(0.999));
  }

 private:
  std::vector<Clock::duration> samples_;
  Clock::time_point before_;
  Clock::time_point end_;
};

void print_rate(const Options& options, double items, double seconds) {
  std::printf(
      "{\"pattern\":\"%s\",\"size_bytes\":%zu,\"items_per_s\":%.0f,"
      "\"bytes_per_s\":%.0f}\n",
      options.mode.c_str(), options.bytes, items / seconds,
      items / seconds * static_cast<double>(options.bytes));
}

// ---- bare queues --------------------------------------------------------------------------------

struct alignas(64) Entry {
  std::byte bytes[64];
};

struct Queue {
  Queue() {
    producer.attach(entries.data(), kEntries, &tail, &head);
    consumer.attach(entries.data(), kEntries, &tail, &head);
  }
  std::vector<Entry> entries = std::vector<Entry>(kEntries);
  alignas(64) std::uint64_t tail = 0;
  alignas(64) std::uint64_t head = 0;
  alignas(64) ringwire::ipc::SpscProducer<Entry> producer;
  alignas(64) ringwire::ipc::SpscConsumer<Entry> consumer;
};

bool pass(Queue& from, Queue& to) {
  Entry entry;
  if (!from.consumer.poll(entry)) return false;
  from.consumer.publish();
  std::memcpy(to.producer.claim(), &entry, sizeof entry);
  to.producer.publish();
  return true;
}

void pair(const Options& options) {
  Queue there;
  Queue back;
  std::atomic<bool> stop = false;
  std::thread other([&] {
    pin(options.other_core);
    // Relaxed: nothing is ordered by it.
    while (!stop.load(std::memory_order_relaxed)) pass(there, back);
  });
  Entry entry{};
  Trips trips(options.seconds);
  do {
    std::memcpy(there.producer.claim(), &entry, sizeof entry);
    there.producer.publish();
    while (!back.consumer.poll(entry)) {
    }
    back.consumer.publish();
  } while (trips.count());
  stop = true;
  other.join();
  trips.print(options);
}

void batch(const Options& options) {
  Queue queue;
  std::atomic<bool> stop = false;
  std::thread producer([&] {
    pin(options.other_core);
    Entry entry{};
    entry.bytes[0] = std::byte{1};
    while (!stop.load(std::memory_order_relaxed)) {  // nothing is ordered by it
      if (queue.producer.room() < kBatch) continue;
      for (std::size_t count = 0; count < kBatch; ++count)
        std::memcpy(queue.producer.claim(), &entry, sizeof entry);
      queue.producer.publish();
    }
  });
  Entry entry{};
  std::size_t seen = 0;
  double items = 0;
  const auto begin = Clock::now();
  const auto end = begin + nanoseconds(options.seconds);
  Clock::time_point now;
  do {
    for (int round = 0; round < 64; ++round) {
      std::size_t taken = 0;
      for (; taken < kBatch && queue.consumer.poll(entry); ++taken)
        seen += std::to_integer<std::size_t>(entry.bytes[0]);
      queue.consumer.publish();
      items += static_cast<double>(taken);
    }
    now = Clock::now();
  } while (now < end);
  stop = true;
  producer.join();
  if (static_cast<double>(seen) != items) fail("an entry was lost");
  print_rate(options, items, std::chrono::duration<double>(now - begin).count());
}

void copy(const Options& options) {
  for (const std::size_t pool : {std::size_t{2} << 20, std::size_t{16} << 20}) {
    const std::size_t places = std::max<std::size_t>(pool / options.bytes, 2);
    std::vector<std::byte> memory(places * options.bytes, std::byte{1});
    std::size_t seen = 0;
    double items = 0;
    std::size_t at = 0;
    const auto begin = Clock::now();
    const auto end = begin + nanoseconds(options.seconds);
    while (Clock::now() < end) {
      for (int round = 0; round < 16; ++round) {
        const std::size_t next = (at + 1) % places;
        std::memcpy(&memory[next * options.bytes], &memory[at * options.bytes], options.bytes);
        at = next;
      }
      items += 16;
      seen += std::to_integer<std::size_t>(memory[at * options.bytes]);
    }
    if (seen == 0) fail("nothing was copied");
    Options named = options;
    named.mode = pool == std::size_t{2} << 20 ? "copy-2MiB" : "copy-16MiB";
    print_rate(named, items, std::chrono::duration<double>(Clock::now() - begin).count());
  }
}

// ---- through the engine -------------------------------------------------------------------------

/// One thread's channel that serves a service of its own.
class Program {
 public:
  explicit Program(const Options& options, bool serves = true) {
    auto client_options = RW_OPTIONS(rw_client_options);
    client_options.socket = options.socket.empty() ? nullptr : options.socket.c_str();
    expect(rw_client_open(&client_options, &client_), "attach");
    auto channel_options = RW_OPTIONS(rw_channel_options);
    channel_options.batch = options.batch ? 1 : 0;
    expect(rw_channel_open(client_, &channel_options, &channel_), "channel");
    send_.level = options.level;
    if (!serves) return;
    auto serve = RW_OPTIONS(rw_serve_options);
    serve.service = "local-path";
    serve.prefetch = kEntries;
    expect(rw_serve(channel_, &serve), "serve");
  }
  ~Program() { rw_client_close(client_); }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  rw_ticket send(std::uint64_t hash, const void* data, std::size_t bytes) {
    rw_target target = rw_target_hash(hash);
    target.service = "local-path";
    rw_ticket ticket = 0;
    expect(rw_send(channel_, &target, data, bytes, &send_, &ticket), "send");
    return ticket;
  }
  /// Up to `max` messages; each is looked at and released. Their number. Waits for the first.
  std::size_t take(std::size_t bytes, int max, std::int64_t timeout_ns = 0) {
    rw_message* messages[kBatch];
    const int count = rw_receive_many(channel_, timeout_ns, messages, max);
    if (count == RW_EAGAIN) return 0;
    expect(count, "receive");
    for (int at = 0; at < count; ++at) {
      if (rw_message_bytes(messages[at]) != bytes) fail("a message of another size");
      expect(rw_release(channel_, messages[at], RW_DONE), "release");
    }
    return static_cast<std::size_t>(count);
  }
  /// Outcomes that are there now. Their number.
  std::uint64_t clear_outcomes() {
    rw_outcome outcomes[64];
    std::uint64_t ended = 0;
    int count = 0;
    while ((count = rw_poll(channel_, outcomes, 64)) > 0) {
      for (int at = 0; at < count; ++at)
        if (outcomes[at].ending != RW_ENDING_DONE) fail(rw_reason_name(outcomes[at].reason));
      ended += static_cast<std::uint64_t>(count);
    }
    return ended;
  }
  /// Until this one has its outcome, which counts as cleared. Their number.
  std::uint64_t wait_for(rw_ticket ticket) {
    rw_outcome outcome;
    const int error = rw_wait(channel_, ticket, RW_WAIT_FOREVER, &outcome);
    if (error == RW_ESTALE) return 0;  // it was cleared before
    expect(error, "wait");
    if (outcome.ending != RW_ENDING_DONE) fail(rw_reason_name(outcome.reason));
    return 1;
  }

 private:
  rw_client* client_ = nullptr;
  rw_channel* channel_ = nullptr;
  rw_send_options send_ = RW_OPTIONS(rw_send_options);
};

void hop(const Options& options) {
  Program program(options);
  const std::vector<std::byte> payload(options.bytes, std::byte{7});
  std::uint64_t sent = 0;
  Trips trips(options.seconds);
  do {
    program.send(options.many_keys ? sent : 1, payload.data(), payload.size());
    ++sent;
    while (program.take(payload.size(), 1) == 0) {
    }
    if (sent % 64 == 0) program.clear_outcomes();
  } while (trips.count());
  trips.print(options);
}

void attach(const Options& options) {
  auto client_options = RW_OPTIONS(rw_client_options);
  client_options.socket = options.socket.empty() ? nullptr : options.socket.c_str();
  Trips trips(options.seconds);
  for (bool more = true; more;) {
    trips.restart();
    rw_client* client = nullptr;
    rw_channel* channel = nullptr;
    expect(rw_client_open(&client_options, &client), "attach");
    expect(rw_channel_open(client, nullptr, &channel), "channel");
    more = trips.count();
    rw_client_close(client);
  }
  trips.print(options);
}

void flow(const Options& options) {
  Program program(options);
  const std::vector<std::byte> payload(options.bytes, std::byte{7});
  std::uint64_t sent = 0;
  std::uint64_t received = 0;
  const auto begin = Clock::now();
  const auto end = begin + nanoseconds(options.seconds);
  Clock::time_point now;
  do {
    for (std::size_t count = 0; count < kBatch && sent - received < options.window; ++count) {
      program.send(options.many_keys ? sent : 1, payload.data(), payload.size());
      ++sent;
    }
    received += program.take(payload.size(), kBatch);
    program.clear_outcomes();
    now = Clock::now();
  } while (now < end);
  print_rate(options, static_cast<double>(received),
             std::chrono::duration<double>(now - begin).count());
  while (received < sent) received += program.take(payload.size(), kBatch);
}

[[noreturn]] void receive_for_ever(const Options& options, int ready) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  pin(options.other_core);
  Program program(options);
  if (write(ready, "r", 1) != 1) fail("nobody to tell");
  for (;;) program.take(options.bytes, kBatch, RW_WAIT_FOREVER);
}

void stream(const Options& options) {
  int ready[2];
  if (pipe(ready) != 0) fail("no pipe");
  const pid_t reader = fork();
  if (reader == 0) receive_for_ever(options, ready[1]);
  close(ready[1]);
  char byte = 0;
  if (read(ready[0], &byte, 1) != 1) fail("the receiver ended");
  Program program(options, false);
  const std::vector<std::byte> payload(options.bytes, std::byte{7});
  std::vector<rw_ticket> tickets(options.window);
  std::uint64_t sent = 0;
  std::uint64_t ended = 0;
  const auto begin = Clock::now();
  const auto end = begin + nanoseconds(options.seconds);
  Clock::time_point now;
  do {
    for (std::size_t count = 0; count < 2 * kBatch && sent - ended < options.window; ++count) {
      tickets[sent % options.window] =
          program.send(options.many_keys ? sent : 1, payload.data(), payload.size());
      ++sent;
    }
    ended += program.clear_outcomes();
    // Until the older half is through: one wake-up for many.
    if (sent - ended >= options.window)
      ended += program.wait_for(tickets[(sent - options.window / 2) % options.window]);
    now = Clock::now();
  } while (now < end);
  print_rate(options, static_cast<double>(ended),
             std::chrono::duration<double>(now - begin).count());
  // What is left would come to the next run's receiver.
  while (ended < sent) ended += program.clear_outcomes();
  kill(reader, SIGKILL);
  waitpid(reader, nullptr, 0);
}

bool read_option(Options& options, std::string_view name, const char* value) {
  if (name == "--socket") {
    options.socket = value;
  } else if (name == "--duration") {
    options.seconds = std::strtod(value, nullptr);
  } else if (name == "--size") {
    options.bytes = std::strtoull(value, nullptr, 10);
  } else if (name == "--window") {
    options.window = std::strtoull(value, nullptr, 10);
  } else if (name == "--batch") {
    options.batch = std::string_view(value) == "yes";
  } else if (name == "--key") {
    options.many_keys = std::string_view(value) == "many";
  } else if (name == "--level") {
    const std::string_view level = value;
    options.level = level == "none"       ? RW_LEVEL_NONE
                    : level == "accepted" ? RW_LEVEL_ACCEPTED
                                          : RW_LEVEL_PROCESSED;
  } else if (name == "--cores") {
    return std::sscanf(value, "%d,%d", &options.program_core, &options.other_core) == 2;
  } else {
    return false;
  }
  return true;
}

}  // namespace

int main(int count, char** words) {
  Options options;
  bool good = count > 1;
  if (good) options.mode = words[1];
  for (int at = 2; good && at < count; at += 2)
    good = at + 1 < count && read_option(options, words[at], words[at + 1]);
  if (options.seconds <= 0 || options.bytes == 0 || options.window == 0) good = false;
  constexpr struct {
    const char* name;
    void (*run)(const Options&);
  } kModes[] = {{"pair", pair},     {"batch", batch},   {"hop", hop},  {"flow", flow},
                {"stream", stream}, {"attach", attach}, {"copy", copy}};
  const auto* mode = std::find_if(std::begin(kModes), std::end(kModes),
                                  [&](const auto& known) { return options.mode == known.name; });
  if (!good || mode == std::end(kModes)) {
    std::fprintf(stderr,
                 "usage: local-path pair|batch|hop|flow|stream|attach|copy [--socket PATH] "
                 "[--duration SECONDS] "
                 "[--cores PROGRAM,OTHER] [--size BYTES] [--level LEVEL] [--window N] "
                 "[--key one|many] [--batch yes|no]\n");
    return 2;
  }
  pin(options.program_core);
  mode->run(options);
  return 0;
}
