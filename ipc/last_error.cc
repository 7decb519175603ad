#include "ipc/last_error.h"

#include <cerrno>
#include <cstdarg>
#include <cstdio>

namespace ringwire::ipc {
namespace {

thread_local char sentence[512];
thread_local const char* literal_sentence = nullptr;  // in force when not nullptr

}  // namespace

int fail(int error, const char* format, ...) {
  const int saved = errno;
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(sentence, sizeof sentence, format, arguments);
  va_end(arguments);
  literal_sentence = nullptr;
  errno = saved;
  return error;
}

int fail_plainly(int error, const char* literal) {
  literal_sentence = literal;
  return error;
}

const char* last_error() { return literal_sentence != nullptr ? literal_sentence : sentence; }

}  // namespace ringwire::ipc
