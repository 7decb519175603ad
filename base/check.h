// Assertions that stay on in release builds. A failed check is a bug of ours, never the doing of a
// peer, a program or the environment: those are handled where they arise. Any thread; cold when
// true.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace ringwire::detail {

[[noreturn]] inline void check_failed(const char* file, int line, const char* expression) {
  std::fprintf(stderr, "%s:%d: check failed: %s\n", file, line, expression);
  std::abort();
}

}  // namespace ringwire::detail

#define RW_CHECK(expression)     \
  (static_cast<bool>(expression) \
       ? static_cast<void>(0)    \
       : ::ringwire::detail::check_failed(__FILE__, __LINE__, #expression))

#ifdef NDEBUG
#define RW_DCHECK(expression) static_cast<void>(sizeof(static_cast<bool>(expression)))
#else
#define RW_DCHECK(expression) RW_CHECK(expression)
#endif
