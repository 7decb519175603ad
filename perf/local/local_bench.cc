// Large messages between two programs of one node: by reference, copied once by the engine, and
// this machine's memcpy of the same bytes beside them, in turn, round by round. The sender writes
// the first cache line of a loan and sends it; the receiver reads one byte of every 4 KiB and
// releases. So what is measured is the way, not the filling or the checking. All wait asleep: three
// processes that poll would fight for the cores of a small machine. memcpy is between as many
// buffers as there are messages under way, on the engine's core. Needs an engine:
//
//   ringwire-engine -o node.socket=/tmp/s -o node.cores=1 &
//   local-bench --socket /tmp/s --core 0 --engine-core 1
#include <fmt/format.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "ipc/ringwire.h"

namespace {

using std::chrono::nanoseconds;

struct Arguments {
  std::string socket;
  std::uint64_t bytes = 1'000'000;
  std::uint64_t window = 4;  ///< messages under way
  std::uint64_t rounds = 7;
  double seconds = 0.5;  ///< of each figure in a round
  int core = -1;         ///< of both programs; -1: not pinned
  int engine_core = -1;  ///< that the engine's worker is pinned to: memcpy runs there
};

constexpr std::size_t kPeekStep = 4'096;
constexpr const char* kByReference = "local-bench-shared";
constexpr const char* kCopied = "local-bench-copied";

[[noreturn]] void fail(std::string_view what) {
  fmt::print(stderr, "local-bench: {}: {}\n", what, rw_last_error());
  std::exit(1);
}
void check(int result, std::string_view what) {
  if (result < 0) fail(what);
}

std::int64_t now_ns() {
  return std::chrono::duration_cast<nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

void pin_to(int core) {
  if (core < 0) return;
  cpu_set_t cores;
  CPU_ZERO(&cores);
  CPU_SET(static_cast<std::size_t>(core), &cores);
  if (sched_setaffinity(0, sizeof cores, &cores) != 0) {
    fmt::print(stderr, "local-bench: no core {}\n", core);
    std::exit(1);
  }
}

struct Attached {
  explicit Attached(const Arguments& arguments) {
    rw_client_options options = RW_OPTIONS(rw_client_options);
    options.socket = arguments.socket.empty() ? nullptr : arguments.socket.c_str();
    check(rw_client_open(&options, &client), "cannot attach");
    check(rw_channel_open(client, nullptr, &channel), "no channel");
  }
  rw_client* client = nullptr;
  rw_channel* channel = nullptr;
};

// The receiving program; ended by its parent's end.
[[noreturn]] void receive_for_ever(const Arguments& arguments, int ready) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  const Attached at(arguments);
  for (const char* service : {kByReference, kCopied}) {
    rw_serve_options serve = RW_OPTIONS(rw_serve_options);
    serve.service = service;
    serve.share = service == kByReference ? 1 : 0;
    check(rw_serve(at.channel, &serve), "cannot serve");
  }
  if (write(ready, "r", 1) != 1) std::exit(1);
  std::uint64_t seen = 0;
  rw_message* messages[16];
  for (;;) {
    const int count = rw_receive_many(at.channel, RW_WAIT_FOREVER, messages, 16);
    check(count, "cannot receive");
    for (int at_message = 0; at_message < count; ++at_message) {
      rw_message* message = messages[at_message];
      const auto* data = static_cast<const unsigned char*>(rw_message_data(message));
      const std::size_t bytes = rw_message_bytes(message);
      for (std::size_t at_byte = 0; at_byte < bytes; at_byte += kPeekStep) seen += data[at_byte];
      const bool wanted = std::strcmp(rw_message_service(message), kByReference) == 0;
      const bool shared = (rw_message_flags(message) & RW_FLAG_SHARED) != 0;
      // Which way it came is half of what this program says.
      if (wanted != shared) fail("a message came the other way than was asked");
      check(rw_release(at.channel, message, RW_DONE), "cannot release");
    }
    if (seen == UINT64_MAX) fail("never: it keeps the reading from being left out");
  }
}

// Bytes per second of messages that were released.
double send_for_a_while(const Attached& at, const Arguments& arguments, const char* service) {
  rw_send_options options = RW_OPTIONS(rw_send_options);
  options.share = service == kByReference ? 1 : 0;
  rw_target target = rw_target_key("local", 5);
  target.service = service;
  std::uint64_t done = 0;
  std::deque<rw_ticket> under_way;
  const std::int64_t begin = now_ns();
  const std::int64_t end = begin + static_cast<std::int64_t>(arguments.seconds * 1e9);
  std::int64_t last = begin;
  while (last < end || !under_way.empty()) {
    while (last < end && under_way.size() < arguments.window) {
      rw_loan_t loan{};
      check(rw_loan(at.channel, arguments.bytes, &loan), "no loan");
      std::memset(loan.data, static_cast<int>(done), std::min<std::size_t>(arguments.bytes, 64));
      rw_ticket ticket = 0;
      check(rw_send_loan(at.channel, &target, &loan, &options, &ticket), "cannot send");
      under_way.push_back(ticket);
    }
    rw_outcome outcome{};
    check(rw_wait(at.channel, under_way.front(), RW_WAIT_FOREVER, &outcome), "cannot wait");
    if (outcome.ending != RW_ENDING_DONE) fail("not done");
    under_way.pop_front();
    ++done;
    last = now_ns();
  }
  return static_cast<double>(done * arguments.bytes) * 1e9 / static_cast<double>(last - begin);
}

// Between as many buffers as there are messages under way.
double copy_for_a_while(const Arguments& arguments) {
  pin_to(arguments.engine_core);
  std::vector<std::vector<unsigned char>> from(arguments.window);
  std::vector<std::vector<unsigned char>> to(arguments.window);
  for (auto* buffers : {&from, &to})
    for (auto& buffer : *buffers) buffer.assign(arguments.bytes, 1);
  std::uint64_t copied = 0;
  std::uint64_t seen = 0;
  const std::int64_t begin = now_ns();
  const std::int64_t end = begin + static_cast<std::int64_t>(arguments.seconds * 1e9);
  std::int64_t last = begin;
  for (std::size_t index = 0; last < end; index = (index + 1) % arguments.window) {
    std::memcpy(to[index].data(), from[index].data(), arguments.bytes);
    copied += arguments.bytes;
    seen += to[index][copied % arguments.bytes];
    last = now_ns();
  }
  pin_to(arguments.core);
  if (seen == UINT64_MAX) fail("never: it keeps the copying from being left out");
  return static_cast<double>(copied) * 1e9 / static_cast<double>(last - begin);
}

struct Figures {
  std::vector<double> all;
  [[nodiscard]] double median() const {
    std::vector<double> sorted(all);
    std::sort(sorted.begin(), sorted.end());
    return sorted[sorted.size() / 2];
  }
  [[nodiscard]] std::string text(double scale, std::string_view unit) const {
    const auto [least, most] = std::minmax_element(all.begin(), all.end());
    return fmt::format("{:.2f} {} ({:.2f} to {:.2f})", median() / scale, unit, *least / scale,
                       *most / scale);
  }
};

Arguments read_arguments(int count, char** texts) {
  Arguments arguments;
  for (int at = 1; at + 1 < count; at += 2) {
    const std::string_view name = texts[at];
    const std::string value = texts[at + 1];
    if (name == "--socket") arguments.socket = value;
    if (name == "--bytes") arguments.bytes = std::stoull(value);
    if (name == "--window") arguments.window = std::stoull(value);
    if (name == "--rounds") arguments.rounds = std::stoull(value);
    if (name == "--seconds") arguments.seconds = std::stod(value);
    if (name == "--core") arguments.core = std::stoi(value);
    if (name == "--engine-core") arguments.engine_core = std::stoi(value);
  }
  return arguments;
}

}  // namespace

