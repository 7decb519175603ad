#include "ipc/memory_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <fstream>
#include <string>

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

// Bytes of a mapping that are mapped by huge pages (proc_pid_smaps(5)).
std::uint64_t huge_bytes(const std::byte* at) {
  std::ifstream maps("/proc/self/smaps");
  char begin[32];
  std::snprintf(begin, sizeof begin, "%" PRIxPTR "-", reinterpret_cast<std::uintptr_t>(at));
  std::string line;
  while (std::getline(maps, line) && line.rfind(begin, 0) != 0) {
  }
  while (std::getline(maps, line))
    if (line.rfind("ShmemPmdMapped:", 0) == 0) return std::stoull(line.substr(15)) * 1'024;
  return 0;
}

bool kernel_has_huge_files() {
  std::ifstream setting("/sys/kernel/mm/transparent_hugepage/shmem_enabled");
  std::string text;
  std::getline(setting, text);
  return text.find("[advise]") != std::string::npos || text.find("[always]") != std::string::npos;
}

// docs/decisions/0009. Run by system_hugefiles, which sets the kernel so; other machines need not
// be.
TEST(MemoryFile, DISABLED_is_of_huge_pages_where_the_kernel_has_them) {
  ASSERT_TRUE(kernel_has_huge_files()) << "shmem_enabled is neither advise nor always";
  constexpr std::uint64_t kBytes = 16u << 20;
  MemoryFile file = make(kBytes);
  EXPECT_EQ(huge_bytes(file.data()), kBytes);
  auto adopted = MemoryFile::adopt(file.open_read_only(), kBytes);
  ASSERT_TRUE(adopted.ok());
  EXPECT_EQ(huge_bytes(adopted.value().data()), kBytes);
  struct stat about {};
  ASSERT_EQ(fstat(file.descriptor(), &about), 0);
  EXPECT_EQ(about.st_blocks * 512, 16 << 20);
  EXPECT_TRUE(file.discard());
  ASSERT_EQ(fstat(file.descriptor(), &about), 0);
  EXPECT_EQ(about.st_blocks, 0);
  // Not a multiple of huge pages: it would take more than it says.
  EXPECT_EQ(huge_bytes(make(kBytes + 4'096).data()), 0U);
}

TEST(MemoryFile, a_large_file_is_committed_whatever_its_pages_are) {
  constexpr std::uint64_t kBytes = 16u << 20;
  MemoryFile file = make(kBytes);
  struct stat about {};
  ASSERT_EQ(fstat(file.descriptor(), &about), 0);
  EXPECT_EQ(about.st_blocks * 512, 16 << 20);
  EXPECT_EQ(ftruncate(file.descriptor(), 0), -1);
  EXPECT_EQ(file.data()[kBytes - 1], std::byte{0});
}

// S-2: a hole in it would kill its reader when the pool is empty.
TEST(MemoryFile, one_of_the_kernels_pool_of_huge_pages_is_refused) {
  const int descriptor = memfd_create("pool", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB);
  if (descriptor < 0) GTEST_SKIP() << "LANE huge_pool: cannot run: this kernel has no such files";
  ASSERT_EQ(ftruncate(descriptor, 2 << 20), 0);
  ASSERT_EQ(fcntl(descriptor, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
  const auto adopted = MemoryFile::adopt(descriptor, 2 << 20);
  ASSERT_FALSE(adopted.ok());
  EXPECT_EQ(adopted.error(), MemoryError::kNotSealed);
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
