// zmq-floor: what two programs of one machine reach over ZeroMQ's ipc transport, the yardstick for
// programs of one node.
//
//   zmq-floor echo [options]    PAIR sockets, one outstanding
//   zmq-floor stream [options]  PUSH to PULL, counted by the receiver
//   options: --size BYTES, --duration SECONDS
//
// Prints one JSON object: latency percentiles in ns, or messages per second.
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
constexpr int kSendsPerClock = 64;

[[noreturn]] void fail(const char* what) {
  std::fprintf(stderr, "zmq-floor: %s: %s\n", what, zmq_strerror(zmq_errno()));
  std::exit(1);
}

void send(void* socket, const std::vector<char>& message, std::size_t bytes) {
  if (zmq_send(socket, message.data(), bytes, 0) < 0) fail("send");
}

/// True while whole messages come; a shorter one is the end.
bool receive(void* socket, std::vector<char>& message) {
  const int got = zmq_recv(socket, message.data(), message.size(), 0);
  if (got < 0) fail("receive");
  return static_cast<std::size_t>(got) == message.size();
}

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

void serve(void* socket, std::vector<char>& message, bool echo) {
  std::uint64_t count = 0;
  Clock::time_point begin;
  while (receive(socket, message)) {
    if (count++ == 0) begin = Clock::now();
    if (echo) send(socket, message, message.size());
  }
  if (echo) return;
  std::printf("{\"pattern\":\"zmq-stream\",\"size_bytes\":%zu,\"messages_per_s\":%.0f}\n",
              message.size(), static_cast<double>(count) / seconds_since(begin));
}

void ping(void* socket, std::vector<char>& message, Clock::time_point end) {
  std::vector<std::int64_t> samples;
  samples.reserve(1'000'000);
  while (Clock::now() < end) {
    const auto before = Clock::now();
    send(socket, message, message.size());
    if (!receive(socket, message)) fail("echo");
    samples.push_back(std::chrono::nanoseconds(Clock::now() - before).count());
  }
  std::sort(samples.begin(), samples.end());
  const auto at = [&](double share) {
    const auto last = static_cast<double>(samples.size() - 1);
    return static_cast<long long>(samples[static_cast<std::size_t>(share * last)]);
  };
  std::printf(
      "{\"pattern\":\"zmq-echo\",\"size_bytes\":%zu,\"messages\":%zu,"
      "\"latency_ns\":{\"p50\":%lld,\"p90\":%lld,\"p99\":%lld}}\n",
      message.size(), samples.size(), at(0.5), at(0.9), at(0.99));
}

}  // namespace

int main(int count, char** words) {
  const std::string mode = count > 1 ? words[1] : "";
  std::size_t bytes = 64;
  double seconds = 1;
  for (int at = 2; at + 1 < count; at += 2) {
    if (std::strcmp(words[at], "--size") == 0) bytes = std::strtoull(words[at + 1], nullptr, 10);
    if (std::strcmp(words[at], "--duration") == 0) seconds = std::strtod(words[at + 1], nullptr);
  }
  const bool echo = mode == "echo";
  if ((!echo && mode != "stream") || bytes < 2 || seconds <= 0) {
    std::fprintf(stderr, "usage: zmq-floor echo|stream [--size BYTES] [--duration SECONDS]\n");
    return 2;
  }
  const std::string path = "/tmp/zmq-floor-" + std::to_string(getpid());
  const std::string endpoint = "ipc://" + path;
  const pid_t child = fork();
  if (child < 0) fail("fork");
  // After the fork: a context has threads.
  void* const context = zmq_ctx_new();
  std::vector<char> message(bytes, 'x');
  if (child == 0) {
    void* const socket = zmq_socket(context, echo ? ZMQ_PAIR : ZMQ_PULL);
    if (zmq_bind(socket, endpoint.c_str()) != 0) fail("bind");
    serve(socket, message, echo);
    zmq_close(socket);
    zmq_ctx_term(context);
    return 0;
  }
  void* const socket = zmq_socket(context, echo ? ZMQ_PAIR : ZMQ_PUSH);
  if (zmq_connect(socket, endpoint.c_str()) != 0) fail("connect");
  const auto duration = std::chrono::nanoseconds(static_cast<std::int64_t>(seconds * 1e9));
  if (echo) {
    send(socket, message, message.size());  // connected when it is back
    if (!receive(socket, message)) fail("echo");
    ping(socket, message, Clock::now() + duration);
  } else {
    for (const auto end = Clock::now() + duration; Clock::now() < end;)
      for (int sent = 0; sent < kSendsPerClock; ++sent) send(socket, message, message.size());
  }
  send(socket, message, 1);
  int status = 0;
  waitpid(child, &status, 0);
  zmq_close(socket);
  zmq_ctx_term(context);
  unlink(path.c_str());
  return status == 0 ? 0 : 1;
}
