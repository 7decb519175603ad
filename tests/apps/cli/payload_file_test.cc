#include "apps/cli/payload_file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

#include "apps/cli/exit_code.h"

namespace ringwire::cli {
namespace {

class PayloadFileTest : public ::testing::Test {
 protected:
  PayloadFileTest() : path_(::testing::TempDir() + "ringwire-XXXXXX") {
    const int fd = ::mkstemp(path_.data());
    EXPECT_GE(fd, 0);
    ::close(fd);
  }
  ~PayloadFileTest() override { std::remove(path_.c_str()); }

  std::string path_;
};

std::string text_of(PayloadFile& file) {
  const auto bytes = file.contents();
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

TEST_F(PayloadFileTest, hands_out_a_regular_file_as_a_range) {
  std::ofstream(path_) << "hello";
  PayloadFile file(path_);
  EXPECT_TRUE(file.is_range());
  EXPECT_EQ(file.offset_bytes(), 0U);
  EXPECT_EQ(file.payload_bytes(), 5U);
  EXPECT_EQ(text_of(file), "hello");
}

TEST_F(PayloadFileTest, takes_an_empty_file_as_an_empty_payload) {
  PayloadFile file(path_);
  EXPECT_EQ(file.payload_bytes(), 0U);
  EXPECT_EQ(text_of(file), "");
}

TEST_F(PayloadFileTest, reads_what_calls_itself_empty_and_is_not) {
  PayloadFile file("/proc/self/status");
  EXPECT_FALSE(file.is_range());
  EXPECT_GT(file.payload_bytes(), 0U);
  EXPECT_EQ(text_of(file).substr(0, 5), "Name:");
}

TEST_F(PayloadFileTest, tells_that_a_file_became_shorter) {
  std::ofstream(path_) << "hello";
  PayloadFile file(path_);
  ASSERT_EQ(::truncate(path_.c_str(), 2), 0);
  EXPECT_THROW((void)file.contents(), CommandError);
}

TEST_F(PayloadFileTest, refuses_what_is_no_file) {
  EXPECT_THROW(PayloadFile("/nowhere/file"), CommandError);
  EXPECT_THROW(PayloadFile("/proc/self"), CommandError);
}

}  // namespace
}  // namespace ringwire::cli
