#include "apps/cli/file_saver.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>

#include "apps/cli/exit_code.h"

namespace ringwire::cli {
namespace {

namespace fs = std::filesystem;

class FileSaverTest : public ::testing::Test {
 protected:
  FileSaverTest() {
    std::string pattern = ::testing::TempDir() + "ringwire-XXXXXX";
    EXPECT_NE(::mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
  }
  ~FileSaverTest() override { fs::remove_all(directory_); }

  FileSaver saver(FileSaver::Sync sync = FileSaver::Sync::kOn) {
    return FileSaver(directory_.string(), ".part", sync);
  }
  [[nodiscard]] std::string contents_of(const std::string& name) const {
    std::ifstream file(directory_ / name, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  [[nodiscard]] std::size_t file_count() const {
    return static_cast<std::size_t>(
        std::distance(fs::directory_iterator(directory_), fs::directory_iterator()));
  }

  fs::path directory_;
};

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

TEST_F(FileSaverTest, saves_under_the_name_and_leaves_nothing_else) {
  for (const auto sync : {FileSaver::Sync::kOn, FileSaver::Sync::kOff}) {
    saver(sync).save("name", bytes_of("hello"));
    EXPECT_EQ(contents_of("name"), "hello");
    EXPECT_EQ(file_count(), 1U);
  }
}

TEST_F(FileSaverTest, replaces_a_longer_file) {
  FileSaver files = saver();
  files.save("name", bytes_of("a long first version"));
  files.save("name", bytes_of("short"));
  EXPECT_EQ(contents_of("name"), "short");
  EXPECT_EQ(file_count(), 1U);
}

TEST_F(FileSaverTest, saves_an_empty_file) {
  saver().save("empty", {});
  EXPECT_TRUE(fs::exists(directory_ / "empty"));
  EXPECT_EQ(contents_of("empty"), "");
}

TEST_F(FileSaverTest, begins_again_over_what_a_crash_left_behind) {
  std::ofstream(directory_ / ".part") << "half of something that was longer";
  saver().save("name", bytes_of("whole"));
  EXPECT_EQ(contents_of("name"), "whole");
  EXPECT_EQ(file_count(), 1U);
}

TEST_F(FileSaverTest, does_not_write_through_a_planted_link) {
  std::ofstream(directory_ / "victim") << "untouched";
  fs::create_symlink("victim", directory_ / ".part");
  EXPECT_THROW(saver().save("name", bytes_of("x")), std::system_error);
  EXPECT_EQ(contents_of("victim"), "untouched");
}

// A limit on the file size stands in for a full disk: it also stops root.
TEST_F(FileSaverTest, keeps_the_old_file_and_no_part_when_there_is_no_room) {
  FileSaver files = saver();
  files.save("name", bytes_of("old"));
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto old_handler = ::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{.rlim_cur = 4'096, .rlim_max = before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  EXPECT_THROW(files.save("name", bytes_of(std::string(100'000, 'x'))), std::system_error);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  ::signal(SIGXFSZ, old_handler);
  EXPECT_EQ(contents_of("name"), "old");
  EXPECT_EQ(file_count(), 1U);
}

TEST_F(FileSaverTest, makes_its_directory_but_not_the_one_above) {
  const std::string fresh = (directory_ / "fresh").string();
  FileSaver(fresh, ".part", FileSaver::Sync::kOff).save("name", bytes_of("x"));
  EXPECT_EQ(contents_of("fresh/name"), "x");
  EXPECT_THROW(FileSaver((directory_ / "no/such").string(), ".part", FileSaver::Sync::kOff),
               CommandError);
}

TEST_F(FileSaverTest, refuses_a_file_in_place_of_a_directory) {
  std::ofstream(directory_ / "file") << "x";
  EXPECT_THROW(FileSaver((directory_ / "file").string(), ".part", FileSaver::Sync::kOff),
               CommandError);
}

}  // namespace
}  // namespace ringwire::cli
