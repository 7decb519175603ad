// A program of many threads, each with a channel of its own: all of them serve one service and send
// to it, each under a key of its own, numbered messages that say whose they are. When all is over,
// prints one line of JSON. For tests/system/life_test.py.
//
//   many_threads SOCKET THREADS MESSAGES
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/time.h"
#include "ipc/ringwire.h"

namespace {

using ringwire::kMillisecondNs;
using ringwire::kSecondNs;

constexpr const char* kService = "threads";
constexpr int kMostOutstanding = 8;

struct Message {
  std::uint64_t sender = 0;
  std::uint64_t number = 0;
};

struct All {
  std::uint64_t threads = 0;
  std::uint64_t messages = 0;  ///< of each
  rw_client* client = nullptr;
  std::atomic<std::uint64_t> serving{0};
  std::atomic<std::uint64_t> received{0};
  std::atomic<std::uint64_t> done{0};
  std::atomic<std::uint64_t> wrong{0};  ///< out of order, or not what was sent
  std::mutex mutex;
  std::vector<std::uint64_t> newest;  ///< number received, by sender
};

// Ends the program when what the library said is an error, but the one that is expected.
int must(int result, const char* what, int expected = RW_OK) {
  if (result >= 0 || result == expected) return result;
  std::fprintf(stderr, "%s: %s\n", what, rw_last_error());
  std::exit(1);
}

void receive_one(All& all, rw_channel* channel, std::int64_t timeout_ns) {
  rw_message* message = nullptr;
  const int result = rw_receive(channel, timeout_ns, &message);
  if (result == RW_ETIMEOUT || result == RW_EAGAIN) return;
  must(result, "receive");
  Message said;
  const bool whole = rw_message_bytes(message) == sizeof said;
  if (whole) std::memcpy(&said, rw_message_data(message), sizeof said);
  if (!whole || said.sender >= all.threads) {
    ++all.wrong;
  } else {
    // A key's messages are with one consumer at a time: it releases each before the next is given
    // to another.
    const std::lock_guard lock(all.mutex);
    if (said.number != all.newest[said.sender] + 1) ++all.wrong;
    all.newest[said.sender] = said.number;
  }
  ++all.received;
  must(rw_release(channel, message, RW_DONE), "release");
}

void run(All& all, std::uint64_t self) {
  rw_channel* channel = nullptr;
  must(rw_channel_open(all.client, nullptr, &channel), "open a channel");
  rw_serve_options serving = RW_OPTIONS(rw_serve_options);
  serving.service = kService;
  must(rw_serve(channel, &serving), "serve");
  ++all.serving;
  while (all.serving < all.threads) std::this_thread::yield();
  rw_target target = rw_target_hash(self);
  target.service = kService;
  std::uint64_t sent = 0;
  std::uint64_t done = 0;
  while (all.received < all.threads * all.messages || done < all.messages) {
    while (sent < all.messages && rw_outstanding(channel) < kMostOutstanding) {
      const Message message{self, ++sent};
      must(rw_send(channel, &target, &message, sizeof message, nullptr, nullptr), "send");
    }
    receive_one(all, channel, 20 * kMillisecondNs);
    rw_outcome outcomes[kMostOutstanding];
    const int count = must(rw_poll(channel, outcomes, kMostOutstanding), "poll");
    for (int at = 0; at < count; ++at)
      if (outcomes[at].ending != RW_ENDING_DONE) ++all.wrong;
    done += static_cast<std::uint64_t>(count);
    all.done += static_cast<std::uint64_t>(count);
  }
  rw_channel_close(channel);
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 4) return 2;
  All all;
  all.threads = std::strtoull(arguments[2], nullptr, 10);
  all.messages = std::strtoull(arguments[3], nullptr, 10);
  all.newest.resize(all.threads);
  rw_client_options options = RW_OPTIONS(rw_client_options);
  options.socket = arguments[1];
  options.connect_timeout_ns = 60 * kSecondNs;
  must(rw_client_open(&options, &all.client), "attach");
  std::vector<std::thread> threads;
  for (std::uint64_t self = 0; self < all.threads; ++self)
    threads.emplace_back([&all, self] { run(all, self); });
  for (std::thread& thread : threads) thread.join();
  rw_client_close(all.client);
  std::printf("{\"received\": %llu, \"done\": %llu, \"wrong\": %llu}\n",
              static_cast<unsigned long long>(all.received.load()),
              static_cast<unsigned long long>(all.done.load()),
              static_cast<unsigned long long>(all.wrong.load()));
  return 0;
}
