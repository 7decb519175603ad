#include "ipc/extent_pool.h"

#include <bit>
#include <unordered_map>

#include "base/check.h"
#include "base/mutant.h"

namespace ringwire::ipc {
namespace {

constexpr std::uint64_t kPageBytes = 4'096;
// 4 steps per power of two over 64 bits: more buckets than any file size needs.
constexpr std::size_t kStepCount = 64 * 4;
// A free large file is taken for up to 3 steps less than it has: at most half of it is unused.
constexpr std::size_t kStepsAbove = 3;

// The smallest step (2^p * {4, 5, 6, 7} / 4) that holds `bytes`.
std::size_t step_of(std::uint64_t bytes) {
  const auto power = static_cast<unsigned>(std::bit_width(bytes) - 1);
  if (power < 2) return power * 4;
  const std::uint64_t quarter = std::uint64_t{1} << (power - 2);
  const std::uint64_t steps = (bytes + quarter - 1) / quarter;  // 4 .. 8
  return power * 4 + static_cast<std::size_t>(steps - 4);
}

std::uint64_t step_bytes(std::size_t step) {
  const std::size_t power = step / 4;
  return power < 2 ? std::uint64_t{1} << power : (std::uint64_t{1} << (power - 2)) * (4 + step % 4);
}

struct ClassFile {
  std::vector<Extent> free;  // last in, first out
  std::uint64_t count = 0;   // 0: the slot is not in use
  std::uint64_t bytes = 0;
  TimeNs idle_since = 0;  // when the last extent came back
  [[nodiscard]] bool idle() const { return free.size() == count; }
};

struct SizeClass {
  std::vector<ClassFile> files;          // by slot
  std::vector<std::uint16_t> with_free;  // slots; the back is taken from
  std::uint64_t free_count = 0;
  std::uint64_t count = 0;
};

struct LargeFile {
  Extent extent;
  TimeNs idle_since = 0;
  std::size_t step = 0;
  bool taken = false;
};

}  // namespace

struct ExtentPool::State {
  std::array<SizeClass, kExtentClassBytes.size()> classes;
  std::array<std::vector<LargeFile*>, kStepCount> large_free;  // by step; back = last used
  std::unordered_map<std::uint32_t, LargeFile> large;          // by file number
  std::uint64_t file_bytes = 0;
  std::uint64_t free_large_bytes = 0;
  std::uint64_t idle_class_files = 0;  // that are not the first of their class
  std::uint64_t taken = 0;
};

ExtentPool::ExtentPool() : state_(std::make_unique<State>()) {}
ExtentPool::~ExtentPool() = default;

std::uint16_t ExtentPool::class_of(std::uint64_t bytes) {
  for (std::uint16_t index = 0; index < kExtentClassBytes.size(); ++index)
    if (bytes <= kExtentClassBytes[index]) return index;
  return kLargeClass;
}

std::uint64_t ExtentPool::large_file_bytes(std::uint64_t bytes) {
  if (bytes == 0) return kPageBytes;
  if (bytes > 1ULL << 62) return bytes;  // never fits anywhere; refused where the file is made
  return (step_bytes(step_of(bytes)) + kPageBytes - 1) / kPageBytes * kPageBytes;
}

void ExtentPool::add_class_file(std::uint16_t size_class, std::uint32_t number, std::byte* data,
                                std::uint64_t bytes, TimeNs now) {
  RW_CHECK(size_class < kExtentClassBytes.size());
  SizeClass& of = state_->classes[size_class];
  const std::uint64_t extent_bytes = kExtentClassBytes[size_class];
  const std::uint64_t extent_count = bytes / extent_bytes;
  std::size_t slot = 0;
  while (slot < of.files.size() && of.files[slot].count != 0) ++slot;
  RW_CHECK(slot <= UINT16_MAX);
  if (slot == of.files.size()) of.files.emplace_back();
  ClassFile& file = of.files[slot];
  file.count = extent_count;
  file.bytes = bytes;
  file.idle_since = now;
  if (slot != 0) ++state_->idle_class_files;
  file.free.reserve(extent_count);  // give_back must not allocate
  for (std::uint64_t index = extent_count; index-- > 0;) {
    const std::uint64_t offset = index * extent_bytes;
    file.free.push_back({data + offset, extent_bytes, offset, number, size_class,
                         static_cast<std::uint16_t>(slot)});
  }
  of.with_free.reserve(of.files.size());
  // Not at the back: what is in use already is taken from first.
  of.with_free.insert(of.with_free.begin(), static_cast<std::uint16_t>(slot));
  of.free_count += extent_count;
  of.count += extent_count;
  state_->file_bytes += bytes;
}

void ExtentPool::add_large_file(std::uint32_t number, std::byte* data, std::uint64_t bytes) {
  RW_CHECK(bytes > 0);
  const auto [at, added] = state_->large.try_emplace(number);
  RW_CHECK(added);
  LargeFile& file = at->second;
  file.extent = {data, bytes, 0, number, kLargeClass};
  file.step = step_of(bytes);
  if (step_bytes(file.step) > bytes) --file.step;  // a size between two steps serves the lower
  auto& free = state_->large_free[file.step];
  std::size_t in_step = 1;
  for (const auto& [other_number, other] : state_->large)
    if (other_number != number && other.step == file.step) ++in_step;
  free.reserve(in_step);  // give_back must not allocate
  free.push_back(&file);
  state_->file_bytes += bytes;
  state_->free_large_bytes += bytes;
}

std::optional<Extent> ExtentPool::take(std::uint64_t bytes) {
  const std::uint16_t size_class = class_of(bytes);
  if (size_class != kLargeClass) {
    SizeClass& of = state_->classes[size_class];
    if (of.with_free.empty()) return std::nullopt;
    ClassFile& file = of.files[of.with_free.back()];
    auto& free = file.free;
    const Extent extent = free.back();
    if (!RW_MUTANT(117)) {
      if (file.idle() && extent.slot != 0) --state_->idle_class_files;
      free.pop_back();
      --of.free_count;
      if (free.empty()) of.with_free.pop_back();
    }
    ++state_->taken;
    return extent;
  }
  const std::size_t first = step_of(bytes);
  for (std::size_t step = first; step <= first + kStepsAbove && step < kStepCount; ++step) {
    auto& free = state_->large_free[step];
    if (free.empty()) continue;
    LargeFile* file = free.back();
    free.pop_back();
    file->taken = true;
    state_->free_large_bytes -= file->extent.bytes;
    ++state_->taken;
    return file->extent;
  }
  return std::nullopt;
}

void ExtentPool::give_back(const Extent& extent, TimeNs now) {
  RW_CHECK(state_->taken > 0);
  --state_->taken;
  if (extent.size_class != kLargeClass) {
    SizeClass& of = state_->classes.at(extent.size_class);
    ClassFile& file = of.files.at(extent.slot);
    RW_CHECK(file.free.size() < file.count);  // else one extent came back twice
    if (file.free.empty()) of.with_free.push_back(extent.slot);
    file.free.push_back(extent);
    ++of.free_count;
    file.idle_since = now;
    if (file.idle() && extent.slot != 0) ++state_->idle_class_files;
    return;
  }
  const auto at = state_->large.find(extent.file);
  RW_CHECK(at != state_->large.end());
  LargeFile& file = at->second;
  RW_CHECK(file.taken);
  file.taken = false;
  file.idle_since = now;
  state_->large_free[file.step].push_back(&file);
  state_->free_large_bytes += file.extent.bytes;
}

bool ExtentPool::runs_low(std::uint16_t size_class) const {
  const SizeClass& of = state_->classes.at(size_class);
  return of.count == 0 || of.free_count * 4 < of.count;
}

std::uint32_t ExtentPool::evict_idle_large(TimeNs idle_since) {
  for (auto& free : state_->large_free) {
    // The front of a last-in first-out list has been idle for longest.
    if (free.empty() || free.front()->idle_since >= idle_since) continue;
    const std::uint32_t number = free.front()->extent.file;
    state_->file_bytes -= free.front()->extent.bytes;
    state_->free_large_bytes -= free.front()->extent.bytes;
    free.erase(free.begin());
    state_->large.erase(number);
    return number;
  }
  return 0;
}

std::uint32_t ExtentPool::evict_idle_class_file(TimeNs idle_since) {
  if (state_->idle_class_files == 0) return 0;
  for (SizeClass& of : state_->classes) {
    for (auto at = of.with_free.begin(); at != of.with_free.end(); ++at) {
      ClassFile& file = of.files[*at];
      // Slot 0 has the first file.
      if (*at == 0 || !file.idle() || file.idle_since >= idle_since) continue;
      if ((of.free_count - file.count) * 2 < of.count - file.count) break;
      const std::uint32_t number = file.free.front().file;
      of.free_count -= file.count;
      of.count -= file.count;
      state_->file_bytes -= file.bytes;
      --state_->idle_class_files;
      file = {};
      of.with_free.erase(at);
      return number;
    }
  }
  return 0;
}

bool ExtentPool::may_shrink() const {
  return state_->free_large_bytes != 0 || state_->idle_class_files != 0;
}

std::uint64_t ExtentPool::file_bytes() const { return state_->file_bytes; }
std::uint64_t ExtentPool::free_large_bytes() const { return state_->free_large_bytes; }
std::uint64_t ExtentPool::extents_taken() const { return state_->taken; }

}  // namespace ringwire::ipc
