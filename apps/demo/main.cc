// ringwire-demo: what `./dev demo` runs. Sends files through a cluster of four engines on this
// machine, kills one of them in the middle, and proves by SHA-256 that nothing was lost.

#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <string>
#include <string_view>

#include "apps/demo/saver.h"
#include "apps/demo/story.h"

namespace {

constexpr const char* kUsage =
    "usage: ringwire-demo [PATH] [--keep] [--engine PROGRAM] [-o section.key=value]...\n"
    "\n"
    "Starts 3 server engines and 1 slave engine on this machine, sends every file under PATH\n"
    "(default: about 300 MB of files of this machine), kills one server engine in the middle,\n"
    "brings it back, and compares every file by SHA-256. Exit code 0 only if all is intact.\n"
    "\n"
    "  --keep             leave the cluster running and say where its sockets are\n"
    "  --engine PROGRAM   the engine to run (default: ringwire-engine beside this program)\n"
    "  -o KEY=VALUE       given to every engine\n";

std::string own_path() {
  std::error_code error;
  return std::filesystem::read_symlink("/proc/self/exe", error).string();
}

std::string engine_beside(const std::string& self) {
  namespace fs = std::filesystem;
  const fs::path folder = fs::path(self).parent_path();
  for (const fs::path& candidate :
       {folder / "ringwire-engine", folder.parent_path() / "ringwire-engine",
        folder.parent_path() / "engine" / "ringwire-engine"}) {
    if (::access(candidate.c_str(), X_OK) == 0 && !fs::is_directory(candidate)) return candidate;
  }
  return "";
}

int wrong_usage(const std::string& sentence) {
  std::fprintf(stderr, "ringwire-demo: %s\n\n%s", sentence.c_str(), kUsage);
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  using ringwire::demo::Story;
  const std::string self = own_path();
  if (argc == 4 && std::string_view(argv[1]) == "--saver") {
    return ringwire::demo::run_saver(argv[2], argv[3]);
  }
  ringwire::demo::StoryOptions options;
  options.self_path = self;
  options.engine_path = engine_beside(self);
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "-h" || argument == "--help") {
      std::fputs(kUsage, stdout);
      return 0;
    }
    if (argument == "--keep") {
      options.keep = true;
    } else if (argument == "--engine" || argument == "-o") {
      if (++i == argc) return wrong_usage(argument + " wants a value");
      if (argument == "-o") options.engine_options.emplace_back(argv[i]);
      if (argument == "--engine") options.engine_path = argv[i];
    } else if (argument.starts_with("-")) {
      return wrong_usage("no option " + argument);
    } else if (!options.path.empty()) {
      return wrong_usage("one PATH only, not also " + argument);
    } else {
      options.path = argument;
    }
  }
  if (!options.path.empty() && !std::filesystem::exists(options.path)) {
    return wrong_usage(options.path + " does not exist");
  }
  if (options.engine_path.empty() || ::access(options.engine_path.c_str(), X_OK) != 0) {
    return wrong_usage("no engine found: give --engine PROGRAM");
  }
  return Story(options).run();
}
