#include "apps/demo/corpus.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <stdexcept>
#include <string_view>

#include "ipc/ringwire.h"

namespace ringwire::demo {
namespace {

namespace fs = std::filesystem;

// A name longer than a key may be is replaced by its hash: still one key per file.
std::string key_of(const std::string& name) {
  if (name.size() <= RW_MAX_KEY_BYTES) return name;
  char key[64];
  std::snprintf(key, sizeof(key), "long-name-%016llx",
                static_cast<unsigned long long>(rw_hash(name.data(), name.size())));
  return key;
}

void add_file(Corpus& corpus, const std::string& path, const std::string& name) {
  CorpusFile file{.path = path, .key = key_of(name), .state = {}};
  if (!look_at(path, file.state)) {
    ++corpus.left_out;
    return;
  }
  corpus.bytes += file.state.bytes;
  corpus.files.push_back(std::move(file));
}

// Adds files under `folder` in the order of names until the corpus holds `limit_bytes`.
void add_folder(Corpus& corpus, const fs::path& folder, const std::string& name,
                std::uint64_t limit_bytes, std::uint64_t largest_bytes) {
  std::error_code error;
  std::vector<fs::directory_entry> entries;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    entries.push_back(*it);
  }
  if (error) ++corpus.left_out;
  std::sort(entries.begin(), entries.end());
  for (const fs::directory_entry& entry : entries) {
    if (corpus.bytes >= limit_bytes) return;
    const std::string entry_name = name + entry.path().filename().string();
    const fs::file_status status = entry.symlink_status(error);
    if (fs::is_directory(status)) {
      add_folder(corpus, entry.path(), entry_name + "/", limit_bytes, largest_bytes);
    } else if (fs::is_regular_file(status)) {
      const std::uintmax_t bytes = entry.file_size(error);
      if (bytes <= largest_bytes) add_file(corpus, entry.path().string(), entry_name);
    } else if (!fs::is_symlink(status)) {
      ++corpus.left_out;
    }
  }
}

}  // namespace

Corpus corpus_under(const std::string& path) {
  Corpus corpus;
  corpus.about = path;
  std::error_code error;
  const fs::path given = fs::absolute(path, error).lexically_normal();
  if (fs::is_directory(given, error)) {
    add_folder(corpus, given, "", UINT64_MAX, UINT64_MAX);
  } else if (fs::is_regular_file(given, error)) {
    add_file(corpus, given.string(), given.filename().string());
  } else {
    throw std::runtime_error(path + " is neither a file nor a folder");
  }
  if (corpus.files.empty()) throw std::runtime_error("no readable file under " + path);
  return corpus;
}

Corpus default_corpus() {
  // Sixteen megabytes: no single file of the machine dominates; large messages are still among
  // them. A third from each place mixes programs, libraries and many small files.
  constexpr std::uint64_t kLargestBytes = 16'000'000;
  Corpus corpus;
  std::uint64_t limit_bytes = 0;
  for (const std::string_view folder : {"bin", "lib", "share"}) {
    limit_bytes += kDefaultCorpusBytes / 3;
    const std::string name(folder);
    add_folder(corpus, "/usr/" + name, name + "/", limit_bytes, kLargestBytes);
  }
  corpus.about = "files from /usr/bin, /usr/lib and /usr/share";
  if (corpus.files.empty()) throw std::runtime_error("no readable file under /usr");
  return corpus;
}

bool look_at(const std::string& path, FileState& state) {
  struct stat found {};
  if (::access(path.c_str(), R_OK) != 0 || ::stat(path.c_str(), &found) != 0) return false;
  state.bytes = static_cast<std::uint64_t>(found.st_size);
  state.inode = found.st_ino;
  state.modified = found.st_mtim;
  return true;
}

bool same_state(const FileState& a, const FileState& b) {
  return a.bytes == b.bytes && a.inode == b.inode && a.modified.tv_sec == b.modified.tv_sec &&
         a.modified.tv_nsec == b.modified.tv_nsec;
}

}  // namespace ringwire::demo
