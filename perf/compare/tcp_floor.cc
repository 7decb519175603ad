// tcp-floor: what two bare processes reach over kernel TCP on loopback, the yardstick for the
// socket port.
//
//   tcp-floor echo [options]    epoll ping-pong, one outstanding
//   tcp-floor large [options]   one way, each message confirmed by one byte
//   options: --size BYTES, --duration SECONDS, --cores CLIENT,SERVER (pins the two processes),
//            --check 1 (large only: the sender fills each message outside of the measured time and
//            the receiver verifies it before it confirms, as `ringwire bench large` does)
//
// Prints one JSON object: latency percentiles in ns, and bytes per second.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "apps/cli/stamp.h"

namespace {

using Clock = std::chrono::steady_clock;

[[noreturn]] void fail(const char* what) {
  std::perror(what);
  std::exit(1);
}

int listen_on_loopback(sockaddr_in& address) {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (listener < 0) fail("socket");
  address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t bytes = sizeof address;
  if (bind(listener, reinterpret_cast<sockaddr*>(&address), bytes) != 0) fail("bind");
  if (listen(listener, 1) != 0) fail("listen");
  if (getsockname(listener, reinterpret_cast<sockaddr*>(&address), &bytes) != 0)
    fail("getsockname");
  return listener;
}

void pin(int core) {
  if (core < 0) return;
  cpu_set_t cores;
  CPU_ZERO(&cores);
  CPU_SET(static_cast<std::size_t>(core), &cores);
  if (sched_setaffinity(0, sizeof cores, &cores) != 0) fail("sched_setaffinity");
}

void no_delay(int socket) {
  const int on = 1;
  if (setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0) fail("TCP_NODELAY");
}

/// One descriptor in an epoll set, non-blocking reads and writes around it.
class Peer {
 public:
  explicit Peer(int socket) : socket_(socket), poll_(epoll_create1(EPOLL_CLOEXEC)) {
    no_delay(socket_);
    epoll_event event{};
    event.events = EPOLLIN;
    if (epoll_ctl(poll_, EPOLL_CTL_ADD, socket_, &event) != 0) fail("epoll_ctl");
  }
  bool receive(char* data, std::size_t bytes) {
    while (bytes != 0) {
      epoll_event event{};
      if (epoll_wait(poll_, &event, 1, -1) < 0 && errno != EINTR) fail("epoll_wait");
      const ssize_t got = recv(socket_, data, bytes, MSG_DONTWAIT);
      if (got == 0) return false;
      if (got < 0) {
        if (errno == EAGAIN) continue;
        return false;
      }
      data += got;
      bytes -= static_cast<std::size_t>(got);
    }
    return true;
  }
  bool send_all(const char* data, std::size_t bytes) {
    while (bytes != 0) {
      const ssize_t sent = send(socket_, data, bytes, MSG_NOSIGNAL);
      if (sent < 0) return false;
      data += sent;
      bytes -= static_cast<std::size_t>(sent);
    }
    return true;
  }

 private:
  int socket_;
  int poll_;
};

void serve(int listener, std::size_t bytes, bool echo, bool check) {
  Peer peer(accept(listener, nullptr, nullptr));
  std::vector<char> buffer(bytes);
  while (peer.receive(buffer.data(), bytes)) {
    if (check && ringwire::cli::check_stamp(std::as_bytes(std::span(buffer))).verdict !=
                     ringwire::cli::StampVerdict::kIntact)
      fail("damaged payload");
    if (!peer.send_all(buffer.data(), echo ? bytes : 1)) return;
  }
}

std::uint64_t at_share(const std::vector<std::uint64_t>& sorted, double share) {
  const auto last = static_cast<double>(sorted.size() - 1);
  return sorted[static_cast<std::size_t>(share * last)];
}

}  // namespace

int main(int count, char** words) {
  const std::string mode = count > 1 ? words[1] : "";
  std::size_t bytes = mode == "large" ? 1'000'000 : 64;
  double seconds = 3;
  int client_core = -1;
  int server_core = -1;
  bool check = false;
  for (int at = 2; at + 1 < count; at += 2) {
    if (std::strcmp(words[at], "--size") == 0) bytes = std::strtoull(words[at + 1], nullptr, 10);
    if (std::strcmp(words[at], "--duration") == 0) seconds = std::strtod(words[at + 1], nullptr);
    if (std::strcmp(words[at], "--check") == 0) check = std::strcmp(words[at + 1], "0") != 0;
    if (std::strcmp(words[at], "--cores") == 0 &&
        std::sscanf(words[at + 1], "%d,%d", &client_core, &server_core) != 2)
      bytes = 0;
  }
  if ((mode != "echo" && mode != "large") || bytes == 0 || seconds <= 0 ||
      (check && (mode != "large" || bytes < ringwire::cli::kStampBytes))) {
    std::fprintf(stderr,
                 "usage: tcp-floor echo|large [--size BYTES] [--duration SECONDS] [--cores C,S] "
                 "[--check 0|1]\n");
    return 2;
  }
  sockaddr_in address{};
  const int listener = listen_on_loopback(address);
  const bool echo = mode == "echo";
  const pid_t child = fork();
  if (child < 0) fail("fork");
  pin(child == 0 ? server_core : client_core);
  if (child == 0) {
    serve(listener, bytes, echo, check);
    _exit(0);
  }
  const int connection = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (connect(connection, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    fail("connect");
  {
    Peer peer(connection);
    std::vector<char> buffer(bytes, 'x');
    std::vector<std::uint64_t> samples;
    samples.reserve(1'000'000);
    const auto start = Clock::now();
    const auto end = start + std::chrono::duration<double>(seconds);
    Clock::duration transfer{0};
    while (Clock::now() < end) {
      if (check) {
        const auto payload = std::as_writable_bytes(std::span(buffer));
        const ringwire::cli::Stamp stamp{.stream = 1, .sequence = samples.size()};
        ringwire::cli::fill_payload(payload, stamp);
        ringwire::cli::write_stamp(payload, stamp);
      }
      const auto before = Clock::now();
      if (!peer.send_all(buffer.data(), bytes)) fail("send");
      if (!peer.receive(buffer.data(), echo ? bytes : 1)) fail("receive");
      const auto elapsed = Clock::now() - before;
      transfer += elapsed;
      samples.push_back(static_cast<std::uint64_t>(
          std::chrono::duration_cast<std::chrono::nanoseconds>(elapsed).count()));
    }
    const double took = std::chrono::duration<double>(transfer).count();
    std::sort(samples.begin(), samples.end());
    std::printf(
        "{\"pattern\":\"tcp-%s\",\"size_bytes\":%zu,\"messages\":%zu,\"messages_per_s\":%.0f,"
        "\"bytes_per_s\":%.0f,\"latency_ns\":{\"p50\":%llu,\"p90\":%llu,\"p99\":%llu}}\n",
        mode.c_str(), bytes, samples.size(), static_cast<double>(samples.size()) / took,
        static_cast<double>(samples.size() * bytes) / took,
        static_cast<unsigned long long>(at_share(samples, 0.5)),
        static_cast<unsigned long long>(at_share(samples, 0.9)),
        static_cast<unsigned long long>(at_share(samples, 0.99)));
  }
  close(connection);
  kill(child, SIGTERM);
  waitpid(child, nullptr, 0);
  return 0;
}
