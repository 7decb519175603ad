#include "engine/node/attach_server.h"

#include <dirent.h>
#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "tests/engine/node/engine_world.h"

namespace ringwire::node {
namespace {

using ipc::AttachStatus;
using ipc::AttachType;

constexpr std::uint32_t kEntries = 64;

std::size_t open_descriptors() {
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(::opendir("/proc/self/fd"), ::closedir);
  std::size_t count = 0;
  while (::readdir(folder.get()) != nullptr) ++count;
  return count;
}

class AttachServerTest : public testing::Test {
 public:
  AttachServerTest() : node_(world_.start_ready("a")) {}

  [[nodiscard]] AttachCaller call() const { return AttachCaller(node_.socket); }

  /// The engine ended the attachment with this status, and said so.
  static void expect_ended(AttachCaller& caller, AttachStatus status) {
    const auto notice = caller.receive();
    ASSERT_TRUE(notice.has_value());
    EXPECT_EQ(notice->type(), AttachType::kClosing);
    EXPECT_EQ(notice->status(), status);
    EXPECT_FALSE(caller.receive().has_value()) << "and hung up";
  }
  void expect_alive() const {
    auto caller = call();
    const auto welcome = caller.attach(1'000);
    ASSERT_TRUE(welcome.has_value());
    EXPECT_EQ(welcome->status(), AttachStatus::kOk);
  }

  static ipc::ChannelOpenRequest channel_request(std::uint32_t channel) {
    ipc::ChannelOpenRequest request{};
    request.channel = channel;
    request.submission_entries = kEntries;
    request.release_entries = kEntries;
    request.delivery_entries = kEntries;
    request.up_file_bytes = ipc::up_file_bytes(kEntries, kEntries, 1);
    request.next_sequence = 1;
    return request;
  }
  static Descriptor up_file() {
    const std::uint64_t bytes = ipc::up_file_bytes(kEntries, kEntries, 1);
    Descriptor file = make_memory(bytes);
    ipc::UpHeader header{};
    header.magic = ipc::kUpMagic;
    header.layout_version = ipc::kLayoutVersion;
    header.worker_count = 1;
    header.file_bytes = bytes;
    header.submission_entries = kEntries;
    header.release_entries = kEntries;
    EXPECT_EQ(::pwrite(file.get(), &header, sizeof header, 0), static_cast<ssize_t>(sizeof header));
    return file;
  }
  static AttachStatus open_channel(AttachCaller& caller, std::uint32_t channel,
                                   std::uint32_t delivery_entries = kEntries) {
    const Descriptor up = up_file();
    const int number = up.get();
    auto request = channel_request(channel);
    request.delivery_entries = delivery_entries;
    const auto answer = caller.ask(AttachType::kChannelOpen, request, std::span(&number, 1));
    if (!answer) return AttachStatus::kInternal;
    EXPECT_EQ(answer->descriptors.size(), answer->status() == AttachStatus::kOk ? 3u : 0u);
    return answer->status();
  }
  static AttachStatus adopt(AttachCaller& caller, const Descriptor& file,
                            const ipc::FileRequest& request) {
    const int number = file.get();
    const auto answer = caller.ask(AttachType::kAdopt, request, std::span(&number, 1));
    return answer ? answer->status() : AttachStatus::kInternal;
  }

  EngineWorld world_;
  EngineWorld::Node node_;
};

TEST_F(AttachServerTest, welcomes_a_program_with_the_status_page) {
  auto caller = call();
  const auto answer = caller.attach(1);
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->status(), AttachStatus::kOk);
  const auto welcome = answer->as<ipc::WelcomeAnswer>();
  EXPECT_STREQ(welcome.node_name, "a");
  EXPECT_EQ(welcome.worker_count, 1u);
  EXPECT_GT(welcome.max_message_bytes, 0u);
  ASSERT_EQ(answer->descriptors.size(), 1u);
  void* page =
      ::mmap(nullptr, ipc::kStatusBytes, PROT_READ, MAP_SHARED, answer->descriptors[0].get(), 0);
  ASSERT_NE(page, MAP_FAILED);
  EXPECT_EQ(static_cast<ipc::StatusHeader*>(page)->magic, ipc::kStatusMagic);
  EXPECT_EQ(static_cast<ipc::StatusHeader*>(page)->node_count, 1u);
  ::munmap(page, ipc::kStatusBytes);
  EXPECT_EQ(::mmap(nullptr, ipc::kStatusBytes, PROT_READ | PROT_WRITE, MAP_SHARED,
                   answer->descriptors[0].get(), 0),
            MAP_FAILED)
      << "programs only read it";
}

TEST_F(AttachServerTest, opens_and_closes_channels_again_and_again) {
  auto caller = call();
  caller.attach(1);
  for (int round = 0; round < 50; ++round) {
    ASSERT_EQ(open_channel(caller, 3), AttachStatus::kOk);
    ASSERT_EQ(open_channel(caller, 3), AttachStatus::kBusy) << "the number is in use";
    const auto answer = caller.ask(AttachType::kChannelClose, ipc::ChannelRequest{3, 0});
    ASSERT_TRUE(answer.has_value());
    ASSERT_EQ(answer->status(), AttachStatus::kOk);
  }
}

TEST_F(AttachServerTest, adopts_and_drops_files) {
  auto caller = call();
  caller.attach(1);
  ASSERT_EQ(open_channel(caller, 0), AttachStatus::kOk);
  const Descriptor file = make_memory(1 << 20);
  EXPECT_EQ(adopt(caller, file, {0, 5, 1 << 20}), AttachStatus::kOk);
  EXPECT_EQ(adopt(caller, file, {0, 5, 1 << 20}), AttachStatus::kBusy) << "number in use";
  const auto dropped = caller.ask(AttachType::kDrop, ipc::FileRequest{0, 5, 0});
  ASSERT_TRUE(dropped.has_value());
  EXPECT_EQ(dropped->status(), AttachStatus::kOk);
  EXPECT_EQ(adopt(caller, file, {0, 5, 1 << 20}), AttachStatus::kOk);
}

TEST_F(AttachServerTest, refuses_files_that_break_a_rule) {
  auto caller = call();
  caller.attach(1);
  ASSERT_EQ(open_channel(caller, 0), AttachStatus::kOk);
  const struct {
    const char* name;
    int seals;
    std::uint64_t file_bytes;
    ipc::FileRequest request;
    AttachStatus expected;
  } rows[] = {
      {"not sealed", 0, 4'096, {0, 1, 4'096}, AttachStatus::kMalformed},
      {"may shrink", F_SEAL_GROW, 4'096, {0, 1, 4'096}, AttachStatus::kMalformed},
      {"smaller than said",
       F_SEAL_SHRINK | F_SEAL_GROW,
       4'096,
       {0, 1, 8'192},
       AttachStatus::kMalformed},
      {"number 0", F_SEAL_SHRINK | F_SEAL_GROW, 4'096, {0, 0, 4'096}, AttachStatus::kMalformed},
      {"no bytes", F_SEAL_SHRINK | F_SEAL_GROW, 4'096, {0, 1, 0}, AttachStatus::kMalformed},
      {"no such channel",
       F_SEAL_SHRINK | F_SEAL_GROW,
       4'096,
       {9, 1, 4'096},
       AttachStatus::kUnknown},
      {"beyond the quota",
       F_SEAL_SHRINK | F_SEAL_GROW,
       4'096,
       {0, 1, 1ULL << 40},
       AttachStatus::kLimit},
      {"absurd size", F_SEAL_SHRINK | F_SEAL_GROW, 4'096, {0, 1, UINT64_MAX}, AttachStatus::kLimit},
  };
  for (const auto& row : rows)
    EXPECT_EQ(adopt(caller, make_memory(row.file_bytes, row.seals), row.request), row.expected)
        << row.name;
  EXPECT_EQ(adopt(caller, make_memory(4'096), {0, 1, 4'096}), AttachStatus::kOk)
      << "what was refused left nothing behind";
}

TEST_F(AttachServerTest, refuses_channels_that_break_a_rule) {
  auto caller = call();
  caller.attach(1);
  const auto expect = [&](const ipc::ChannelOpenRequest& request, AttachStatus expected) {
    const Descriptor up = up_file();
    const int number = up.get();
    const auto answer = caller.ask(AttachType::kChannelOpen, request, std::span(&number, 1));
    ASSERT_TRUE(answer.has_value());
    EXPECT_EQ(answer->status(), expected);
  };
  auto request = channel_request(1'024);
  expect(request, AttachStatus::kMalformed);  // beyond max_channels
  request = channel_request(0);
  request.delivery_entries = 100;  // no power of two
  expect(request, AttachStatus::kMalformed);
  request.delivery_entries = 1u << 31;
  expect(request, AttachStatus::kMalformed);
  request = channel_request(0);
  request.up_file_bytes += 4'096;
  expect(request, AttachStatus::kMalformed);
  request = channel_request(0);
  request.next_sequence = 0;
  expect(request, AttachStatus::kMalformed);
  EXPECT_EQ(open_channel(caller, 0), AttachStatus::kOk) << "what was refused left nothing behind";
}

TEST_F(AttachServerTest, ends_an_attachment_whose_datagram_breaks_a_rule) {
  const auto good = AttachCaller::header(AttachType::kService, sizeof(ipc::ServiceRequest));
  const ipc::ServiceRequest body{};
  const auto bytes = std::as_bytes(std::span(&body, 1));
  struct Row {
    const char* name;
    ipc::AttachHeader header;
    std::size_t body_bytes;
  };
  std::vector<Row> rows(6, Row{"", good, sizeof body});
  rows[0].name = "bad magic", rows[0].header.magic ^= 1;
  rows[1].name = "unknown type", rows[1].header.type = 99;
  rows[2].name = "request 0", rows[2].header.request = 0;
  rows[3].name = "status in a request", rows[3].header.status = 1;
  rows[4].name = "half of the body", rows[4].body_bytes = 32;
  rows[5].name = "short body, said so", rows[5].header.body_bytes = 32, rows[5].body_bytes = 32;
  for (const Row& row : rows) {
    SCOPED_TRACE(row.name);
    auto caller = call();
    ASSERT_TRUE(caller.attach(2).has_value());
    caller.send(row.header, bytes.first(row.body_bytes));
    expect_ended(caller, AttachStatus::kMalformed);
  }
  auto caller = call();
  caller.send_bytes(bytes.first(3));
  expect_ended(caller, AttachStatus::kMalformed);
  expect_alive();
}

TEST_F(AttachServerTest, closes_descriptors_that_nobody_asked_for) {
  auto watcher = call();
  ASSERT_TRUE(watcher.attach(3).has_value());
  const std::size_t before = open_descriptors();
  for (const std::size_t count : {1u, 19u, 200u}) {
    const Descriptor file = make_memory(4'096);
    const std::vector<int> many(count, file.get());
    auto caller = call();
    caller.request(AttachType::kChannelClose, ipc::ChannelRequest{0, 0}, many);
    expect_ended(caller, AttachStatus::kMalformed);
  }
  EXPECT_TRUE(wait_until([&] { return open_descriptors() <= before; }))
      << before << " before, now " << open_descriptors();
}

TEST_F(AttachServerTest, wants_a_hello_first_and_only_one) {
  auto rude = call();
  rude.request(AttachType::kService, ipc::ServiceRequest{});
  expect_ended(rude, AttachStatus::kMalformed);
  auto twice = call();
  ASSERT_TRUE(twice.attach(4).has_value());
  twice.request(AttachType::kHello, AttachCaller::hello(4));
  expect_ended(twice, AttachStatus::kMalformed);
}

TEST_F(AttachServerTest, names_its_versions_to_a_program_that_does_not_fit) {
  auto caller = call();
  auto hello = AttachCaller::hello(5);
  hello.attach_version += 1;
  const auto answer = caller.ask(AttachType::kHello, hello);
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->status(), AttachStatus::kVersion);
  EXPECT_EQ(answer->as<ipc::WelcomeAnswer>().attach_version, ipc::kAttachVersion);
}

// S-31: a library that says more, or less, is told the same.
TEST_F(AttachServerTest, names_its_versions_whatever_else_a_hello_says) {
  struct Longer {
    ipc::HelloRequest hello;
    std::uint64_t more[4];
  };
  auto later = call();
  Longer longer{AttachCaller::hello(5), {}};
  longer.hello.layout_version += 1;
  const auto answer = later.ask(AttachType::kHello, longer);
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->status(), AttachStatus::kVersion);
  EXPECT_EQ(answer->as<ipc::WelcomeAnswer>().layout_version, ipc::kLayoutVersion);
  auto elder = call();
  const std::array<std::uint32_t, 24> shorter{1, 1};
  const auto refused = elder.ask(AttachType::kHello, shorter);
  ASSERT_TRUE(refused.has_value());
  EXPECT_EQ(refused->status(), AttachStatus::kVersion);
}

// S-4: in force is what both know; this engine knows none.
TEST_F(AttachServerTest, grants_only_features_that_it_knows) {
  auto caller = call();
  auto hello = AttachCaller::hello(5);
  hello.features = ~std::uint64_t{0};
  const auto answer = caller.ask(AttachType::kHello, hello);
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->status(), AttachStatus::kOk);
  EXPECT_EQ(answer->as<ipc::WelcomeAnswer>().features, ipc::kKnownFeatures);
}

TEST_F(AttachServerTest, one_attachment_id_is_attached_once_and_again_after_it_left) {
  auto first = call();
  ASSERT_EQ(first.attach(6)->status(), AttachStatus::kOk);
  ASSERT_EQ(open_channel(first, 0), AttachStatus::kOk);
  auto second = call();
  second.request(AttachType::kHello, AttachCaller::hello(6));
  expect_ended(second, AttachStatus::kDenied);
  first.hang_up();
  EXPECT_TRUE(wait_until([&] {
    auto third = call();
    const auto answer = third.attach(6);
    return answer && answer->type() == AttachType::kHello && answer->status() == AttachStatus::kOk;
  }));
}

TEST_F(AttachServerTest, a_program_that_left_gives_everything_back) {
  const auto used = [&] {
    return ask_admin(node_.socket, R"({"verb":"status"})")["memory"]["used_bytes"]
        .get<std::uint64_t>();
  };
  const std::uint64_t before = used();
  const std::size_t descriptors = open_descriptors();
  for (int round = 0; round < 3; ++round) {
    auto caller = call();
    ASSERT_TRUE(caller.attach(7 + static_cast<std::uint64_t>(round)).has_value());
    for (std::uint32_t channel = 0; channel < 20; ++channel)
      ASSERT_EQ(open_channel(caller, channel), AttachStatus::kOk);
    ASSERT_EQ(adopt(caller, make_memory(1 << 20), {0, 1, 1 << 20}), AttachStatus::kOk);
    EXPECT_GT(used(), before);
  }
  EXPECT_TRUE(wait_until([&] { return used() == before; }));
  EXPECT_TRUE(wait_until([&] { return open_descriptors() <= descriptors; }));
}

TEST_F(AttachServerTest, services_have_numbers_and_are_served_by_channels) {
  auto caller = call();
  caller.attach(8);
  ASSERT_EQ(open_channel(caller, 0), AttachStatus::kOk);
  ipc::ServiceRequest name{};
  EXPECT_EQ(caller.ask(AttachType::kService, name)->as<ipc::ServiceAnswer>().handle, 0u);
  std::memcpy(name.name, "orders", 6);
  const auto handle = caller.ask(AttachType::kService, name)->as<ipc::ServiceAnswer>().handle;
  EXPECT_EQ(handle, 1u);
  const auto status = [&](AttachType type, const ipc::ServeRequest& request) {
    return caller.ask(type, request)->status();
  };
  EXPECT_EQ(status(AttachType::kServe, {0, handle, 0, 0, 0}), AttachStatus::kOk);
  EXPECT_EQ(status(AttachType::kServe, {0, handle, 0, 0, 0}), AttachStatus::kBusy);
  EXPECT_EQ(status(AttachType::kServe, {0, handle, 2, 0, 0}), AttachStatus::kMalformed);
  EXPECT_EQ(status(AttachType::kServe, {0, 60, 0, 0, 0}), AttachStatus::kUnknown);
  EXPECT_EQ(status(AttachType::kServe, {9, handle, 0, 0, 0}), AttachStatus::kUnknown);
  EXPECT_EQ(status(AttachType::kUnserve, {0, handle, 0, 0, 0}), AttachStatus::kOk);
  EXPECT_EQ(status(AttachType::kUnserve, {0, handle, 0, 0, 0}), AttachStatus::kUnknown);
  std::memset(name.name, 'x', sizeof name.name);
  caller.request(AttachType::kService, name);
  expect_ended(caller, AttachStatus::kMalformed);
}

TEST_F(AttachServerTest, services_are_limited) {
  auto caller = call();
  caller.attach(9);
  AttachStatus last = AttachStatus::kOk;
  for (std::uint32_t number = 1; number <= worker::kMaxServices; ++number) {
    ASSERT_EQ(last, AttachStatus::kOk) << number;
    ipc::ServiceRequest name{};
    std::memcpy(name.name, "s", 1);
    std::memcpy(name.name + 1, std::to_string(number).c_str(), std::to_string(number).size());
    last = caller.ask(AttachType::kService, name)->status();
  }
  EXPECT_EQ(last, AttachStatus::kLimit);
}

TEST_F(AttachServerTest, maps_only_files_that_exist) {
  auto caller = call();
  caller.attach(10);
  const auto file = [&](std::uint32_t number) {
    return caller.ask(AttachType::kMap, ipc::FileRequest{0, number, 0});
  };
  EXPECT_EQ(file(0)->status(), AttachStatus::kUnknown);
  EXPECT_EQ(file(123'456)->status(), AttachStatus::kUnknown);
  // The first class files of the engine's own user have small numbers.
  const auto mapped = file(2);
  ASSERT_EQ(mapped->status(), AttachStatus::kOk);
  EXPECT_EQ(mapped->as<ipc::FileAnswer>().bytes, ipc::kClassFileBytes);
  ASSERT_EQ(mapped->descriptors.size(), 1u);
  EXPECT_EQ(
      ::mmap(nullptr, 4'096, PROT_READ | PROT_WRITE, MAP_SHARED, mapped->descriptors[0].get(), 0),
      MAP_FAILED)
      << "read-only";
}

TEST(AttachServerLimits, attachments_beyond_the_limit_are_refused) {
  EngineWorld world;
  const auto node = world.start_ready("a", {"limits.attachments=2"});
  AttachCaller first(node.socket), second(node.socket), third(node.socket);
  EXPECT_EQ(first.attach(1)->status(), AttachStatus::kOk);
  EXPECT_EQ(second.attach(2)->status(), AttachStatus::kOk);
  const auto answer = third.attach(3);
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->type(), AttachType::kClosing);
  EXPECT_EQ(answer->status(), AttachStatus::kLimit);
}

TEST(AttachServerLimits, channels_that_do_not_fit_the_budget_are_refused) {
  EngineWorld world;
  const auto node = world.start_ready("a", {"limits.memory=96MiB", "limits.attachments=4"});
  AttachCaller caller(node.socket);
  ASSERT_EQ(caller.attach(1)->status(), AttachStatus::kOk);
  // 16 MiB of down file each: some fit into 96 MiB, six do not.
  std::vector<AttachStatus> seen;
  for (std::uint32_t channel = 0; channel < 6; ++channel)
    seen.push_back(AttachServerTest::open_channel(caller, channel, 65'536));
  EXPECT_EQ(seen.front(), AttachStatus::kOk);
  EXPECT_EQ(seen.back(), AttachStatus::kNoMemory);
  // One closed makes room for another.
  ASSERT_EQ(caller.ask(AttachType::kChannelClose, ipc::ChannelRequest{0, 0})->status(),
            AttachStatus::kOk);
  EXPECT_EQ(AttachServerTest::open_channel(caller, 7, 65'536), AttachStatus::kOk);
}

TEST(AttachServerLimits, each_attachment_gets_its_minimum_when_all_else_is_taken) {
  EngineWorld world;
  const auto node = world.start_ready("a", {"limits.memory=96MiB", "limits.attachments=3"});
  AttachCaller greedy(node.socket), second(node.socket), third(node.socket), fourth(node.socket);
  ASSERT_EQ(greedy.attach(1)->status(), AttachStatus::kOk);
  // Ever smaller channels, until nothing is left.
  std::uint32_t channel = 0;
  for (std::uint32_t entries = 65'536; entries >= 16; entries /= 2)
    while (channel < 200 &&
           AttachServerTest::open_channel(greedy, channel, entries) == AttachStatus::kOk)
      ++channel;
  ASSERT_LT(channel, 200U);
  AttachCaller* const others[] = {&second, &third};
  for (std::uint32_t id = 2; id <= 3; ++id) {
    AttachCaller& caller = *others[id - 2];
    ASSERT_EQ(caller.attach(id)->status(), AttachStatus::kOk);
    EXPECT_EQ(AttachServerTest::open_channel(caller, 1, 65'536), AttachStatus::kNoMemory);
    // What the library asks for by default, here at one worker.
    EXPECT_EQ(AttachServerTest::open_channel(caller, 2, 512), AttachStatus::kOk);
  }
  const auto refused = fourth.attach(4);
  ASSERT_TRUE(refused.has_value());
  EXPECT_EQ(refused->status(), AttachStatus::kLimit);
  EXPECT_NE(std::string(refused->as<ipc::ClosingNotice>().text).find("[limits] attachments"),
            std::string::npos);
}

}  // namespace
}  // namespace ringwire::node
