// Every order in which the sides of a shared-memory protocol can take their steps. The sides run as
// fibers on one thread, on the production classes with TracedWords in place of SharedWords: before
// each access to a shared word a fiber stops, and the scheduler says who goes on. A story is told
// from its beginning for each schedule, depth first, until there is none left.
//
// Stores that are not seq_cst may stay back in the fiber's store buffer, first in first out, and
// reach memory at any later moment: what a processor of the x86 kind does (TSO). Weaker processors
// also let loads and stores to different words pass each other; against those the acquire and
// release of each access stand, which the race detector checks and no enumeration here does.
//
// A fiber can be made to die before any of its accesses: it is never run again, and what it had
// stored and not yet kept back stays.
#pragma once

#include <ucontext.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace ringwire::ipc {

/// One schedule of one story.
class Interleaving {
 public:
  static constexpr std::size_t kStackBytes = 128 << 10;
  static constexpr std::size_t kNobody = ~std::size_t{0};

  struct Store {
    void* word;
    std::uint64_t value;
    std::size_t bytes;
  };
  struct Fiber {
    std::function<void()> body;
    ucontext_t context{};
    std::deque<Store> buffer;
    const std::function<bool()>* waits_for = nullptr;
    std::size_t accesses = 0;
    bool ended = false;
    bool dead = false;
  };
  /// A choice that was made, and how many there were.
  struct Choice {
    std::size_t taken;
    std::size_t count;
  };

  explicit Interleaving(std::vector<Choice>& path, std::size_t most_preemptions)
      : path_(path), preemptions_left_(most_preemptions) {}

  void add(std::function<void()> body) {
    fibers_.push_back(std::make_unique<Fiber>());
    fibers_.back()->body = std::move(body);
  }
  /// Fiber `who` ends before its access number `access` (from 0).
  void kill(std::size_t who, std::size_t access) {
    victim_ = who;
    last_access_ = access;
  }

  /// Run to the end. False: somebody waits, and nobody is left to end it.
  bool run() {
    current_running = this;
    static thread_local std::vector<std::unique_ptr<char[]>> stacks;
    while (stacks.size() < fibers_.size()) stacks.push_back(std::make_unique<char[]>(kStackBytes));
    for (std::size_t index = 0; index < fibers_.size(); ++index) {
      Fiber& fiber = *fibers_[index];
      getcontext(&fiber.context);
      fiber.context.uc_stack.ss_sp = stacks[index].get();
      fiber.context.uc_stack.ss_size = kStackBytes;
      fiber.context.uc_link = &scheduler_;
      makecontext(&fiber.context, &Interleaving::enter, 0);
    }
    while (step()) {
    }
    current_running = nullptr;
    return std::all_of(fibers_.begin(), fibers_.end(),
                       [](const auto& fiber) { return fiber->ended || fiber->dead; });
  }
  [[nodiscard]] bool died(std::size_t who) const { return fibers_[who]->dead; }

  // --- called by the fiber that runs ---

  static Interleaving* current() { return current_running; }
  /// The next access to shared memory is about to happen.
  void before_access() {
    Fiber& fiber = *fibers_[running_];
    if (running_ == victim_ && fiber.accesses == last_access_) fiber.dead = true;
    ++fiber.accesses;
    swapcontext(&fiber.context, &scheduler_);
  }
  /// Sleep until `condition`, which must not access shared words, holds.
  void wait_until(const std::function<bool()>& condition) {
    before_access();  // the last look was before it: what happens in between counts
    Fiber& fiber = *fibers_[running_];
    drain(fiber);  // a system call
    fiber.waits_for = &condition;
    swapcontext(&fiber.context, &scheduler_);
    fiber.waits_for = nullptr;
  }
  void keep_back(void* word, std::uint64_t value, std::size_t bytes) {
    fibers_[running_]->buffer.push_back({word, value, bytes});
  }
  void drain_own() { drain(*fibers_[running_]); }
  /// The newest value that the fiber itself has stored to `word` and that is not in memory yet.
  bool own_store(const void* word, std::uint64_t& value) const {
    const auto& buffer = fibers_[running_]->buffer;
    const auto found = std::find_if(buffer.rbegin(), buffer.rend(),
                                    [&](const Store& store) { return store.word == word; });
    if (found == buffer.rend()) return false;
    value = found->value;
    return true;
  }

 private:
  static void enter() {
    Interleaving& self = *current_running;
    Fiber& fiber = *self.fibers_[self.running_];
    fiber.body();
    fiber.ended = true;
  }
  static void write(const Store& store) {
    if (store.bytes == 8)
      std::atomic_ref(*static_cast<std::uint64_t*>(store.word)).store(store.value);
    else
      std::atomic_ref(*static_cast<std::uint32_t*>(store.word))
          .store(static_cast<std::uint32_t>(store.value));
  }
  static void drain(Fiber& fiber) {
    for (; !fiber.buffer.empty(); fiber.buffer.pop_front()) write(fiber.buffer.front());
  }
  [[nodiscard]] bool runnable(const Fiber& fiber) const {
    return !fiber.ended && !fiber.dead && (fiber.waits_for == nullptr || (*fiber.waits_for)());
  }

