// The program's end of one channel, made by hand on the real shared-memory layout, so that what a
// simulated program does and when is the world's choice. One thread, no waiting, no system call
// after construction.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <utility>

#include <unistd.h>

#include "base/check.h"
#include "ipc/doorbell.h"
#include "ipc/engine_channel.h"
#include "ipc/memory_file.h"
#include "ipc/spsc_queue.h"

namespace ringwire::sim {

class ProgramChannel {
 public:
  static constexpr std::uint32_t kEntries = 64;

  ProgramChannel(std::uint64_t next_sequence, std::uint32_t worker_count, std::uint32_t home_worker,
                 std::uint32_t entries = kEntries)
      : worker_count_(worker_count), home_worker_(home_worker) {
    const std::uint64_t bytes = ipc::up_file_bytes(entries, entries * 2, worker_count);
    auto made = ipc::MemoryFile::create("sim-up", bytes);
    RW_CHECK(made.ok());
    up_ = std::move(made).value();
    const ipc::UpHeader header{ipc::kUpMagic, ipc::kLayoutVersion, worker_count, bytes,
                               entries,       entries * 2};
    std::memcpy(up_.data(), &header, sizeof header);
    ipc::ChannelOpenRequest request{};
    request.submission_entries = entries;
    request.release_entries = entries * 2;
    request.delivery_entries = entries;
    request.up_file_bytes = bytes;
    request.next_sequence = next_sequence;
    auto opened =
        ipc::EngineChannel::open(dup(up_.descriptor()), request, worker_count, home_worker);
    RW_CHECK(opened.ok());
    engine_ = std::move(opened).value();
    auto mapped =
        ipc::MemoryFile::adopt(dup(engine_->down_descriptor_read_only()),
                               ipc::EngineChannel::down_file_bytes(entries, worker_count));
    RW_CHECK(mapped.ok());
    down_ = std::move(mapped).value();
    submissions_.attach(reinterpret_cast<ipc::Submission*>(up_.data() + ipc::kHeaderBytes), entries,
                        word(up_, ipc::kUpSubmissionTailOffset),
                        word(down_, ipc::kDownSubmissionHeadOffset));
    for (std::uint32_t worker = 0; worker < worker_count; ++worker) {
      Side& side = sides_[worker];
      const std::size_t line = std::size_t{worker} * ipc::kLineBytes;
      side.deliveries.attach(reinterpret_cast<const ipc::Delivery*>(
                                 down_.data() + ipc::down_delivery_offset(entries, worker)),
                             entries, word(down_, ipc::kDownDeliveryTailOffset + line),
                             word(up_, ipc::kUpDeliveryHeadOffset + line));
      side.releases.attach(reinterpret_cast<ipc::Release*>(
                               up_.data() + ipc::up_release_offset(entries, entries * 2, worker)),
                           entries * 2, word(up_, ipc::kUpReleaseTailOffset + line),
                           word(down_, ipc::kDownReleaseHeadOffset + line));
      side.ringer.attach(
          reinterpret_cast<const std::uint32_t*>(down_.data() + ipc::kDownParkedOffset + line));
    }
  }

  /// The engine's end; owned here, as the ring manager would.
  [[nodiscard]] ipc::EngineChannel* engine() { return engine_.get(); }
  [[nodiscard]] std::uint32_t home_worker() const { return home_worker_; }

  bool submit(const ipc::Submission& submission) {
    ipc::Submission* entry = submissions_.claim();
    if (entry == nullptr) return false;
    std::memcpy(entry, &submission,
                offsetof(ipc::Submission, inline_bytes) + ipc::used_inline_bytes(submission));
    submissions_.publish();
    ring(home_worker_);
    return true;
  }
  /// The next entry, and the worker that it came from.
  bool receive(ipc::Delivery& delivery, std::uint32_t& worker) {
    for (worker = 0; worker < worker_count_; ++worker) {
      Side& side = sides_[worker];
      const ipc::Delivery* const entry = side.deliveries.peek();
      if (entry == nullptr) continue;
      ipc::copy_once(&delivery, entry, offsetof(ipc::Delivery, inline_bytes));
      ipc::copy_once(delivery.inline_bytes, entry->inline_bytes, used_inline_bytes(delivery));
      side.deliveries.skip();
      if (side.deliveries.publish_noting_full()) ring(worker);
      return true;
    }
    return false;
  }
  bool release(std::uint32_t worker, const ipc::Release& release) {
    ipc::Release* entry = sides_[worker].releases.claim();
    if (entry == nullptr) return false;
    *entry = release;
    sides_[worker].releases.publish();
    ring(worker);
    return true;
  }
  /// Break a rule: the submission queue's tail is further from its head than the queue is long.
  void jump() { *word(up_, ipc::kUpSubmissionTailOffset) += std::uint64_t{2} * kEntries; }
  /// Whether the program wrote this worker's bell since the last call.
  bool take_bell(std::uint32_t worker) { return std::exchange(sides_[worker].bell, false); }

 private:
  static std::size_t used_inline_bytes(const ipc::Delivery& delivery) {
    std::uint64_t used = delivery.key_bytes;  // beside a payload that is lent, too
    if (delivery.extent_file == 0) used += delivery.payload_bytes;
    if (delivery.count != 0) used = delivery.count * sizeof(ipc::OutcomeRecord);
    return std::min<std::uint64_t>(used, ipc::kInlineBytes);
  }
  struct Side {
    ipc::SpscConsumer<ipc::Delivery> deliveries;
    ipc::SpscProducer<ipc::Release> releases;
    ipc::Ringer ringer;
    bool bell = false;
  };
  void ring(std::uint32_t worker) {
    if (sides_[worker].ringer.must_ring(ipc::kAsleep)) sides_[worker].bell = true;
  }
  static std::uint64_t* word(ipc::MemoryFile& file, std::size_t offset) {
    return reinterpret_cast<std::uint64_t*>(file.data() + offset);
  }

  std::uint32_t worker_count_;
  std::uint32_t home_worker_;
  ipc::MemoryFile up_;
  ipc::MemoryFile down_;
  std::unique_ptr<ipc::EngineChannel> engine_;
  ipc::SpscProducer<ipc::Submission> submissions_;
  std::array<Side, kMaxWorkers> sides_;
};

}  // namespace ringwire::sim
