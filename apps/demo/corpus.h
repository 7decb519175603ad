// The files that the demo sends: every regular file under a path, or a few hundred megabytes of
// what any Debian machine has. Each has a key: its name relative to that path. Main thread. Cold.
#pragma once

#include <cstdint>
#include <ctime>
#include <string>
#include <vector>

namespace ringwire::demo {

/// Of what the demo sends when it is given no path.
inline constexpr std::uint64_t kDefaultCorpusBytes = 300'000'000;

/// What tells one content of a file from a later one, short of reading it.
struct FileState {
  std::uint64_t bytes = 0;
  std::uint64_t inode = 0;
  timespec modified{};
};

struct CorpusFile {
  std::string path;
  std::string key;  ///< at most RW_MAX_KEY_BYTES
  FileState state;  ///< as of when it was last looked at before sending
};

struct Corpus {
  std::vector<CorpusFile> files;
  std::uint64_t bytes = 0;
  std::uint64_t left_out = 0;  ///< unreadable, or neither file nor folder
  std::string about;           ///< for a person: what it is
};

/// Every regular file under `path` (or the file `path`), in the order of names. Symbolic links are
/// not followed. Throws std::runtime_error with a sentence when there is nothing there.
Corpus corpus_under(const std::string& path);
/// About kDefaultCorpusBytes of programs, libraries and data of this machine.
Corpus default_corpus();

/// Look at a file. Returns false if it cannot be read any more.
bool look_at(const std::string& path, FileState& state);
[[nodiscard]] bool same_state(const FileState& a, const FileState& b);

}  // namespace ringwire::demo
