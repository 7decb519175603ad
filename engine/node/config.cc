#include "engine/node/config.h"

#include <toml++/toml.h>
#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "engine/node/config_keys.h"
#include "engine/node/config_rules.h"
#include "engine/node/node_paths.h"

namespace ringwire::node {
namespace {

using Kind = ConfigValue::Kind;

constexpr std::string_view kEnvironmentPrefix = "RINGWIRE_";

struct Place {
  std::string file;
  std::uint32_t line = 0;
  std::uint32_t column = 0;
  // "default", "node.toml:3", "RINGWIRE_CLUSTER_NAME", "-o"
  std::string origin;
};

struct Assigned {
  ConfigValue value;
  Place place;
};

std::string quoted(std::string_view text) {
  std::string result = "\"";
  result.append(text).append("\"");
  return result;
}

std::string_view section_of(std::string_view key) { return key.substr(0, key.find('.')); }
std::string_view leaf_of(std::string_view key) { return key.substr(key.find('.') + 1); }

// "port.kind" is "port.0.kind" for people.
std::string shown_key(std::string_view key) {
  if (section_of(key) != "port") return std::string(key);
  std::string result = "port.0.";
  result.append(leaf_of(key));
  return result;
}

std::vector<std::string_view> all_sections() {
  std::vector<std::string_view> sections;
  for (const ConfigKey& key : config_keys())
    if (sections.empty() || sections.back() != section_of(key.name))
      sections.push_back(section_of(key.name));
  return sections;
}

const ConfigKey* find_key(std::string_view section, std::string_view leaf) {
  for (const ConfigKey& key : config_keys())
    if (section_of(key.name) == section && leaf_of(key.name) == leaf) return &key;
  return nullptr;
}

std::string with_nearest(std::string text, std::string_view name,
                         std::span<const std::string_view> known) {
  if (const auto nearest = nearest_name(name, known))
    text.append("; did you mean ").append(quoted(*nearest)).append("?");
  return text;
}

std::vector<std::string_view> leaves_of(std::string_view section) {
  std::vector<std::string_view> known;
  for (const ConfigKey& key : config_keys())
    if (section_of(key.name) == section) known.push_back(leaf_of(key.name));
  return known;
}

std::string unknown_key_text(std::string_view section, std::string_view leaf) {
  std::string text = "unknown key ";
  text.append(quoted(leaf)).append(" in [").append(section).append("]");
  return with_nearest(std::move(text), leaf, leaves_of(section));
}

std::string unknown_section_text(std::string_view section) {
  std::string text = "unknown section ";
  text.append(quoted(section));
  return with_nearest(std::move(text), section, all_sections());
}

ConfigValue value_of(const toml::node& node) {
  ConfigValue value;
  if (const auto* text = node.as_string()) {
    value.text = text->get();
  } else if (const auto* number = node.as_integer()) {
    value.kind = Kind::kInteger;
    value.text = std::to_string(number->get());
  } else if (const auto* real = node.as_floating_point()) {
    value.kind = Kind::kFloat;
    char digits[64];
    const auto [end, error] = std::to_chars(std::begin(digits), std::end(digits), real->get());
    value.text.assign(digits, error == std::errc{} ? end : digits);
  } else if (const auto* truth = node.as_boolean()) {
    value.kind = Kind::kTruth;
    value.text = truth->get() ? "true" : "false";
  } else if (const auto* list = node.as_array()) {
    value.kind = Kind::kList;
    for (const toml::node& item : *list) value.items.push_back(value_of(item));
  } else {
    value.kind = Kind::kOther;
  }
  return value;
}

ConfigValue loose_text(std::string_view text) {
  return {.kind = Kind::kText, .is_loose = true, .text = std::string(text), .items = {}};
}

// "a,b", or as in a file: ["a", "b"].
ConfigValue loose_list(std::string_view text) {
  ConfigValue value{.kind = Kind::kList, .is_loose = true, .text = {}, .items = {}};
  if (text.starts_with('[')) {
    // An IPv6 address starts so too: what is not a TOML list is split like any other text.
    try {
      std::string line = "list = ";
      line.append(text);
      const toml::table table = toml::parse(line);
      if (const toml::array* list = table["list"].as_array(); list != nullptr && table.size() == 1)
        return value_of(*list);
    } catch (const toml::parse_error&) {
    }
  }
  while (!text.empty()) {
    const std::size_t comma = text.find(',');
    value.items.push_back(loose_text(text.substr(0, comma)));
    text = comma == std::string_view::npos ? std::string_view{} : text.substr(comma + 1);
  }
  return value;
}

ConfigValue loose_value(const ConfigKey& key, std::string_view text) {
  return key.is_list ? loose_list(text) : loose_text(text);
}

std::string shown_value(const ConfigValue& value) {
  if (value.kind != Kind::kList) return value.text;
  std::string text = "[";
  for (const ConfigValue& item : value.items)
    text.append(text.size() > 1 ? ", " : "").append(item.text);
  return text.append("]");
}

std::optional<std::size_t> parse_index(std::string_view text) {
  std::size_t index = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, index);
  if (text.empty() || error != std::errc{} || stop != end) return std::nullopt;
  return index;
}

class Loader {
 public:
  explicit Loader(const ConfigInput& input) : input_(input) {}

