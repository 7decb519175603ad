// A program of the simulated world: the other end of one channel, made by hand on the real
// shared-memory layout, so that what it does and when is the test's choice. One thread, no waiting.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

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

  /// Opens a channel at an engine with one worker.
  explicit ProgramChannel(std::uint64_t next_sequence) {
    const std::uint64_t bytes = ipc::up_file_bytes(kEntries, kEntries * 2, 1);
    auto made = ipc::MemoryFile::create("sim-up", bytes);
    RW_CHECK(made.ok());
    up_ = std::move(made).value();
    const ipc::UpHeader header{ipc::kUpMagic, ipc::kLayoutVersion, 1, bytes,
                               kEntries,      kEntries * 2};
    std::memcpy(up_.data(), &header, sizeof header);
    ipc::ChannelOpenRequest request{};
    request.submission_entries = kEntries;
    request.release_entries = kEntries * 2;
    request.delivery_entries = kEntries;
    request.up_file_bytes = bytes;
    request.next_sequence = next_sequence;
    auto opened = ipc::EngineChannel::open(dup(up_.descriptor()), request, 1, 0);
    RW_CHECK(opened.ok());
    engine_ = std::move(opened).value();
    auto mapped = ipc::MemoryFile::adopt(dup(engine_->down_descriptor_read_only()),
                                         ipc::EngineChannel::down_file_bytes(kEntries, 1));
    RW_CHECK(mapped.ok());
    down_ = std::move(mapped).value();
    submissions_.attach(reinterpret_cast<ipc::Submission*>(up_.data() + ipc::kHeaderBytes),
                        kEntries, word(up_, ipc::kUpSubmissionTailOffset),
                        word(down_, ipc::kDownSubmissionHeadOffset));
    deliveries_.attach(reinterpret_cast<const ipc::Delivery*>(
                           down_.data() + ipc::down_delivery_offset(kEntries, 0)),
                       kEntries, word(down_, ipc::kDownDeliveryTailOffset),
                       word(up_, ipc::kUpDeliveryHeadOffset));
    ringer_.attach(reinterpret_cast<const std::uint32_t*>(down_.data() + ipc::kDownParkedOffset));
    releases_.attach(reinterpret_cast<ipc::Release*>(
                         up_.data() + ipc::up_release_offset(kEntries, kEntries * 2, 0)),
                     kEntries * 2, word(up_, ipc::kUpReleaseTailOffset),
                     word(down_, ipc::kDownReleaseHeadOffset));
  }

  /// The engine's end; owned here, as the ring manager would.
  [[nodiscard]] ipc::EngineChannel* engine() { return engine_.get(); }

  bool submit(const ipc::Submission& submission) {
    ipc::Submission* entry = submissions_.claim();
    if (entry == nullptr) return false;
    *entry = submission;
    submissions_.publish();
    ring();
    return true;
  }
  bool receive(ipc::Delivery& delivery) {
    if (!deliveries_.poll(delivery)) return false;
    deliveries_.publish();
    if (ringer_.must_ring(ipc::kAsleepForRoom)) bell_ = true;
    return true;
  }
  /// Whether the program wrote its worker's bell since the last call.
  bool take_bell() { return std::exchange(bell_, false); }
  bool release(const ipc::Release& release) {
    ipc::Release* entry = releases_.claim();
    if (entry == nullptr) return false;
    *entry = release;
    releases_.publish();
    ring();
    return true;
  }

 private:
  void ring() {
    if (ringer_.must_ring(ipc::kAsleep)) bell_ = true;
  }
  static std::uint64_t* word(ipc::MemoryFile& file, std::size_t offset) {
    return reinterpret_cast<std::uint64_t*>(file.data() + offset);
  }

  ipc::MemoryFile up_;
  ipc::MemoryFile down_;
  std::unique_ptr<ipc::EngineChannel> engine_;
  ipc::SpscProducer<ipc::Submission> submissions_;
  ipc::SpscConsumer<ipc::Delivery> deliveries_;
  ipc::SpscProducer<ipc::Release> releases_;
  ipc::Ringer ringer_;
  bool bell_ = false;
};

}  // namespace ringwire::sim
