// `ringwire slots [--key K | --hash N]`: who owns how much of the ring; who owns and serves a key.
#include <fmt/format.h>

#include <memory>
#include <optional>

#include "apps/cli/admin.h"
#include "apps/cli/table.h"
#include "apps/cli/units.h"
#include "ipc/ringwire.h"

namespace ringwire::cli {
namespace {

struct SlotsOptions {
  std::optional<std::string> key;
  std::optional<std::uint64_t> hash;
};

// JSON carries text only: a key of other bytes is asked for by its hash.
bool is_text(const std::string& key) {
  try {
    return !Json(key).dump().empty();
  } catch (const Json::type_error&) {
    return false;
  }
}

Json request_of(const SlotsOptions& options) {
  Json request{{"verb", "slots"}};
  if (options.key && is_text(*options.key)) {
    request["key"] = *options.key;
  } else if (options.key) {
    request["hash"] = rw_hash(options.key->data(), options.key->size());
  }
  if (options.hash) request["hash"] = *options.hash;
  return request;
}

std::string percent_of(std::uint64_t part, std::uint64_t whole) {
  if (whole == 0) return "-";
  return fmt::format("{:.2f} %", 100.0 * static_cast<double>(part) / static_cast<double>(whole));
}

bool is_random(const Json& answer) { return text_at(answer, "algorithm") == "random"; }

std::string serving_text(const Json& answer, const Json& key) {
  if (is_random(answer)) {
    const std::string any = list_at(key, "serving_any");
    return any.empty() ? "nobody now" : "any node that serves: " + printable(any);
  }
  const std::string serving = text_at(key, "serving");
  return serving.empty() ? "nobody" : printable(serving);
}

std::string key_lines(const Json& answer) {
  const Json& key = part_at(answer, "key");
  if (key.empty()) return {};
  std::string out;
  if (key.contains("key")) out += fmt::format("key       {}\n", printable(text_at(key, "key")));
  out += fmt::format("hash      {}\n", printable(text_at(key, "hash")));
  if (!is_random(answer)) {
    out += fmt::format("slot      {}\nreplicas  {}\n", number_at(key, "slot"),
                       printable(list_at(key, "replicas")));
  }
  return out + fmt::format("serving   {}\n\n", serving_text(answer, key));
}

// Nobody owns anything there: shares would all be 0 %.
std::string render_random(const Json& answer, Colour colour) {
  Table table({{"NODE"}, {"STATE"}});
  for (const Json& member : part_at(answer, "members")) {
    const std::string state = text_at(member, "state");
    table.add({text_at(member, "name"), {state, tint_of_state(state)}});
  }
  return key_lines(answer) + table.render(colour) +
         fmt::format("\nrandom cluster, epoch {}: any serving node takes any message\n",
                     number_at(answer, "epoch"));
}

std::string render(const Json& answer) {
  const Colour colour = wants_colour(stdout) ? Colour::kOn : Colour::kOff;
  if (is_random(answer)) return render_random(answer, colour);
  const std::uint64_t slot_count = number_at(answer, "slot_count");
  Table table({{"NODE"},
               {"PRIMARY", Table::Align::kRight},
               {"SHARE", Table::Align::kRight},
               {"REPLICA", Table::Align::kRight}});
  for (const Json& member : part_at(answer, "members")) {
    table.add({text_at(member, "name"), format_count(number_at(member, "primary")),
               percent_of(number_at(member, "primary"), slot_count),
               format_count(number_at(member, "replica"))});
  }
  return key_lines(answer) + table.render(colour) +
         fmt::format("\n{} slots, epoch {}, placement {}, digest {}\n", format_count(slot_count),
                     number_at(answer, "epoch"), printable(text_at(answer, "algorithm")),
                     printable(text_at(answer, "digest")));
}

}  // namespace

void add_slots(CLI::App& app, Shell& shell) {
  CLI::App* command = app.add_subcommand("slots", "Show who owns which part of the ring");
  auto options = std::make_shared<SlotsOptions>();
  add_engine_options(*command, shell);
  CLI::Option* key = command
                         ->add_option_function<std::string>(
                             "--key", [options](const std::string& text) { options->key = text; },
                             "Show who owns and who serves this key")
                         ->type_name("K");
  command
      ->add_option_function<std::string>(
          "--hash",
          [options](const std::string& text) {
            options->hash = parse_number(text);
            if (!options->hash)
              throw CLI::ValidationError("--hash", "\"" + text + "\" is no number");
          },
          "The same for a hash, decimal or 0x...")
      ->type_name("N")
      ->excludes(key);
  command->callback([&shell, options] {
    shell.command = [&shell, options] { return report(shell, request_of(*options), &render); };
  });
}

}  // namespace ringwire::cli