  ConfigResult load() {
    for (const ConfigKey& key : config_keys())
      assigned_[key.name] = {loose_value(key, key.default_text), Place{{}, 0, 0, "default"}};
    read_file();
    read_environment();
    read_overrides();
    read_eal();
    apply();
    // Of a file that is no TOML nothing is known: what it seems to lack may stand in it.
    if (is_readable_) check_rules();
    if (!problems_.empty()) return sorted_problems();
    remember_settings();
    return std::move(config_);
  }

 private:
  void problem(const Place& place, std::string key, std::string text) {
    problems_.push_back({place.file, place.line, place.column, std::move(key), std::move(text)});
  }
  // A problem with a key that was set somewhere.
  void problem_with(std::string_view key, std::string text) {
    problem(assigned_.at(key).place, shown_key(key), std::move(text));
  }
  void unknown_key(const Place& place, std::string name, std::string_view section,
                   std::string_view leaf) {
    problem(place, std::move(name), unknown_key_text(section, leaf));
    // Probably meant: that it is missing is no second mistake.
    if (const auto nearest = nearest_name(leaf, leaves_of(section)))
      doubted_.insert(find_key(section, *nearest)->name);
  }
  [[nodiscard]] bool is_given(std::string_view key) const {
    return assigned_.at(key).place.origin != "default";
  }

  // ---- the file ----

  Place place_of(const toml::source_region& source) const {
    Place place{input_.file_name, source.begin.line, source.begin.column, input_.file_name};
    place.origin.append(":").append(std::to_string(place.line));
    return place;
  }

  void read_file() {
    toml::table table;
    try {
      table = toml::parse(input_.file_text);
    } catch (const toml::parse_error& error) {
      is_readable_ = false;
      return problem(place_of(error.source()), {}, std::string(error.description()));
    }
    const std::vector<std::string_view> sections = all_sections();
    for (const auto& [key, node] : table) {
      const std::string_view section = key.str();
      const Place place = place_of(key.source());
      if (std::find(sections.begin(), sections.end(), section) == sections.end())
        problem(place, std::string(section), unknown_section_text(section));
      else if (section == "port")
        read_ports(node, place);
      else if (const toml::table* body = node.as_table())
        read_section(section, *body);
      else
        problem(place, std::string(section), "is a section: write [" + std::string(section) + "]");
    }
  }

  void read_ports(const toml::node& node, const Place& place) {
    const toml::array* ports = node.as_array();
    if (ports == nullptr || !ports->is_homogeneous(toml::node_type::table))
      return problem(place, "port", "is a list of ports: write [[port]]");
    if (ports->size() > 1)
      return problem(place_of((*ports)[1].source()), "port", "exactly one [[port]] for now");
    read_section("port", *(*ports)[0].as_table());
  }

  void read_section(std::string_view section, const toml::table& body) {
    for (const auto& [key, node] : body) {
      const ConfigKey* known = find_key(section, key.str());
      if (known == nullptr) {
        std::string name(section);
        name.append(".").append(key.str());
        unknown_key(place_of(key.source()), std::move(name), section, key.str());
        continue;
      }
      assigned_[known->name] = {value_of(node), place_of(node.source())};
    }
  }

  // ---- environment and command line ----

  // Sets `key` or, for a list, its element: rest = "" or an index.
  void assign_text(const ConfigKey& key, std::string_view rest, std::string_view text,
                   const Place& place) {
    if (rest.empty()) {
      assigned_[key.name] = {loose_value(key, text), place};
      return;
    }
    const auto index = parse_index(rest);
    Assigned& target = assigned_[key.name];
    if (!index || target.value.kind != Kind::kList || *index > target.value.items.size())
      return problem(place, shown_key(key.name),
                     "sets element " + std::string(rest) + " of a list of " +
                         std::to_string(target.value.items.size()));
    if (*index == target.value.items.size()) target.value.items.emplace_back();
    target.value.items[*index] = loose_text(text);
    target.place = place;
  }

