#include "engine/node/extent_files.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/check.h"

namespace ringwire::node {
namespace {

/// nullptr when there is no memory. Background thread.
std::shared_ptr<ipc::MemoryFile> make_file(std::uint64_t bytes) {
  auto file = ipc::MemoryFile::create("ringwire-extents", bytes);
  if (!file.ok()) return nullptr;
  return std::make_shared<ipc::MemoryFile>(std::move(file).value());
}

struct ClassFile {
  std::shared_ptr<ipc::MemoryFile> memory;
  ipc::FreeList free;
};

/// With no memory when there is none. Background thread.
ClassFile make_class(std::uint16_t size_class) {
  ClassFile made{make_file(ipc::kClassFileBytes), {}};
  if (made.memory != nullptr)
    made.free = ipc::ExtentPool::all_free(size_class, ipc::kClassFileBytes);
  return made;
}

}  // namespace

ExtentFiles::ExtentFiles(Workers& workers, Background& background, Background& bulk,
                         MemoryBudget& budget)
    : workers_(workers), background_(background), bulk_(bulk), budget_(budget) {}

ExtentFiles::~ExtentFiles() = default;

void ExtentFiles::add_domain(worker::DomainIndex domain, Charge charge,
                             std::function<void(bool)> then) {
  const std::uint64_t bytes = first_class_files_bytes(workers_.count());
  if (charge == Charge::kNow && !budget_.try_charge(MemoryUse::kExtentFiles, bytes))
    return then(false);
  const std::size_t count = workers_.count() * ipc::kExtentClassBytes.size();
  const auto make = [count] {
    std::vector<ClassFile> made;
    while (made.size() < count) {
      made.push_back(
          make_class(static_cast<std::uint16_t>(made.size() % ipc::kExtentClassBytes.size())));
      if (made.back().memory == nullptr) return std::vector<ClassFile>();
    }
    return made;
  };
  background_.run(
      make, [this, domain, charge, bytes, then = std::move(then)](std::vector<ClassFile> made) {
        if (made.empty()) {
          if (charge == Charge::kNow) budget_.give_back(MemoryUse::kExtentFiles, bytes);
          return then(false);
        }
        const std::uint64_t each = charge == Charge::kNow ? ipc::kClassFileBytes : 0;
        for (std::size_t index = 0; index < made.size(); ++index) {
          worker::AddExtentFile add;
          add.domain = domain;
          add.size_class = static_cast<std::uint16_t>(index % ipc::kExtentClassBytes.size());
          add.free = std::move(made[index].free);
          hand_over(static_cast<std::uint32_t>(index / ipc::kExtentClassBytes.size()),
                    std::move(add), std::move(made[index].memory), each);
        }
        then(true);
      });
}

void ExtentFiles::on_need_class_file(std::uint32_t worker, const worker::NeedClassFile& need) {
  if (need.size_class >= ipc::kExtentClassBytes.size()) return;
  class_waiting_.emplace(worker, need.domain, need.size_class);
  retry();
}

void ExtentFiles::on_need_large(std::uint32_t worker, const worker::NeedLarge& need) {
  // Compared before rounding up, so that an absurd size cannot overflow.
  if (need.bytes > budget_.dynamic_bytes() ||
      ipc::ExtentPool::large_file_bytes(need.bytes) > budget_.dynamic_bytes()) {
    workers_.send(worker, worker::RefuseLarge{need.request, Reason::kTooLarge});
    return;
  }
  large_waiting_.push_back({worker, need});
  retry();
}

void ExtentFiles::on_cancel_large(std::uint32_t worker, const worker::CancelLarge& cancel) {
  std::erase_if(large_waiting_, [&](const Large& large) {
    return large.worker == worker && large.need.request == cancel.request;
  });
  const LargeKey key(worker, cancel.request);
  if (large_making_.contains(key)) large_cancelled_.insert(key);
  retry();
}

void ExtentFiles::on_return_file(const worker::ReturnFile& returned) {
  auto node = files_.extract(returned.file);
  if (node.empty()) return;
  const std::uint64_t bytes = node.mapped().charged_bytes;
  // Freeing gigabytes takes milliseconds. The charge ends when the memory is really free: programs
  // that sleep, or are stopped, keep their mapping of the file, and would keep its pages with it.
  bulk_.run(
      [memory = std::move(node.mapped().memory)]() mutable {
        memory->discard();
        memory.reset();
        return 0;
      },
      [this, bytes](int) {
        budget_.give_back(MemoryUse::kExtentFiles, bytes);
        retry();
      });
}

void ExtentFiles::on_own_file(worker::OwnFile& own) {
  if (own.memory == nullptr) return;
  const std::uint64_t bytes = own.memory->bytes();
  budget_.force_charge(MemoryUse::kExtentFiles, bytes);
  files_[own.file] = {std::shared_ptr<ipc::MemoryFile>(std::move(own.memory)), own.domain, bytes};
}

void ExtentFiles::retry() {
  while (!class_waiting_.empty() &&
         budget_.try_charge(MemoryUse::kExtentFiles, ipc::kClassFileBytes)) {
    const ClassNeed need = *class_waiting_.begin();
    class_waiting_.erase(class_waiting_.begin());
    make_class_file(need);
  }
  // In order: a small one behind a large one waits, or the large one would starve.
  while (!large_waiting_.empty()) {
    const Large large = large_waiting_.front();
    const std::uint64_t bytes = ipc::ExtentPool::large_file_bytes(large.need.bytes);
    if (!budget_.try_charge(MemoryUse::kExtentFiles, bytes)) return;
    large_waiting_.pop_front();
    make_large(large, bytes);
  }
}

void ExtentFiles::make_class_file(const ClassNeed& need) {
  background_.run([size_class = std::get<2>(need)] { return make_class(size_class); },
                  [this, need](ClassFile made) {
                    if (made.memory == nullptr) {
                      // The kernel has no pages though the budget has room: tried again when
                      // something is returned.
                      budget_.give_back(MemoryUse::kExtentFiles, ipc::kClassFileBytes);
                      class_waiting_.insert(need);
                      return;
                    }
                    worker::AddExtentFile add;
                    add.domain = std::get<1>(need);
                    add.size_class = std::get<2>(need);
                    add.free = std::move(made.free);
                    hand_over(std::get<0>(need), std::move(add), std::move(made.memory),
                              ipc::kClassFileBytes);
                  });
}

void ExtentFiles::make_large(const Large& large, std::uint64_t file_bytes) {
  const LargeKey key(large.worker, large.need.request);
  large_making_.insert(key);
  bulk_.run(
      [file_bytes] { return make_file(file_bytes); },
      [this, large, key, file_bytes](std::shared_ptr<ipc::MemoryFile> memory) {
        large_making_.erase(key);
        const bool cancelled = large_cancelled_.erase(key) != 0;
        if (memory == nullptr || cancelled) {
          if (!cancelled)
            workers_.send(large.worker, worker::RefuseLarge{large.need.request, Reason::kNoMemory});
          memory.reset();
          budget_.give_back(MemoryUse::kExtentFiles, file_bytes);
          retry();
          return;
        }
        worker::AddExtentFile add;
        add.domain = large.need.domain;
        add.size_class = ipc::kLargeClass;
        add.request = large.need.request;
        hand_over(large.worker, std::move(add), std::move(memory), file_bytes);
      });
}

void ExtentFiles::hand_over(std::uint32_t worker, worker::AddExtentFile add,
                            std::shared_ptr<ipc::MemoryFile> memory, std::uint64_t charged_bytes) {
  // 2^30 files at one a millisecond are 12 days of nothing but new files; then numbers that are
  // still in use are skipped.
  do {
    next_file_ = next_file_ % (worker::kProgramFileBase - 1) + 1;
  } while (files_.contains(next_file_));
  add.file = next_file_;
  add.data = memory->data();
  add.bytes = memory->bytes();
  files_[add.file] = {std::move(memory), add.domain, charged_bytes};
  workers_.send(worker, std::move(add));
}

const ipc::MemoryFile* ExtentFiles::find(std::uint32_t file, worker::DomainIndex domain) const {
  const auto found = files_.find(file);
  if (found == files_.end() || found->second.domain != domain) return nullptr;
  return found->second.memory.get();
}

}  // namespace ringwire::node
