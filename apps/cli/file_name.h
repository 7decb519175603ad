// The name under which `serve --save` keeps a message: made from its key, which is any bytes that
// any sender likes. One key, one name; two keys, two names; no name leaves the directory, is
// hidden, or is too long for a file system. Pure; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace ringwire::cli {

/// File systems end at 255 bytes; some room stays for suffixes that people add.
inline constexpr std::size_t kMaxFileNameBytes = 240;

/// The key with every byte other than A-Z a-z 0-9 . _ - + = @ , written as %XX (so "/" is %2F and
/// directories are flattened), and a dot in front as %2E. What would be longer than
/// kMaxFileNameBytes is cut and ends in "~" and 32 hexadecimal digits of the key's XXH3-128. The
/// empty key is "%empty": "%" and a letter beyond F come from no other key.
[[nodiscard]] std::string file_name_of_key(std::string_view key);

/// The name for a message that was sent by hash, without a key: "%hash-" and 16 digits.
[[nodiscard]] std::string file_name_of_hash(std::uint64_t hash);

/// The escaping alone, without the cut: what a shell script can carry in a variable.
[[nodiscard]] std::string percent_encode(std::string_view bytes);

}  // namespace ringwire::cli
