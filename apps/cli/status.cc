// `ringwire status`: this node at a glance.
#include <fmt/format.h>

#include "apps/cli/admin.h"
#include "apps/cli/table.h"
#include "apps/cli/units.h"

namespace ringwire::cli {
namespace {

void append_field(std::string& out, std::string_view name, const std::string& value) {
  out += fmt::format("{:<12}{}\n", name, value);
}

std::string node_line(const Json& answer, Colour colour) {
  const std::string state = text_at(answer, "state");
  std::string line =
      fmt::format("{} ({} of the {} cluster {}), {}", printable(text_at(answer, "node")),
                  printable(text_at(answer, "role")), printable(text_at(answer, "type")),
                  printable(text_at(answer, "cluster")),
                  tinted(printable(state), tint_of_state(state), colour));
  if (flag_at(answer, "degraded")) line += ", " + tinted("degraded", Tint::kWarning, colour);
  return line;
}

std::string message_lines(const Json& messages) {
  std::string out;
  append_field(out, "messages",
               fmt::format("{} taken = {} done + {} failed + {} unknown + {} in flight",
                           format_count(number_at(messages, "taken")),
                           format_count(number_at(messages, "done")),
                           format_count(number_at(messages, "failed")),
                           format_count(number_at(messages, "unknown")),
                           format_count(number_at(messages, "in_flight"))));
  append_field(out, "",
               fmt::format("{} redelivered, {} late outcomes",
                           format_count(number_at(messages, "redelivered")),
                           format_count(number_at(messages, "late_outcomes"))));
  return out;
}

std::string memory_lines(const Json& memory) {
  std::string out;
  append_field(out, "memory",
               fmt::format("{} used of {}", format_bytes(number_at(memory, "used_bytes")),
                           format_bytes(number_at(memory, "budget_bytes"))));
  for (const Json& term : part_at(memory, "terms")) {
    append_field(out, "",
                 fmt::format("{:>11}  {}", format_bytes(number_at(term, "bytes")),
                             printable(text_at(term, "name"))));
  }
  return out;
}

std::string worker_table(const Json& workers, Colour colour) {
  Table table({{"WORKER", Table::Align::kRight},
               {"BUSY", Table::Align::kRight},
               {"STATE"},
               {"TURNS", Table::Align::kRight},
               {"SYNC GROWTH", Table::Align::kRight}});
  for (const Json& worker : workers) {
    const std::uint64_t busy_permille = number_at(worker, "busy_permille");
    table.add({fmt::format("{}", number_at(worker, "index")),
               fmt::format("{}.{} %", busy_permille / 10, busy_permille % 10),
               std::string(flag_at(worker, "sleeping") ? "asleep" : "polling"),
               format_count(number_at(worker, "turns")),
               format_count(number_at(worker, "sync_growth"))});
  }
  return table.empty() ? std::string() : "\n" + table.render(colour);
}

// A server node takes messages also when no program is there for them: they wait, and go back.
std::string unserved_lines(const Json& answer, Colour colour) {
  if (text_at(answer, "role") != "server") return {};
  std::string services;
  for (const Json& service : part_at(answer, "services_without_consumer")) {
    const std::string name = service.is_string() ? service.get<std::string>() : "";
    services += services.empty() ? "" : ", ";
    services += name.empty() ? "the default service" : "service " + printable(name);
  }
  std::string text;
  if (!services.empty()) {
    text = "messages wait for a program that serves " + services;
  } else if (number_at(answer, "consumers") == 0) {
    text = "no program serves here: messages wait limits.program_grace, then go back";
  }
  std::string out;
  if (!text.empty()) append_field(out, "", tinted(text, Tint::kWarning, colour));
  return out;
}

std::string render(const Json& answer) {
  const Colour colour = wants_colour(stdout) ? Colour::kOn : Colour::kOff;
  const Json& nodes = part_at(answer, "nodes");
  std::string out;
  append_field(out, "node", node_line(answer, colour));
  append_field(out, "engine",
               fmt::format("{}, up {}, incarnation {}", printable(text_at(answer, "version")),
                           format_duration(signed_at(answer, "uptime_ns")),
                           printable(text_at(answer, "incarnation"))));
  append_field(
      out, "view",
      fmt::format("epoch {}, {} nodes known, {} up, {} serving; without a majority: {}",
                  number_at(answer, "epoch"), number_at(nodes, "known"), number_at(nodes, "up"),
                  number_at(nodes, "serving"), printable(text_at(answer, "without_majority"))));
  append_field(out, "programs",
               fmt::format("{} attached, {} of their channels serve",
                           number_at(answer, "attachments"), number_at(answer, "consumers")));
  out += unserved_lines(answer, colour);
  out += message_lines(part_at(answer, "messages"));
  out += memory_lines(part_at(answer, "memory"));
  out += worker_table(part_at(answer, "workers"), colour);
  return out;
}

}  // namespace

void add_status(CLI::App& app, Shell& shell) {
  CLI::App* command = app.add_subcommand("status", "Show the state of this node");
  add_engine_options(*command, shell);
  command->callback([&shell] {
    shell.command = [&shell] { return report(shell, Json{{"verb", "status"}}, &render); };
  });
}

}  // namespace ringwire::cli
