// The shared memory of a program that lies: its up file and a transmit file, every byte its own to
// change at any time, also while the engine reads (fuzz targets only; one thread beside the racer).
#pragma once

#include <unistd.h>

#include <atomic>
#include <cstring>
#include <memory>
#include <thread>

#include "base/check.h"
#include "base/hash.h"
#include "base/time.h"
#include "ipc/engine_channel.h"
#include "ipc/memory_file.h"
#include "tests/fuzz/input.h"

namespace ringwire::fuzz {

class HostileMemory {
 public:
  static constexpr std::uint32_t kEntries = 16;
  static constexpr std::uint64_t kTransmitBytes = 8'192;
  static constexpr std::uint64_t kLine = ipc::kLineBytes;

  HostileMemory() {
    const std::uint64_t bytes = ipc::up_file_bytes(kEntries, kEntries, 1);
    up_ = make(bytes);
    transmit_ = make(kTransmitBytes);
    const ipc::UpHeader header{ipc::kUpMagic, ipc::kLayoutVersion, 1, bytes, kEntries, kEntries};
    std::memcpy(up_.data(), &header, sizeof header);
    ipc::ChannelOpenRequest request{};
    request.submission_entries = kEntries;
    request.release_entries = kEntries;
    request.delivery_entries = kEntries;
    request.up_file_bytes = bytes;
    request.next_sequence = 1;
    auto opened = ipc::EngineChannel::open(dup(up_.descriptor()), request, 1, 0);
    RW_CHECK(opened.ok());
    engine_ = std::move(opened).value();
    auto down = ipc::MemoryFile::adopt(dup(engine_->down_descriptor_read_only()),
                                       ipc::EngineChannel::down_file_bytes(kEntries, 1));
    RW_CHECK(down.ok());
    down_ = std::move(down).value();
  }
  ~HostileMemory() { stop_race(); }
  HostileMemory(const HostileMemory&) = delete;
  HostileMemory& operator=(const HostileMemory&) = delete;

  ipc::EngineChannel* engine() { return engine_.get(); }
  const ipc::MemoryFile& transmit() const { return transmit_; }

  /// What the engine has taken out of and put into this memory, ever: its operations on it.
  [[nodiscard]] std::uint64_t operations() const {
    return down_word(ipc::kDownSubmissionHeadOffset) + down_word(ipc::kDownReleaseHeadOffset) +
           down_word(ipc::kDownDeliveryTailOffset);
  }

  /// One change of what the program can change.
  void mutate(Input& input) {
    switch (input.below(12)) {
      case 0:
      case 1:
      case 2:
        return submit(input);
      case 3:
      case 4:
        return release(input);
      case 5:
        return take_deliveries(input);
      case 6:
        return put(ipc::kUpWaitingOffset, input.u32());
      case 7:  // indices that jump
        return put(ipc::kUpSubmissionTailOffset,
                   input.below(16) == 0 ? input.near(tail_) : tail_ += input.below(2));
      case 8:
        return input.below(16) == 0 ? put(ipc::kUpReleaseTailOffset, input.near(releases_))
                                    : release(input);
      case 9:
        return scribble(input, transmit_, 0);
      case 10:
        return input.below(8) == 0 ? scribble(input, up_, ipc::kHeaderBytes) : submit(input);
      default:
        return input.below(32) == 0 ? scribble(input, up_, 0) : submit(input);
    }
  }

  /// Change entries and payloads from another thread, as fast as it can, until stop_race.
  void race(std::uint64_t seed) {
    racing_.store(true, std::memory_order_relaxed);
    racer_ = std::thread([this, seed] {
      std::uint64_t state = seed;
      const std::uint64_t words = (up_.bytes() - ipc::kHeaderBytes) / sizeof state;
      while (racing_.load(std::memory_order_relaxed)) {
        state = mix64(state + 1);
        auto* word =
            reinterpret_cast<std::uint64_t*>(up_.data() + ipc::kHeaderBytes) + state % words;
        std::atomic_ref(*word).store(state >> (state % 64), std::memory_order_relaxed);
      }
    });
  }
  void stop_race() {
    racing_.store(false, std::memory_order_relaxed);
    if (racer_.joinable()) racer_.join();
  }

 private:
  static ipc::MemoryFile make(std::uint64_t bytes) {
    auto made = ipc::MemoryFile::create("fuzz-hostile", bytes);
    RW_CHECK(made.ok());
    return std::move(made).value();
  }
  [[nodiscard]] std::uint64_t down_word(std::uint64_t offset) const {
    std::uint64_t value = 0;
    std::memcpy(&value, down_.data() + offset, sizeof value);
    return value;
  }
  template <typename T>
  void put(std::uint64_t offset, T value) {
    std::memcpy(up_.data() + offset, &value, sizeof value);
  }

