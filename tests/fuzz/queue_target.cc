// What a hostile program can write into its up file (docs/segment.md S-10 to S-13): indices, the
// waiting word, submissions, releases. The engine's end is EngineChannel alone. Oracle: it yields
// only whole entries that stand in the queue, at most a queue full per step forward; an impossible
// index ends it for good; bells and parking never block.
#include <unistd.h>

#include <cstring>
#include <memory>

#include "base/check.h"
#include "ipc/engine_channel.h"
#include "ipc/memory_file.h"
#include "tests/fuzz/input.h"

namespace {

using namespace ringwire;
using namespace ringwire::ipc;
using fuzz::Input;

constexpr std::uint32_t kEntries = 16;
constexpr std::uint32_t kWorkers = 2;

class Story {
 public:
  explicit Story(Input input) : input_(input) {
    const std::uint64_t bytes = up_file_bytes(kEntries, kEntries, kWorkers);
    auto made = MemoryFile::create("fuzz-up", bytes);
    RW_CHECK(made.ok());
    up_ = std::move(made).value();
    UpHeader header{kUpMagic, kLayoutVersion, kWorkers, bytes, kEntries, kEntries};
    // The header itself may lie; then nothing is opened.
    const bool lies = input_.below(16) == 0;
    if (lies) reinterpret_cast<std::byte*>(&header)[input_.below(sizeof header)] ^= std::byte{0x41};
    std::memcpy(up_.data(), &header, sizeof header);
    ChannelOpenRequest request{};
    request.submission_entries = kEntries;
    request.release_entries = kEntries;
    request.delivery_entries = kEntries;
    request.up_file_bytes = bytes;
    request.next_sequence = 1;
    auto opened = EngineChannel::open(dup(up_.descriptor()), request, kWorkers, 0);
    if (opened) channel_ = std::move(opened).value();
    RW_CHECK(opened.ok() || lies);
  }

  void tell() {
    if (!channel_) return;
    for (int step = 0; step < 300 && !input_.empty(); ++step) {
      scribble();
      look();
    }
  }

 private:
  template <typename T>
  void put(std::uint64_t offset, T value) {
    std::memcpy(up_.data() + offset, &value, sizeof value);
  }

  // The program writes.
  void scribble() {
    const std::uint32_t worker = input_.below(kWorkers);
    switch (input_.below(6)) {
      case 0:
        tail_ = input_.near(tail_ + 1);
        return put(kUpSubmissionTailOffset, tail_);
      case 1:
        release_tail_[worker] = input_.near(release_tail_[worker] + 1);
        return put(kUpReleaseTailOffset + worker * kLineBytes, release_tail_[worker]);
      case 2:
        return put(kUpDeliveryHeadOffset + worker * kLineBytes, input_.near(claimed_[worker]));
      case 3:
        return put(kUpWaitingOffset, input_.u32());
      case 4: {
        const auto bytes = input_.raw(input_.u8());
        const std::uint64_t room = up_.bytes() - kHeaderBytes - bytes.size();
        const std::uint64_t at = kHeaderBytes + input_.u16() % room;
        if (!bytes.empty()) std::memcpy(up_.data() + at, bytes.data(), bytes.size());
        return;
      }
      default:
        return;
    }
  }

  // The engine looks.
  void look() {
    const bool was_violated = channel_->violated();
    const std::uint32_t worker = input_.below(kWorkers);
    std::uint32_t yielded = 0;
    switch (input_.below(6)) {
      case 0: {
        Submission submission;
        while (channel_->poll_submission(submission)) {
          RW_CHECK(++yielded <= kEntries);
          const std::uint64_t at = kHeaderBytes + taken_++ % kEntries * sizeof submission;
          const std::size_t bytes =
              offsetof(Submission, inline_bytes) + used_inline_bytes(submission);
          RW_CHECK(bytes <= sizeof submission);
          RW_CHECK(std::memcmp(&submission, up_.data() + at, bytes) == 0);
        }
        channel_->publish_submissions();
        break;
      }
      case 1: {
        Release release;
        while (channel_->poll_release(worker, release)) RW_CHECK(++yielded <= kEntries);
        channel_->publish_releases(worker);
        break;
      }
      case 2: {
        const std::uint32_t room = channel_->delivery_room(worker);
        RW_CHECK(room <= kEntries);
        for (std::uint32_t at = 0; at < room; ++at) {
          Delivery* entry = channel_->claim_delivery(worker);
          RW_CHECK(entry != nullptr);
          entry->token = ++claimed_[worker];
        }
        RW_CHECK(channel_->claim_delivery(worker) == nullptr);
        RW_CHECK(channel_->publish_deliveries(worker) == (room > 0));
        break;
      }
      case 3:
        // Of one that is found broken just now its worker has something to tell yet.
        if (!channel_->park(worker)) RW_CHECK(!was_violated);
        break;
      case 4:
        channel_->unpark(worker);
        channel_->clear_bell(worker);
        break;
      default:
        channel_->wake_if_waiting();
        break;
    }
    if (was_violated) {
      RW_CHECK(channel_->violated());
      RW_CHECK(yielded == 0);
      RW_CHECK(channel_->delivery_room(worker) == 0);
      RW_CHECK(!channel_->submission_waits());
    }
  }

  Input input_;
  MemoryFile up_;
  std::unique_ptr<EngineChannel> channel_;
  std::uint64_t tail_ = 0;
  std::uint64_t taken_ = 0;
  std::uint64_t release_tail_[kWorkers] = {};
  std::uint64_t claimed_[kWorkers] = {};
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Story(Input(data, size)).tell();
  return 0;
}
