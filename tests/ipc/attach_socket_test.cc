#include "ipc/attach_socket.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <functional>
#include <utility>
#include <vector>

// A wait for a socket, and the clock, by the linker: a test can be a process that stood still.
namespace {

struct StoodStill {
  std::function<void()> in_wait;  ///< once, in place of the next wait
  ringwire::DurationNs ns = 0;    ///< the clock is ahead by this
};
StoodStill stood_still;

}  // namespace

extern "C" {

int __real_clock_gettime(clockid_t clock, timespec* now);
int __wrap_clock_gettime(clockid_t clock, timespec* now) {
  const int result = __real_clock_gettime(clock, now);
  now->tv_sec += stood_still.ns / ringwire::kSecondNs;
  return result;
}

int __real_ppoll(pollfd* waits, nfds_t count, const timespec* timeout, const sigset_t* mask);
int __wrap_ppoll(pollfd* waits, nfds_t count, const timespec* timeout, const sigset_t* mask) {
  if (!stood_still.in_wait) return __real_ppoll(waits, count, timeout, mask);
  std::exchange(stood_still.in_wait, nullptr)();
  return 0;
}

}  // extern "C"

namespace ringwire::ipc {
namespace {

struct AttachSocket : testing::Test {
  AttachSocket() { EXPECT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0); }
  ~AttachSocket() override {
    close(ends[0]);
    if (ends[1] >= 0) close(ends[1]);
  }
  static AttachHeader header(std::uint32_t body_bytes) {
    return {.magic = kAttachMagic,
            .type = static_cast<std::uint32_t>(AttachType::kDrop),
            .request = 5,
            .status = 0,
            .body_bytes = body_bytes};
  }
  int ends[2] = {-1, -1};
  Datagram datagram;
};

TEST_F(AttachSocket, carries_a_body_and_descriptors) {
  const FileRequest body{.channel = 1, .file = 2, .bytes = 3};
  const int sent[2] = {ends[0], ends[1]};
  ASSERT_EQ(
      send_datagram(ends[0], header(sizeof body), std::as_bytes(std::span(&body, 1)), sent, 0),
      SocketResult::kDone);
  ASSERT_EQ(receive_datagram(ends[1], datagram, 0), SocketResult::kDone);
  EXPECT_EQ(datagram.header().request, 5u);
  ASSERT_TRUE(datagram.body_as<FileRequest>().has_value());
  EXPECT_EQ(datagram.body_as<FileRequest>()->bytes, 3u);
  EXPECT_FALSE(datagram.body_as<HelloRequest>().has_value()) << "another size";
  EXPECT_EQ(datagram.descriptor_count(), 2u);
  const int taken = datagram.take_descriptor(0);
  EXPECT_NE(fcntl(taken, F_GETFD) & FD_CLOEXEC, 0);
  close(taken);
  EXPECT_EQ(datagram.take_descriptor(0), -1) << "taken once";
  EXPECT_EQ(datagram.take_descriptor(2), -1);
}

TEST_F(AttachSocket, descriptors_that_nobody_takes_are_closed) {
  const int before = dup(ends[0]);
  close(before);
  ASSERT_EQ(send_datagram(ends[0], header(0), {}, std::span(ends, 1), 0), SocketResult::kDone);
  {
    Datagram short_lived;
    ASSERT_EQ(receive_datagram(ends[1], short_lived, 0), SocketResult::kDone);
    ASSERT_EQ(short_lived.descriptor_count(), 1u);
  }
  const int after = dup(ends[0]);
  EXPECT_EQ(after, before) << "the lowest free number is the same as before";
  close(after);
}

TEST_F(AttachSocket, tells_nothing_yet_from_hung_up) {
  EXPECT_EQ(receive_datagram(ends[0], datagram, 0), SocketResult::kTimeout);
  close(ends[1]);
  ends[1] = -1;
  EXPECT_EQ(receive_datagram(ends[0], datagram, 0), SocketResult::kClosed);
  EXPECT_EQ(send_datagram(ends[0], header(0), {}, {}, 0), SocketResult::kClosed);
}

TEST_F(AttachSocket, an_answer_that_came_while_its_reader_stood_still_counts) {
  stood_still.in_wait = [&] {
    EXPECT_EQ(send_datagram(ends[1], header(0), {}, {}, 0), SocketResult::kDone);
    stood_still.ns += 100 * kSecondNs;
  };
  EXPECT_EQ(receive_datagram(ends[0], datagram, monotonic_ns() + kSecondNs), SocketResult::kDone);
}

TEST_F(AttachSocket, time_in_which_the_reader_stood_still_is_not_the_others) {
  // The other side stood still beside it, and answers a little later.
  stood_still.in_wait = [&] {
    stood_still.ns += 100 * kSecondNs;
    stood_still.in_wait = [&] {
      EXPECT_EQ(send_datagram(ends[1], header(0), {}, {}, 0), SocketResult::kDone);
    };
  };
  EXPECT_EQ(receive_datagram(ends[0], datagram, monotonic_ns() + kSecondNs), SocketResult::kDone);
}

TEST_F(AttachSocket, who_stood_still_at_the_very_end_looks_once_more) {
  stood_still.in_wait = [&] {
    stood_still.ns += 100 * kSecondNs;
    stood_still.in_wait = [&] {
      EXPECT_EQ(send_datagram(ends[1], header(0), {}, {}, 0), SocketResult::kDone);
    };
  };
  EXPECT_EQ(receive_datagram(ends[0], datagram, monotonic_ns() + 1), SocketResult::kDone);
}

TEST_F(AttachSocket, who_is_not_answered_gives_up) {
  EXPECT_EQ(receive_datagram(ends[0], datagram, monotonic_ns() + kMillisecondNs),
            SocketResult::kTimeout);
}

struct Bad {
  const char* name;
  std::vector<unsigned char> bytes;
};

TEST_F(AttachSocket, what_was_said_before_hanging_up_unasked_is_still_heard) {
  ASSERT_EQ(send_datagram(ends[1], header(0), {}, {}, 0), SocketResult::kDone);
  ASSERT_EQ(send_datagram(ends[0], header(0), {}, {}, 0), SocketResult::kDone);
  close(std::exchange(ends[1], -1));  // without having read what came
  EXPECT_EQ(receive_datagram(ends[0], datagram, 0), SocketResult::kDone);
  EXPECT_EQ(receive_datagram(ends[0], datagram, 0), SocketResult::kClosed);
}

// S-30.
TEST_F(AttachSocket, refuses_datagrams_of_a_wrong_form) {
  std::vector<unsigned char> good(sizeof(AttachHeader));
  const AttachHeader right = header(0);
  std::memcpy(good.data(), &right, sizeof right);
  std::vector<unsigned char> magic = good;
  magic[0] = 0;
  std::vector<unsigned char> longer = good;
  longer.push_back(1);
  std::vector<unsigned char> shorter(good.begin(), good.end() - 1);
  std::vector<unsigned char> huge(kMaxDatagramBytes + 1);
  std::memcpy(huge.data(), &right, sizeof right);
  for (const Bad& row : {Bad{"magic", magic}, Bad{"longer than it says", longer},
                         Bad{"half a header", shorter}, Bad{"too long", huge}}) {
    ASSERT_EQ(::send(ends[0], row.bytes.data(), row.bytes.size(), 0),
              static_cast<ssize_t>(row.bytes.size()));
    EXPECT_EQ(receive_datagram(ends[1], datagram, 0), SocketResult::kMalformed) << row.name;
  }
}

TEST_F(AttachSocket, refuses_more_descriptors_than_there_may_be) {
  const std::vector<int> many(kMaxDescriptors + 1, ends[0]);
  EXPECT_EQ(send_datagram(ends[0], header(0), {}, many, 0), SocketResult::kSystem);
}

TEST_F(AttachSocket, tells_a_full_table_of_descriptors_from_a_broken_rule) {
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  ASSERT_EQ(send_datagram(ends[0], header(0), {}, std::span(ends, 1), 0), SocketResult::kDone);
  ASSERT_EQ(send_datagram(ends[0], header(0), {}, {}, 0), SocketResult::kDone);
  const rlimit none{.rlim_cur = 0, .rlim_max = before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  const SocketResult result = receive_datagram(ends[1], datagram, 0);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_EQ(result, SocketResult::kCut);
  EXPECT_EQ(datagram.header().request, 5U);
  EXPECT_EQ(datagram.descriptor_count(), 0U);
  EXPECT_EQ(receive_datagram(ends[1], datagram, 0), SocketResult::kDone) << "and goes on";
}

}  // namespace
}  // namespace ringwire::ipc
