#include "ipc/extent_pool.h"

#include <bit>
#include <utility>

#include "base/check.h"
#include "base/mutant.h"
#include "base/touched.h"

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

// 2^32 / bytes, rounded up: an offset (below 2^20) that is a whole multiple is divided without a
// division, as the error is below 2^20 / 2^32.
constexpr auto kInverses = [] {
  std::array<std::uint64_t, kExtentClassBytes.size()> inverses{};
  for (std::size_t index = 0; index < inverses.size(); ++index)
    inverses[index] = ((std::uint64_t{1} << 32) - 1) / kExtentClassBytes[index] + 1;
  return inverses;
}();
static_assert(kClassFileBytes <= 1u << 20);

/// Which of its class file.
std::uint16_t number_of(const Extent& extent) {
  return static_cast<std::uint16_t>(extent.offset * kInverses[extent.size_class] >> 32);
}

struct ClassFile {
  FreeList free;  // last in, first out
  std::byte* data = nullptr;
  std::uint64_t count = 0;  // 0: the slot is not in use
  std::uint64_t bytes = 0;
  TimeNs idle_since = 0;  // when the last extent came back
  std::uint32_t number = 0;
  [[nodiscard]] bool idle() const { return free.size() == count; }
};

struct SizeClass {
  std::vector<ClassFile> files;          // by slot
  std::vector<std::uint16_t> with_free;  // slots; the back is taken from
  std::uint64_t free_count = 0;
  std::uint64_t count = 0;
};

// Free ones of a step are a list through their slots.
constexpr std::uint16_t kNoSlot = 0xffff;
struct LargeFile {
  Extent extent;  // empty: the slot is not in use
  TimeNs idle_since = 0;
  std::uint16_t step = 0;
  std::uint16_t older = kNoSlot;
  std::uint16_t newer = kNoSlot;  // of a slot that is not in use: the next such
  bool taken = false;
};
struct LargeFree {
  std::uint16_t oldest = kNoSlot;
  std::uint16_t newest = kNoSlot;  // taken first
};

}  // namespace

struct ExtentPool::State {
  std::array<SizeClass, kExtentClassBytes.size()> classes;
  std::vector<LargeFile> large;  // by slot
  std::uint16_t large_unused = kNoSlot;
  std::array<LargeFree, kStepCount> large_free;  // by step
  std::uint64_t file_bytes = 0;
  std::uint64_t free_large_bytes = 0;
  std::uint64_t idle_class_files = 0;  // that are not the first of their class
  std::uint64_t taken = 0;

  void put_newest(std::uint16_t slot) {
    LargeFile& file = large[slot];
    LargeFree& free = large_free[file.step];
    file.newer = kNoSlot;
    file.older = free.newest;
    (free.newest == kNoSlot ? free.oldest : large[free.newest].newer) = slot;
    free.newest = slot;
    free_large_bytes += file.extent.bytes;
  }
  void unlink(std::uint16_t slot) {
    const LargeFile& file = large[slot];
    LargeFree& free = large_free[file.step];
    (file.older == kNoSlot ? free.oldest : large[file.older].newer) = file.newer;
    (file.newer == kNoSlot ? free.newest : large[file.newer].older) = file.older;
    free_large_bytes -= file.extent.bytes;
  }
};

ExtentPool::ExtentPool(std::size_t files_ahead) : state_(std::make_unique<State>()) {
  for (SizeClass& of : state_->classes) {
    reserve_touched(of.files, files_ahead);
    reserve_touched(of.with_free, files_ahead);
  }
  reserve_touched(state_->large, files_ahead);
}
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

FreeList ExtentPool::all_free(std::uint16_t size_class, std::uint64_t bytes) {
  RW_CHECK(size_class < kExtentClassBytes.size());
  FreeList free;
  const std::uint64_t count = bytes / kExtentClassBytes[size_class];
  free.reserve(count);  // give_back must not allocate
  for (std::uint64_t index = count; index-- > 0;) free.push_back(static_cast<std::uint16_t>(index));
  return free;
}

