// What one user's programs can take of an engine, and what is left for others: docs/operations.md,
// "Quotas".
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "engine/node/attach_server.h"
#include "tests/engine/node/engine_world.h"

namespace ringwire::node {
namespace {

using ipc::AttachStatus;
using ipc::AttachType;
using Callers = std::vector<std::unique_ptr<AttachCaller>>;

constexpr std::uint32_t kOther = 61'234;  // a user id that no machine has given to a person
constexpr std::uint32_t kEntries = 16;

/// Calls `act` on a thread of its own that has another user's id: the kernel keeps ids by thread,
/// and names the one that connects to the other side.
template <typename Act>
void as_user(std::uint32_t user, Act act) {
  std::thread([&] {
    ASSERT_EQ(::syscall(SYS_setresuid, -1, user, -1), 0);
    act();
  }).join();
}

class AttachLimits : public testing::Test {
 public:
  void start(std::vector<std::string> options) {
    node_ = std::make_unique<EngineWorld::Node>(world_.start_ready("a", std::move(options)));
    ::chmod(world_.folder().path().c_str(), 0755);
  }
  /// The same, and the other user may attach.
  void start_for_two(std::vector<std::string> options) {
    options.push_back("allow.users=" + std::to_string(kOther));
    start(std::move(options));
  }

  [[nodiscard]] std::unique_ptr<AttachCaller> call() const {
    return std::make_unique<AttachCaller>(node_->socket);
  }
  void call_often(Callers& callers, std::size_t count) const {
    while (count-- > 0) callers.push_back(call());
  }
  /// Attaches as often as the engine lets it; how often it did.
  std::size_t attach_until_refused(Callers& callers, std::size_t most) {
    for (std::size_t count = 0; count < most; ++count) {
      callers.push_back(call());
      const auto answer = callers.back()->attach(++last_id_);
      if (!answer || answer->status() != AttachStatus::kOk) {
        EXPECT_TRUE(answer && answer->status() == AttachStatus::kLimit);
        return count;
      }
    }
    return most;
  }

  [[nodiscard]] std::uint64_t dropped(const std::string& reason) const {
    const auto told = ask_admin(node_->socket, R"({"verb":"drops"})");
    if (!told.is_object()) return 0;
    for (const auto& row : told["drops"])
      if (row["where"] == "attach socket" && row["reason"] == reason) return row["count"];
    return 0;
  }

  static AttachStatus open_channel(AttachCaller& caller, std::uint32_t channel) {
    ipc::ChannelOpenRequest request{};
    request.channel = channel;
    request.submission_entries = request.release_entries = request.delivery_entries = kEntries;
    request.up_file_bytes = ipc::up_file_bytes(kEntries, kEntries, 1);
    request.next_sequence = 1;
    const Descriptor up = make_memory(request.up_file_bytes);
    const ipc::UpHeader header{
        ipc::kUpMagic, ipc::kLayoutVersion, 1, request.up_file_bytes, kEntries, kEntries};
    EXPECT_EQ(::pwrite(up.get(), &header, sizeof header, 0), static_cast<ssize_t>(sizeof header));
    const int number = up.get();
    const auto answer = caller.ask(AttachType::kChannelOpen, request, std::span(&number, 1));
    return answer ? answer->status() : AttachStatus::kInternal;
  }
  static AttachStatus adopt(AttachCaller& caller, std::uint32_t file, std::uint64_t bytes) {
    const Descriptor memory = make_memory(bytes);
    const int number = memory.get();
    const auto answer =
        caller.ask(AttachType::kAdopt, ipc::FileRequest{0, file, bytes}, std::span(&number, 1));
    return answer ? answer->status() : AttachStatus::kInternal;
  }
  static AttachStatus ask_for_service(AttachCaller& caller, const std::string& name) {
    ipc::ServiceRequest request{};
    std::memcpy(request.name, name.data(), name.size());
    const auto answer = caller.ask(AttachType::kService, request);
    return answer ? answer->status() : AttachStatus::kInternal;
  }