  // `path` is what follows "section" and its separator, e.g. "0_kind" or "seeds.1".
  void assign_path(std::string_view section, std::string_view path, char separator,
                   std::string_view text, const Place& place) {
    std::string name(section);
    name.append(".").append(path);
    if (section == "port") {
      const std::size_t end = path.find(separator);
      const auto index = parse_index(path.substr(0, end));
      if (index && *index != 0) return problem(place, name, "exactly one port for now: index 0");
      if (index && end != std::string_view::npos) path.remove_prefix(end + 1);
    }
    if (const ConfigKey* key = find_key(section, path)) return assign_text(*key, {}, text, place);
    const std::size_t last = path.rfind(separator);
    if (last != std::string_view::npos && parse_index(path.substr(last + 1))) {
      const ConfigKey* key = find_key(section, path.substr(0, last));
      if (key != nullptr && key->is_list)
        return assign_text(*key, path.substr(last + 1), text, place);
    }
    unknown_key(place, std::move(name), section, path);
  }

  void read_environment() {
    Environment environment = input_.environment;
    // Whole lists before their elements, and element 2 before element 10.
    std::sort(environment.begin(), environment.end(), [](const auto& left, const auto& right) {
      return std::pair(left.first.size(), left.first) < std::pair(right.first.size(), right.first);
    });
    for (const auto& [name, text] : environment) {
      if (!name.starts_with(kEnvironmentPrefix)) continue;
      std::string path = name.substr(kEnvironmentPrefix.size());
      for (char& letter : path)
        if (letter >= 'A' && letter <= 'Z') letter = static_cast<char>(letter - 'A' + 'a');
      for (const std::string_view section : all_sections()) {
        if (!path.starts_with(section) || path.size() <= section.size() + 1 ||
            path[section.size()] != '_')
          continue;
        assign_path(section, std::string_view(path).substr(section.size() + 1), '_', text,
                    Place{name, 0, 0, name});
      }
    }
  }

  void read_overrides() {
    const std::vector<std::string_view> sections = all_sections();
    for (const std::string& text : input_.overrides) {
      const Place place{"-o", 0, 0, "-o"};
      const std::string_view path = std::string_view(text).substr(0, text.find('='));
      const std::size_t dot = path.find('.');
      if (path.size() == text.size() || dot == std::string_view::npos) {
        problem(place, text, "wants section.key=value");
        continue;
      }
      const std::string_view section = path.substr(0, dot);
      if (std::find(sections.begin(), sections.end(), section) == sections.end()) {
        problem(place, std::string(path), unknown_section_text(section));
        continue;
      }
      assign_path(section, path.substr(dot + 1), '.',
                  std::string_view(text).substr(path.size() + 1), place);
    }
  }

  // As they are: a comma separates nothing in them.
  void read_eal() {
    if (input_.eal.empty()) return;
    ConfigValue list{.kind = Kind::kList, .is_loose = true, .text = {}, .items = {}};
    for (const std::string& argument : input_.eal) list.items.push_back(loose_text(argument));
    assigned_["dpdk.eal"] = {std::move(list), Place{"EAL arguments", 0, 0, "command line"}};
  }

  // ---- values ----

  void apply() {
    for (const ConfigKey& key : config_keys()) {
      std::string text = key.apply(assigned_.at(key.name).value, config_);
      if (text.empty()) continue;
      problem_with(key.name, std::move(text));
      doubted_.insert(key.name);
    }
  }

  // Cores alone say how many workers there are.
  void count_workers() {
    Config::Node& node = config_.node;
    if (node.cores.empty() || node.cores.size() > kMaxWorkers || is_given("node.workers")) return;
    node.workers = static_cast<std::uint32_t>(node.cores.size());
    assigned_["node.workers"] = {loose_text(std::to_string(node.workers)),
                                 Place{{}, 0, 0, "node.cores"}};
  }

  void check_rules() {
    count_workers();
    const auto given = [this](std::string_view key) { return is_given(key); };
    report(broken_rules(config_, given));
    if (input_.accept == Accept::kWhatThisVersionDoes) report(unsupported_settings(config_, given));
  }

