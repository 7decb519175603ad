// Two well-behaved programs of one node in one process: one sends numbered messages of many sizes
// under one key, the other checks that each comes once, in order and intact. Runs until its
// standard input ends, then waits for all outcomes, and prints one line of JSON. Says every 100
// messages how far it is. For tests/system/hostile_test.py.
//
//   honest_pair SOCKET
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "base/time.h"
#include "ipc/ringwire.h"

namespace {

using ringwire::kMillisecondNs;
using ringwire::kSecondNs;

/// Its own: what a pair that was killed left behind is not for the next.
const std::string kService = "numbers-" + std::to_string(::getpid());
// In the entry; just too large for it; one fragment; several; a large extent of its own.
constexpr std::array<std::size_t, 5> kSizes = {8, 100, 200, 20'000, 700'000};
constexpr int kMostOutstanding = 16;

std::atomic<bool> ends{false};
std::atomic<std::uint64_t> received{0};
std::atomic<std::uint64_t> wrong{0};

std::size_t bytes_of(std::uint64_t number) {
  return number % 97 == 0 ? kSizes.back() : kSizes[number % (kSizes.size() - 1)];
}
std::uint8_t byte_of(std::uint64_t number, std::size_t at) {
  return static_cast<std::uint8_t>(number * 31 + at * 7 + (at >> 8));
}

void fill(std::uint64_t number, std::vector<std::uint8_t>& bytes) {
  bytes.resize(bytes_of(number));
  std::memcpy(bytes.data(), &number, sizeof number);
  for (std::size_t at = sizeof number; at < bytes.size(); ++at) bytes[at] = byte_of(number, at);
}

bool is_message(std::uint64_t number, const std::uint8_t* data, std::size_t bytes) {
  std::uint64_t said = 0;
  if (bytes < sizeof said) return false;
  std::memcpy(&said, data, sizeof said);
  if (said != number || bytes != bytes_of(number)) return false;
  for (std::size_t at = sizeof said; at < bytes; ++at)
    if (data[at] != byte_of(number, at)) return false;
  return true;
}

rw_channel* open_channel(const char* socket, rw_client*& client) {
  rw_client_options options = RW_OPTIONS(rw_client_options);
  options.socket = socket;
  options.label = "honest";
  options.connect_timeout_ns = 60 * kSecondNs;
  rw_channel* channel = nullptr;
  if (rw_client_open(&options, &client) != RW_OK ||
      rw_channel_open(client, nullptr, &channel) != RW_OK)
    std::fprintf(stderr, "no channel: %s\n", rw_last_error());
  return channel;
}

void receive_all(const char* socket, std::atomic<bool>& serves) {
  rw_client* client = nullptr;
  rw_channel* channel = open_channel(socket, client);
  rw_serve_options serving = RW_OPTIONS(rw_serve_options);
  serving.service = kService.c_str();
  if (channel == nullptr || rw_serve(channel, &serving) != RW_OK) {
    std::fprintf(stderr, "does not serve: %s\n", rw_last_error());
    std::exit(1);
  }
  serves = true;
  std::uint64_t expected = 1;
  while (!ends) {
    rw_message* message = nullptr;
    const int error = rw_receive(channel, 100 * kMillisecondNs, &message);
    if (error == RW_ETIMEOUT || error == RW_EAGAIN) continue;
    if (error != RW_OK) {
      std::fprintf(stderr, "cannot receive: %s\n", rw_last_error());
      std::exit(1);
    }
    const auto* data = static_cast<const std::uint8_t*>(rw_message_data(message));
    if (!is_message(expected, data, rw_message_bytes(message))) {
      std::uint64_t said = 0;
      std::memcpy(&said, data, std::min(sizeof said, rw_message_bytes(message)));
      std::fprintf(stderr, "wanted %llu, came %llu of %zu bytes\n",
                   static_cast<unsigned long long>(expected), static_cast<unsigned long long>(said),
                   rw_message_bytes(message));
      ++wrong;
      expected = said;
    }
    ++expected;
    ++received;
    rw_release(channel, message, RW_DONE);
  }
  rw_client_close(client);
}

bool input_ended() {
  pollfd input{STDIN_FILENO, POLLIN, 0};
  std::array<char, 16> skipped{};
  return ::poll(&input, 1, 0) == 1 && ::read(STDIN_FILENO, skipped.data(), skipped.size()) <= 0;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) return 2;
  std::atomic<bool> serves{false};
  std::thread receiver([&] { receive_all(arguments[1], serves); });
  rw_client* client = nullptr;
  rw_channel* channel = open_channel(arguments[1], client);
  if (channel == nullptr) std::exit(1);
  while (!serves) std::this_thread::yield();

  rw_target target = rw_target_key("one key", 7);
  target.service = kService.c_str();
  std::uint64_t sent = 0;
  std::uint64_t done = 0;
  std::uint64_t other = 0;
  std::vector<std::uint8_t> bytes;
  std::vector<rw_outcome> outcomes(kMostOutstanding);
  bool goes_on = true;
  while (goes_on || rw_outstanding(channel) > 0) {
    if (goes_on && input_ended()) goes_on = false;
    if (goes_on && rw_outstanding(channel) < kMostOutstanding) {
      fill(sent + 1, bytes);
      rw_ticket ticket = 0;
      if (rw_send(channel, &target, bytes.data(), bytes.size(), nullptr, &ticket) != RW_OK) {
        std::fprintf(stderr, "cannot send: %s\n", rw_last_error());
        std::exit(1);
      }
      ++sent;
    } else if (rw_outstanding(channel) > 0) {
      pollfd ready{rw_fd(channel), POLLIN, 0};
      ::poll(&ready, 1, 100);
    }
    const int ended = rw_poll(channel, outcomes.data(), kMostOutstanding);
    for (int at = 0; at < ended; ++at) {
      const rw_outcome& outcome = outcomes[static_cast<std::size_t>(at)];
      if (outcome.ending == RW_ENDING_DONE) {
        if (++done % 100 == 0) {
          std::printf("%llu\n", static_cast<unsigned long long>(done));
          std::fflush(stdout);
        }
        continue;
      }
      ++other;
      std::fprintf(stderr, "%s: %s\n", rw_ending_name(outcome.ending),
                   rw_reason_name(outcome.reason));
    }
  }
  ends = true;
  receiver.join();
  rw_client_close(client);
  std::printf(
      "{\"sent\": %llu, \"done\": %llu, \"other\": %llu, \"received\": %llu, "
      "\"wrong\": %llu}\n",
      static_cast<unsigned long long>(sent), static_cast<unsigned long long>(done),
      static_cast<unsigned long long>(other), static_cast<unsigned long long>(received.load()),
      static_cast<unsigned long long>(wrong.load()));
  return 0;
}
