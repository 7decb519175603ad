#include "apps/cli/send_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/archive/iterators/base64_from_binary.hpp>
#include <boost/archive/iterators/transform_width.hpp>
#include <string_view>

#include "apps/cli/admin.h"
#include "apps/cli/delivery_options.h"
#include "apps/cli/terminal.h"
#include "apps/cli/units.h"

namespace ringwire::cli {
namespace {

bool is_done(const Sent& sent) {
  if (!sent.error.empty() || sent.outcome.ending != RW_ENDING_DONE) return false;
  return !sent.is_call || sent.reply.has_value();
}

std::string ending_of(const Sent& sent) {
  return sent.error.empty() ? rw_ending_name(sent.outcome.ending) : "failed";
}

std::size_t targets_done(const Sent& sent) {
  return static_cast<std::size_t>(
      std::count_if(sent.targets.begin(), sent.targets.end(),
                    [](const rw_outcome& target) { return target.ending == RW_ENDING_DONE; }));
}

// A message that waits ends with what it waited for, so that only the time tells. It was taken
// after started_ns: none that ended otherwise took as long.
bool ended_by_time(const Sent& sent, const SendTerms& terms) {
  if (!sent.error.empty()) return false;
  if (sent.outcome.reason == RW_REASON_TIMEOUT) return true;
  if (std::any_of(sent.targets.begin(), sent.targets.end(),
                  [](const rw_outcome& target) { return target.reason == RW_REASON_TIMEOUT; }))
    return true;
  if (terms.timeout_ns == 0 || sent.elapsed_ns < terms.timeout_ns) return false;
  switch (sent.outcome.reason) {
    case RW_REASON_DOWN:
    case RW_REASON_NO_NODE:
    case RW_REASON_NO_CONSUMER:
    case RW_REASON_QUEUE_FULL:
    case RW_REASON_NO_MEMORY:
    case RW_REASON_NOT_SERVING:
    case RW_REASON_UNPROCESSED:
    case RW_REASON_SHUTDOWN:
      return true;
    default:
      return false;
  }
}

std::string base64(std::string_view bytes) {
  using boost::archive::iterators::base64_from_binary;
  using boost::archive::iterators::transform_width;
  using Letters = base64_from_binary<transform_width<std::string_view::const_iterator, 6, 8>>;
  std::string text(Letters(bytes.begin()), Letters(bytes.end()));
  text.append((3 - bytes.size() % 3) % 3, '=');
  return text;
}

// JSON carries text: what is none is carried as base64.
Json json_of(const std::string& reply) {
  Json object{{"bytes", reply.size()}};
  try {
    static_cast<void>(Json(reply).dump());
    object["encoding"] = "text";
    object["data"] = reply;
  } catch (const Json::type_error&) {
    object["encoding"] = "base64";
    object["data"] = base64(reply);
  }
  return object;
}

Json json_of(const rw_outcome& outcome) {
  return Json{{"ending", rw_ending_name(outcome.ending)},
              {"reason", rw_reason_name(outcome.reason)},
              {"level", level_name(outcome.level)},
              {"node", outcome.node},
              {"attempts", outcome.attempts}};
}

Json json_of(const Sent& sent) {
  Json object{{"key", sent.key}, {"bytes", sent.payload_bytes}, {"ending", ending_of(sent)}};
  if (!sent.error.empty()) {
    object["error"] = sent.error;
    return object;
  }
  object.update(json_of(sent.outcome));
  object["elapsed_ns"] = sent.elapsed_ns;
  if (!sent.targets.empty()) {
    object["targets_done"] = targets_done(sent);
    object["targets"] = Json::array();
    for (const rw_outcome& target : sent.targets) object["targets"].push_back(json_of(target));
  }
  if (sent.is_call) object["reply"] = sent.reply ? json_of(*sent.reply) : Json();
  return object;
}

std::uint64_t count_ending(const std::vector<Sent>& all, std::string_view ending) {
  return static_cast<std::uint64_t>(std::count_if(
      all.begin(), all.end(), [&](const Sent& sent) { return ending_of(sent) == ending; }));
}

void print_line(const Sent& sent, const SendTerms& terms, Colour colour) {
  const Tint tint = is_done(sent) ? Tint::kGood : Tint::kBad;
  if (!sent.error.empty()) {
    fmt::print("{}  {}  {}\n", tinted("failed", tint, colour), printable(sent.key),
               printable(sent.error));
    return;
  }
  fmt::print("{}  {}  {}  {}  {}{}\n", tinted(headline(sent), tint, colour), printable(sent.key),
             format_bytes(sent.payload_bytes), printable(place_text(sent, terms)),
             format_duration(sent.elapsed_ns),
             sent.outcome.attempts > 1 ? fmt::format("  {} attempts", sent.outcome.attempts) : "");
  for (const rw_outcome& target : sent.targets) {
    fmt::print("  {}  node {}\n", outcome_name(target), printable(target.node));
  }
}

}  // namespace

std::string headline(const Sent& sent) {
  const std::size_t done = targets_done(sent);
  if (sent.outcome.ending != RW_ENDING_DONE && done > 0) return "incomplete";
  return outcome_name(sent.outcome);
}

std::string place_text(const Sent& sent, const SendTerms& terms) {
  if (!sent.targets.empty()) {
    const char* wanted = terms.require == RW_REQUIRE_ONE        ? "one"
                         : terms.require == RW_REQUIRE_MAJORITY ? "a majority"
                                                                : "all";
    return fmt::format("{} of {} targets done, {} required", targets_done(sent),
                       sent.targets.size(), wanted);
  }
  if (sent.outcome.node[0] == '\0') return "nowhere";
  return fmt::format("node {}", sent.outcome.node);
}

ExitCode code_for(const std::vector<Sent>& all, const SendTerms& terms) {
  ExitCode code = ExitCode::kDone;
  for (const Sent& sent : all) {
    if (is_done(sent)) continue;
    if (!ended_by_time(sent, terms)) return ExitCode::kFailed;
    code = ExitCode::kTimedOut;
  }
  return code;
}

void print_json(const std::vector<Sent>& all) {
  Json answer{{"sends", Json::array()}};
  for (const Sent& sent : all) answer["sends"].push_back(json_of(sent));
  for (const char* ending : {"done", "failed", "unknown"}) {
    answer[ending] = count_ending(all, ending);
  }
  // Keys are any bytes; JSON is text.
  fmt::print("{}\n", answer.dump(-1, ' ', false, Json::error_handler_t::replace));
}

void print_for_person(const std::vector<Sent>& all, const SendTerms& terms,
                      std::int64_t elapsed_ns) {
  const Colour colour = wants_colour(stdout) ? Colour::kOn : Colour::kOff;
  std::uint64_t bytes = 0;
  for (const Sent& sent : all) {
    bytes += sent.payload_bytes;
    if (all.size() == 1 || !is_done(sent)) print_line(sent, terms, colour);
  }
  if (all.size() == 1) return;
  fmt::print("{} messages, {}, in {}: {} done, {} failed, {} unknown\n", format_count(all.size()),
             format_bytes(bytes), format_duration(elapsed_ns),
             format_count(count_ending(all, "done")), format_count(count_ending(all, "failed")),
             format_count(count_ending(all, "unknown")));
}

}  // namespace ringwire::cli
