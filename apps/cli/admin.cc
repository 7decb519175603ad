#include "apps/cli/admin.h"

#include <fmt/format.h>

#include <memory>

#include "apps/cli/link.h"
#include "ipc/ringwire.h"

namespace ringwire::cli {
namespace {

struct FreeAnswer {
  void operator()(char* answer) const { rw_free(answer); }
};

const Json& member(const Json& object, std::string_view key) {
  static const Json kNothing;
  if (!object.is_object()) return kNothing;
  const auto found = object.find(std::string(key));
  return found == object.end() ? kNothing : *found;
}

// The engine's word for its exit codes is the command's own table.
ExitCode exit_code_of(int code) {
  return code >= 1 && code <= 4 ? static_cast<ExitCode>(code) : ExitCode::kFailed;
}

[[noreturn]] void fail_as_told(const Json& answer, int code) {
  std::string found = text_at(answer, "error");
  if (found.empty()) found = "the engine refused the request without a reason";
  throw CommandError(exit_code_of(code), found, text_at(answer, "needed"), text_at(answer, "mend"));
}

}  // namespace

AdminAnswer ask_engine(const Shell& shell, const Json& request, std::int64_t limit_ns) {
  char* raw = nullptr;
  int exit_code = 0;
  const int result =
      rw_admin_within(shell.socket_or_null(), request.dump().c_str(), limit_ns, &raw, &exit_code);
  const std::unique_ptr<char, FreeAnswer> owned(raw);
  if (result < 0) throw library_error(shell, result, "the engine did not answer");
  AdminAnswer answer{.text = owned ? owned.get() : "", .json = {}};
  answer.json = Json::parse(answer.text, nullptr, false);
  if (exit_code != 0) fail_as_told(answer.json, exit_code);
  if (!answer.json.is_object()) {
    throw CommandError(ExitCode::kFailed,
                       fmt::format("the engine at {} answered something that is no JSON object",
                                   shell.socket_path()),
                       "an engine of this version", "ringwire version");
  }
  return answer;
}

std::uint64_t number_at(const Json& object, std::string_view key) {
  const Json& value = member(object, key);
  if (value.is_number_unsigned()) return value.get<std::uint64_t>();
  if (value.is_number_integer()) {
    const auto number = value.get<std::int64_t>();
    return number < 0 ? 0 : static_cast<std::uint64_t>(number);
  }
  return 0;
}

std::int64_t signed_at(const Json& object, std::string_view key) {
  const Json& value = member(object, key);
  return value.is_number_integer() ? value.get<std::int64_t>() : 0;
}

bool flag_at(const Json& object, std::string_view key) {
  const Json& value = member(object, key);
  return value.is_boolean() && value.get<bool>();
}

std::string text_at(const Json& object, std::string_view key) {
  const Json& value = member(object, key);
  if (value.is_string()) return value.get<std::string>();
  return value.is_null() ? std::string() : value.dump();
}

const Json& part_at(const Json& object, std::string_view key) {
  static const Json kEmpty = Json::object();
  const Json& value = member(object, key);
  return value.is_structured() ? value : kEmpty;
}

std::string list_at(const Json& object, std::string_view key) {
  const Json& values = member(object, key);
  if (!values.is_array()) return text_at(object, key);
  std::string joined;
  for (const Json& value : values) {
    if (!joined.empty()) joined += ", ";
    joined += value.is_string() ? value.get<std::string>() : value.dump();
  }
  return joined;
}

ExitCode report(const Shell& shell, const Json& request, std::string (*render)(const Json&)) {
  const AdminAnswer answer = ask_engine(shell, request);
  if (shell.json) {
    fmt::print("{}\n", answer.text);
  } else {
    fmt::print("{}", render(answer.json));
  }
  return ExitCode::kDone;
}

}  // namespace ringwire::cli
