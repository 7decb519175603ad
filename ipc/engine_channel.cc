#include "ipc/engine_channel.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "base/mutant.h"
#include "ipc/doorbell.h"
#include "ipc/memory_file.h"
#include "ipc/spsc_queue.h"

namespace ringwire::ipc {
namespace {

// A descriptor that this object closes.
class Descriptor {
 public:
  Descriptor() = default;
  ~Descriptor() { reset(-1); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  void reset(int descriptor) {
    if (descriptor_ >= 0) close(descriptor_);
    descriptor_ = descriptor;
  }
  [[nodiscard]] int get() const { return descriptor_; }

 private:
  int descriptor_ = -1;
};

AttachStatus status_of(MemoryError error) {
  switch (error) {
    case MemoryError::kNoMemory:
      return AttachStatus::kNoMemory;
    case MemoryError::kNotSealed:
    case MemoryError::kWrongSize:
      return AttachStatus::kMalformed;
    case MemoryError::kSystem:
      break;
  }
  return AttachStatus::kInternal;
}

template <typename T>
T* at_offset(std::byte* base, std::uint64_t offset) {
  return reinterpret_cast<T*>(base + offset);
}

}  // namespace

// What one worker touches; a line of its own, so that workers do not share any.
struct alignas(64) WorkerSide {
  SpscProducer<Delivery> deliveries;
  SpscConsumer<Release> releases;
  Sleeper parked;
  Descriptor bell;
  bool refused = false;  // the delivery queue was full since the last park
};

struct EngineChannel::State {
  MemoryFile up;
  MemoryFile down;
  Descriptor down_read_only;
  Descriptor event_read;
  Descriptor event_write;
  SpscConsumer<Submission> submissions;
  Ringer program;
  Latch closed;
  Latch violated;
  std::uint32_t violated_word = 0;
  std::uint32_t worker_count = 0;
  std::uint32_t home_worker = 0;
  std::uint32_t delivery_entries = 0;
  std::array<WorkerSide, kMaxWorkers> workers;

