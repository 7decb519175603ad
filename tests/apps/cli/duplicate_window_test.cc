#include "apps/cli/duplicate_window.h"

#include <gtest/gtest.h>

#include <set>

#include "base/random.h"

namespace ringwire::cli {
namespace {

TEST(DuplicateWindow, decides_by_the_table) {
  constexpr std::uint64_t kWindow = DuplicateWindow::kWindow;
  struct Row {
    std::uint64_t sequence;
    bool first;
  };
  const Row rows[] = {
      {0, true},
      {0, false},
      {5, true},
      {3, true},
      {3, false},
      {5, false},
      {kWindow, true},
      {1, true},   // the oldest number still inside
      {0, false},  // out of the window
      {kWindow + 1, true},
      {1, false},  // out now
      {10 * kWindow, true},
      {kWindow + 1, false},
      {9 * kWindow + 1, true},
      {9 * kWindow, false},
  };
  DuplicateWindow window;
  for (const Row& row : rows) EXPECT_EQ(window.record(row.sequence), row.first) << row.sequence;
}

// Against a naive twin that forgets nothing, with repeats and reordering inside the window.
TEST(DuplicateWindow, agrees_with_a_set) {
  Random random(11);
  DuplicateWindow window;
  std::set<std::uint64_t> seen;
  for (std::uint64_t i = 0; i < 200'000; ++i) {
    const std::uint64_t back = random.below(1'000);
    const std::uint64_t sequence = i > back ? i - back : i;
    EXPECT_EQ(window.record(sequence), seen.insert(sequence).second) << sequence;
  }
}

}  // namespace
}  // namespace ringwire::cli
