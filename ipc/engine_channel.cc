#include "ipc/engine_channel.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "base/mutant.h"
#include "ipc/memory_file.h"

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

struct EngineChannel::Cold {
  MemoryFile up;
  MemoryFile down;
  Descriptor down_read_only;
  Descriptor event_read;
  Descriptor event_write;
  Latch closed;
  std::array<Descriptor, kMaxWorkers> bells;
};

EngineChannel::EngineChannel() : cold_(std::make_unique<Cold>()) {}
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
  Cold& cold = *channel->cold_;
  cold.up = std::move(up).value();
  auto down = MemoryFile::create("ringwire-down",
                                 ipc::down_file_bytes(request.delivery_entries, worker_count));
  if (!down) return Failure{status_of(down.error())};
  cold.down = std::move(down).value();
  cold.down_read_only.reset(cold.down.open_read_only());
  int event[2] = {-1, -1};
  if (pipe2(event, O_CLOEXEC | O_NONBLOCK) < 0) return Failure{AttachStatus::kNoMemory};
  cold.event_read.reset(event[0]);
  cold.event_write.reset(event[1]);
  if (cold.down_read_only.get() < 0) return Failure{AttachStatus::kInternal};
  for (std::uint32_t worker = 0; worker < worker_count; ++worker) {
    cold.bells[worker].reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (cold.bells[worker].get() < 0) return Failure{AttachStatus::kNoMemory};
  }

  const DownHeader down_header{.magic = kDownMagic,
                               .layout_version = kLayoutVersion,
                               .worker_count = worker_count,
                               .file_bytes = cold.down.bytes(),
                               .delivery_entries = request.delivery_entries,
                               .home_worker = home_worker};
  std::memcpy(cold.down.data(), &down_header, sizeof down_header);
  channel->home_worker_ = home_worker;
  channel->attach(cold.up.data(), cold.down.data(), request, worker_count);
  return channel;
}

void EngineChannel::attach(std::byte* up, std::byte* down, const ChannelOpenRequest& request,
                           std::uint32_t worker_count) {
  delivery_entries_ = request.delivery_entries;
  submissions_.attach(at_offset<Submission>(up, kHeaderBytes), request.submission_entries,
                      at_offset<std::uint64_t>(up, kUpSubmissionTailOffset),
                      at_offset<std::uint64_t>(down, kDownSubmissionHeadOffset));
  program_.attach(at_offset<std::uint32_t>(up, kUpWaitingOffset));
  cold_->closed.attach(at_offset<std::uint32_t>(down, kDownClosedOffset));
  violated_.attach(&violated_word_);
  for (std::uint32_t worker = 0; worker < worker_count; ++worker) {
    WorkerSide& side = workers_[worker];
    const std::uint64_t line = std::uint64_t{worker} * kLineBytes;
    side.deliveries.attach(
        at_offset<Delivery>(down, down_delivery_offset(request.delivery_entries, worker)),
        request.delivery_entries, at_offset<std::uint64_t>(down, kDownDeliveryTailOffset + line),
        at_offset<std::uint64_t>(up, kUpDeliveryHeadOffset + line));
    side.releases.attach(
        at_offset<Release>(
            up, up_release_offset(request.submission_entries, request.release_entries, worker)),
        request.release_entries, at_offset<std::uint64_t>(up, kUpReleaseTailOffset + line),
        at_offset<std::uint64_t>(down, kDownReleaseHeadOffset + line));
    side.parked.attach(at_offset<std::uint32_t>(down, kDownParkedOffset + line));
  }
}

int EngineChannel::down_descriptor_read_only() const { return cold_->down_read_only.get(); }
int EngineChannel::program_event() const { return cold_->event_read.get(); }
int EngineChannel::worker_bell(std::uint32_t worker) const { return cold_->bells[worker].get(); }

void EngineChannel::clear_bell(std::uint32_t worker) {
  std::uint64_t count = 0;
  iovec part{.iov_base = &count, .iov_len = sizeof count};
  // RWF_NOWAIT: the program may have cleared O_NONBLOCK, which both sides share, and read first.
  [[maybe_unused]] const ssize_t ignored =
      preadv2(cold_->bells[worker].get(), &part, 1, -1, RWF_NOWAIT);
}

void EngineChannel::ring_program() {
  const char one = 1;
  // A full pipe is readable already; a closed one has nobody to wake.
  [[maybe_unused]] const ssize_t ignored = write(cold_->event_write.get(), &one, 1);
}

bool EngineChannel::park(std::uint32_t worker) {
  WorkerSide& side = workers_[worker];
  side.parked.arm(kAsleep);
  if (violated()) return true;  // nothing will be yielded
  const bool submitted = worker == home_worker_ && submissions_.waits_now() && !RW_MUTANT(118);
  const bool room_came = side.refused && side.deliveries.room_now();
  side.refused = side.refused && !room_came;
  const bool released = side.releases.waits_now() && !RW_MUTANT(119);
  // The program rang for it, perhaps before: it will not ring again.
  const bool broken = (worker == home_worker_ && submissions_.broken()) ||
                      side.deliveries.broken() || side.releases.broken();
  if (broken) violated_.set();
  if (!submitted && !room_came && !released && !broken) return true;
  side.parked.disarm();
  return false;
}

void EngineChannel::mark_closed() {
  cold_->closed.set();
  ring_program();
}

}  // namespace ringwire::ipc
