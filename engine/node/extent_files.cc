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
                         MemoryBudget& budget, std::span<const UserId> users)
    : workers_(workers),
      background_(background),
      bulk_(bulk),
      budget_(budget),
      shares_({budget.dynamic_bytes(), even_parts(users, budget.dynamic_bytes() / 8)}),
      most_bytes_(budget.dynamic_bytes()) {
  for (const UserId user : users) most_bytes_ = std::min(most_bytes_, shares_.most(user));
}

ExtentFiles::~ExtentFiles() = default;

bool ExtentFiles::try_charge(worker::DomainIndex domain, std::uint64_t bytes) {
  if (!shares_.try_take(user_of(domain), bytes)) return false;
  if (budget_.try_charge(MemoryUse::kExtentFiles, bytes)) return true;
  shares_.give_back(user_of(domain), bytes);
  return false;
}

void ExtentFiles::give_back(worker::DomainIndex domain, std::uint64_t bytes) {
  shares_.give_back(user_of(domain), bytes);
  budget_.give_back(MemoryUse::kExtentFiles, bytes);
}

void ExtentFiles::add_domain(worker::DomainIndex domain, UserId user, Charge charge,
                             std::function<void(bool)> then) {
  if (users_.size() <= domain) users_.resize(domain + 1);
  users_[domain] = user;
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
        const Charged each = charge == Charge::kNow ? Charged::kBudget : Charged::kNothing;
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
  const bool is_new = class_waiting_.emplace(worker, need.domain, need.size_class).second;
  if (is_new && !shares_.has_room(user_of(need.domain), ipc::kClassFileBytes)) ++beyond_share_;
  retry();
}

void ExtentFiles::on_need_large(std::uint32_t worker, const worker::NeedLarge& need) {
  // Compared before rounding up, so that an absurd size cannot overflow.
  const std::uint64_t most_bytes = shares_.most(user_of(need.domain));
  if (need.bytes > most_bytes || ipc::ExtentPool::large_file_bytes(need.bytes) > most_bytes) {
    workers_.send(worker, worker::RefuseLarge{need.request, Reason::kTooLarge});
    return;
  }
  if (!shares_.has_room(user_of(need.domain), ipc::ExtentPool::large_file_bytes(need.bytes)))
    ++beyond_share_;
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
  const std::uint64_t shared_bytes = node.mapped().shared_bytes;
  const UserId user = user_of(node.mapped().domain);
  // Freeing gigabytes takes milliseconds. The charge ends when the memory is really free: programs
  // that sleep, or are stopped, keep their mapping of the file, and would keep its pages with it.
  bulk_.run(
      [memory = std::move(node.mapped().memory)]() mutable {
        memory->discard();
        memory.reset();
        return 0;
      },
      [this, bytes, shared_bytes, user](int) {
        budget_.give_back(MemoryUse::kExtentFiles, bytes);
        shares_.give_back(user, shared_bytes);
        retry();
      });
}

void ExtentFiles::on_own_file(worker::OwnFile& own) {
  if (own.memory == nullptr) return;
  const std::uint64_t bytes = own.memory->bytes();
  budget_.force_charge(MemoryUse::kExtentFiles, bytes);
  shares_.force_take(user_of(own.domain), bytes);
  files_[own.file] = {std::shared_ptr<ipc::MemoryFile>(std::move(own.memory)), own.domain, bytes,
                      bytes};
}

void ExtentFiles::retry() {
  for (auto at = class_waiting_.begin(); at != class_waiting_.end();) {
    const ClassNeed need = *at;
    if (!try_charge(std::get<1>(need), ipc::kClassFileBytes)) {
      ++at;
      continue;
    }
    at = class_waiting_.erase(at);
    make_class_file(need);
  }
  // In order: a small one behind a large one waits, or the large one would starve. But nobody waits
  // for what another user may not have.
  std::set<UserId> full;
  for (auto at = large_waiting_.begin(); at != large_waiting_.end();) {
    const Large large = *at;
    const UserId user = user_of(large.need.domain);
    const std::uint64_t bytes = ipc::ExtentPool::large_file_bytes(large.need.bytes);
    if (full.contains(user) || !shares_.try_take(user, bytes)) {
      full.insert(user);
      ++at;
      continue;
    }
    if (!budget_.try_charge(MemoryUse::kExtentFiles, bytes)) {
      shares_.give_back(user, bytes);
      return;
    }
    at = large_waiting_.erase(at);
    make_large(large, bytes);
  }
}

void ExtentFiles::make_class_file(const ClassNeed& need) {
  background_.run([size_class = std::get<2>(need)] { return make_class(size_class); },
                  [this, need](ClassFile made) {
                    if (made.memory == nullptr) {
                      // The kernel has no pages though the budget has room: tried again when
                      // something is returned.
                      give_back(std::get<1>(need), ipc::kClassFileBytes);
                      class_waiting_.insert(need);
                      return;
                    }
                    worker::AddExtentFile add;
                    add.domain = std::get<1>(need);
                    add.size_class = std::get<2>(need);
                    add.free = std::move(made.free);
                    hand_over(std::get<0>(need), std::move(add), std::move(made.memory),
                              Charged::kBudgetAndShare);
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
          give_back(large.need.domain, file_bytes);
          retry();
          return;
        }
        worker::AddExtentFile add;
        add.domain = large.need.domain;
        add.size_class = ipc::kLargeClass;
        add.request = large.need.request;
        hand_over(large.worker, std::move(add), std::move(memory), Charged::kBudgetAndShare);
      });
}

void ExtentFiles::hand_over(std::uint32_t worker, worker::AddExtentFile add,
                            std::shared_ptr<ipc::MemoryFile> memory, Charged charged) {
  // 2^30 files at one a millisecond are 12 days of nothing but new files; then numbers that are
  // still in use are skipped.
  do {
    next_file_ = next_file_ % (worker::kProgramFileBase - 1) + 1;
  } while (files_.contains(next_file_));
  add.file = next_file_;
  add.data = memory->data();
  add.bytes = memory->bytes();
  files_[add.file] = {std::move(memory), add.domain, charged == Charged::kNothing ? 0 : add.bytes,
                      charged == Charged::kBudgetAndShare ? add.bytes : 0};
  workers_.send(worker, std::move(add));
}

const ipc::MemoryFile* ExtentFiles::find(std::uint32_t file, worker::DomainIndex domain) const {
  const auto found = files_.find(file);
  if (found == files_.end() || found->second.domain != domain) return nullptr;
  return found->second.memory.get();
}

}  // namespace ringwire::node
