// `ringwire drops`: every frame, packet or message that was dropped, by place and exact reason.
#include <fmt/format.h>

#include <memory>

#include "apps/cli/admin.h"
#include "apps/cli/table.h"
#include "apps/cli/units.h"

namespace ringwire::cli {
namespace {

std::string render(const Json& answer) {
  const Colour colour = wants_colour(stdout) ? Colour::kOn : Colour::kOff;
  Table table({{"WHERE"}, {"REASON"}, {"COUNT", Table::Align::kRight}});
  for (const Json& drop : part_at(answer, "drops")) {
    table.add(
        {text_at(drop, "where"), text_at(drop, "reason"), format_count(number_at(drop, "count"))});
  }
  return table.empty() ? "nothing was dropped\n" : table.render(colour);
}

}  // namespace

void add_drops(CLI::App& app, Shell& shell) {
  CLI::App* command = app.add_subcommand("drops", "Show every drop by reason");
  auto all = std::make_shared<bool>(false);
  add_engine_options(*command, shell);
  command->add_flag("--all", *all, "Also the reasons that never happened");
  command->callback([&shell, all] {
    shell.command = [&shell, all] {
      return report(shell, Json{{"verb", "drops"}, {"all", *all}}, &render);
    };
  });
}

}  // namespace ringwire::cli