  // A submission that would be right, with some fields that are not.
  void submit(Input& input) {
    ipc::Submission entry{};
    entry.sequence = ++sequence_;
    entry.hash = input.below(4);
    entry.payload_bytes = input.below(100);
    entry.target = static_cast<std::uint8_t>(1 + input.below(3));
    entry.level = static_cast<std::uint8_t>(input.below(3));
    entry.service = static_cast<std::uint16_t>(input.below(2));
    if (input.below(3) == 0) {
      entry.extent_file = 1;
      entry.payload_bytes = input.below(4'096);
      entry.payload_offset = input.below(4'096);
    }
    const std::uint32_t spoiled = input.below(16) == 0 ? 1 + input.below(3) : 0;
    for (std::uint32_t count = 0; count < spoiled; ++count) spoil(input, entry);
    std::memcpy(up_.data() + ipc::kHeaderBytes + tail_ % kEntries * sizeof entry, &entry,
                sizeof entry);
    put(ipc::kUpSubmissionTailOffset, ++tail_);
  }
  static void spoil(Input& input, ipc::Submission& entry) {
    switch (input.below(12)) {
      case 0:
        entry.sequence = input.near(entry.sequence);
        return;
      case 1:
        entry.payload_bytes = input.near(entry.payload_bytes);
        return;
      case 2:
        entry.payload_offset = input.near(kTransmitBytes);
        return;
      case 3:
        entry.extent_file = static_cast<std::uint32_t>(input.near(1));
        return;
      case 4:
        entry.node = static_cast<std::uint32_t>(input.near(0));
        return;
      case 5:
        entry.key_bytes = static_cast<std::uint16_t>(input.near(1'024));
        return;
      case 6:
        entry.service = static_cast<std::uint16_t>(input.near(1));
        return;
      case 7:
        entry.flags = input.u16();
        return;
      case 8:
        entry.target = input.u8();
        return;
      case 9:
        entry.level = input.u8();
        return;
      case 10:
        entry.deadline_ns = static_cast<std::int64_t>(input.near(kSecondNs));
        return;
      default:
        entry.require = input.u8();
        entry.reserved[input.below(6)] = input.u8();
        return;
    }
  }
  // Of what it holds, has given back before, never had, or another worker's.
  void release(Input& input) {
    ipc::Release entry{};
    const std::uint64_t last = down_word(ipc::kDownDeliveryTailOffset);
    if (last > 0) {
      const std::uint64_t at = (last - 1 - input.below(4) % last) % kEntries;
      std::memcpy(
          &entry.token,
          down_.data() + ipc::down_delivery_offset(kEntries, 0) + at * sizeof(ipc::Delivery),
          sizeof entry.token);
    }
    if (input.below(16) == 0) entry.token = input.near(entry.token);
    entry.verdict = input.below(32) == 0 ? input.u8() : input.below(3);
    entry.flags = input.below(32) == 0 ? input.u8() : input.below(2);
    std::memcpy(up_.data() + ipc::up_release_offset(kEntries, kEntries, 0) +
                    releases_ % kEntries * sizeof entry,
                &entry, sizeof entry);
    put(ipc::kUpReleaseTailOffset, ++releases_);
  }
  void take_deliveries(Input& input) {
    const std::uint64_t tail = down_word(ipc::kDownDeliveryTailOffset);
    put(ipc::kUpDeliveryHeadOffset, input.below(32) == 0 ? input.near(tail) : tail);
  }
  static void scribble(Input& input, ipc::MemoryFile& file, std::uint64_t from) {
    const auto bytes = input.raw(input.below(16));
    if (bytes.empty()) return;
    const std::uint64_t at = from + input.u16() % (file.bytes() - from - bytes.size());
    std::memcpy(file.data() + at, bytes.data(), bytes.size());
  }

  ipc::MemoryFile up_;
  ipc::MemoryFile transmit_;
  ipc::MemoryFile down_;
  std::unique_ptr<ipc::EngineChannel> engine_;
  std::uint64_t sequence_ = 0;
  std::uint64_t tail_ = 0;
  std::uint64_t releases_ = 0;
  std::atomic<bool> racing_{false};
  std::thread racer_;
};

}  // namespace ringwire::fuzz