void ExtentPool::add_class_file(std::uint16_t size_class, std::uint32_t number, std::byte* data,
                                std::uint64_t bytes, TimeNs now, FreeList free) {
  RW_CHECK(size_class < kExtentClassBytes.size());
  SizeClass& of = state_->classes[size_class];
  if (free.empty()) free = all_free(size_class, bytes);
  RW_CHECK(free.size() == bytes / kExtentClassBytes[size_class]);
  std::size_t slot = 0;
  while (slot < of.files.size() && of.files[slot].count != 0) ++slot;
  RW_CHECK(slot <= UINT16_MAX);
  if (slot == of.files.size()) of.files.emplace_back();
  ClassFile& file = of.files[slot];
  file.count = free.size();
  file.free = std::move(free);
  file.data = data;
  file.bytes = bytes;
  file.idle_since = now;
  file.number = number;
  if (slot != 0) ++state_->idle_class_files;
  of.with_free.reserve(of.files.capacity());  // give_back must not allocate
  // Not at the back: what is in use already is taken from first.
  of.with_free.insert(of.with_free.begin(), static_cast<std::uint16_t>(slot));
  of.free_count += file.count;
  of.count += file.count;
  state_->file_bytes += bytes;
}

void ExtentPool::add_large_file(std::uint32_t number, std::byte* data, std::uint64_t bytes) {
  RW_CHECK(bytes > 0);
  auto& large = state_->large;
  std::uint16_t slot = state_->large_unused;
  if (slot != kNoSlot) {
    state_->large_unused = large[slot].newer;
  } else {
    RW_CHECK(large.size() < kNoSlot);
    slot = static_cast<std::uint16_t>(large.size());
    large.emplace_back();
  }
  std::size_t step = step_of(bytes);
  if (step_bytes(step) > bytes) --step;  // a size between two steps serves the lower
  LargeFile& file = large[slot];
  file = {};
  file.extent = {data, bytes, 0, number, kLargeClass, slot};
  file.step = static_cast<std::uint16_t>(step);
  state_->put_newest(slot);
  state_->file_bytes += bytes;
}

std::optional<Extent> ExtentPool::take(std::uint64_t bytes) {
  const std::uint16_t size_class = class_of(bytes);
  if (size_class != kLargeClass) {
    SizeClass& of = state_->classes[size_class];
    if (of.with_free.empty()) return std::nullopt;
    const std::uint16_t slot = of.with_free.back();
    ClassFile& file = of.files[slot];
    auto& free = file.free;
    const std::uint64_t extent_bytes = kExtentClassBytes[size_class];
    const std::uint64_t offset = free.back() * extent_bytes;
    const Extent extent{file.data + offset, extent_bytes, offset, file.number, size_class, slot};
    if (!RW_MUTANT(117)) {
      if (file.idle() && slot != 0) --state_->idle_class_files;
      free.pop_back();
      --of.free_count;
      if (free.empty()) of.with_free.pop_back();
    }
    ++state_->taken;
    return extent;
  }
  const std::size_t first = step_of(bytes);
  for (std::size_t step = first; step <= first + kStepsAbove && step < kStepCount; ++step) {
    const std::uint16_t slot = state_->large_free[step].newest;
    if (slot == kNoSlot) continue;
    state_->unlink(slot);
    LargeFile& file = state_->large[slot];
    file.taken = true;
    ++state_->taken;
    return file.extent;
  }
  return std::nullopt;
}

void ExtentPool::give_back(const Extent& extent, TimeNs now) {
  RW_CHECK(state_->taken > 0);
  --state_->taken;
  if (extent.size_class != kLargeClass) {
    SizeClass& of = state_->classes.at(extent.size_class);
    ClassFile& file = of.files.at(extent.slot);
    RW_CHECK(file.number == extent.file);
    RW_CHECK(file.free.size() < file.count);  // else one extent came back twice
    if (file.free.empty()) of.with_free.push_back(extent.slot);
    file.free.push_back(number_of(extent));
    ++of.free_count;
    file.idle_since = now;
    if (file.idle() && extent.slot != 0) ++state_->idle_class_files;
    return;
  }
  LargeFile& file = state_->large.at(extent.slot);
  RW_CHECK(file.extent.file == extent.file);
  RW_CHECK(file.taken);
  file.taken = false;
  file.idle_since = now;
  state_->put_newest(extent.slot);
}

bool ExtentPool::runs_low(std::uint16_t size_class) const {
  const SizeClass& of = state_->classes.at(size_class);
  return of.count == 0 || of.free_count * 4 < of.count;
}

std::uint32_t ExtentPool::evict_idle_large(TimeNs idle_since) {
  for (const LargeFree& free : state_->large_free) {
    // The oldest of a last-in first-out list has been idle for longest.
    const std::uint16_t slot = free.oldest;
    if (slot == kNoSlot || state_->large[slot].idle_since >= idle_since) continue;
    LargeFile& file = state_->large[slot];
    state_->unlink(slot);
    state_->file_bytes -= file.extent.bytes;
    const std::uint32_t number = file.extent.file;
    file = {};
    file.newer = std::exchange(state_->large_unused, slot);
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
      const std::uint32_t number = file.number;
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
