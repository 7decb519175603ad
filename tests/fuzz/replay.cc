// Gives every file of the named folders to a fuzz target, for builds without libFuzzer: corpora and
// past crashes stay tests everywhere. A folder that is not there holds nothing; no input at all is
// a failure. `[--bytes BYTES] --random COUNT [SEED]` adds inputs of so many (2,000) seeded bytes,
// which nobody chose. Prints the counts that tests/count.py reads.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

#include "base/hash.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes);

namespace {

constexpr std::size_t kRandomBytes = 2'000;  // a story of a hundred steps and more

struct RandomInputs {
  std::uint64_t bytes = kRandomBytes;
  std::uint64_t count = 0;
  std::uint64_t seed = 1;
};

void tell_random(const RandomInputs& inputs) {
  const std::uint64_t seed = inputs.seed;
  for (std::uint64_t index = 0; index < inputs.count; ++index) {
    std::vector<std::uint8_t> bytes(inputs.bytes);
    std::uint64_t state = ringwire::mix64(seed + index);
    for (std::uint8_t& byte : bytes)
      byte = static_cast<std::uint8_t>(state = ringwire::mix64(state + 1));
    if (index % 1'000 == 0)
      std::printf("random from %llu\n", static_cast<unsigned long long>(seed + index));
    std::fflush(stdout);
    LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
  }
}

}  // namespace

int main(int count, char** arguments) {
  std::vector<std::filesystem::path> files;
  RandomInputs random;
  std::uint64_t random_count = 0;
  for (int at = 1; at < count; ++at) {
    if (std::strcmp(arguments[at], "--bytes") == 0 && at + 1 < count) {
      random.bytes = std::strtoull(arguments[++at], nullptr, 10);
      continue;
    }
    if (std::strcmp(arguments[at], "--random") == 0 && at + 1 < count) {
      random.count = random_count = std::strtoull(arguments[++at], nullptr, 10);
      if (at + 1 < count) random.seed = std::strtoull(arguments[++at], nullptr, 10);
      tell_random(random);
      continue;
    }
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
  const std::size_t told = files.size() + random_count;
  std::printf("%zu passed, %d failed\n", told, told == 0 ? 1 : 0);
  return told == 0 ? 1 : 0;
}
