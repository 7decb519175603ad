#include "engine/node/worker_thread.h"

#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>

#include "engine/node/clock.h"
#include "engine/node/start_error.h"

namespace ringwire::node {
namespace {

// What an epoll event stands for; a bell carries its channel index.
constexpr std::uint64_t kPortEvent = 1ULL << 32;
constexpr std::uint64_t kCommandEvent = 2ULL << 32;

constexpr std::size_t kEventsAtOnce = 64;

/// A look at the bells of parked programs is a system call, which those at work wait for: so much
/// less often while there are any.
constexpr DurationNs kBellPauseAtWorkNs = 20 * kMicrosecondNs;
constexpr DurationNs kBellPauseIdleNs = 2 * kMicrosecondNs;

/// A yield to a program that waits in the same manner costs as much as an idle turn: two turns per
/// yield find a packet sooner, four leave the programs waiting (perf/results/README.md).
constexpr std::uint32_t kIdleTurnsPerYield = 2;

/// Notices are cold: one event per 20 us tells the manager early enough, and a worker that makes
/// many does not pay a system call in each turn while the manager gets to run.
constexpr DurationNs kTellAgainNs = 20 * kMicrosecondNs;

}  // namespace

WorkerThread::WorkerThread(const WorkerThreadOptions& options, worker::Worker& worker,
                           port::Port& port, worker::CommandBox& commands,
                           worker::NoticeBox& notices, int notice_event)
    : options_(options),
      worker_(worker),
      port_(port),
      commands_(commands),
      notices_(notices),
      notice_event_(notice_event),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      command_event_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      bells_(worker::kMaxChannels, -1) {
  if (!epoll_ || !command_event_)
    throw StartError(std::string("no descriptors left for a worker thread (") +
                     std::strerror(errno) + "): raise `ulimit -n`");
  epoll_event event{};
  event.events = EPOLLIN | EPOLLET;  // nothing is ever read: each write is one edge
  event.data.u64 = kCommandEvent;
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, command_event_.get(), &event);
  if (port_.wait_descriptor() >= 0) {
    event.events = EPOLLIN;
    event.data.u64 = kPortEvent;
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, port_.wait_descriptor(), &event);
  }
}

WorkerThread::~WorkerThread() { stop(); }

void WorkerThread::start() {
  if (options_.core >= 0) {
    cpu_set_t all;
    CPU_ZERO(&all);
    if (::sched_getaffinity(0, sizeof all, &all) == 0 &&
        (options_.core >= CPU_SETSIZE || !CPU_ISSET(static_cast<std::size_t>(options_.core), &all)))
      throw StartError("[node] cores names core " + std::to_string(options_.core) +
                       ", which this process may not use: see `taskset -p $$`");
  }
  thread_ = std::thread([this] { run(); });
  const std::string name = "rw-worker-" + std::to_string(options_.index);
  ::pthread_setname_np(thread_.native_handle(), name.c_str());
  if (options_.core >= 0) {
    cpu_set_t core;
    CPU_ZERO(&core);
    CPU_SET(static_cast<std::size_t>(options_.core), &core);
    ::pthread_setaffinity_np(thread_.native_handle(), sizeof core, &core);
  }
}

void WorkerThread::wake() {
  const std::uint64_t one = 1;
  // It can fail only when 2^64 wakes were never looked at.
  [[maybe_unused]] const auto written = ::write(command_event_.get(), &one, sizeof one);
}

void WorkerThread::stop() {
  if (!thread_.joinable()) return;
  // Relaxed: the join below orders everything else.
  stop_.store(true, std::memory_order_relaxed);
  wake();
  thread_.join();
}

// Relaxed: figures for display, nothing is ordered by them.
DurationNs WorkerThread::busy_ns() const { return busy_ns_.load(std::memory_order_relaxed); }
bool WorkerThread::sleeping() const { return sleeping_.load(std::memory_order_relaxed); }

