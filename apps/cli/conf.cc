// `ringwire conf new|check|show`: write, validate and explain the settings of an engine. Talks to
// no engine.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "apps/cli/shell.h"
#include "apps/cli/table.h"
#include "engine/node/config.h"
#include "engine/node/start_check.h"

namespace ringwire::cli {
namespace {

using Json = nlohmann::ordered_json;
using Problems = std::vector<node::ConfigProblem>;

struct ConfOptions {
  std::string file;
  std::vector<std::string> overrides;
};

node::Environment process_environment() {
  node::Environment environment;
  for (char** at = environ; *at != nullptr; ++at) {
    const std::string_view variable = *at;
    const std::size_t equals = variable.find('=');
    if (equals == std::string_view::npos) continue;
    environment.emplace_back(variable.substr(0, equals), variable.substr(equals + 1));
  }
  return environment;
}

std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Json json_of(const Problems& problems) {
  Json list = Json::array();
  for (const node::ConfigProblem& problem : problems) {
    list.push_back({{"file", problem.file},
                    {"line", problem.line},
                    {"column", problem.column},
                    {"key", problem.key},
                    {"text", problem.text}});
  }
  return list;
}

// A sum is shown term by term, on lines of its own.
void tell_problems(const Problems& problems) {
  for (const node::ConfigProblem& problem : problems) {
    const std::string text = problem.to_text();
    for (std::size_t begin = 0; begin <= text.size();) {
      const std::size_t end = std::min(text.find('\n', begin), text.size());
      fmt::print(stderr, "{}\n", printable(std::string_view(text).substr(begin, end - begin)));
      begin = end + 1;
    }
  }
}

ExitCode run_new() {
  fmt::print("{}", node::new_file_text());
  return ExitCode::kDone;
}

// The file alone: what the environment of this shell adds is for `show`.
ExitCode run_check(const Shell& shell, const ConfOptions& options) {
  const node::ConfigResult result = node::load_config(options.file, {}, {});
  const Problems problems = result.ok() ? node::start_problems(result.value()) : result.error();
  if (shell.json) {
    fmt::print("{}\n", dump(Json{{"file", options.file},
                                 {"valid", problems.empty()},
                                 {"problems", json_of(problems)}}));
  } else if (problems.empty()) {
    fmt::print("{}: valid\n", printable(options.file));
  } else {
    tell_problems(problems);
  }
  return problems.empty() ? ExitCode::kDone : ExitCode::kUsage;
}

void print_settings(const Shell& shell, const std::vector<node::Setting>& settings) {
  if (shell.json) {
    Json list = Json::array();
    for (const node::Setting& setting : settings) {
      list.push_back({{"key", setting.key}, {"value", setting.value}, {"origin", setting.origin}});
    }
    fmt::print("{}\n", dump(Json{{"settings", list}}));
    return;
  }
  Table table({{"KEY"}, {"VALUE"}, {"FROM"}});
  for (const node::Setting& setting : settings) {
    const bool is_default = setting.origin == "default";
    table.add(
        {setting.key, setting.value, {setting.origin, is_default ? Tint::kFaint : Tint::kNone}});
  }
  fmt::print("{}", table.render(wants_colour(stdout) ? Colour::kOn : Colour::kOff));
}

ExitCode run_show(const Shell& shell, const ConfOptions& options) {
  std::optional<std::string> path;
  if (!options.file.empty()) path = options.file;
  const node::ConfigResult result =
      node::load_config(path, process_environment(), options.overrides);
  if (!result.ok()) {
    if (shell.json) {
      fmt::print("{}\n", dump(Json{{"problems", json_of(result.error())}}));
    } else {
      tell_problems(result.error());
    }
    return ExitCode::kUsage;
  }
  print_settings(shell, node::show(result.value()));
  return ExitCode::kDone;
}

void add_json_option(CLI::App& command, Shell& shell) {
  command.add_flag("--json", shell.json, "Print JSON");
}

}  // namespace

void add_conf(CLI::App& app, Shell& shell) {
  CLI::App* conf = app.add_subcommand("conf", "Write, check and show an engine's settings");
  conf->require_subcommand(1);
  auto options = std::make_shared<ConfOptions>();

  CLI::App* fresh = conf->add_subcommand("new", "Print a commented file with every key");
  fresh->callback([&shell] { shell.command = &run_new; });

  CLI::App* check =
      conf->add_subcommand("check", "Tell every mistake of a file by line and column");
  check->add_option("FILE", options->file, "The file")->required();
  add_json_option(*check, shell);
  check->callback([&shell, options] {
    shell.command = [&shell, options] { return run_check(shell, *options); };
  });

  CLI::App* show =
      conf->add_subcommand("show", "Print the settings in force and where each comes from");
  show->add_option("-f,--file,FILE", options->file, "The file; none: defaults and environment");
  show->add_option("-o", options->overrides, "Override, as ringwire-engine takes it")
      ->type_name("SECTION.KEY=VALUE")
      ->expected(1)
      ->take_all();
  add_json_option(*show, shell);
  show->callback([&shell, options] {
    shell.command = [&shell, options] { return run_show(shell, *options); };
  });
}

}  // namespace ringwire::cli
