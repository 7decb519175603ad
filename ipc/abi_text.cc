// Names and texts of the ABI's numbers.
#include <array>

#include "base/ids.h"
#include "ipc/ringwire.h"

namespace {

struct ErrorText {
  const char* name;
  const char* text;
};

// By -error.
constexpr std::array<ErrorText, 21> kErrors = {{
    {"RW_OK", "done"},
    {"RW_EINVAL", "an argument breaks a rule"},
    {"RW_ENOENGINE", "no engine at the socket path"},
    {"RW_EDENIED", "this user may not attach, or not use that"},
    {"RW_EVERSION", "library and engine do not fit; rw_last_error names both versions"},
    {"RW_ETIMEOUT", "nothing came within the timeout"},
    {"RW_EAGAIN", "would have to wait, and the timeout is 0"},
    {"RW_ENOMEM", "no memory here or in the engine's budget"},
    {"RW_ELIMIT", "a configured limit is reached"},
    {"RW_ETOOLARGE", "can never fit"},
    {"RW_EFORK", "the client or channel was opened before fork(): open your own"},
    {"RW_ESTALE", "handle of a message or ticket that is no longer known"},
    {"RW_EIO", "reading a file failed; errno tells why"},
    {"RW_ESHORT", "the file is shorter than the range asked for"},
    {"RW_EFAILED", "rw_call: the request failed (provably not handed out); see the outcome"},
    {"RW_EUNKNOWN", "rw_call: the request may have been handed out; see the outcome"},
    {"RW_ENOREPLY", "rw_call: processed, but without a reply"},
    {"RW_ECLOSED", "the engine ended this attachment; rw_last_error says why"},
    {"RW_EROLE", "a slave node serves nothing"},
    {"RW_EBUSY", "in use"},
    {"RW_ESYSTEM", "a system call failed; errno tells why"},
}};

// By reason.
constexpr const char* kReasons[] = {
    "none",        "timeout",     "cancelled",    "too_large",   "down",
    "no_node",     "no_consumer", "queue_full",   "refused",     "max_deliveries",
    "origin_gone", "stale",       "session_lost", "shutdown",    "bad_message",
    "no_memory",   "not_serving", "unprocessed",  "requirement",
};
// Higher ones stay between engines.
static_assert(std::size(kReasons) == static_cast<std::size_t>(ringwire::Reason::kRequirement) + 1);

constexpr const char* kEndings[] = {"done", "failed", "unknown"};

const ErrorText* find_error(int error) {
  const int index = -error;
  if (index < 0 || index >= static_cast<int>(kErrors.size())) return nullptr;
  return &kErrors[static_cast<std::size_t>(index)];
}

}  // namespace

const char* rw_error_name(int error) {
  const ErrorText* found = find_error(error);
  return found == nullptr ? "RW_E?" : found->name;
}

const char* rw_error_text(int error) {
  const ErrorText* found = find_error(error);
  return found == nullptr ? "no such error" : found->text;
}

const char* rw_reason_name(uint32_t reason) {
  return reason < std::size(kReasons) ? kReasons[reason] : "?";
}

const char* rw_ending_name(uint32_t ending) {
  return ending < std::size(kEndings) ? kEndings[ending] : "?";
}
