// Questions to the engine's admin door: a JSON request, a JSON answer. Main thread; cold.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "apps/cli/shell.h"

namespace ringwire::cli {

/// Keys stay in the order in which the engine wrote them.
using Json = nlohmann::ordered_json;

struct AdminAnswer {
  std::string text;  ///< as the engine sent it: what --json prints
  Json json;
};

/// An engine that is alive answers in milliseconds.
inline constexpr std::int64_t kAnswerLimitNs = 10'000'000'000;

/// Ask the engine. Throws CommandError: kNoEngine, kTimedOut when it does not answer within
/// `limit_ns`, or what the engine answered with.
[[nodiscard]] AdminAnswer ask_engine(const Shell& shell, const Json& request,
                                     std::int64_t limit_ns = kAnswerLimitNs);

/// A member of an answer, or the fallback where an older engine leaves it out or gives another
/// type.
[[nodiscard]] std::uint64_t number_at(const Json& object, std::string_view key);
[[nodiscard]] std::int64_t signed_at(const Json& object, std::string_view key);
[[nodiscard]] bool flag_at(const Json& object, std::string_view key);
[[nodiscard]] std::string text_at(const Json& object, std::string_view key);
/// The object or array under a key; an empty one if there is none.
[[nodiscard]] const Json& part_at(const Json& object, std::string_view key);
/// The texts of an array joined with ", ".
[[nodiscard]] std::string list_at(const Json& object, std::string_view key);

/// Run a reporting command: print the answer as it is with --json, else what `render` makes of it.
ExitCode report(const Shell& shell, const Json& request, std::string (*render)(const Json&));

}  // namespace ringwire::cli
