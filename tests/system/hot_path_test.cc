// What a worker of a real engine does on the message path, counted while real programs send through
// it as fast as they can: page faults (as the kernel counts them), allocations (malloc and free of
// this program are its own here) and system calls (a tracer). Everything is counted over so many
// messages, once what this traffic needs has been made.
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "ipc/ringwire.hpp"
#include "tests/engine/node/engine_world.h"
#include "tests/system/call_tracer.h"
#include "tests/system/heap_counter.h"

namespace ringwire {
namespace {

using namespace std::chrono_literals;

struct Traffic {
  std::string name;
  std::size_t bytes = 64;
  rw::Level level = rw::Level::kProcessed;
  bool call = false;      ///< and each is answered with as many bytes
  bool share = false;     ///< by reference
  bool timed = false;     ///< each has a time by which it must be over
  bool sleeping = false;  ///< programs sleep until something comes, in place of looking again
  int consumers = 1;      ///< of the group
  std::uint64_t keys = 1;
  std::uint64_t under_way = 32;
  std::uint64_t warm = 4'000;
  std::uint64_t counted = 5'000;
};

std::ostream& operator<<(std::ostream& out, const Traffic& traffic) { return out << traffic.name; }

/// Programs of one node that keep a traffic up until they are told to end.
class Programs {
 public:
  Programs(const std::string& socket, const Traffic& traffic) : traffic_(traffic), socket_(socket) {
    for (int count = 0; count < traffic.consumers; ++count)
      threads_.emplace_back([this] { consume(); });
    while (serving_ < traffic.consumers) std::this_thread::yield();
    threads_.emplace_back([this] { send(); });
  }
  ~Programs() {
    ends_ = true;
    threads_.back().join();
    sender_ended_ = true;
    threads_.pop_back();
    for (std::thread& thread : threads_) thread.join();
  }
  Programs(const Programs&) = delete;
  Programs& operator=(const Programs&) = delete;

  /// Waits for `count` more messages to be over, however slow the machine is while they get on.
  /// Returns how many were, or 0 if they stopped.
  std::uint64_t await_messages(std::uint64_t count) const {
    const std::uint64_t from = over_;
    std::uint64_t seen = from;
    while (seen < from + count) {
      if (!node::wait_until([&] { return over_ != seen; })) return 0;
      seen = over_;
    }
    return seen - from;
  }
  [[nodiscard]] std::uint64_t wrong() const { return wrong_; }

 private:
  static constexpr std::chrono::milliseconds kNap =
      100ms;  ///< of who sleeps, until it looks whether all is over

  void consume() {
    auto client = rw::Client::open({.socket = socket_.c_str()});
    auto channel = client->open_channel();
    if (!channel->serve({.share = traffic_.share}).ok()) ++wrong_;
    ++serving_;
    const std::vector<std::byte> answer(traffic_.bytes, std::byte{7});
    while (!sender_ended_) {
      auto message = channel->receive(traffic_.sleeping ? kNap : rw::kNoWait);
      if (!message.ok()) {
        std::this_thread::yield();
        continue;
      }
      if (message->data().size() != traffic_.bytes || message->shared() != traffic_.share) ++wrong_;
      if (traffic_.call && !message->reply(answer).ok()) ++wrong_;
      if (!message->release().ok()) ++wrong_;
      ++received_;
      // Of its answers, how they ended.
      if (traffic_.call) static_cast<void>(channel->poll());
    }
  }

  void send() {
    auto client = rw::Client::open({.socket = socket_.c_str()});
    auto channel = client->open_channel();
    const std::vector<std::byte> data(traffic_.bytes, std::byte{5});
    const rw::SendOptions options{.level = traffic_.level,
                                  .timeout = traffic_.timed ? rw::Wait(1h) : rw::Wait{},
                                  .share = traffic_.share};
    std::uint64_t sent = 0;
    std::uint64_t over = 0;
    while (!ends_ || over < sent) {
      // Of level none a message is over when it was taken: consumers must keep up, too.
      const std::uint64_t in_the_way = sent - std::min<std::uint64_t>(over, received_);
      for (std::uint64_t room = traffic_.under_way - std::min(in_the_way, traffic_.under_way);
           room != 0 && !ends_; --room) {
        const rw::Target target = rw::to_hash(sent % traffic_.keys);
        const auto ticket = traffic_.call ? channel->start_call(target, data, options)
                                          : channel->send(target, data, options);
        if (!ticket.ok()) ++wrong_;
        ++sent;
      }
      over += traffic_.call ? take_answers(*channel) : take_outcomes(*channel);
      over_ = over;
    }
  }

