#include "base/zeroed_array.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <utility>

namespace ringwire {
namespace {

struct Cell {
  std::uint32_t number = 7;  // what an element that was never used has not
  std::uint32_t other = 0;
};

TEST(ZeroedArray, elements_begin_as_zero_bytes) {
  const ZeroedArray<Cell> cells(10'000);
  ASSERT_EQ(cells.size(), 10'000U);
  EXPECT_TRUE(std::ranges::all_of(
      cells, [](const Cell& cell) { return cell.number == 0 && cell.other == 0; }));
}

TEST(ZeroedArray, keeps_what_is_written) {
  ZeroedArray<Cell> cells(3);
  cells[2] = Cell{};
  cells[0].other = 5;
  EXPECT_EQ(cells[2].number, 7U);
  EXPECT_EQ(cells[0].other, 5U);
  EXPECT_EQ(cells[1].other, 0U);
}

TEST(ZeroedArray, is_a_span) {
  ZeroedArray<Cell> cells(4);
  const std::span<Cell> all = cells;
  EXPECT_EQ(all.data(), cells.data());
  EXPECT_EQ(all.size(), 4U);
}

TEST(ZeroedArray, gives_back_once_what_it_took_wherever_it_moved) {
  static std::size_t taken_bytes;
  static std::size_t given_bytes;
  taken_bytes = given_bytes = 0;
  const ZeroedMemory memory{.take =
                                [](std::size_t bytes) {
                                  taken_bytes += bytes;
                                  return std::calloc(1, bytes);
                                },
                            .give_back =
                                [](void* taken, std::size_t bytes) {
                                  given_bytes += bytes;
                                  std::free(taken);
                                }};
  {
    ZeroedArray<Cell> cells(4, memory);
    Cell* const data = cells.data();
    const ZeroedArray<Cell> moved = std::move(cells);
    EXPECT_EQ(moved.data(), data);
    EXPECT_EQ(taken_bytes, 4 * sizeof(Cell));
    EXPECT_EQ(given_bytes, 0U);
  }
  EXPECT_EQ(given_bytes, 4 * sizeof(Cell));
}

}  // namespace
}  // namespace ringwire
