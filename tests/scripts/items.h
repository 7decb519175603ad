// Items of frames in the words of packet scripts: written into frames that the peer of a story
// sends, and compared with those that the session sends. Fields that a line does not name have
// their plainest value when sent, and match anything when expected. Scripts only; cold.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "tests/scripts/words.h"

namespace ringwire::scripts {

struct FrameText {
  bool bulk = false;
  std::vector<std::string> items;  ///< as a script would write them, all fields
};

/// Writes the items of a line into the body of a frame. Returns true when it is a fragment, which
/// is a bulk frame's whole body.
bool write_items(Words& words, ByteWriter& writer, std::uint32_t slots,
                 std::uint32_t fragment_bytes);

/// What a frame's body says, for comparing and for the report of a story that failed.
[[nodiscard]] FrameText read_items(std::span<const std::byte> body, bool bulk, std::uint32_t slots);

/// True when every word group that the line names stands in the item: `RESULT 1.1 done` matches
/// `RESULT 1.1 settled released done none`.
[[nodiscard]] bool matches(const std::vector<std::string>& expected, const FrameText& frame);

}  // namespace ringwire::scripts
