// What a session costs that is agreed but not used: its room is reserved when it is made, memory
// comes page by page with its first messages; also when the process has had sessions before.
#include "engine/node/untouched_pages.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <vector>

#include "engine/transport/session.h"

namespace ringwire::node {
namespace {

using transport::Session;
using transport::SessionConfig;

constexpr std::uint32_t kSlots = 4'096;
constexpr std::size_t kSessions = 64;  // so many that what the counting misses is little of each

std::uint64_t resident_bytes() {
  std::FILE* file = std::fopen("/proc/self/statm", "r");
  if (file == nullptr) return 0;
  unsigned long long all = 0;
  unsigned long long resident = 0;
  const int fields = std::fscanf(file, "%llu %llu", &all, &resident);
  std::fclose(file);
  return fields == 2 ? resident * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE)) : 0;
}

std::vector<std::unique_ptr<Session>> idle_sessions() {
  std::vector<std::unique_ptr<Session>> sessions;
  for (std::size_t count = 0; count < kSessions; ++count) {
    SessionConfig config;
    config.local_connection_id = 2 * count + 1;
    config.remote_connection_id = 2 * count + 2;
    config.max_packet_bytes = 8'944;
    config.message_slots = kSlots;
    config.memory = untouched_pages();
    sessions.push_back(std::make_unique<Session>(config, 0));
  }
  return sessions;
}

TEST(UntouchedPages, idle_sessions_cost_a_small_part_of_what_they_reserve) {
  const std::uint64_t reserved_bytes = Session::memory_bytes(kSlots);
  ASSERT_GT(reserved_bytes, 1'500'000U);
  const std::uint64_t before_bytes = resident_bytes();
  ASSERT_GT(before_bytes, 0U);
  for (int generation = 0; generation < 3; ++generation) {
    const auto sessions = idle_sessions();
    const std::uint64_t now_bytes = std::max(resident_bytes(), before_bytes);
    const std::uint64_t each_bytes = (now_bytes - before_bytes) / kSessions;
    std::printf("an idle session: %llu of %llu bytes\n",
                static_cast<unsigned long long>(each_bytes),
                static_cast<unsigned long long>(reserved_bytes));
    EXPECT_LT(each_bytes, reserved_bytes / 32) << "generation " << generation;
  }
}

TEST(UntouchedPages, are_zero_and_can_be_written) {
  const ZeroedMemory memory = untouched_pages();
  constexpr std::size_t kBytes = 100'000;
  auto* bytes = static_cast<unsigned char*>(memory.take(kBytes));
  ASSERT_NE(bytes, nullptr);
  EXPECT_TRUE(std::all_of(bytes, bytes + kBytes, [](unsigned char byte) { return byte == 0; }));
  bytes[kBytes - 1] = 7;
  EXPECT_EQ(bytes[kBytes - 1], 7);
  memory.give_back(bytes, kBytes);
}

TEST(UntouchedPages, are_refused_when_there_are_none) {
  EXPECT_EQ(untouched_pages().take(std::size_t{1} << 60), nullptr);
}

}  // namespace
}  // namespace ringwire::node