  std::uint64_t take_outcomes(rw::Channel& channel) {
    if (traffic_.sleeping && channel.outstanding().ok()) {
      // Sleeps for whichever comes first, as a program with an event loop does.
      pollfd bell{*channel.descriptor(), POLLIN, 0};
      ::poll(&bell, 1, static_cast<int>(kNap.count()));
    }
    std::array<rw_outcome, 64> outcomes;
    const int count = rw_poll(channel.get(), outcomes.data(), static_cast<int>(outcomes.size()));
    if (count <= 0) std::this_thread::yield();
    for (int at = 0; at < count; ++at)
      if (outcomes[static_cast<std::size_t>(at)].ending != RW_ENDING_DONE) ++wrong_;
    return static_cast<std::uint64_t>(std::max(count, 0));
  }

  std::uint64_t take_answers(rw::Channel& channel) {
    std::uint64_t count = 0;
    for (auto answer = channel.receive(rw::kNoWait); answer.ok();
         answer = channel.receive(rw::kNoWait)) {
      if (!answer->is_reply() || answer->data().size() != traffic_.bytes) ++wrong_;
      static_cast<void>(answer->release());
      ++count;
    }
    if (count == 0) std::this_thread::yield();
    static_cast<void>(channel.poll());
    return count;
  }

  const Traffic traffic_;
  const std::string socket_;
  std::atomic<int> serving_{0};
  std::atomic<bool> ends_{false};
  std::atomic<bool> sender_ended_{false};
  std::atomic<std::uint64_t> over_{0};
  std::atomic<std::uint64_t> received_{0};
  std::atomic<std::uint64_t> wrong_{0};
  std::vector<std::thread> threads_;  // consumers, then the sender
};

/// The engine's worker, among the threads of this process.
pid_t worker_thread() {
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::string name;
    std::getline(std::ifstream(task.path() / "comm"), name);
    if (name.starts_with("rw-worker")) return std::stoi(task.path().filename());
  }
  return 0;
}

/// Minor and major: fields 10 and 12 of proc(5)'s stat.
std::uint64_t page_faults(pid_t thread) {
  std::string text;
  std::getline(std::ifstream("/proc/self/task/" + std::to_string(thread) + "/stat"), text);
  std::istringstream fields(text.substr(text.rfind(')') + 2));
  std::string skipped;
  for (int field = 3; field < 10; ++field) fields >> skipped;
  std::uint64_t minor = 0;
  std::uint64_t major = 0;
  fields >> minor >> skipped >> major;
  return minor + major;
}

class HotPath : public ::testing::TestWithParam<Traffic> {
 protected:
  static constexpr int kMostWindows = 20;

  /// Receiving memory that the engine has, and how often a worker had to make some itself.
  std::string extent_memory() const {
    const nlohmann::json told = node::ask_admin(engine_.socket, R"({"verb":"status"})");
    std::string text;
    for (const auto& term : told["memory"]["terms"])
      if (term["name"] == "extent_files") text += term.dump();
    for (const auto& worker : told["workers"]) text += worker["sync_growth"].dump() + " ";
    return text;
  }

