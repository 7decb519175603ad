// `ringwire nodes`: the nodes of the cluster as this one sees them.
#include <fmt/format.h>

#include "apps/cli/admin.h"
#include "apps/cli/table.h"
#include "apps/cli/units.h"

namespace ringwire::cli {
namespace {

// The first digits of an incarnation tell two of them apart; --json has all.
constexpr std::size_t kShortIncarnation = 8;

std::uint64_t sum_over_sessions(const Json& node, std::string_view key) {
  std::uint64_t sum = 0;
  for (const Json& session : part_at(node, "sessions")) sum += number_at(session, key);
  return sum;
}

std::string or_dash(bool known, std::string text) { return known ? std::move(text) : "-"; }

std::string render(const Json& answer) {
  const Colour colour = wants_colour(stdout) ? Colour::kOn : Colour::kOff;
  Table table({{"NODE"},
               {"ROLE"},
               {"STATE"},
               {"CONTROL"},
               {"DATA"},
               {"RTT", Table::Align::kRight},
               {"SILENT", Table::Align::kRight},
               {"SESSIONS", Table::Align::kRight},
               {"OPEN", Table::Align::kRight},
               {"IN FLIGHT", Table::Align::kRight},
               {"VERSION"},
               {"INCARNATION"}});
  for (const Json& node : part_at(answer, "nodes")) {
    const bool self = flag_at(node, "self");
    const std::string state = text_at(node, "state");
    table.add({text_at(node, "name") + (self ? " (this)" : ""),
               text_at(node, "role"),
               {state, tint_of_state(state)},
               text_at(node, "control"),
               list_at(node, "data"),
               or_dash(!self && signed_at(node, "rtt_ns") > 0,
                       format_duration(signed_at(node, "rtt_ns"))),
               or_dash(!self && signed_at(node, "silent_ns") > 0,
                       format_duration(signed_at(node, "silent_ns"))),
               fmt::format("{}", part_at(node, "sessions").size()),
               format_count(sum_over_sessions(node, "open_messages")),
               format_bytes(sum_over_sessions(node, "bytes_in_flight")),
               text_at(node, "version"),
               text_at(node, "incarnation").substr(0, kShortIncarnation)});
  }
  return table.render(colour) + fmt::format("\nepoch {}\n", number_at(answer, "epoch"));
}

}  // namespace

void add_nodes(CLI::App& app, Shell& shell) {
  CLI::App* command = app.add_subcommand("nodes", "Show all nodes of the cluster");
  add_engine_options(*command, shell);
  command->callback([&shell] {
    shell.command = [&shell] { return report(shell, Json{{"verb", "nodes"}}, &render); };
  });
}

}  // namespace ringwire::cli
