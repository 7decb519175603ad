#include "tests/ipc/failing_calls.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>

#include <cerrno>
#include <cstdlib>
#include <new>

namespace ringwire::ipc {
namespace {

thread_local Failing failing = Failing::kNothing;
thread_local std::uint64_t calls_left = 0;
thread_local bool failed = false;
thread_local bool in_library = false;
thread_local std::int64_t live = 0;

bool fails(Failing which, int with_errno) {
  if (!in_library || failing != which || failed || --calls_left > 0) return false;
  failed = true;
  errno = with_errno;
  return true;
}

}  // namespace

void fail_call(Failing which, std::uint64_t at) {
  failing = which;
  calls_left = at;
  failed = false;
}

InLibrary::InLibrary() { in_library = true; }
InLibrary::~InLibrary() { in_library = false; }

bool end_failing() {
  failing = Failing::kNothing;
  return failed;
}

std::int64_t live_allocations() { return live; }

}  // namespace ringwire::ipc

using ringwire::ipc::Failing;
using ringwire::ipc::fails;

void* operator new(std::size_t bytes) {
  if (fails(Failing::kNew, ENOMEM)) throw std::bad_alloc();
  void* memory = std::malloc(bytes == 0 ? 1 : bytes);
  if (memory == nullptr) throw std::bad_alloc();
  ++ringwire::ipc::live;
  return memory;
}
void* operator new[](std::size_t bytes) { return operator new(bytes); }
void operator delete(void* memory) noexcept {
  if (memory == nullptr) return;
  --ringwire::ipc::live;
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept { operator delete(memory); }
void operator delete[](void* memory) noexcept { operator delete(memory); }
void operator delete[](void* memory, std::size_t) noexcept { operator delete(memory); }

// The linker gives the library's calls to __wrap_... and calls what it stands for __real_....
extern "C" {

void* __real_mmap64(void* at, size_t bytes, int protection, int flags, int fd, off_t offset);
void* __wrap_mmap64(void* at, size_t bytes, int protection, int flags, int fd, off_t offset) {
  if (fails(Failing::kMmap, ENOMEM)) return reinterpret_cast<void*>(-1);
  return __real_mmap64(at, bytes, protection, flags, fd, offset);
}

int __real_madvise(void* at, size_t bytes, int advice);
int __wrap_madvise(void* at, size_t bytes, int advice) {
  return fails(Failing::kMadvise, EINVAL) ? -1 : __real_madvise(at, bytes, advice);
}

int __real_memfd_create(const char* name, unsigned flags);
int __wrap_memfd_create(const char* name, unsigned flags) {
  return fails(Failing::kMemfdCreate, EMFILE) ? -1 : __real_memfd_create(name, flags);
}

int __real_fchmod(int fd, mode_t mode);
int __wrap_fchmod(int fd, mode_t mode) {
  return fails(Failing::kFchmod, EPERM) ? -1 : __real_fchmod(fd, mode);
}

int __real_ftruncate64(int fd, off_t bytes);
int __wrap_ftruncate64(int fd, off_t bytes) {
  return fails(Failing::kFtruncate, ENOSPC) ? -1 : __real_ftruncate64(fd, bytes);
}

int __real_fallocate64(int fd, int mode, off_t offset, off_t bytes);
int __wrap_fallocate64(int fd, int mode, off_t offset, off_t bytes) {
  return fails(Failing::kFallocate, ENOSPC) ? -1 : __real_fallocate64(fd, mode, offset, bytes);
}

int __real_fcntl64(int fd, int command, int argument);
int __wrap_fcntl64(int fd, int command, int argument) {
  return fails(Failing::kFcntl, ENOMEM) ? -1 : __real_fcntl64(fd, command, argument);
}

int __real_fstat64(int fd, struct stat* about);
int __wrap_fstat64(int fd, struct stat* about) {
  return fails(Failing::kFstat, EIO) ? -1 : __real_fstat64(fd, about);
}

int __real_socket(int domain, int type, int protocol);
int __wrap_socket(int domain, int type, int protocol) {
  return fails(Failing::kSocket, EMFILE) ? -1 : __real_socket(domain, type, protocol);
}

int __real_setsockopt(int fd, int level, int option, const void* value, socklen_t bytes);
int __wrap_setsockopt(int fd, int level, int option, const void* value, socklen_t bytes) {
  return fails(Failing::kSetsockopt, ENOMEM) ? -1
                                             : __real_setsockopt(fd, level, option, value, bytes);
}

int __real_connect(int fd, const sockaddr* address, socklen_t bytes);
int __wrap_connect(int fd, const sockaddr* address, socklen_t bytes) {
  return fails(Failing::kConnect, ECONNREFUSED) ? -1 : __real_connect(fd, address, bytes);
}

ssize_t __real_sendmsg(int fd, const msghdr* message, int flags);
ssize_t __wrap_sendmsg(int fd, const msghdr* message, int flags) {
  return fails(Failing::kSendmsg, ENOBUFS) ? -1 : __real_sendmsg(fd, message, flags);
}

ssize_t __real_recvmsg(int fd, msghdr* message, int flags);
ssize_t __wrap_recvmsg(int fd, msghdr* message, int flags) {
  return fails(Failing::kRecvmsg, ENOMEM) ? -1 : __real_recvmsg(fd, message, flags);
}

int __real_ppoll(pollfd* waits, nfds_t count, const timespec* limit, const sigset_t* mask);
int __wrap_ppoll(pollfd* waits, nfds_t count, const timespec* limit, const sigset_t* mask) {
  return fails(Failing::kPpoll, EINTR) ? -1 : __real_ppoll(waits, count, limit, mask);
}

int __real_epoll_create1(int flags);
int __wrap_epoll_create1(int flags) {
  return fails(Failing::kEpollCreate, EMFILE) ? -1 : __real_epoll_create1(flags);
}

int __real_epoll_ctl(int epoll, int operation, int fd, epoll_event* event);
int __wrap_epoll_ctl(int epoll, int operation, int fd, epoll_event* event) {
  return fails(Failing::kEpollCtl, ENOSPC) ? -1 : __real_epoll_ctl(epoll, operation, fd, event);
}

int __real_timerfd_create(int clock, int flags);
int __wrap_timerfd_create(int clock, int flags) {
  return fails(Failing::kTimerfdCreate, EMFILE) ? -1 : __real_timerfd_create(clock, flags);
}

ssize_t __real_getrandom(void* buffer, size_t bytes, unsigned flags);
ssize_t __wrap_getrandom(void* buffer, size_t bytes, unsigned flags) {
  return fails(Failing::kGetrandom, ENOSYS) ? -1 : __real_getrandom(buffer, bytes, flags);
}

long __real_syscall(long number, long first, long second);
long __wrap_syscall(long number, long first, long second) {
  return fails(Failing::kSyscall, ENOSYS) ? -1 : __real_syscall(number, first, second);
}

ssize_t __real_pread64(int fd, void* buffer, size_t bytes, off_t offset);
ssize_t __wrap_pread64(int fd, void* buffer, size_t bytes, off_t offset) {
  return fails(Failing::kPread, EIO) ? -1 : __real_pread64(fd, buffer, bytes, offset);
}

void* __real_malloc(size_t bytes);
void* __wrap_malloc(size_t bytes) {
  return fails(Failing::kMalloc, ENOMEM) ? nullptr : __real_malloc(bytes);
}
}
