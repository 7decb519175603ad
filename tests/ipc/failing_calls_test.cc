// The client library when the system says no: the n-th call of each function that it makes fails,
// for every n, somewhere in a story of attaching, sending, receiving, calling and closing. Then the
// call of the library under way says so by the right error, nothing aborts, no memory and no
// descriptor is left, and the same call made again goes on as if nothing had been.
#include <dirent.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "ipc/ringwire.h"
#include "tests/ipc/failing_calls.h"
#include "tests/ipc/fake_engine.h"

namespace ringwire::ipc {
namespace {

constexpr std::int64_t kDeadlineNs = 10'000'000'000;

/// An engine in a process of its own, so that calls and descriptors here are the library's.
class EngineProcess {
 public:
  explicit EngineProcess(const std::string& path) {
    if (pipe(ends_) != 0) std::abort();
    int ready[2];
    if (pipe(ready) != 0) std::abort();
    child_ = fork();
    char byte = 0;
    if (child_ == 0) {
      close(ends_[1]);
      const FakeEngine engine(path);
      if (write(ready[1], &byte, 1) != 1) _exit(1);
      while (read(ends_[0], &byte, 1) > 0) {
      }
      _exit(0);
    }
    close(ends_[0]);
    if (read(ready[0], &byte, 1) != 1) std::abort();
    close(ready[0]);
    close(ready[1]);
  }
  ~EngineProcess() {
    close(ends_[1]);
    int status = 0;
    waitpid(child_, &status, 0);
    EXPECT_EQ(status, 0) << "the engine died";
  }
  EngineProcess(const EngineProcess&) = delete;
  EngineProcess& operator=(const EngineProcess&) = delete;

 private:
  pid_t child_ = -1;
  int ends_[2];
};

std::size_t open_descriptors() {
  std::size_t count = 0;
  DIR* listing = opendir("/proc/self/fd");
  while (readdir(listing) != nullptr) ++count;
  closedir(listing);
  return count;
}

/// The story, and the errors that its calls gave.
class Story {
 public:
  explicit Story(const std::string& path) : path_(path) {}

  std::vector<std::pair<std::string, int>> errors;
  std::string broken;  ///< what did not go on after the failure

  void tell() {
    rw_client_options how = RW_OPTIONS(rw_client_options);
    how.socket = path_.c_str();
    how.reconnect_ns = kDeadlineNs;
    insist("rw_client_open", [&] { return rw_client_open(&how, &client_); });
    if (broken.empty()) with_client();
    const InLibrary counted;
    rw_client_close(client_);
  }

 private:
  // A failure costs one call and nothing else.
  template <typename Call>
  bool insist(const char* name, const Call& call) {
    for (int attempt = 0; attempt < 4; ++attempt) {
      const int result = inside(call);
      if (result >= 0) return true;
      errors.emplace_back(name, result);
    }
    if (broken.empty()) broken = std::string(name) + ": " + rw_last_error();
    return false;
  }

  template <typename Call>
  static auto inside(const Call& call) {
    const InLibrary counted;
    return call();
  }