  node::EngineWorld world_;
  // Its core is its own as far as this machine has one: it does not sleep while nobody sends.
  node::EngineWorld::Node engine_ = world_.start_ready("s1", {"node.idle=spin"});
};

TEST_P(HotPath, takes_neither_faults_nor_memory) {
  const pid_t worker = worker_thread();
  ASSERT_NE(worker, 0);
  Programs programs(engine_.socket, GetParam());
  ASSERT_NE(programs.await_messages(GetParam().warm), 0U);
  // A window in which the engine's memory grew is not one of steady traffic: the next is looked at.
  // It must not grow for ever.
  for (int window = 0; window < kMostWindows; ++window) {
    const std::string before = extent_memory();
    system_test::count_heap_of(worker);
    const std::uint64_t faults = page_faults(worker);
    const std::uint64_t messages = programs.await_messages(GetParam().counted);
    const std::uint64_t more_faults = page_faults(worker) - faults;
    const std::uint64_t heap_calls = system_test::heap_calls();
    system_test::count_heap_of(0);
    ASSERT_NE(messages, 0U);
    EXPECT_EQ(programs.wrong(), 0U);
    if (extent_memory() != before) continue;
    EXPECT_EQ(more_faults, 0U) << "in " << messages << " messages, window " << window;
    EXPECT_EQ(heap_calls, 0U) << "in " << messages << " messages, window " << window;
    return;
  }
  FAIL() << "memory grew in each of " << kMostWindows << " windows: " << extent_memory();
}

TEST_P(HotPath, calls_the_system_for_its_port_and_for_who_sleeps_only) {
  system_test::CallTracer tracer;
  Programs programs(engine_.socket, GetParam());
  ASSERT_NE(programs.await_messages(GetParam().warm / 4), 0U);
  if (!tracer.start(worker_thread()))
    GTEST_SKIP() << "LANE hot_path_calls: cannot run: this process may not trace its threads";
  const std::uint64_t messages = programs.await_messages(GetParam().counted / 10);
  std::map<std::string, std::uint64_t> calls = tracer.stop();
  EXPECT_NE(messages, 0U);
  EXPECT_EQ(programs.wrong(), 0U);
  for (const auto& [name, count] : calls)
    std::printf("%s: %llu in %llu messages\n", name.c_str(), static_cast<unsigned long long>(count),
                static_cast<unsigned long long>(messages));
  // It looks at the kernel's socket of its port, which never has anything here, and at the bells of
  // programs that it does not look at itself.
  calls.erase("recvmmsg");
  calls.erase("epoll_pwait2");
  if (GetParam().sleeping) {
    // One wake for each program that sleeps, and no more than one for each message and outcome.
    EXPECT_GT(calls["write"], 0U);
    EXPECT_LE(calls["write"], 2 * (messages + GetParam().under_way));
    calls.erase("write");
  }
  EXPECT_TRUE(calls.empty()) << calls.begin()->first;
}

/// Files of receiving memory that this process has mapped.
std::size_t extent_files() {
  std::ifstream maps("/proc/self/maps");
  std::size_t count = 0;
  for (std::string line; std::getline(maps, line);)
    if (line.find("ringwire-extents") != std::string::npos) ++count;
  return count;
}

class GrowingMemory : public ::testing::Test {
 protected:
  static constexpr std::size_t kBytes = 60'000;  // of 66,560: 15 to a file
  static constexpr std::size_t kPerFile = 15;
  static constexpr int kWarm = 30;
  static constexpr int kCounted = 45;
  static constexpr int kMostWindows = 6;

  /// A message that stays: its reader does not give it back.
  bool send_one() {
    const auto ticket = sending_.send(rw::to_key("k"), data_, {.level = rw::Level::kAccepted});
    auto outcome = sending_.wait(*ticket);
    return outcome.ok() && outcome->done();
  }
  /// Sends so many. The next file is asked for when the last has 3 left at most: it is waited for
  /// when there are 2.
  bool send_slowly(int count) {
    for (; count > 0; --count, ++sent_) {
      const std::size_t wanted = first_files_ + (sent_ + 2) / kPerFile;
      if (!node::wait_until([&] { return extent_files() >= wanted; }) || !send_one()) return false;
    }
    return true;
  }
  std::uint64_t sync_growth() const {
    return node::ask_admin(engine_.socket, R"({"verb":"status"})")["workers"][0]["sync_growth"];
  }

