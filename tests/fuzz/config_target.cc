// Configuration text: settings or problems, each with a place inside the text; and settings that
// were taken, written back as overrides, are taken again with the same values. The first byte says
// whether the rest is a file, or overrides and environment line by line.
#include <algorithm>
#include <string>
#include <string_view>

#include "base/check.h"
#include "engine/node/config.h"

namespace {

using namespace ringwire;
using namespace ringwire::node;

void check_problems(const std::vector<ConfigProblem>& problems, std::string_view text) {
  RW_CHECK(!problems.empty());
  const auto lines = static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n')) + 1;
  for (const ConfigProblem& problem : problems) {
    RW_CHECK(!problem.text.empty());
    RW_CHECK(problem.line <= lines + 1);
    RW_CHECK(problem.line == 0 || problem.column >= 1);
    RW_CHECK(!problem.to_text().empty());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  ConfigInput input;
  input.file_name = "node.toml";
  if (data[0] % 4 != 0) {
    input.file_text = text;
  } else {
    for (std::size_t from = 0; from < text.size();) {
      const std::size_t to = std::min(text.find('\n', from), text.size());
      const std::string line(text.substr(from, to - from));
      from = to + 1;
      if (const std::size_t equals = line.find('='); data[0] % 8 == 0 && equals != line.npos)
        input.environment.emplace_back("RINGWIRE_" + line.substr(0, equals),
                                       line.substr(equals + 1));
      else
        input.overrides.push_back(line);
    }
  }
  const ConfigResult result = parse_config(input);
  if (!result) {
    check_problems(result.error(), text);
    return 0;
  }
  const Config& config = result.value();
  RW_CHECK(!config.cluster.name.empty());
  RW_CHECK(config.cluster.name.size() <= kMaxNameBytes);
  RW_CHECK(config.node.name.size() <= kMaxNameBytes);
  for (const Setting& setting : show(config)) RW_CHECK(!setting.key.empty());
  const ConfigResult again = parse_config(input);
  RW_CHECK(again.ok());
  for (std::size_t at = 0; at < config.settings.size(); ++at)
    RW_CHECK(config.settings[at].value == again.value().settings[at].value);

  for (const std::string_view unit : {text}) {
    if (const auto bytes = parse_size(unit)) RW_CHECK(parse_size(size_text(*bytes)) == bytes);
    if (const auto time = parse_duration(unit))
      RW_CHECK(parse_duration(duration_text(*time)) == time);
    if (const auto where = parse_host_port(unit))
      RW_CHECK(parse_host_port(host_port_text(*where)) == where);
  }
  return 0;
}
