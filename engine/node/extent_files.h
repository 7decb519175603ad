// The receiving memory of all workers: makes, commits, maps and unmaps files on the background
// thread, under the memory budget and each user's share of it, and knows every file by its number.
// Large extents are given first come, first served among those of one user: what does not fit now
// waits, what can never fit is refused at once.
// Ring manager only; cold.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <set>
#include <span>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "engine/node/background.h"
#include "engine/node/memory_budget.h"
#include "engine/node/user_shares.h"
#include "engine/node/workers.h"
#include "engine/worker/commands.h"
#include "ipc/extent_pool.h"

namespace ringwire::node {

/// Class files that one domain gets at once, at all workers together.
[[nodiscard]] constexpr std::uint64_t first_class_files_bytes(std::uint32_t worker_count) {
  return worker_count * ipc::kExtentClassBytes.size() * ipc::kClassFileBytes;
}

class ExtentFiles {
 public:
  /// Large files take seconds to commit: they are made by `bulk`, so that small ones do not wait.
  /// An eighth of the memory is kept in equal parts for `users`.
  ExtentFiles(Workers& workers, Background& background, Background& bulk, MemoryBudget& budget,
              std::span<const UserId> users);
  ~ExtentFiles();
  ExtentFiles(const ExtentFiles&) = delete;
  ExtentFiles& operator=(const ExtentFiles&) = delete;

  /// Whether the first files of a domain are a fixed term of the budget or charged now.
  enum class Charge : std::uint8_t { kFixed, kNow };
  /// Give every worker one class file per size for a new domain, then call `then(true)`;
  /// `then(false)`, possibly at once, when there is no memory. These count in no share.
  void add_domain(worker::DomainIndex domain, UserId user, Charge charge,
                  std::function<void(bool)> then);

  // Notices of worker `worker`.
  void on_need_class_file(std::uint32_t worker, const worker::NeedClassFile& need);
  void on_need_large(std::uint32_t worker, const worker::NeedLarge& need);
  void on_cancel_large(std::uint32_t worker, const worker::CancelLarge& cancel);
  void on_return_file(const worker::ReturnFile& returned);
  void on_own_file(worker::OwnFile& own);

  /// Something of the budget was given back elsewhere: what waits may fit now.
  void retry();

  /// A file that a program of `domain` may map, or nullptr. Owned here.
  [[nodiscard]] const ipc::MemoryFile* find(std::uint32_t file, worker::DomainIndex domain) const;
  [[nodiscard]] std::size_t waiting_count() const { return large_waiting_.size(); }
  /// What any of the users may have at most, if nobody has anything.
  [[nodiscard]] std::uint64_t most_bytes() const { return most_bytes_; }
  /// Needs that had to wait because their user has too much; since the start.
  [[nodiscard]] std::uint64_t beyond_share() const { return beyond_share_; }

 private:
  struct File {
    std::shared_ptr<ipc::MemoryFile> memory;
    worker::DomainIndex domain = 0;
    std::uint64_t charged_bytes = 0;
    std::uint64_t shared_bytes = 0;  ///< of its user's share
  };
  /// What a file is charged with.
  enum class Charged : std::uint8_t { kNothing, kBudget, kBudgetAndShare };
  struct Large {
    std::uint32_t worker = 0;
    worker::NeedLarge need;
  };
  using ClassNeed = std::tuple<std::uint32_t, worker::DomainIndex, std::uint16_t>;
  using LargeKey = std::pair<std::uint32_t, std::uint64_t>;  // worker, request

  [[nodiscard]] UserId user_of(worker::DomainIndex domain) const { return users_.at(domain); }
  bool try_charge(worker::DomainIndex domain, std::uint64_t bytes);
  void give_back(worker::DomainIndex domain, std::uint64_t bytes);
  void make_class_file(const ClassNeed& need);
  void make_large(const Large& large, std::uint64_t file_bytes);
  /// Register a file and hand it to its worker.
  void hand_over(std::uint32_t worker, worker::AddExtentFile add,
                 std::shared_ptr<ipc::MemoryFile> memory, Charged charged);

  Workers& workers_;
  Background& background_;
  Background& bulk_;
  MemoryBudget& budget_;
  UserShares shares_;
  std::uint64_t most_bytes_ = 0;
  std::uint64_t beyond_share_ = 0;
  std::vector<UserId> users_;  ///< by domain
  std::uint32_t next_file_ = 1;
  std::unordered_map<std::uint32_t, File> files_;
  std::set<ClassNeed> class_waiting_;
  std::deque<Large> large_waiting_;
  std::set<LargeKey> large_making_;
  std::set<LargeKey> large_cancelled_;
};

}  // namespace ringwire::node
