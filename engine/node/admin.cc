#include "engine/node/admin.h"

#include <utility>

#include "engine/node/admin_text.h"
#include "engine/node/clock.h"

namespace ringwire::node {
namespace {

constexpr std::uint32_t kDone = 0;
constexpr std::uint32_t kFailed = 1;
constexpr std::uint32_t kWrongUsage = 2;

std::string error_text(const std::string& found, const std::string& needed) {
  return Json{{"error", found}, {"needed", needed}}.dump();
}

/// A name may hold any bytes a program chose: what is no UTF-8 is shown as U+FFFD.
std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::optional<SlotQuestion> slot_question(const Json& request) {
  SlotQuestion question;
  if (const auto key = request.find("key"); key != request.end()) {
    if (!key->is_string()) return std::nullopt;
    question.key = key->get<std::string>();
  }
  if (const auto hash = request.find("hash"); hash != request.end()) {
    if (!hash->is_number_unsigned()) return std::nullopt;
    question.hash = hash->get<std::uint64_t>();
  }
  return question;
}

}  // namespace

Admin::Admin(NodeFacts facts, Rooms rooms) : facts_(std::move(facts)), rooms_(std::move(rooms)) {}

void Admin::handle(const std::string& text, bool owner, const Answer& answer) {
  const Json request = Json::parse(text, nullptr, false);
  const auto verb_at = request.is_object() ? request.find("verb") : request.end();
  if (!request.is_object() || verb_at == request.end() || !verb_at->is_string())
    return answer(error_text("the request is no JSON object with a verb",
                             R"({"verb": "status"} or another verb)"),
                  kWrongUsage);
  const auto verb = verb_at->get<std::string>();
  if (verb == "version") return answer(Json{{"version", RINGWIRE_VERSION}}.dump(), kDone);
  if (verb == "drain") {
    if (!owner)
      return answer(error_text("this user may not drain the engine", "the engine's user or root"),
                    kFailed);
    rooms_.drain();
    return answer(Json{{"draining", true}}.dump(), kDone);
  }
  if (verb == "slots") {
    const auto question = slot_question(request);
    if (!question)
      return answer(error_text("the key or the hash is of the wrong type",
                               "\"key\" as text, \"hash\" as a number"),
                    kWrongUsage);
    return answer(dump(slots_json(facts_, rooms_, *question)), kDone);
  }
  const bool every = request.value("all", Json(false)) == Json(true);
  using Make = std::function<Json(const Snapshots::All&)>;
  Make make;
  if (verb == "status")
    make = [this](const auto& all) { return status_json(facts_, rooms_, all, clock_now_ns()); };
  if (verb == "nodes")
    make = [this](const auto& all) { return nodes_json(facts_, rooms_, all, clock_now_ns()); };
  if (verb == "attachments")
    make = [this](const auto& all) { return attachments_json(rooms_, all); };
  if (verb == "drops")
    make = [this, every](const auto& all) { return drops_json(rooms_, all, every); };
  if (!make)
    return answer(error_text("unknown verb \"" + verb + "\"",
                             "status, nodes, slots, attachments, drops, version or drain"),
                  kWrongUsage);
  Snapshots::Room room;
  room.sessions = rooms_.peers.all().size() * kMaxWorkers;
  room.channels = rooms_.attachments.channels_count();
  room.groups = rooms_.services.count();
  rooms_.snapshots.take(room, [make = std::move(make), answer](const Snapshots::All& all) {
    answer(dump(make(all)), kDone);
  });
}

}  // namespace ringwire::node
