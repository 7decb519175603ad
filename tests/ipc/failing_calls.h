// Makes the n-th call of a function fail on the thread that asks for it: the system calls and the
// memory of the client library, by the linker's --wrap (failing_calls.cc). Tests only; one thread.
#pragma once

#include <array>
#include <cstdint>

namespace ringwire::ipc {

enum class Failing : std::uint8_t {
  kNothing,
  kNew,
  kMalloc,
  kMmap,
  kMadvise,
  kMemfdCreate,
  kFchmod,
  kFtruncate,
  kFallocate,
  kFcntl,
  kFstat,
  kSocket,
  kSetsockopt,
  kConnect,
  kSendmsg,
  kRecvmsg,
  kPpoll,
  kEpollCreate,
  kEpollCtl,
  kTimerfdCreate,
  kGetrandom,
  kSyscall,
  kPread,
};

/// From here on call number `at` (from 1) of `which` fails, once, on this thread.
void fail_call(Failing which, std::uint64_t at);
/// Calls are counted, and fail, only while one of these lives: around a call of the library.
class InLibrary {
 public:
  InLibrary();
  ~InLibrary();
  InLibrary(const InLibrary&) = delete;
  InLibrary& operator=(const InLibrary&) = delete;
};
/// No further call fails. True if one did.
bool end_failing();
/// Allocations by `new` of this thread that were not given back.
std::int64_t live_allocations();

}  // namespace ringwire::ipc
