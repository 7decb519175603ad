// The JSON texts of the admin door, one function per question. Pure reading; ring manager only;
// cold.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "engine/node/admin.h"

namespace ringwire::node {

using Json = nlohmann::ordered_json;

[[nodiscard]] Json status_json(const NodeFacts& facts, const Admin::Rooms& rooms,
                               const Snapshots::All& all, TimeNs now);
[[nodiscard]] Json nodes_json(const NodeFacts& facts, const Admin::Rooms& rooms,
                              const Snapshots::All& all, TimeNs now);
[[nodiscard]] Json attachments_json(const Admin::Rooms& rooms, const Snapshots::All& all);
/// `every`: also what never happened.
[[nodiscard]] Json drops_json(const Admin::Rooms& rooms, const Snapshots::All& all, bool every);

/// Whose key is asked for, if any.
struct SlotQuestion {
  std::optional<std::string> key;
  std::optional<std::uint64_t> hash;
};
[[nodiscard]] Json slots_json(const NodeFacts& facts, const Admin::Rooms& rooms,
                              const SlotQuestion& question);

/// "0123456789abcdef"
[[nodiscard]] std::string hex_text(std::uint64_t number);

}  // namespace ringwire::node