  EngineWorld world_;
  std::unique_ptr<EngineWorld::Node> node_;
  std::uint64_t last_id_ = 0;
};

TEST_F(AttachLimits, who_says_nothing_is_sent_away_and_who_attached_stays) {
  start({"timing.handshake=50ms"});
  AttachCaller attached(node_->socket);
  ASSERT_TRUE(attached.attach(1).has_value());
  AttachCaller silent(node_->socket);
  const auto notice = silent.receive();
  ASSERT_TRUE(notice.has_value());
  EXPECT_EQ(notice->type(), AttachType::kClosing);
  EXPECT_EQ(notice->status(), AttachStatus::kLimit);
  EXPECT_EQ(dropped("said_nothing"), 1u);
  EXPECT_EQ(ask_for_service(attached, "still"), AttachStatus::kOk);
}

TEST_F(AttachLimits, of_too_many_that_say_nothing_the_oldest_go) {
  start({"timing.handshake=600s"});
  Callers silent;
  call_often(silent, 100);
  EXPECT_TRUE(wait_until([&] { return dropped("said_nothing") == 36; }));
  const auto notice = silent.front()->receive();
  ASSERT_TRUE(notice.has_value());
  EXPECT_EQ(notice->status(), AttachStatus::kLimit);
  const auto welcome = silent.back()->attach(2);
  ASSERT_TRUE(welcome.has_value());
  EXPECT_EQ(welcome->status(), AttachStatus::kOk);
}

// S-31
TEST_F(AttachLimits, a_hello_with_any_other_descriptor_than_of_a_process_is_refused) {
  start({});
  AttachCaller caller(node_->socket);
  const Descriptor event(::eventfd(1, EFD_CLOEXEC));
  const int number = event.get();
  const auto notice = caller.ask(AttachType::kHello, AttachCaller::hello(1), std::span(&number, 1));
  ASSERT_TRUE(notice.has_value());
  EXPECT_EQ(notice->status(), AttachStatus::kMalformed);
  EXPECT_EQ(dropped("malformed"), 1u);
  EXPECT_EQ(dropped("surplus_descriptors"), 1u);
}

// S-30. Else answers would pile up with descriptors, which count against the engine.
TEST_F(AttachLimits, requests_wait_until_answers_are_read_and_none_is_lost) {
  start({});
  AttachCaller caller(node_->socket);
  ASSERT_TRUE(caller.attach(1).has_value());
  constexpr int kRequests = 100;
  for (int count = 0; count < kRequests; ++count)
    caller.request(AttachType::kMap, ipc::FileRequest{0, 2, 0});
  EXPECT_TRUE(wait_until([&] { return dropped("waits_for_reader") > 0; }));
  for (int count = 0; count < kRequests; ++count) {
    const auto answer = caller.receive();
    ASSERT_TRUE(answer.has_value()) << count;
    ASSERT_EQ(answer->type(), AttachType::kMap);
    ASSERT_EQ(answer->status(), AttachStatus::kOk);
    ASSERT_EQ(answer->descriptors.size(), 1u);
  }
}

/// The tests with two users.
class AttachShares : public AttachLimits {
 public:
  void SetUp() override {
    if (::geteuid() != 0)
      GTEST_SKIP() << "LANE other_users: cannot run: becoming another user wants root";
  }
};

TEST_F(AttachShares, a_user_that_is_not_named_is_refused) {
  start({});
  as_user(kOther, [&] {
    AttachCaller caller(node_->socket);
    ASSERT_TRUE(caller.connected());
    const auto notice = caller.receive();
    ASSERT_TRUE(notice.has_value());
    EXPECT_EQ(notice->status(), AttachStatus::kDenied);
  });
  EXPECT_EQ(dropped("wrong_user"), 1u);
}

TEST_F(AttachShares, one_user_does_not_get_all_attachments) {
  start_for_two({"limits.attachments=8"});
  Callers theirs, ours;
  as_user(kOther, [&] { EXPECT_EQ(attach_until_refused(theirs, 20), 6u); });
  EXPECT_EQ(dropped("attachments_reached"), 1u);
  EXPECT_EQ(attach_until_refused(ours, 20), 2u) << "what is kept for each of two: a quarter";
  theirs.clear();
  EXPECT_TRUE(wait_until([&] { return attach_until_refused(ours, 1) == 1; }));
}

TEST_F(AttachShares, one_user_does_not_get_all_connections) {
  start_for_two({"limits.attachments=8", "timing.handshake=600s"});
  Callers theirs;
  as_user(kOther, [&] { call_often(theirs, 60); });
  // 8 and 16 for each of two; of those 2 and 16 are root's. Each question here is a caller, too.
  EXPECT_TRUE(wait_until([&] { return dropped("too_many_callers") == 60 - (8 + 32 - 18); }));
  Callers ours;
  EXPECT_EQ(attach_until_refused(ours, 2), 2u);
}

TEST_F(AttachShares, one_user_does_not_get_all_services) {
  start_for_two({});
  as_user(kOther, [&] {
    AttachCaller caller(node_->socket);
    ASSERT_TRUE(caller.attach(1).has_value());
    std::uint32_t names = 0;
    while (names < 100 &&
           ask_for_service(caller, "theirs-" + std::to_string(names)) == AttachStatus::kOk)
      ++names;
    EXPECT_EQ(names, 63u - 16u);
  });
  AttachCaller caller(node_->socket);
  ASSERT_TRUE(caller.attach(2).has_value());
  EXPECT_EQ(ask_for_service(caller, "ours"), AttachStatus::kOk);
  EXPECT_EQ(ask_for_service(caller, "theirs-0"), AttachStatus::kOk) << "known: costs nothing";
}

TEST_F(AttachShares, one_user_does_not_get_all_bytes) {
  start_for_two({"limits.memory=128MiB", "limits.attachments=4"});
  constexpr std::uint64_t kMiB = 1 << 20;
  Callers callers;
  as_user(kOther, [&] {
    callers.push_back(call());
    ASSERT_TRUE(callers.back()->attach(1).has_value());
    ASSERT_EQ(open_channel(*callers.back(), 0), AttachStatus::kOk);
    EXPECT_EQ(adopt(*callers.back(), 1, 121 * kMiB), AttachStatus::kLimit);
    EXPECT_EQ(adopt(*callers.back(), 1, 120 * kMiB), AttachStatus::kOk);
  });
  EXPECT_EQ(dropped("quota_adopted_bytes"), 1u);
  AttachCaller ours(node_->socket);
  ASSERT_TRUE(ours.attach(2).has_value());
  ASSERT_EQ(open_channel(ours, 0), AttachStatus::kOk);
  EXPECT_EQ(adopt(ours, 1, 8 * kMiB), AttachStatus::kOk) << "an eighth is kept for the two";
  callers.clear();
  EXPECT_TRUE(wait_until([&] { return adopt(ours, 2, 64 * kMiB) == AttachStatus::kOk; }));
}

}  // namespace
}  // namespace ringwire::node
