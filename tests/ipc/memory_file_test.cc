#include "ipc/memory_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace ringwire::ipc {
namespace {

MemoryFile make(std::uint64_t bytes) {
  auto file = MemoryFile::create("test", bytes);
  EXPECT_TRUE(file.ok());
  return std::move(file).value();
}

// S-2.
TEST(MemoryFile, is_committed_private_and_sealed) {
  MemoryFile file = make(10'000);
  EXPECT_EQ(file.bytes(), 12'288u);
  struct stat about {};
  ASSERT_EQ(fstat(file.descriptor(), &about), 0);
  EXPECT_EQ(about.st_mode & 0777, 0600u);
  EXPECT_EQ(about.st_blocks * 512, 12'288);
  EXPECT_EQ(ftruncate(file.descriptor(), 0), -1);
  EXPECT_EQ(errno, EPERM);
  EXPECT_EQ(ftruncate(file.descriptor(), 1 << 20), -1);
}

TEST(MemoryFile, shows_its_bytes_to_who_adopts_it) {
  MemoryFile file = make(4'096);
  file.data()[100] = std::byte{42};
  auto adopted = MemoryFile::adopt(dup(file.descriptor()), 4'096);
  ASSERT_TRUE(adopted.ok());
  EXPECT_EQ(adopted.value().data()[100], std::byte{42});
}

TEST(MemoryFile, gives_its_pages_back_under_the_mappings_of_others) {
  MemoryFile file = make(8'192);
  file.data()[100] = std::byte{42};
  auto adopted = MemoryFile::adopt(dup(file.descriptor()), 8'192);
  ASSERT_TRUE(adopted.ok());
  EXPECT_TRUE(file.discard());
  struct stat about {};
  ASSERT_EQ(fstat(file.descriptor(), &about), 0);
  EXPECT_EQ(about.st_blocks, 0);
  EXPECT_EQ(about.st_size, 8'192);
  EXPECT_EQ(adopted.value().data()[100], std::byte{0});
}

// S-1.
TEST(MemoryFile, read_only_descriptor_cannot_be_mapped_for_writing) {
  MemoryFile file = make(4'096);
  const int descriptor = file.open_read_only();
  ASSERT_GE(descriptor, 0);
  EXPECT_EQ(mmap(nullptr, 4'096, PROT_WRITE, MAP_SHARED, descriptor, 0), MAP_FAILED);
  close(descriptor);
}

// S-2.
TEST(MemoryFile, refuses_what_it_should_not_adopt) {
  MemoryFile file = make(8'192);
  auto smaller = MemoryFile::adopt(dup(file.descriptor()), 4'096);
  ASSERT_FALSE(smaller.ok());
  EXPECT_EQ(smaller.error(), MemoryError::kWrongSize);
  auto unsealed = MemoryFile::adopt(memfd_create("loose", MFD_ALLOW_SEALING), 4'096);
  ASSERT_FALSE(unsealed.ok());
  EXPECT_EQ(unsealed.error(), MemoryError::kNotSealed);
  auto device = MemoryFile::adopt(open("/dev/null", O_RDONLY), 4'096);
  ASSERT_FALSE(device.ok());
  EXPECT_EQ(device.error(), MemoryError::kNotSealed);
  EXPECT_FALSE(MemoryFile::adopt(-1, 4'096).ok());
}

TEST(MemoryFile, says_no_to_what_cannot_exist) {
  auto none = MemoryFile::create("none", 0);
  ASSERT_FALSE(none.ok());
  EXPECT_EQ(none.error(), MemoryError::kWrongSize);
  auto huge = MemoryFile::create("huge", ~0ULL);
  ASSERT_FALSE(huge.ok());
  EXPECT_EQ(huge.error(), MemoryError::kWrongSize);
}

TEST(MemoryFile, moves_its_ownership) {
  MemoryFile file = make(4'096);
  std::byte* data = file.data();
  MemoryFile other(std::move(file));
  EXPECT_FALSE(static_cast<bool>(file));
  EXPECT_EQ(other.data(), data);
}

}  // namespace
}  // namespace ringwire::ipc
