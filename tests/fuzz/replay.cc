// Gives every file of the named folders to a fuzz target, for builds without libFuzzer: corpora and
// past crashes stay tests everywhere. A folder that is not there holds nothing; no input at all is
// a failure. Prints the counts that tests/count.py reads.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes);

int main(int count, char** arguments) {
  std::vector<std::filesystem::path> files;
  for (int at = 1; at < count; ++at) {
    if (std::filesystem::is_regular_file(arguments[at])) files.emplace_back(arguments[at]);
    if (!std::filesystem::is_directory(arguments[at])) continue;
    for (const auto& entry : std::filesystem::directory_iterator(arguments[at]))
      if (entry.is_regular_file() && entry.path().filename().string()[0] != '.')
        files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  for (const auto& file : files) {
    std::ifstream stream(file, std::ios::binary);
    const std::vector<char> bytes{std::istreambuf_iterator<char>(stream), {}};
    // Named before it runs: the last name before an abort is the culprit.
    std::printf("%s\n", file.c_str());
    std::fflush(stdout);
    // A copy of exactly its size, so that sanitizers see one byte too many.
    const std::vector<std::uint8_t> exact(bytes.begin(), bytes.end());
    LLVMFuzzerTestOneInput(exact.data(), exact.size());
  }
  std::printf("%zu passed, %d failed\n", files.size(), files.empty() ? 1 : 0);
  return files.empty() ? 1 : 0;
}