  node::EngineWorld world_;
  node::EngineWorld::Node engine_ = world_.start_ready("s1", {"node.idle=spin"});
  rw::Client client_ = std::move(*rw::Client::open({.socket = engine_.socket.c_str()}));
  rw::Channel reading_ = std::move(*client_.open_channel());
  rw::Channel sending_ = std::move(*client_.open_channel());
  const std::vector<std::byte> data_ = std::vector<std::byte>(kBytes, std::byte{5});
  const std::size_t first_files_ = extent_files();
  std::size_t sent_ = 0;
};

TEST_F(GrowingMemory, takes_neither_faults_nor_memory_of_the_worker) {
  const pid_t worker = worker_thread();
  ASSERT_NE(worker, 0);
  ASSERT_TRUE(reading_.serve().ok());
  ASSERT_TRUE(send_slowly(kWarm));
  // A file that is mapped may reach the worker too late, who then makes one: not that is counted.
  for (int window = 0; window < kMostWindows; ++window) {
    const std::size_t files = extent_files();
    const std::uint64_t made_by_worker = sync_growth();
    system_test::count_heap_of(worker);
    const std::uint64_t faults = page_faults(worker);
    ASSERT_TRUE(send_slowly(kCounted));
    const std::uint64_t more_faults = page_faults(worker) - faults;
    const std::uint64_t heap_calls = system_test::heap_calls();
    system_test::count_heap_of(0);
    if (sync_growth() != made_by_worker) continue;
    EXPECT_GE(extent_files(), files + 2);
    EXPECT_EQ(more_faults, 0U) << "window " << window;
    EXPECT_EQ(heap_calls, 0U) << "window " << window;
    return;
  }
  FAIL() << "the helper was too late in each of " << kMostWindows << " windows";
}

// A counter that stays at 0 might count nothing.
TEST(HotPathCounters, count_what_a_thread_takes) {
  system_test::CallTracer tracer;
  std::atomic<pid_t> id{0};
  std::atomic<int> step{0};
  std::thread thread([&] {
    id = ::gettid();
    while (step == 0) std::this_thread::yield();
    static_cast<void>(::getppid());
    step = 2;
    while (step != 3) std::this_thread::yield();
    std::vector<char*> pages;
    for (int count = 0; count < 64; ++count) pages.push_back(new char[1 << 20]());
    for (const char* page : pages) delete[] page;
    step = 4;
    while (step != 5) std::this_thread::yield();
  });
  while (id == 0) std::this_thread::yield();
  const bool traces = tracer.start(id);
  step = 1;
  while (step != 2) std::this_thread::yield();
  const auto calls = tracer.stop();
  const std::uint64_t faults = page_faults(id);
  system_test::count_heap_of(id);
  step = 3;
  while (step != 4) std::this_thread::yield();
  EXPECT_GE(system_test::heap_calls(), 128U);
  system_test::count_heap_of(0);
  EXPECT_GE(page_faults(id) - faults, 64U);
  step = 5;
  thread.join();
  if (traces) {
    EXPECT_EQ(calls.at("getppid"), 1U);
  }
}

const std::vector<Traffic> kTraffics = {
    {.name = "in_the_entry_processed"},
    {.name = "in_the_entry_accepted", .level = rw::Level::kAccepted},
    {.name = "in_the_entry_none", .level = rw::Level::kNone},
    {.name = "in_the_entry_timed", .timed = true},
    {.name = "in_the_entry_many_keys_group_of_three", .consumers = 3, .keys = 1'000},
    {.name = "in_the_entry_call_and_reply", .call = true},
    {.name = "in_the_entry_sleeping",
     .sleeping = true,
     .under_way = 2,
     .warm = 400,
     .counted = 1'000},
    {.name = "extent_of_1_kb", .bytes = 1'000},
    {.name = "extent_of_1_kb_none", .bytes = 1'000, .level = rw::Level::kNone},
    {.name = "extent_of_20_kb_group_of_three",
     .bytes = 20'000,
     .consumers = 3,
     .keys = 1'000,
     .warm = 1'000,
     .counted = 1'000},
    {.name = "extent_of_20_kb_call_and_reply",
     .bytes = 20'000,
     .call = true,
     .warm = 1'000,
     .counted = 1'000},
    {.name = "1_mb_copied", .bytes = 1'000'000, .under_way = 4, .warm = 100, .counted = 100},
    {.name = "1_mb_by_reference",
     .bytes = 1'000'000,
     .share = true,
     .under_way = 4,
     .warm = 100,
     .counted = 100},
};

INSTANTIATE_TEST_SUITE_P(Of, HotPath, ::testing::ValuesIn(kTraffics),
                         [](const auto& traffic) { return traffic.param.name; });

}  // namespace
}  // namespace ringwire