  void with_client() {
    if (!insist("rw_channel_open", [&] { return rw_channel_open(client_, nullptr, &channel_); }) ||
        !insist("rw_channel_open", [&] { return rw_channel_open(client_, nullptr, &server_); }) ||
        !insist("rw_serve", [&] { return rw_serve(server_, nullptr); }) ||
        !insist("rw_fd", [&] { return rw_fd(channel_); }))
      return;
    const rw_target target = rw_target_key("key", 3);
    for (const std::size_t bytes : {5u, 3'000u, 200'000u}) {
      const std::string payload(bytes, 'p');
      exchange(payload, "rw_send", [&](rw_ticket* ticket) {
        return rw_send(channel_, &target, payload.data(), bytes, nullptr, ticket);
      });
    }
    const std::string loaned(20'000, 'l');
    exchange(loaned, "rw_send_loan", [&](rw_ticket* ticket) {
      rw_loan_t loan{};
      if (const int error = rw_loan(channel_, loaned.size(), &loan); error != RW_OK) return error;
      std::memcpy(loan.data, loaned.data(), loaned.size());
      const int error = rw_send_loan(channel_, &target, &loan, nullptr, ticket);
      if (error != RW_OK) rw_loan_cancel(channel_, &loan);
      return error;
    });
    const int file = memfd_create("content", MFD_CLOEXEC);
    ASSERT_EQ(write(file, loaned.data(), loaned.size()), static_cast<ssize_t>(loaned.size()));
    exchange(loaned, "rw_send_file", [&](rw_ticket* ticket) {
      return rw_send_file(channel_, &target, file, 0, loaned.size(), nullptr, ticket);
    });
    close(file);
    exchange("question", "rw_call_start", [&](rw_ticket* ticket) {
      return rw_call_start(channel_, &target, "question", 8, nullptr, ticket);
    });
    rw_status_t status = RW_OPTIONS(rw_status_t);
    rw_node_status nodes[4];
    insist("rw_status", [&] { return rw_status(client_, &status); });
    insist("rw_status_nodes", [&] { return rw_status_nodes(client_, nodes, 4); });
    char* answer = nullptr;
    int exit_code = 0;
    if (insist("rw_admin", [&] { return rw_admin(path_.c_str(), "{}", &answer, &exit_code); }))
      rw_free(answer);
    const InLibrary counted;
    rw_channel_close(server_);
  }

  // Send, serve what comes (a large reply to a call), until the outcome is there.
  template <typename Send>
  void exchange(const std::string& payload, const char* name, const Send& send) {
    rw_ticket ticket = 0;
    if (!broken.empty() || !insist(name, [&] { return send(&ticket); })) return;
    const TimeNs deadline = monotonic_ns() + kDeadlineNs;
    while (monotonic_ns() < deadline) {
      rw_message* message = nullptr;
      if (note("rw_receive", inside([&] { return rw_receive(server_, 0, &message); })) == RW_OK) {
        if (!same(message, payload)) broken = std::string(name) + ": another payload";
        if ((rw_message_flags(message) & RW_FLAG_CALL) != 0)
          insist("rw_reply", [&] {
            const int error =
                rw_reply(server_, message, payload.data(), payload.size(), nullptr, nullptr);
            // The engine went with its message, which is sent again to the next.
            return error == RW_ESTALE ? int{RW_OK} : error;
          });
        insist("rw_release", [&] { return rw_release(server_, message, RW_DONE); });
      }
      rw_outcome outcome{};
      const int over =
          note("rw_wait", inside([&] { return rw_wait(channel_, ticket, 1'000'000, &outcome); }));
      if (over == RW_ESTALE) broken = std::string(name) + ": its outcome was lost";
      if (!broken.empty() || over == RW_OK) break;
    }
    if (monotonic_ns() >= deadline) broken = std::string(name) + ": no outcome";
    rw_message* reply = nullptr;
    while (note("rw_receive", inside([&] { return rw_receive(channel_, 0, &reply); })) != RW_EAGAIN)
      if (reply != nullptr)
        insist("rw_release", [&] { return rw_release(channel_, reply, RW_DONE); });
  }
  int note(const char* name, int result) {
    if (result < 0 && result != RW_EAGAIN && result != RW_ETIMEOUT)
      errors.emplace_back(name, result);
    return result;
  }
  static bool same(const rw_message* message, const std::string& payload) {
    return rw_message_bytes(message) == payload.size() &&
           std::memcmp(rw_message_data(message), payload.data(), payload.size()) == 0;
  }

  std::string path_;
  rw_client* client_ = nullptr;
  rw_channel* channel_ = nullptr;
  rw_channel* server_ = nullptr;
};

struct Row {
  friend std::ostream& operator<<(std::ostream& out, const Row& row) { return out << row.name; }
  const char* name;
  Failing failing;
  std::vector<int> may_say;  ///< errors that a call may give for it
};

class FailingCalls : public testing::TestWithParam<Row> {};

TEST_P(FailingCalls, give_the_right_error_and_leave_nothing_behind) {
  const Row& row = GetParam();
  TemporaryFolder folder;
  EngineProcess engine(folder.socket());
  Story(folder.socket()).tell();  // what the first use of anything takes for good is taken now
  std::uint64_t at = 0;
  for (bool hit = true; hit && !HasFailure();) {
    ++at;
    const std::size_t descriptors = open_descriptors();
    const std::string socket = folder.socket();
    const std::int64_t live = live_allocations();
    auto story = std::make_unique<Story>(socket);
    fail_call(row.failing, at);
    story->tell();
    hit = end_failing();
    EXPECT_EQ(story->broken, "") << row.name << " " << at;
    for (const auto& [call, error] : story->errors)
      EXPECT_NE(std::find(row.may_say.begin(), row.may_say.end(), error), row.may_say.end())
          << call << " said " << rw_error_name(error) << " for " << row.name << " " << at;
    story.reset();
    EXPECT_EQ(live_allocations(), live) << row.name << " " << at;
    EXPECT_EQ(open_descriptors(), descriptors) << row.name << " " << at;
    if (hit) continue;
    EXPECT_GT(at, 1u) << row.name << " is never called: the row says nothing";
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, FailingCalls,
    testing::Values(
        Row{"new", Failing::kNew, {RW_ENOMEM, RW_ENOENGINE}},
        Row{"malloc", Failing::kMalloc, {RW_ENOMEM}}, Row{"mmap", Failing::kMmap, {RW_ENOMEM}},
        Row{"madvise", Failing::kMadvise, {}},
        Row{"memfd_create", Failing::kMemfdCreate, {RW_ENOMEM}},
        Row{"fchmod", Failing::kFchmod, {RW_ENOMEM}},
        Row{"ftruncate", Failing::kFtruncate, {RW_ENOMEM}},
        Row{"fallocate", Failing::kFallocate, {RW_ENOMEM}},
        Row{"fcntl", Failing::kFcntl, {RW_ENOMEM, RW_EVERSION}},
        Row{"fstat", Failing::kFstat, {RW_ENOMEM, RW_EVERSION, RW_EIO}},
        Row{"socket", Failing::kSocket, {RW_ESYSTEM}}, Row{"setsockopt", Failing::kSetsockopt, {}},
        Row{"connect", Failing::kConnect, {RW_ENOENGINE}},
        Row{"sendmsg", Failing::kSendmsg, {RW_ENOENGINE, RW_ESYSTEM}},
        Row{"recvmsg", Failing::kRecvmsg, {RW_ENOENGINE}}, Row{"ppoll", Failing::kPpoll, {}},
        Row{"epoll_create1", Failing::kEpollCreate, {RW_ESYSTEM}},
        Row{"epoll_ctl", Failing::kEpollCtl, {RW_ESYSTEM}},
        Row{"timerfd_create", Failing::kTimerfdCreate, {RW_ESYSTEM}},
        Row{"getrandom", Failing::kGetrandom, {}}, Row{"pidfd_open", Failing::kSyscall, {}},
        Row{"pread", Failing::kPread, {RW_EIO}}),
    [](const testing::TestParamInfo<Row>& row) { return std::string(row.param.name); });

}  // namespace
}  // namespace ringwire::ipc