  void wake(std::uint32_t kind) {
    if (!program.must_ring(kind)) return;
    const char one = 1;
    // A full pipe is readable already; a closed one has nobody to wake.
    [[maybe_unused]] const ssize_t ignored = write(event_write.get(), &one, 1);
  }
};

EngineChannel::EngineChannel() : state_(std::make_unique<State>()) {}
EngineChannel::~EngineChannel() = default;

std::uint64_t EngineChannel::down_file_bytes(std::uint32_t delivery_entries,
                                             std::uint32_t worker_count) {
  return ipc::down_file_bytes(delivery_entries, worker_count);
}

Result<std::unique_ptr<EngineChannel>, AttachStatus> EngineChannel::open(
    int up_descriptor, const ChannelOpenRequest& request, std::uint32_t worker_count,
    std::uint32_t home_worker) {
  RW_CHECK(worker_count >= 1);
  RW_CHECK(worker_count <= kMaxWorkers);
  RW_CHECK(home_worker < worker_count);
  const bool well_formed = valid_entries(request.submission_entries) &&
                           valid_entries(request.release_entries) &&
                           valid_entries(request.delivery_entries) && request.next_sequence != 0;
  // Adopted in any case: it owns the descriptor.
  auto up = MemoryFile::adopt(up_descriptor, request.up_file_bytes);
  if (!well_formed) return Failure{AttachStatus::kMalformed};
  if (!up) return Failure{status_of(up.error())};
  if (request.up_file_bytes !=
      up_file_bytes(request.submission_entries, request.release_entries, worker_count))
    return Failure{AttachStatus::kMalformed};

  UpHeader header;
  std::memcpy(&header, up.value().data(), sizeof header);
  if (header.magic != kUpMagic || header.layout_version != kLayoutVersion ||
      (header.features & ~kKnownFeatures) != 0)
    return Failure{AttachStatus::kVersion};
  if (header.worker_count != worker_count || header.file_bytes != request.up_file_bytes ||
      header.submission_entries != request.submission_entries ||
      header.release_entries != request.release_entries)
    return Failure{AttachStatus::kMalformed};

  std::unique_ptr<EngineChannel> channel(new EngineChannel);
  State& state = *channel->state_;
  state.up = std::move(up).value();
  auto down = MemoryFile::create("ringwire-down",
                                 ipc::down_file_bytes(request.delivery_entries, worker_count));
  if (!down) return Failure{status_of(down.error())};
  state.down = std::move(down).value();
  state.down_read_only.reset(state.down.open_read_only());
  int event[2] = {-1, -1};
  if (pipe2(event, O_CLOEXEC | O_NONBLOCK) < 0) return Failure{AttachStatus::kNoMemory};
  state.event_read.reset(event[0]);
  state.event_write.reset(event[1]);
  if (state.down_read_only.get() < 0) return Failure{AttachStatus::kInternal};

  state.worker_count = worker_count;
  state.home_worker = home_worker;
  state.delivery_entries = request.delivery_entries;
  std::byte* const up_base = state.up.data();
  std::byte* const down_base = state.down.data();
  const DownHeader down_header{.magic = kDownMagic,
                               .layout_version = kLayoutVersion,
                               .worker_count = worker_count,
                               .file_bytes = state.down.bytes(),
                               .delivery_entries = request.delivery_entries,
                               .home_worker = home_worker};
  std::memcpy(down_base, &down_header, sizeof down_header);
  state.submissions.attach(at_offset<Submission>(up_base, kHeaderBytes), request.submission_entries,
                           at_offset<std::uint64_t>(up_base, kUpSubmissionTailOffset),
                           at_offset<std::uint64_t>(down_base, kDownSubmissionHeadOffset));
  state.program.attach(at_offset<std::uint32_t>(up_base, kUpWaitingOffset));
  state.closed.attach(at_offset<std::uint32_t>(down_base, kDownClosedOffset));
  state.violated.attach(&state.violated_word);
  for (std::uint32_t worker = 0; worker < worker_count; ++worker) {
    WorkerSide& side = state.workers[worker];
    const std::uint64_t line = std::uint64_t{worker} * kLineBytes;
    side.deliveries.attach(
        at_offset<Delivery>(down_base, down_delivery_offset(request.delivery_entries, worker)),
        request.delivery_entries,
        at_offset<std::uint64_t>(down_base, kDownDeliveryTailOffset + line),
        at_offset<std::uint64_t>(up_base, kUpDeliveryHeadOffset + line));
    side.releases.attach(
        at_offset<Release>(up_base, up_release_offset(request.submission_entries,
                                                      request.release_entries, worker)),
        request.release_entries, at_offset<std::uint64_t>(up_base, kUpReleaseTailOffset + line),
        at_offset<std::uint64_t>(down_base, kDownReleaseHeadOffset + line));
    side.parked.attach(at_offset<std::uint32_t>(down_base, kDownParkedOffset + line));
    side.bell.reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (side.bell.get() < 0) return Failure{AttachStatus::kNoMemory};
  }
  return channel;
}

int EngineChannel::down_descriptor_read_only() const { return state_->down_read_only.get(); }
int EngineChannel::program_event() const { return state_->event_read.get(); }
int EngineChannel::worker_bell(std::uint32_t worker) const {
  return state_->workers[worker].bell.get();
}
std::uint32_t EngineChannel::home_worker() const { return state_->home_worker; }
std::uint32_t EngineChannel::delivery_entries() const { return state_->delivery_entries; }

void EngineChannel::clear_bell(std::uint32_t worker) {
  std::uint64_t count = 0;
  iovec part{.iov_base = &count, .iov_len = sizeof count};
  // RWF_NOWAIT: the program may have cleared O_NONBLOCK, which both sides share, and read first.
  [[maybe_unused]] const ssize_t ignored =
      preadv2(state_->workers[worker].bell.get(), &part, 1, -1, RWF_NOWAIT);
}

bool EngineChannel::poll_submission(Submission& submission) {
  if (state_->submissions.poll(submission)) return !violated();
  if (state_->submissions.broken()) state_->violated.set();
  return false;
}

void EngineChannel::publish_submissions() {
  if (state_->submissions.publish()) state_->wake(kAsleepForRoom);
}

bool EngineChannel::submission_waits() const {
  return !violated() && state_->submissions.peek() != nullptr;
}

std::uint32_t EngineChannel::delivery_room(std::uint32_t worker) {
  auto& queue = state_->workers[worker].deliveries;
  const std::uint32_t room = queue.room();
  if (room == 0) state_->workers[worker].refused = true;
  if (queue.broken()) state_->violated.set();
  return violated() ? 0 : room;
}

Delivery* EngineChannel::claim_delivery(std::uint32_t worker) {
  if (delivery_room(worker) == 0) return nullptr;
  Delivery* entry = state_->workers[worker].deliveries.claim();
  std::memset(entry, 0, offsetof(Delivery, inline_bytes));
  return entry;
}

bool EngineChannel::publish_deliveries(std::uint32_t worker) {
  return state_->workers[worker].deliveries.publish();
}

void EngineChannel::wake_if_waiting() { state_->wake(kAsleep); }

bool EngineChannel::poll_release(std::uint32_t worker, Release& release) {
  auto& queue = state_->workers[worker].releases;
  if (queue.poll(release)) return !violated();
  if (queue.broken()) state_->violated.set();
  return false;
}

void EngineChannel::publish_releases(std::uint32_t worker) {
  if (state_->workers[worker].releases.publish()) state_->wake(kAsleepForRoom);
}

bool EngineChannel::park(std::uint32_t worker) {
  WorkerSide& side = state_->workers[worker];
  side.parked.arm(kAsleep);
  if (violated()) return true;  // nothing will be yielded
  const bool submitted =
      worker == state_->home_worker && state_->submissions.waits_now() && !RW_MUTANT(118);
  const bool room_came = side.refused && side.deliveries.room_now();
  side.refused = side.refused && !room_came;
  if (!submitted && !room_came && (!side.releases.waits_now() || RW_MUTANT(119))) return true;
  side.parked.disarm();
  return false;
}

void EngineChannel::unpark(std::uint32_t worker) { state_->workers[worker].parked.disarm(); }

bool EngineChannel::violated() const { return state_->violated.is_set(); }

void EngineChannel::mark_closed() {
  state_->closed.set();
  const char one = 1;
  [[maybe_unused]] const ssize_t ignored = write(state_->event_write.get(), &one, 1);
}

}  // namespace ringwire::ipc
