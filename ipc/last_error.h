// The sentence behind the last error of this thread, for rw_last_error. Cold.
#pragma once

namespace ringwire::ipc {

/// Keep the sentence; returns `error`, so that `return fail(RW_E..., "...")` is one line.
[[gnu::format(printf, 2, 3)]] int fail(int error, const char* format, ...);
[[nodiscard]] const char* last_error();

}  // namespace ringwire::ipc