  // One sentence per setting: what follows from a mistake is none of its own.
  void report(std::vector<BrokenRule> rules) {
    for (BrokenRule& rule : rules) {
      if (std::any_of(rule.keys.begin(), rule.keys.end(),
                      [this](std::string_view key) { return doubted_.contains(key); }))
        continue;
      problem_with(rule.keys.front(), std::move(rule.text));
      doubted_.insert(rule.keys.front());
    }
  }

  // ---- results ----

  Failure<std::vector<ConfigProblem>> sorted_problems() {
    std::stable_sort(problems_.begin(), problems_.end(),
                     [](const ConfigProblem& left, const ConfigProblem& right) {
                       return std::pair(left.line, left.column) <
                              std::pair(right.line, right.column);
                     });
    return Failure{std::move(problems_)};
  }

  void remember_settings() {
    for (const ConfigKey& key : config_keys()) {
      const Assigned& assigned = assigned_.at(key.name);
      config_.settings.push_back({shown_key(key.name), shown_value(assigned.value),
                                  assigned.place.origin, assigned.place.file, assigned.place.line,
                                  assigned.place.column});
    }
  }

  const ConfigInput& input_;
  Config config_;
  std::map<std::string_view, Assigned> assigned_;
  std::vector<ConfigProblem> problems_;
  std::set<std::string_view> doubted_;  ///< settings with a problem, or probably meant by one
  bool is_readable_ = true;
};

}  // namespace

std::string ConfigProblem::to_text() const {
  std::string result = file;
  if (line > 0) result.append(":").append(std::to_string(line));
  if (line > 0) result.append(":").append(std::to_string(column));
  if (!result.empty()) result.append(": ");
  if (!key.empty()) result.append(key).append(": ");
  return result.append(text);
}

ConfigResult parse_config(const ConfigInput& input) { return Loader(input).load(); }

ConfigResult load_config(const std::optional<std::string>& path, const Environment& environment,
                         const std::vector<std::string>& overrides,
                         const std::vector<std::string>& eal) {
  ConfigInput input{
      path.value_or(""), {}, environment, overrides, Accept::kWhatThisVersionDoes, eal};
  if (path) {
    const auto unreadable = [&path](const std::string& why) {
      return Failure{std::vector<ConfigProblem>{{*path, 0, 0, {}, why}}};
    };
    std::error_code ignored;
    if (std::filesystem::is_directory(*path, ignored))
      return unreadable("is a directory: name the file in it");
    std::ifstream file(*path, std::ios::binary);
    const int reason = errno;
    std::ostringstream text;
    // An empty file leaves the target in a failed state; only the source's matters.
    if (file) text << file.rdbuf();
    if (!file.is_open()) return unreadable(std::string("cannot be read: ") + std::strerror(reason));
    if (file.bad()) return unreadable("cannot be read to its end");
    input.file_text = text.str();
    // Nobody writes a file to say nothing: it was cut off, or is another one.
    if (input.file_text.find_first_not_of(" \t\r\n") == std::string::npos)
      return unreadable("is empty: `ringwire conf new` prints a file with every key");
  }
  return parse_config(input);
}

std::vector<Setting> show(const Config& config) {
  std::vector<Setting> settings = config.settings;
  for (Setting& setting : settings) {
    if (!setting.value.empty()) continue;
    if (setting.key == "node.socket") setting.value = default_socket_path(config.node.name);
    if (setting.key == "node.state") setting.value = default_state_path(config.node.name);
  }
  return settings;
}

ConfigProblem problem_at(const Config& config, std::string_view key, std::string text) {
  ConfigProblem problem{{}, 0, 0, std::string(key), std::move(text)};
  for (const Setting& setting : config.settings) {
    if (setting.key != key) continue;
    problem.file = setting.file;
    problem.line = setting.line;
    problem.column = setting.column;
  }
  return problem;
}

std::string new_file_text() {
  std::string text =
      "# Ringwire node. Every key is optional: what is commented out shows an example, or the\n"
      "# default. RINGWIRE_SECTION_KEY in the environment and -o section.key=value override it.\n";
  std::string_view section;
  for (const ConfigKey& key : config_keys()) {
    if (section_of(key.name) != section) {
      section = section_of(key.name);
      const bool is_port = section == "port";
      text.append(is_port ? "\n[[port]]" : "\n[").append(is_port ? "" : section);
      text.append(is_port ? "\n" : "]\n");
    }
    std::string line = "# ";
    line.append(leaf_of(key.name)).append(" = ").append(key.example);
    if (line.size() < 34) line.resize(34, ' ');
    text.append(line).append("  # ").append(key.comment).append("\n");
  }
  return text;
}

}  // namespace ringwire::node
