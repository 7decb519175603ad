#include "ipc/memory_file.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <utility>

namespace ringwire::ipc {
namespace {

constexpr std::uint64_t kPageBytes = 4'096;
// 64 TiB: far above any machine's memory, far below what overflows off_t or the address space.
constexpr std::uint64_t kMaxFileBytes = 1ULL << 46;
constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW;
// Files of whole huge pages from here on are made of those where the kernel has them
// (docs/decisions/0009). The sizes that extents have from here on are multiples of 2 MiB.
constexpr std::uint64_t kHugePageBytes = 2u << 20;
constexpr std::uint64_t kHugeFromBytes = 8u << 20;

MemoryError error_of_errno() {
  return errno == ENOMEM || errno == ENOSPC || errno == EMFILE || errno == ENFILE || errno == EDQUOT
             ? MemoryError::kNoMemory
             : MemoryError::kSystem;
}

int commit(int descriptor, std::uint64_t bytes) {
  int result = 0;
  do {
    result = fallocate(descriptor, 0, 0, static_cast<off_t>(bytes));
  } while (result < 0 && errno == EINTR);
  return result;
}

std::byte* map_with(int flags, int descriptor, std::uint64_t bytes, int protection) {
  void* at = mmap(nullptr, bytes, protection, MAP_SHARED | flags, descriptor, 0);
  return at == MAP_FAILED ? nullptr : static_cast<std::byte*>(at);
}

// Populated here, where it is cold: a worker must not meet page faults.
std::byte* map_file(int descriptor, std::uint64_t bytes, int protection) {
  return map_with(MAP_POPULATE, descriptor, bytes, protection);
}

// Before the pages are committed: fallocate takes small ones, a write through an advised mapping
// takes huge ones. A kernel that has none, or knows no such advice, leaves it to fallocate.
std::byte* map_huge(int descriptor, std::uint64_t bytes) {
  if (bytes < kHugeFromBytes || bytes % kHugePageBytes != 0) return nullptr;
  std::byte* data = map_with(0, descriptor, bytes, PROT_READ | PROT_WRITE);
  if (data == nullptr) return nullptr;
  if (madvise(data, bytes, MADV_HUGEPAGE) == 0 && madvise(data, bytes, MADV_POPULATE_WRITE) == 0)
    return data;
  munmap(data, bytes);
  return nullptr;
}

// A hole in a file of the kernel's pool of huge pages is a fault that may find the pool empty, and
// then kills who reads it: another program's file must not be one.
bool is_of_pool(int descriptor) {
  struct statfs about {};
  return fstatfs(descriptor, &about) != 0 || about.f_type == HUGETLBFS_MAGIC;
}

}  // namespace

MemoryFile::~MemoryFile() {
  if (data_ != nullptr) munmap(data_, bytes_);
  if (descriptor_ >= 0) close(descriptor_);
}

MemoryFile::MemoryFile(MemoryFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      bytes_(std::exchange(other.bytes_, 0)),
      descriptor_(std::exchange(other.descriptor_, -1)) {}

MemoryFile& MemoryFile::operator=(MemoryFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

Result<MemoryFile, MemoryError> MemoryFile::create(const char* name, std::uint64_t bytes) {
  if (bytes == 0 || bytes > kMaxFileBytes) return Failure{MemoryError::kWrongSize};
  bytes = (bytes + kPageBytes - 1) / kPageBytes * kPageBytes;
  const int descriptor = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (descriptor < 0) return Failure{error_of_errno()};
  MemoryFile file;
  file.descriptor_ = descriptor;
  // 0600: another user who holds a read-only descriptor must not reopen it for writing.
  if (fchmod(descriptor, 0600) < 0 || ftruncate(descriptor, static_cast<off_t>(bytes)) < 0)
    return Failure{error_of_errno()};
  file.bytes_ = bytes;
  file.data_ = map_huge(descriptor, bytes);
  // Also what is there already: it says so, and costs next to nothing.
  if (commit(descriptor, bytes) < 0 || fcntl(descriptor, F_ADD_SEALS, kSeals) < 0)
    return Failure{error_of_errno()};
  if (file.data_ == nullptr) file.data_ = map_file(descriptor, bytes, PROT_READ | PROT_WRITE);
  if (file.data_ == nullptr) return Failure{error_of_errno()};
  return file;
}

Result<MemoryFile, MemoryError> MemoryFile::adopt(int descriptor, std::uint64_t bytes) {
  MemoryFile file;
  file.descriptor_ = descriptor;
  // Only a memfd has seals: for any other kind of file the call fails.
  const int seals = fcntl(descriptor, F_GET_SEALS);
  if (seals < 0 || (seals & kSeals) != kSeals) return Failure{MemoryError::kNotSealed};
  struct stat about {};
  if (fstat(descriptor, &about) < 0) return Failure{MemoryError::kSystem};
  if (!S_ISREG(about.st_mode) || is_of_pool(descriptor)) return Failure{MemoryError::kNotSealed};
  if (bytes == 0 || bytes > kMaxFileBytes || about.st_size != static_cast<off_t>(bytes))
    return Failure{MemoryError::kWrongSize};
  file.data_ = map_file(descriptor, bytes, PROT_READ);
  if (file.data_ == nullptr) return Failure{error_of_errno()};
  file.bytes_ = bytes;
  return file;
}

int MemoryFile::open_read_only() const {
  char path[32];
  std::snprintf(path, sizeof path, "/proc/self/fd/%d", descriptor_);
  return open(path, O_RDONLY | O_CLOEXEC);
}

bool MemoryFile::discard() {
  return fallocate(descriptor_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
                   static_cast<off_t>(bytes_)) == 0;
}

}  // namespace ringwire::ipc
