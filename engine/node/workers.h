// All workers of this engine as the ring manager sees them: it sends them commands, and gets their
// notices on its loop. A command that a full mailbox refuses waits here, in order. Ring manager
// only; cold.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "engine/node/worker_thread.h"
#include "engine/port/port.h"
#include "engine/worker/crossing.h"
#include "engine/worker/worker.h"

namespace ringwire::node {

struct WorkersOptions {
  worker::WorkerConfig worker;  ///< index and worker_count are filled in
  std::vector<int> cores;       ///< one per worker, or empty
  bool spin = false;
};

class Workers {
 public:
  using OnNotice = std::function<void(std::uint32_t worker, worker::Notice& notice)>;

  /// One worker per port. Allocates all that the workers will ever need.
  Workers(boost::asio::io_context& manager, const WorkersOptions& options,
          std::vector<std::unique_ptr<port::Port>> ports);
  ~Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  /// Start the threads; notices come to `on_notice`. Errors: StartError.
  void start(OnNotice on_notice);
  /// End the threads. Notices that they left are dropped.
  void stop();
  /// Drop the workers, and with them their hold on channels, files and views. After stop().
  void clear();

  [[nodiscard]] std::uint32_t count() const { return static_cast<std::uint32_t>(slots_.size()); }
  void send(std::uint32_t worker, worker::Command command);
  /// The same to every worker.
  template <typename Item>
  void send_all(const Item& item) {
    for (std::uint32_t index = 0; index < count(); ++index) send(index, worker::Command(item));
  }

  /// Hand on what the workers have said by now, without waiting to be told that they did.
  void take_notices();

  [[nodiscard]] const port::Port& port(std::uint32_t worker) const { return *slots_[worker]->port; }
  [[nodiscard]] const WorkerThread& thread(std::uint32_t worker) const {
    return *slots_[worker]->thread;
  }

 private:
  struct Slot {
    std::unique_ptr<port::Port> port;
    worker::CommandBox commands;
    worker::NoticeBox notices;
    std::unique_ptr<worker::Worker> worker;
    std::unique_ptr<WorkerThread> thread;
    std::deque<worker::Command> backlog;  ///< bounded by what attachments and peers can ask for
  };

  void await_notices();
  void flush_backlog(Slot& slot);
  void flush_later();

  boost::asio::posix::stream_descriptor notice_event_;
  boost::asio::steady_timer flush_timer_;
  bool flush_planned_ = false;
  OnNotice on_notice_;
  worker::Crossing crossing_;
  std::vector<std::unique_ptr<Slot>> slots_;
};

}  // namespace ringwire::node