int main(int count, char** texts) {
  const Arguments arguments = read_arguments(count, texts);
  int ready[2];
  if (pipe(ready) != 0) return 1;
  pin_to(arguments.core);
  const pid_t reader = fork();
  if (reader == 0) receive_for_ever(arguments, ready[1]);
  close(ready[1]);
  char byte = 0;
  if (read(ready[0], &byte, 1) != 1) return 1;
  const Attached at(arguments);
  Figures shared;
  Figures copied;
  Figures memcpys;
  Figures share_of_memcpy;
  send_for_a_while(at, arguments, kByReference);  // files are made and mapped
  send_for_a_while(at, arguments, kCopied);
  for (std::uint64_t round = 0; round < arguments.rounds; ++round) {
    memcpys.all.push_back(copy_for_a_while(arguments));
    shared.all.push_back(send_for_a_while(at, arguments, kByReference));
    copied.all.push_back(send_for_a_while(at, arguments, kCopied));
    share_of_memcpy.all.push_back(copied.all.back() / memcpys.all.back());
  }
  fmt::print("{} bytes, {} under way, median of {} rounds (least to most)\n", arguments.bytes,
             arguments.window, arguments.rounds);
  fmt::print("by reference  {}\n", shared.text(1e9, "GB/s"));
  fmt::print("copied once   {}\n", copied.text(1e9, "GB/s"));
  fmt::print("memcpy        {}\n", memcpys.text(1e9, "GB/s"));
  fmt::print("copied once / memcpy of its round  {}\n", share_of_memcpy.text(1, ""));
  rw_channel_close(at.channel);
  rw_client_close(at.client);
  kill(reader, SIGKILL);
  waitpid(reader, nullptr, 0);
  return 0;
}