  // Moves: to run a fiber up to its next access (its number), or to bring the oldest store that it
  // keeps back to memory (its number + the fiber count).
  bool step() {
    std::vector<std::size_t> moves;
    const bool goes_on = running_ != kNobody && runnable(*fibers_[running_]);
    if (goes_on) moves.push_back(running_);
    for (std::size_t index = 0; index < fibers_.size(); ++index)
      if (index != running_ && runnable(*fibers_[index]) && (!goes_on || preemptions_left_ > 0))
        moves.push_back(index);
    for (std::size_t index = 0; index < fibers_.size(); ++index)
      if (!fibers_[index]->buffer.empty() && (!goes_on || preemptions_left_ > 0))
        moves.push_back(index + fibers_.size());
    if (moves.empty()) return false;
    if (depth_ == path_.size()) path_.push_back({0, moves.size()});
    if (path_[depth_].count != moves.size()) std::abort();  // the story is not repeatable
    const std::size_t move = moves[path_[depth_++].taken];
    if (goes_on && move != running_) --preemptions_left_;
    if (move >= fibers_.size()) {
      Fiber& fiber = *fibers_[move - fibers_.size()];
      write(fiber.buffer.front());
      fiber.buffer.pop_front();
      return true;
    }
    running_ = move;
    swapcontext(&scheduler_, &fibers_[move]->context);
    return true;
  }

  static inline thread_local Interleaving* current_running = nullptr;

  std::vector<Choice>& path_;
  std::size_t preemptions_left_;
  std::size_t depth_ = 0;
  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::size_t running_ = kNobody;
  std::size_t victim_ = kNobody;
  std::size_t last_access_ = 0;
  ucontext_t scheduler_{};
};

/// Accesses to shared words that the scheduler sees. `kLikeSeqCst` false makes a seq_cst store an
/// ordinary one: a bug that the enumeration has to find.
template <bool kLikeSeqCst>
struct BasicTracedWords {
  /// A place to stop at that is no shared word.
  static void stop() {
    if (Interleaving* world = Interleaving::current()) world->before_access();
  }
  template <typename Word>
  static Word load(const Word* word, std::memory_order order) {
    if (Interleaving* world = Interleaving::current()) {
      world->before_access();
      std::uint64_t own = 0;
      if (world->own_store(word, own)) return static_cast<Word>(own);
    }
    return std::atomic_ref(*const_cast<Word*>(word)).load(order);
  }
  template <typename Word>
  static void store(Word* word, Word value, std::memory_order order) {
    if (Interleaving* world = Interleaving::current()) {
      world->before_access();
      if (order != std::memory_order_seq_cst || !kLikeSeqCst)
        return world->keep_back(word, value, sizeof value);
      world->drain_own();
    }
    std::atomic_ref(*word).store(value, order);
  }
  template <typename Word>
  static Word exchange(Word* word, Word value, std::memory_order order) {
    if (Interleaving* world = Interleaving::current()) {
      world->before_access();
      world->drain_own();
    }
    return std::atomic_ref(*word).exchange(value, order);
  }
};
using TracedWords = BasicTracedWords<true>;
using WeakWords = BasicTracedWords<false>;

struct Explored {
  std::uint64_t schedules = 0;
  std::string failure;  ///< of the first schedule that failed; empty: none did
};

/// Tell Story under every schedule with at most `most_preemptions` steps of others, or of the store
/// buffers, while a fiber could go on. A Story is made anew for each, adds its fibers in
/// `begin(Interleaving&)`, and says in `verdict(Interleaving&, ended)` what is wrong, if anything.
template <typename Story>
Explored explore(const std::function<Story()>& make, std::size_t most_preemptions = 1'000,
                 std::size_t victim = Interleaving::kNobody, std::size_t last_access = 0) {
  Explored result;
  std::vector<Interleaving::Choice> path;
  for (;;) {
    Story story = make();
    Interleaving world(path, most_preemptions);
    if (victim != Interleaving::kNobody) world.kill(victim, last_access);
    story.begin(world);
    const bool ended = world.run();
    ++result.schedules;
    result.failure = story.verdict(world, ended);
    if (!result.failure.empty()) return result;
    while (!path.empty() && path.back().taken + 1 == path.back().count) path.pop_back();
    if (path.empty()) return result;
    ++path.back().taken;
  }
}

}  // namespace ringwire::ipc
