#include "apps/cli/table.h"

#include <gtest/gtest.h>

#include "apps/cli/progress.h"

namespace ringwire::cli {
namespace {

Table two_nodes() {
  Table table({{"NODE"}, {"COUNT", Table::Align::kRight}, {"STATE"}});
  table.add({std::string("a"), std::string("7"), {"serving", Tint::kGood}});
  table.add({std::string("bcdefg"), std::string("1,234"), {"", Tint::kNone}});
  return table;
}

TEST(Table, aligns_its_columns_without_blanks_at_line_ends) {
  EXPECT_EQ(two_nodes().render(Colour::kOff),
            "NODE    COUNT  STATE\n"
            "a           7  serving\n"
            "bcdefg  1,234\n");
}

TEST(Table, counts_widths_without_colour) {
  EXPECT_EQ(two_nodes().render(Colour::kOn),
            "\x1b[1mNODE\x1b[0m    \x1b[1mCOUNT\x1b[0m  \x1b[1mSTATE\x1b[0m\n"
            "a           7  \x1b[32mserving\x1b[0m\n"
            "bcdefg  1,234\n");
}

TEST(Table, makes_escape_sequences_of_others_harmless) {
  Table table({{"LABEL"}});
  table.add({std::string("\x1b]0;owned\x07")});
  EXPECT_EQ(table.render(Colour::kOff), "LABEL\n\\x1b]0;owned\\x07\n");
}

TEST(Bar, is_as_full_as_the_work_is_done) {
  EXPECT_EQ(bar(0, 10, 4), "[----]");
  EXPECT_EQ(bar(5, 10, 4), "[##--]");
  EXPECT_EQ(bar(10, 10, 4), "[####]");
  EXPECT_EQ(bar(20, 10, 4), "[####]");
  EXPECT_EQ(bar(0, 0, 4), "[####]");
}

}  // namespace
}  // namespace ringwire::cli
