#include "engine/node/workers.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <chrono>
#include <utility>

#include "engine/node/clock.h"
#include "engine/node/start_error.h"

namespace ringwire::node {
namespace {

/// Backlogs are tried again after this long when no notice comes before: a mailbox of 1,024
/// commands is emptied in a turn, so a longer wait would only add latency.
constexpr std::chrono::milliseconds kFlushAgain(1);

int make_event() {
  const int event = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (event < 0) throw StartError("no descriptors left for the workers: raise `ulimit -n`");
  return event;
}

}  // namespace

Workers::Workers(boost::asio::io_context& manager, const WorkersOptions& options,
                 std::vector<std::unique_ptr<port::Port>> ports)
    : notice_event_(manager, make_event()),
      flush_timer_(manager),
      crossing_(static_cast<std::uint32_t>(ports.size())) {
  worker::WorkerConfig config = options.worker;
  config.worker_count = static_cast<std::uint32_t>(ports.size());
  config.crossing = &crossing_;
  for (auto& port : ports) {
    auto slot = std::make_unique<Slot>();
    config.index = static_cast<std::uint32_t>(slots_.size());
    config.seed = mix64(options.worker.seed + config.index);
    slot->port = std::move(port);
    slot->worker = std::make_unique<worker::Worker>(config, *slot->port, slot->commands,
                                                    slot->notices, clock_now_ns());
    WorkerThreadOptions thread;
    thread.index = config.index;
    thread.spin = options.spin;
    if (config.index < options.cores.size()) thread.core = options.cores[config.index];
    slot->thread =
        std::make_unique<WorkerThread>(thread, *slot->worker, *slot->port, slot->commands,
                                       slot->notices, notice_event_.native_handle());
    slots_.push_back(std::move(slot));
  }
}

Workers::~Workers() { stop(); }

void Workers::start(OnNotice on_notice) {
  on_notice_ = std::move(on_notice);
  std::vector<WorkerThread*> threads;
  for (const auto& slot : slots_) threads.push_back(slot->thread.get());
  for (const auto& slot : slots_) slot->thread->know_siblings(threads);
  for (const auto& slot : slots_) slot->thread->start();
  await_notices();
}

void Workers::stop() {
  for (const auto& slot : slots_) slot->thread->stop();
  boost::system::error_code ignored;
  notice_event_.cancel(ignored);
  flush_timer_.cancel(ignored);
}

void Workers::clear() { slots_.clear(); }

void Workers::send(std::uint32_t worker, worker::Command command) {
  Slot& slot = *slots_[worker];
  slot.backlog.push_back(std::move(command));
  flush_backlog(slot);
}

void Workers::take_notices() {
  std::uint64_t count = 0;
  // Read before the mailboxes: what is pushed later raises the event again.
  [[maybe_unused]] const auto got = ::read(notice_event_.native_handle(), &count, sizeof count);
  for (std::uint32_t index = 0; index < this->count(); ++index) {
    Slot& slot = *slots_[index];
    std::size_t taken = 0;
    worker::Notice notice;
    while (slot.notices.try_pop(notice)) {
      ++taken;
      on_notice_(index, notice);
      notice = worker::Notice();
    }
    // It may have been full: let the worker offer again what it had to keep.
    if (taken >= worker::kMailboxItems / 2) slot.thread->wake();
    if (!slot.backlog.empty()) flush_backlog(slot);
  }
}

void Workers::await_notices() {
  notice_event_.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                           [this](const boost::system::error_code& error) {
                             if (error) return;
                             take_notices();
                             await_notices();
                           });
}

void Workers::flush_backlog(Slot& slot) {
  bool pushed = false;
  while (!slot.backlog.empty() && slot.commands.try_push(slot.backlog.front())) {
    slot.backlog.pop_front();
    pushed = true;
  }
  if (pushed) slot.thread->wake();
  if (!slot.backlog.empty()) flush_later();
}

void Workers::flush_later() {
  if (flush_planned_) return;
  flush_planned_ = true;
  flush_timer_.expires_after(kFlushAgain);
  flush_timer_.async_wait([this](const boost::system::error_code& error) {
    flush_planned_ = false;
    if (error) return;
    for (const auto& slot : slots_)
      if (!slot->backlog.empty()) flush_backlog(*slot);
  });
}

}  // namespace ringwire::node