void WorkerThread::run() {
  // The default slack of 50 us would be added to every sleep.
  ::prctl(PR_SET_TIMERSLACK, 1'000UL, 0UL, 0UL, 0UL);
  TimeNs last_work_ns = clock_now_ns();
  TimeNs last_turn_ns = last_work_ns;
  bool was_busy = false;
  TimeNs bells_at_ns = last_work_ns;
  std::uint32_t idle_turns = 0;
  // Relaxed: only this thread writes busy_ns_, and stop_ orders nothing.
  while (!stop_.load(std::memory_order_relaxed)) {
    const TimeNs now = clock_now_ns();
    if (was_busy) busy_ns_.store(busy_ns() + now - last_turn_ns, std::memory_order_relaxed);
    last_turn_ns = now;
    const bool was_idle = !was_busy;
    was_busy = worker_.turn(now);
    wake_siblings();
    apply_bell_changes();
    if (!notices_.empty() && now - told_ns_ >= kTellAgainNs) tell_manager(now);
    if (was_busy) last_work_ns = now;
    const bool at_work = now - last_work_ns < kPollAfterWorkNs;
    if (now - bells_at_ns >= (at_work ? kBellPauseAtWorkNs : kBellPauseIdleNs)) {
      bells_at_ns = now;
      if (bells_count_ != 0) look_at_bells();
    }
    if (options_.spin) continue;
    if (was_busy) {
      idle_turns = 0;
      // Under light load the program that was just given something may share this core, and answers
      // sooner if it gets to run. Under full load (busy turn after busy turn) it waits, and one
      // switch serves many messages.
      if (was_idle && worker_.handed_over()) ::sched_yield();
      continue;
    }
    if (now - last_work_ns < kPollAfterWorkNs) {
      if (++idle_turns % kIdleTurnsPerYield == 0) ::sched_yield();
      continue;
    }
    // Who was woken by an event polls again for a while; a timer alone is no sign of more to come.
    if (sleep_until_needed(now)) last_work_ns = clock_now_ns();
  }
}

void WorkerThread::apply_bell_changes() {
  std::vector<worker::Worker::BellChange>& changes = worker_.bell_changes();
  for (const auto& change : changes) {
    if (change.index >= bells_.size()) continue;
    int& bell = bells_[change.index];
    if (bell >= 0) {
      // Fails harmlessly when the manager has closed the channel already.
      ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, bell, nullptr);
      --bells_count_;
    }
    bell = change.descriptor;
    if (bell < 0) continue;
    epoll_event event{};
    event.events = EPOLLIN | EPOLLET;
    event.data.u64 = change.index;
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, bell, &event);
    ++bells_count_;
  }
  changes.clear();
}

void WorkerThread::wake_siblings() {
  for (std::uint32_t asleep = worker_.take_wakes(); asleep != 0; asleep &= asleep - 1)
    siblings_[static_cast<std::size_t>(std::countr_zero(asleep))]->wake();
}

void WorkerThread::tell_manager(TimeNs now) {
  told_ns_ = now;
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written = ::write(notice_event_, &one, sizeof one);
}

void WorkerThread::look_at_bells() { wait(0); }

bool WorkerThread::sleep_until_needed(TimeNs now) {
  if (!notices_.empty()) tell_manager(now);
  if (!worker_.prepare_sleep()) {
    worker_.wake();
    return true;
  }
  // A command whose edge an earlier look consumed was pushed before that look: it is seen here.
  if (!commands_.empty()) {
    worker_.wake();
    return true;
  }
  const TimeNs before_ns = clock_now_ns();
  DurationNs timeout_ns = kMaxSleepNs;
  if (port_.wait_descriptor() < 0) timeout_ns = kPollOnlyNapNs;
  if (worker_.next_deadline_ns() != kNeverNs)
    timeout_ns = std::clamp<DurationNs>(worker_.next_deadline_ns() - before_ns, 0, timeout_ns);
  sleeping_.store(true, std::memory_order_relaxed);
  const bool event = wait(timeout_ns) > 0;
  sleeping_.store(false, std::memory_order_relaxed);
  worker_.wake();
  return event;
}

int WorkerThread::wait(DurationNs timeout_ns) {
  std::array<epoll_event, kEventsAtOnce> events;
  const timespec timeout{timeout_ns / kSecondNs, timeout_ns % kSecondNs};
  int count = ::epoll_pwait2(epoll_.get(), events.data(), static_cast<int>(events.size()), &timeout,
                             nullptr);
  if (count < 0 && errno == ENOSYS)  // before Linux 5.11: whole milliseconds, rounded down
    count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()),
                         static_cast<int>(timeout_ns / kMillisecondNs));
  for (int at = 0; at < count; ++at) {
    const std::uint64_t what = events[static_cast<std::size_t>(at)].data.u64;
    if (what < kPortEvent) worker_.wake_channel(static_cast<worker::ChannelIndex>(what));
  }
  return count;
}

}  // namespace ringwire::node
