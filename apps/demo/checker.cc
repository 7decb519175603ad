#include "apps/demo/checker.h"

#include <sys/stat.h>

#include <fstream>
#include <iterator>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "apps/demo/child.h"
#include "apps/demo/saver.h"

namespace ringwire::demo {
namespace {

constexpr std::size_t kDigestCharacters = 64;

using Digests = std::unordered_map<std::string, std::string>;  // path -> SHA-256 in hex

bool exists(const std::string& path) {
  struct stat found {};
  return ::stat(path.c_str(), &found) == 0;
}

// Hashes a list of files in a process of its own. xargs splits the list as the kernel needs it.
class Hashing {
 public:
  bool start(const std::vector<std::string>& paths, const std::string& work_path) {
    output_path_ = work_path + ".sha256";
    std::ofstream list(work_path + ".list", std::ios::binary | std::ios::trunc);
    for (const std::string& path : paths) list << path << '\0';
    list.close();
    std::ofstream(output_path_, std::ios::trunc).close();
    ChildOptions options;
    options.command = {"xargs", "-0", "-r", "-a", work_path + ".list", "sha256sum", "-z", "--"};
    options.output_path = output_path_;
    options.error_path = work_path + ".errors";
    return !list.fail() && child_.start(options);
  }

  bool running() { return child_.running(); }

  // Lines of `digest, two characters, path`, each ended by a zero byte.
  Digests digests() const {
    std::ifstream file(output_path_, std::ios::binary);
    const std::string text((std::istreambuf_iterator<char>(file)),
                           std::istreambuf_iterator<char>());
    Digests digests;
    std::string_view rest(text);
    while (!rest.empty()) {
      const std::string_view line = rest.substr(0, rest.find('\0'));
      rest.remove_prefix(std::min(rest.size(), line.size() + 1));
      if (line.size() <= kDigestCharacters + 2) continue;
      digests.emplace(line.substr(kDigestCharacters + 2), line.substr(0, kDigestCharacters));
    }
    return digests;
  }

 private:
  Child child_;
  std::string output_path_;
};

}  // namespace

Comparison compare(const Corpus& corpus, const std::vector<Ending>& endings,
                   const std::vector<std::string>& saved_folders, const std::string& run_folder,
                   const std::function<bool()>& tick) {
  Comparison result;
  std::vector<std::string> sources;
  std::vector<std::string> saved;
  for (std::size_t i = 0; i < corpus.files.size(); ++i) {
    if (endings[i] != Ending::kDone) continue;
    sources.push_back(corpus.files[i].path);
    for (const std::string& folder : saved_folders) {
      std::string path = saved_path(folder, corpus.files[i].key);
      if (exists(path)) saved.push_back(std::move(path));
    }
  }
  Hashing source_hashing;
  Hashing saved_hashing;
  if (!source_hashing.start(sources, run_folder + "/sources") ||
      !saved_hashing.start(saved, run_folder + "/saved-copies")) {
    result.error = "cannot run sha256sum";
    return result;
  }
  while (source_hashing.running() || saved_hashing.running()) {
    if (!tick()) {
      result.error = "interrupted";
      return result;
    }
  }
  const Digests source_digests = source_hashing.digests();
  const Digests saved_digests = saved_hashing.digests();
  if (source_digests.empty() && !sources.empty()) result.error = "sha256sum gave no digests";

  for (std::size_t i = 0; i < corpus.files.size(); ++i) {
    if (endings[i] == Ending::kShrunken) result.changed.push_back(i);
    if (endings[i] != Ending::kDone) continue;
    const CorpusFile& file = corpus.files[i];
    FileState state;
    const auto source = source_digests.find(file.path);
    if (!look_at(file.path, state) || !same_state(state, file.state) ||
        source == source_digests.end()) {
      result.changed.push_back(i);
      continue;
    }
    std::uint64_t good = 0;
    std::uint64_t bad = 0;
    for (const std::string& folder : saved_folders) {
      const std::string path = saved_path(folder, file.key);
      const auto copy = saved_digests.find(path);
      if (copy == saved_digests.end()) continue;
      ++(copy->second == source->second ? good : bad);
    }
    result.copies += good;
    if (bad > 0) {
      result.corrupt.push_back(file.key);
    } else if (good == 0) {
      result.lost.push_back(file.key);
    } else {
      ++result.intact_files;
    }
  }
  return result;
}

}  // namespace ringwire::demo
