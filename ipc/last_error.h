// The sentence behind the last error of this thread, for rw_last_error. Cold.
#pragma once

namespace ringwire::ipc {

/// Keep the sentence; returns `error`, so that `return fail(RW_E..., "...")` is one line.
[[gnu::format(printf, 2, 3)]] int fail(int error, const char* format, ...);
/// The same for a sentence without details, a literal: for what is said often, "nothing waits".
int fail_plainly(int error, const char* literal);
[[nodiscard]] const char* last_error();

}  // namespace ringwire::ipc
