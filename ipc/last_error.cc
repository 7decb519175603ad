#include "ipc/last_error.h"

#include <cerrno>
#include <cstdarg>
#include <cstdio>

namespace ringwire::ipc {
namespace {

thread_local char sentence[512];

}  // namespace

int fail(int error, const char* format, ...) {
  const int saved = errno;
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(sentence, sizeof sentence, format, arguments);
  va_end(arguments);
  errno = saved;
  return error;
}

const char* last_error() { return sentence; }

}  // namespace ringwire::ipc
