// What every call of the C ABI does first and last: its handles, its checks of what the caller
// gave, and the wall that no exception passes. For the abi's own files; any thread.
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <mutex>
#include <new>
#include <vector>

#include "ipc/last_error.h"
#include "ipc/program_channel.h"
#include "ipc/ringwire.h"

struct rw_client {
  std::unique_ptr<ringwire::ipc::ProgramClient> client;
  std::mutex mutex;
  std::vector<rw_channel*> channels;
};
struct rw_channel {
  rw_client* client = nullptr;
  std::unique_ptr<ringwire::ipc::ProgramChannel> channel;
};

namespace ringwire::ipc {

// Memory is the only thing that throws in here.
template <typename Body>
int guarded(Body body) noexcept {
  try {
    return body();
  } catch (const std::bad_alloc&) {
    return fail(RW_ENOMEM, "out of memory");
  } catch (...) {
    return fail(RW_ESYSTEM, "an unexpected failure");
  }
}

template <typename Body>
int on_channel(rw_channel* channel, Body body) noexcept {
  if (channel == nullptr) return fail(RW_EINVAL, "the channel is NULL");
  if (channel->channel->forked())
    return fail(RW_EFORK, "this channel was opened before fork(): open one in the child");
  return guarded([&] { return body(*channel->channel); });
}

// A copy of the caller's options that has every field of ours: an older caller's struct is shorter.
// False: its size makes no sense.
template <typename Options>
bool read_options(const Options* given, Options& options) {
  if (given != nullptr && given->struct_bytes == sizeof options) {
    options = *given;
    return true;
  }
  options = {};
  if (given == nullptr) return true;
  if (given->struct_bytes < sizeof given->struct_bytes || given->struct_bytes > 65'536)
    return false;
  std::memcpy(&options, given, std::min(given->struct_bytes, sizeof options));
  options.struct_bytes = sizeof options;
  return true;
}

inline int bad_options() { return fail(RW_EINVAL, "struct_bytes of the options is not set"); }

}  // namespace ringwire::ipc
