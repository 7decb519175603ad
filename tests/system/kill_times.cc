// How long after kill -9 of a program another has what it held, and the engine what it had given
// it. A child of this process attaches, serves, and is killed while it holds eight messages; this
// process serves beside it. Prints one line of JSON. For tests/system/life_test.py.
//
//   kill_times SOCKET ROUNDS
//   kill_times SOCKET hold SERVICE     (the child)
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/time.h"
#include "ipc/ringwire.h"

namespace {

using ringwire::DurationNs;
using ringwire::kSecondNs;
using ringwire::TimeNs;

constexpr int kHeld = 8;
constexpr std::size_t kBytes = 100'000;
constexpr DurationNs kPatienceNs = 60 * kSecondNs;

TimeNs now_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<TimeNs>(now.tv_sec) * kSecondNs + now.tv_nsec;
}

void must(int result, const char* what) {
  if (result >= 0) return;
  std::fprintf(stderr, "%s: %s\n", what, rw_last_error());
  std::exit(1);
}

rw_channel* open_channel(const char* socket) {
  rw_client_options options = RW_OPTIONS(rw_client_options);
  options.socket = socket;
  options.label = "kill-times";
  rw_client* client = nullptr;
  rw_channel* channel = nullptr;
  must(rw_client_open(&options, &client), "attach");
  must(rw_channel_open(client, nullptr, &channel), "open a channel");
  return channel;
}

void serve(rw_channel* channel, const std::string& service) {
  rw_serve_options options = RW_OPTIONS(rw_serve_options);
  options.service = service.c_str();
  must(rw_serve(channel, &options), "serve");
}

/// The child: takes eight messages, says so, and keeps them.
[[noreturn]] void hold(const char* socket, const std::string& service) {
  rw_channel* channel = open_channel(socket);
  serve(channel, service);
  for (int count = 0; count < kHeld; ++count) {
    rw_message* message = nullptr;
    must(rw_receive(channel, RW_WAIT_FOREVER, &message), "receive");
  }
  const char held = '!';
  if (::write(STDOUT_FILENO, &held, 1) != 1) std::exit(1);
  while (true) ::pause();
}

struct Child {
  pid_t pid = -1;
  int output = -1;
};

Child start_child(const char* program, const char* socket, const std::string& service) {
  int ends[2];
  if (::pipe(ends) != 0) std::exit(1);
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::dup2(ends[1], STDOUT_FILENO);
    ::execl(program, program, socket, "hold", service.c_str(), nullptr);
    ::_exit(1);
  }
  ::close(ends[1]);
  return {pid, ends[0]};
}

/// What the engine has for other programs: their number, and bytes of their channels. What they
/// held of received messages goes on to others, and its memory is kept for the next for some
/// seconds.
std::uint64_t programs_and_bytes(const char* socket) {
  char* answer = nullptr;
  int exit_code = 1;
  must(rw_admin(socket, R"({"verb":"attachments"})", &answer, &exit_code), "ask");
  const auto told = nlohmann::json::parse(answer);
  rw_free(answer);
  std::uint64_t sum = 0;
  for (const auto& one : told["attachments"])
    if (one["pid"] != ::getpid())
      sum +=
          1 + one["channel_bytes"].get<std::uint64_t>() + one["descriptors"].get<std::uint64_t>();
  return sum;
}

nlohmann::json summary(std::vector<DurationNs> times) {
  std::sort(times.begin(), times.end());
  return {{"p50", times[times.size() / 2]}, {"max", times.back()}};
}

}  // namespace

int main(int count, char** arguments) {
  if (count == 4 && std::strcmp(arguments[2], "hold") == 0) hold(arguments[1], arguments[3]);
  if (count != 3) return 2;
  const char* socket = arguments[1];
  const long rounds = std::strtol(arguments[2], nullptr, 10);
  rw_channel* channel = open_channel(socket);
  const std::vector<char> payload(kBytes, 'x');
  std::vector<DurationNs> first_ns, all_ns, resources_ns;
  for (long round = 0; round < rounds; ++round) {
    const std::string service = "kill-" + std::to_string(round % 4);
    const std::uint64_t before = programs_and_bytes(socket);
    const Child child = start_child("/proc/self/exe", socket, service);
    std::vector<rw_ticket> tickets(kHeld);
    for (int at = 0; at < kHeld; ++at) {
      rw_target target = rw_target_hash(static_cast<std::uint64_t>(at));
      target.service = service.c_str();
      must(rw_send(channel, &target, payload.data(), payload.size(), nullptr,
                   &tickets[static_cast<std::size_t>(at)]),
           "send");
    }
    char held = 0;
    if (::read(child.output, &held, 1) != 1) return 1;
    serve(channel, service);

    ::kill(child.pid, SIGKILL);
    const TimeNs killed_ns = now_ns();
    for (int at = 0; at < kHeld; ++at) {
      rw_message* message = nullptr;
      must(rw_receive(channel, kPatienceNs, &message), "receive again");
      if (at == 0) first_ns.push_back(now_ns() - killed_ns);
      if ((rw_message_flags(message) & RW_FLAG_REDELIVERED) == 0) return 1;
      must(rw_release(channel, message, RW_DONE), "release");
    }
    all_ns.push_back(now_ns() - killed_ns);
    while (programs_and_bytes(socket) > before)
      if (now_ns() - killed_ns > kPatienceNs) return 1;
    resources_ns.push_back(now_ns() - killed_ns);

    for (const rw_ticket ticket : tickets) {
      rw_outcome outcome;
      must(rw_wait(channel, ticket, kPatienceNs, &outcome), "outcome");
      if (outcome.ending != RW_ENDING_DONE) return 1;
    }
    must(rw_unserve(channel, service.c_str()), "unserve");
    ::close(child.output);
    ::waitpid(child.pid, nullptr, 0);
  }
  const nlohmann::json told = {{"rounds", rounds},
                               {"first_message_ns", summary(first_ns)},
                               {"all_messages_ns", summary(all_ns)},
                               {"resources_ns", summary(resources_ns)}};
  std::printf("%s\n", told.dump().c_str());
  return 0;
}
