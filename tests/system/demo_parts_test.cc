// The demo's parts that need no engine.

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "apps/demo/checker.h"
#include "apps/demo/child.h"
#include "apps/demo/corpus.h"
#include "apps/demo/display.h"
#include "apps/demo/saver.h"

namespace ringwire::demo {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

// Far beyond what a busy machine takes: only a broken part lets it pass.
constexpr std::chrono::seconds kPatience(60);

class DemoParts : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "/demo-parts-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { fs::remove_all(folder_); }

  void put(const std::string& name, const std::string& text) {
    const fs::path path = folder_ + "/" + name;
    fs::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
  }
  std::string at(const std::string& name) const { return folder_ + "/" + name; }

  // Compares what is under source/ with one server's copies under saved/.
  Comparison compared() {
    return compare(corpus_, std::vector(corpus_.files.size(), Ending::kDone),
                   {at("saved"), at("saved-2")}, folder_, [until = Clock::now() + kPatience] {
                     std::this_thread::yield();
                     return Clock::now() < until;
                   });
  }
  void given(const std::vector<std::pair<std::string, std::string>>& files) {
    for (const auto& [name, text] : files) put("source/" + name, text);
    corpus_ = corpus_under(at("source"));
  }

  std::string folder_;
  Corpus corpus_;
};

TEST_F(DemoParts, a_saved_path_stays_in_its_folder_and_is_one_per_key) {
  const std::vector<std::pair<std::string, std::string>> table{
      {"a", "/s/a"},
      {"a/b.txt", "/s/a/b.txt"},
      {"../x", "/s/%2E%2E/x"},
      {"..", "/s/%2E%2E"},
      {".", "/s/%2E"},
      {"%2E", "/s/%252E"},
      {"/etc/passwd", "/s/%/etc/passwd"},
      {"", "/s/%"},
      {"a//b", "/s/a/%/b"},
      {std::string("a\0b", 3), "/s/a%00b"},
      {"...", "/s/..."},
  };
  for (const auto& [key, path] : table) EXPECT_EQ(saved_path("/s", key), path);
}

TEST_F(DemoParts, a_name_too_long_for_the_file_system_is_cut_and_told_apart) {
  const std::string stem(300, 'x');
  const std::string one = saved_path("/s", stem + "1");
  const std::string two = saved_path("/s", stem + "2");
  EXPECT_NE(one, two);
  EXPECT_EQ(one.size(), std::string("/s/").size() + 255);
}

TEST_F(DemoParts, a_corpus_is_every_regular_file_in_the_order_of_names) {
  given({{"b", "22"}, {"a/z", "1"}, {"a/y", ""}});
  fs::create_symlink(at("source/b"), at("source/link"));
  corpus_ = corpus_under(at("source"));
  ASSERT_EQ(corpus_.files.size(), 3U);
  EXPECT_EQ(corpus_.files[0].key, "a/y");
  EXPECT_EQ(corpus_.files[1].key, "a/z");
  EXPECT_EQ(corpus_.files[2].key, "b");
  EXPECT_EQ(corpus_.bytes, 3U);
}

TEST_F(DemoParts, a_corpus_may_be_one_file_and_may_not_be_nothing) {
  put("one", "1");
  EXPECT_EQ(corpus_under(at("one")).files.at(0).key, "one");
  fs::create_directories(at("empty"));
  EXPECT_THROW(corpus_under(at("empty")), std::runtime_error);
  EXPECT_THROW(corpus_under(at("absent")), std::runtime_error);
}

TEST_F(DemoParts, the_default_corpus_is_bounded) {
  const Corpus corpus = default_corpus();
  EXPECT_GT(corpus.files.size(), 10U);
  EXPECT_LT(corpus.bytes, kDefaultCorpusBytes + 3 * 16'000'000);
}

TEST_F(DemoParts, equal_copies_are_intact_and_second_copies_are_counted) {
  given({{"a", "one"}, {"d/b", "two"}, {"empty", ""}});
  put("saved/a", "one");
  put("saved/d/b", "two");
  put("saved-2/d/b", "two");
  put("saved/empty", "");
  const Comparison result = compared();
  EXPECT_EQ(result.error, "");
  EXPECT_EQ(result.intact_files, 3U);
  EXPECT_EQ(result.copies, 4U);
  EXPECT_TRUE(result.lost.empty() && result.corrupt.empty() && result.changed.empty());
}

TEST_F(DemoParts, a_missing_copy_is_lost_and_any_wrong_copy_is_corrupt) {
  given({{"a", "one"}, {"b", "two"}, {"c", "three"}});
  put("saved/b", "twO");
  put("saved/c", "three");
  put("saved-2/c", "thre");
  const Comparison result = compared();
  EXPECT_EQ(result.lost, std::vector<std::string>{"a"});
  EXPECT_EQ(result.corrupt, (std::vector<std::string>{"b", "c"}));
  EXPECT_EQ(result.intact_files, 0U);
}

TEST_F(DemoParts, a_source_that_changed_since_it_was_sent_is_not_compared) {
  given({{"a", "one"}});
  put("saved/a", "one");
  put("source/a", "other");
  const Comparison result = compared();
  EXPECT_EQ(result.changed, std::vector<std::size_t>{0});
  EXPECT_EQ(result.intact_files, 0U);
}

TEST_F(DemoParts, a_child_ends_as_it_ends) {
  Child child;
  ASSERT_TRUE(child.start({.command = {"sh", "-c", "echo out; exit 3"}, .output_path = at("log")}));
  EXPECT_FALSE(child.await_end(std::chrono::seconds(30)));
  EXPECT_EQ(child.ending(), "exit code 3");
  std::string word;
  std::ifstream(at("log")) >> word;
  EXPECT_EQ(word, "out");
}

TEST_F(DemoParts, a_child_that_does_not_listen_is_killed_when_patience_ends) {
  Child child;
  ASSERT_TRUE(child.start({.command = {"sh", "-c", "trap '' TERM; echo x; while :; do :; done"},
                           .output_path = at("log")}));
  const auto until = Clock::now() + kPatience;
  while (fs::file_size(at("log")) == 0 && Clock::now() < until) std::this_thread::yield();
  ASSERT_GT(fs::file_size(at("log")), 0U);
  child.ask_to_end();
  EXPECT_FALSE(child.await_end(std::chrono::milliseconds(50)));
  EXPECT_EQ(child.ending(), "signal 9");
}

TEST_F(DemoParts, a_child_does_not_outlive_its_owner) {
  pid_t pid = 0;
  {
    Child child;
    ASSERT_TRUE(child.start({.command = {"sleep", "1000"}}));
    pid = child.pid();
    EXPECT_TRUE(child.running());
  }
  EXPECT_EQ(::kill(pid, 0), -1);
}

TEST_F(DemoParts, figures_are_for_people) {
  EXPECT_EQ(human_bytes(999), "999 B");
  EXPECT_EQ(human_bytes(300'100'000), "300.1 MB");
  EXPECT_EQ(human_count(0), "0");
  EXPECT_EQ(human_count(999), "999");
  EXPECT_EQ(human_count(1'234'567), "1,234,567");
  EXPECT_EQ(human_time(2'500'000), "2.5 ms");
  EXPECT_EQ(human_time(37'000'000), "37 ms");
  EXPECT_EQ(human_time(1'250'000'000), "1.25 s");
}

}  // namespace
}  // namespace ringwire::demo
