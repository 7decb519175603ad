// `ringwire attachments`: which programs are attached to this node, and what they hold.
#include <fmt/format.h>

#include "apps/cli/admin.h"
#include "apps/cli/table.h"
#include "apps/cli/units.h"

namespace ringwire::cli {
namespace {

std::uint64_t sum_over_channels(const Json& attachment, std::string_view key) {
  std::uint64_t sum = 0;
  for (const Json& channel : part_at(attachment, "channels")) sum += number_at(channel, key);
  return sum;
}

// The default service has no name.
std::string service_names(const Json& services) {
  std::string names;
  for (const Json& service : services) {
    if (!names.empty()) names += ", ";
    const std::string name = service.is_string() ? service.get<std::string>() : service.dump();
    names += name.empty() ? "(default)" : name;
  }
  return names.empty() ? "-" : names;
}

std::string attachment_table(const Json& attachments, Colour colour) {
  Table table({{"PROGRAM"},
               {"PID", Table::Align::kRight},
               {"UID", Table::Align::kRight},
               {"SINCE", Table::Align::kRight},
               {"CHANNELS", Table::Align::kRight},
               {"SUBMITTED", Table::Align::kRight},
               {"DELIVERED", Table::Align::kRight},
               {"OUTSTANDING", Table::Align::kRight},
               {"ADOPTED", Table::Align::kRight},
               {"SERVES"}});
  for (const Json& attachment : attachments) {
    table.add({text_at(attachment, "label"), fmt::format("{}", number_at(attachment, "pid")),
               fmt::format("{}", number_at(attachment, "uid")),
               format_duration(signed_at(attachment, "since_ns")),
               fmt::format("{}", part_at(attachment, "channels").size()),
               format_count(sum_over_channels(attachment, "submitted")),
               format_count(sum_over_channels(attachment, "delivered")),
               format_count(sum_over_channels(attachment, "outstanding")),
               format_bytes(number_at(attachment, "adopted_bytes")),
               service_names(part_at(attachment, "services"))});
  }
  return table.empty() ? "no program is attached\n" : table.render(colour);
}

std::string group_table(const Json& groups, Colour colour) {
  Table table({{"SERVICE"},
               {"CONSUMERS", Table::Align::kRight},
               {"QUEUED", Table::Align::kRight},
               {"IN FLIGHT", Table::Align::kRight},
               {"ORDER"}});
  for (const Json& group : groups) {
    const std::string service = text_at(group, "service");
    table.add({service.empty() ? std::string("(default)") : service,
               format_count(number_at(group, "consumers")),
               format_count(number_at(group, "queued")),
               format_count(number_at(group, "in_flight")), text_at(group, "order")});
  }
  return table.empty() ? std::string() : "\n" + table.render(colour);
}

std::string render(const Json& answer) {
  const Colour colour = wants_colour(stdout) ? Colour::kOn : Colour::kOff;
  return attachment_table(part_at(answer, "attachments"), colour) +
         group_table(part_at(answer, "groups"), colour);
}

}  // namespace

void add_attachments(CLI::App& app, Shell& shell) {
  CLI::App* command = app.add_subcommand("attachments", "Show the programs attached to this node");
  add_engine_options(*command, shell);
  command->callback([&shell] {
    shell.command = [&shell] { return report(shell, Json{{"verb", "attachments"}}, &render); };
  });
}

}  // namespace ringwire::cli
