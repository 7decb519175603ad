#include <fmt/format.h>

#include "apps/cli/child_process.h"
#include "apps/cli/file_name.h"
#include "apps/cli/handler.h"
#include "apps/cli/link.h"

namespace ringwire::cli {
namespace {

std::string flag_words(std::uint32_t flags) {
  constexpr std::pair<std::uint32_t, const char*> kWords[] = {{RW_FLAG_REDELIVERED, "redelivered"},
                                                              {RW_FLAG_DEGRADED, "degraded"},
                                                              {RW_FLAG_BROADCAST, "broadcast"},
                                                              {RW_FLAG_REPLICA, "replica"},
                                                              {RW_FLAG_MERGE, "merge"},
                                                              {RW_FLAG_CALL, "call"}};
  std::string words;
  for (const auto& [flag, word] : kWords) {
    if ((flags & flag) != 0) words += fmt::format("{}{}", words.empty() ? "" : ",", word);
  }
  return words;
}

std::vector<std::string> environment_of(const rw_message* message) {
  const std::string_view key = key_of(message);
  std::vector<std::string> variables{
      "RINGWIRE_KEY_ENCODED=" + percent_encode(key),
      fmt::format("RINGWIRE_HASH={}", rw_message_hash(message)),
      fmt::format("RINGWIRE_BYTES={}", rw_message_bytes(message)),
      fmt::format("RINGWIRE_ATTEMPT={}", rw_message_attempt(message)),
      fmt::format("RINGWIRE_FLAGS={}", flag_words(rw_message_flags(message))),
      fmt::format("RINGWIRE_SERVICE={}", rw_message_service(message)),
      fmt::format("RINGWIRE_ORIGIN_NODE={}", rw_message_origin_node(message))};
  // A variable ends at its first zero byte: such a key is there in its encoded form only.
  if (key.find('\0') == std::string_view::npos) {
    variables.push_back("RINGWIRE_KEY=" + std::string(key));
  }
  return variables;
}

class ExecHandler final : public Handler {
 public:
  explicit ExecHandler(const std::string& command) : command_(command) {}

  rw_verdict handle(rw_channel* channel, const rw_message* message) override {
    const ChildResult result = run_child(command_, payload_of(message), environment_of(message));
    if (result.exit_status != 0) {
      fmt::print(stderr, "ringwire: the command ended with status {}; the message goes back\n",
                 result.exit_status);
      return RW_RETRY;
    }
    if ((rw_message_flags(message) & RW_FLAG_CALL) == 0) return RW_DONE;
    const int replied = reply_to(channel, message, result.output.data(), result.output.size());
    return replied == RW_OK ? RW_DONE : RW_RETRY;
  }

 private:
  std::string command_;
};

}  // namespace

std::unique_ptr<Handler> make_exec_handler(const std::string& command) {
  return std::make_unique<ExecHandler>(command);
}

}  // namespace ringwire::cli
