#include "engine/node/telemetry.h"

#include <array>
#include <boost/asio/post.hpp>
#include <chrono>
#include <future>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "engine/port/dpdk_telemetry.h"

namespace ringwire::node {
namespace {

using Json = nlohmann::ordered_json;

/// A ring manager that does not answer for so long is not waited for.
constexpr auto kPatience = std::chrono::seconds(2);

struct Verb {
  const char* verb;
  const char* help;
};
constexpr std::array<Verb, 4> kVerbs = {{
    {"status", "state of the node, its workers and memory. Parameter: only what begins so"},
    {"nodes", "members and sessions with them. Parameter: only what begins so"},
    {"attachments", "programs and their channels. Parameter: only what begins so"},
    {"drops", "everything that was dropped, by reason. Parameter: only what begins so"},
}};

void flatten(const Json& json, const std::string& path, const std::string& start,
             std::vector<port::TelemetryField>& fields) {
  if (json.is_structured()) {
    std::size_t index = 0;
    for (const auto& [key, value] : json.items()) {
      const std::string name = json.is_array() ? std::to_string(index++) : key;
      flatten(value, path.empty() ? name : path + "/" + name, start, fields);
    }
    return;
  }
  if (!path.starts_with(start) || fields.size() == port::kMaxTelemetryFields) return;
  if (json.is_number_unsigned() || (json.is_number_integer() && json.get<std::int64_t>() >= 0))
    fields.push_back({path, json.get<std::uint64_t>()});
  else if (json.is_string())
    fields.push_back({path, json.get<std::string>()});
  else
    fields.push_back({path, json.dump()});
}

}  // namespace

/// Outlives the engine for as long as a question is under way.
struct Telemetry::Door {
  std::mutex mutex;
  boost::asio::io_context* manager = nullptr;  ///< null: closed
  Admin* admin = nullptr;

  /// On DPDK's thread. Empty when nobody answers.
  std::string ask(const std::string& verb) {
    auto promise = std::make_shared<std::promise<std::string>>();
    std::future<std::string> answer = promise->get_future();
    {
      const std::lock_guard lock(mutex);
      if (manager == nullptr) return {};
      boost::asio::post(*manager, [admin = admin, verb, promise] {
        admin->handle(
            Json{{"verb", verb}}.dump(), false,
            [promise](const std::string& json, std::uint32_t) { promise->set_value(json); });
      });
    }
    if (answer.wait_for(kPatience) != std::future_status::ready) return {};
    try {
      return answer.get();
    } catch (const std::future_error&) {  // the engine ended with the question unanswered
      return {};
    }
  }
};

Telemetry::Telemetry(boost::asio::io_context& manager, Admin& admin)
    : door_(std::make_shared<Door>()) {
  door_->manager = &manager;
  door_->admin = &admin;
  for (const Verb& verb : kVerbs)
    port::add_telemetry(std::string("/ringwire/") + verb.verb, verb.help,
                        [door = door_, verb](const std::string& start) {
                          std::vector<port::TelemetryField> fields;
                          const Json json = Json::parse(door->ask(verb.verb), nullptr, false);
                          if (!json.is_discarded()) flatten(json, "", start, fields);
                          return fields;
                        });
}

Telemetry::~Telemetry() {
  port::remove_telemetry();
  const std::lock_guard lock(door_->mutex);
  door_->manager = nullptr;
}

}  // namespace ringwire::node
