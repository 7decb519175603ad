#include "apps/cli/delivery_options.h"

#include <fmt/format.h>

#include <map>

namespace ringwire::cli {
namespace {

using Words = std::map<std::string, std::uint32_t>;

void add_word_option(CLI::App& command, const std::string& name, std::uint32_t& target,
                     const Words& words, const std::string& help) {
  std::string choice;
  for (const auto& [word, value] : words) choice += (choice.empty() ? "" : "|") + word;
  command
      .add_option_function<std::string>(
          name,
          [&target, words, name, choice](const std::string& text) {
            const auto found = words.find(text);
            if (found == words.end()) {
              throw CLI::ValidationError(name, fmt::format("\"{}\" is none of {}", text, choice));
            }
            target = found->second;
          },
          help)
      ->type_name(choice);
}

}  // namespace

void add_ack_option(CLI::App& command, std::uint32_t& level) {
  add_word_option(
      command, "--ack", level,
      {{"none", RW_LEVEL_NONE}, {"accepted", RW_LEVEL_ACCEPTED}, {"processed", RW_LEVEL_PROCESSED}},
      "When a message counts as done [processed]");
}

void add_order_option(CLI::App& command, std::uint32_t& order) {
  add_word_option(command, "--order", order, {{"key", RW_ORDER_KEY}, {"none", RW_ORDER_NONE}},
                  "Keep the order of a key's messages, or not [key]");
}

void add_require_option(CLI::App& command, std::uint32_t& require) {
  add_word_option(
      command, "--require", require,
      {{"all", RW_REQUIRE_ALL}, {"majority", RW_REQUIRE_MAJORITY}, {"one", RW_REQUIRE_ONE}},
      "How many of several targets must be done [all]");
}

void add_service_option(CLI::App& command, std::string& service) {
  command.add_option("--service", service, "Name of the service [the default service]")
      ->type_name("S");
}

void add_share_option(CLI::App& command, bool& share) {
  command.add_flag("--share", share,
                   "Read payloads where their senders have them, if both sides of one user ask");
}

std::string level_name(std::uint32_t level) {
  switch (level) {
    case RW_LEVEL_NONE:
      return "none";
    case RW_LEVEL_ACCEPTED:
      return "accepted";
    default:
      return "processed";
  }
}

std::string outcome_name(const rw_outcome& outcome) {
  if (outcome.ending == RW_ENDING_DONE) return "done";
  return fmt::format("{}({})", rw_ending_name(outcome.ending), rw_reason_name(outcome.reason));
}

}  // namespace ringwire::cli
