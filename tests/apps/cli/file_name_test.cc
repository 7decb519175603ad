#include "apps/cli/file_name.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "base/random.h"

namespace ringwire::cli {
namespace {

using namespace std::string_view_literals;

TEST(FileName, is_made_from_the_key_by_the_table) {
  struct Row {
    std::string_view key;
    std::string_view name;
  };
  const Row rows[] = {
      {"plain", "plain"},
      {"With-All_kinds+of=good@letters,0.9", "With-All_kinds+of=good@letters,0.9"},
      {"", "%empty"},
      {"%empty", "%25empty"},
      {".", "%2E"},
      {"..", "%2E."},
      {".hidden", "%2Ehidden"},
      {"a..b", "a..b"},
      {"../../etc/passwd", "%2E.%2F..%2Fetc%2Fpasswd"},
      {"/etc/passwd", "%2Fetc%2Fpasswd"},
      {"dir/file", "dir%2Ffile"},
      {"dir%2Ffile", "dir%252Ffile"},
      {"a b", "a%20b"},
      {"a\nb", "a%0Ab"},
      {"a\0b"sv, "a%00b"},
      {"\0"sv, "%00"},
      {"-rf", "-rf"},
      {"~", "%7E"},
      {"a\\b", "a%5Cb"},
      {"\xc3\xa9", "%C3%A9"},
      {"$(reboot)", "%24%28reboot%29"},
      {"\x1b[31m", "%1B%5B31m"},
  };
  for (const Row& row : rows) EXPECT_EQ(file_name_of_key(row.key), row.name) << row.key;
}

TEST(FileName, of_a_hash_comes_from_no_key) {
  EXPECT_EQ(file_name_of_hash(0), "%hash-0000000000000000");
  EXPECT_EQ(file_name_of_hash(0xfedcba9876543210), "%hash-fedcba9876543210");
  EXPECT_EQ(file_name_of_key("%hash-0000000000000000"), "%25hash-0000000000000000");
}

TEST(FileName, is_cut_just_above_the_limit) {
  EXPECT_EQ(file_name_of_key(std::string(240, 'a')), std::string(240, 'a'));
  const std::string cut = file_name_of_key(std::string(241, 'a'));
  EXPECT_EQ(cut.size(), 240U);
  EXPECT_EQ(cut.substr(0, 208), std::string(207, 'a') + "~");
}

TEST(FileName, is_never_cut_through_an_escape) {
  for (std::size_t lead = 0; lead < 3; ++lead) {
    const std::string name = file_name_of_key(std::string(lead, 'a') + std::string(300, '/'));
    const std::size_t mark = name.find('~');
    ASSERT_NE(mark, std::string::npos);
    EXPECT_EQ((mark - lead) % 3, 0U) << name;
    EXPECT_LE(name.size(), kMaxFileNameBytes);
  }
}

TEST(FileName, differs_for_long_keys_that_differ_at_the_end) {
  const std::string stem(1'000, 'k');
  EXPECT_NE(file_name_of_key(stem + "1"), file_name_of_key(stem + "2"));
}

// Any bytes: a name that stays in its directory, is visible and short, and belongs to one key only.
TEST(FileName, is_safe_and_unique_for_any_key) {
  Random random(7);
  std::map<std::string, std::string> key_of_name;
  for (int i = 0; i < 20'000; ++i) {
    std::string key(random.below(i % 50 == 0 ? 1'024 : 12), '\0');
    for (char& letter : key) letter = "./%~a\0e\xff"[random.below(8)];
    const std::string name = file_name_of_key(key);
    ASSERT_FALSE(name.empty());
    ASSERT_LE(name.size(), kMaxFileNameBytes);
    ASSERT_NE(name.front(), '.');
    ASSERT_EQ(name.find('/'), std::string::npos);
    ASSERT_EQ(name.find('\0'), std::string::npos);
    const auto [at, fresh] = key_of_name.emplace(name, key);
    ASSERT_EQ(at->second, key) << name;
  }
}

}  // namespace
}  // namespace ringwire::cli
