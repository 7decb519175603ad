// One engine without its threads: a port, a worker with a session to the other side, and one
// program's channel, all on the calling thread. It does for the worker what a ring manager does,
// with what two nodes would have agreed on fixed beforehand. One thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "engine/port/port.h"
#include "engine/worker/worker.h"
#include "ipc/memory_file.h"
#include "perf/load/meeting.h"
#include "tests/sim/program_channel.h"

namespace ringwire::load {

class LoadNode {
 public:
  /// `receive_queue_bytes` is the other side's.
  LoadNode(Side side, port::Port& port, const Endpoint& remote, std::uint64_t receive_queue_bytes);
  ~LoadNode();
  LoadNode(const LoadNode&) = delete;
  LoadNode& operator=(const LoadNode&) = delete;

  /// One turn of the worker, now.
  void turn() { turn(node::clock_now_ns()); }
  void turn(TimeNs now);
  /// Turns until nothing of this side's is under way, and acknowledgements have gone.
  void settle();

  // --- the program ---

  /// A message to the other side, without payload yet; its sequence is set.
  [[nodiscard]] ipc::Submission message();
  /// Of the next submission.
  [[nodiscard]] std::uint64_t next_sequence() const { return next_sequence_; }
  [[nodiscard]] bool submit(const ipc::Submission& submission);
  /// What came for the program; outcomes are counted and not shown.
  [[nodiscard]] bool receive(ipc::Delivery& delivery);
  void release(const ipc::Delivery& delivery, std::uint32_t flags = 0);
  /// Submitted and without an outcome.
  [[nodiscard]] std::uint64_t in_flight() const { return submitted_ - ended_; }
  [[nodiscard]] std::uint64_t failed() const { return failed_; }

  /// Memory to send from, of `bytes` each; made at the first call for that size.
  struct Buffer {
    std::byte* data = nullptr;
    std::uint32_t file = 0;
  };
  [[nodiscard]] std::vector<Buffer> buffers(std::uint64_t bytes, std::size_t count);
  /// Where a delivery's payload stands.
  [[nodiscard]] const std::byte* payload_of(const ipc::Delivery& delivery) const;

  [[nodiscard]] transport::SessionCounters session_counters();

 private:
  void command(worker::Command item);
  void obey();
  void add_file(std::uint16_t size_class, std::uint64_t bytes, std::uint64_t request);

  const Side side_;
  port::Port& port_;
  worker::CommandBox commands_;
  worker::NoticeBox notices_;
  std::map<std::uint32_t, ipc::MemoryFile> files_;  ///< of received messages
  std::vector<std::uint32_t> returned_;             ///< of these, kept until they are wanted again
  std::vector<const std::byte*> file_data_;         ///< the same by number
  std::map<std::uint64_t, std::vector<Buffer>> buffers_;
  std::vector<ipc::MemoryFile> sending_;
  std::vector<std::unique_ptr<ipc::MemoryFile>> own_files_;
  std::unique_ptr<sim::ProgramChannel> program_;
  std::unique_ptr<worker::WorkerSnapshot> snapshot_;
  std::unique_ptr<worker::Worker> worker_;
  std::uint64_t hash_ = 0;  ///< of a key that the other side owns
  std::uint64_t next_sequence_ = 1;
  std::uint64_t submitted_ = 0;
  std::uint64_t ended_ = 0;
  std::uint64_t failed_ = 0;
  std::uint32_t next_file_ = 1;
  std::uint32_t files_ready_ = 0;
};

}  // namespace ringwire::load
