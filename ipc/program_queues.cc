#include "ipc/program_queues.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <new>

#include "ipc/last_error.h"

namespace ringwire::ipc {
namespace {

template <typename T>
T* at_offset(const MemoryFile& file, std::uint64_t offset) {
  return reinterpret_cast<T*>(file.data() + offset);
}

}  // namespace

int ProgramQueues::open(ProgramClient& client, const std::shared_ptr<AttachLink>& link,
                        std::uint32_t channel, std::uint64_t next_sequence,
                        const QueueOptions& wanted, std::unique_ptr<ProgramQueues>& queues) {
  const std::uint32_t worker_count = link->worker_count();
  QueueOptions entries = wanted;
  if (entries.delivery == 0) entries.delivery = default_delivery_entries(worker_count);
  if (!valid_entries(entries.submission) || !valid_entries(entries.release) ||
      !valid_entries(entries.delivery))
    return fail(RW_EINVAL, "queue entries are powers of two from %u to %u", kMinQueueEntries,
                kMaxQueueEntries);
  std::unique_ptr<ProgramQueues> fresh(new ProgramQueues(client, link, channel));
  const std::uint64_t up_bytes = up_file_bytes(entries.submission, entries.release, worker_count);
  auto up = MemoryFile::create("ringwire-up", up_bytes);
  if (!up.ok()) return fail(RW_ENOMEM, "no memory for a channel's queues");
  fresh->up_ = std::move(up).value();
  const UpHeader header{.magic = kUpMagic,
                        .layout_version = kLayoutVersion,
                        .worker_count = worker_count,
                        .file_bytes = up_bytes,
                        .submission_entries = entries.submission,
                        .release_entries = entries.release};
  std::memcpy(fresh->up_.data(), &header, sizeof header);
  const ChannelOpenRequest body{.channel = channel,
                                .submission_entries = entries.submission,
                                .release_entries = entries.release,
                                .delivery_entries = entries.delivery,
                                .up_file_bytes = up_bytes,
                                .next_sequence = next_sequence};
  Datagram answer;
  if (const int error =
          client.request(*link, AttachType::kChannelOpen, std::as_bytes(std::span(&body, 1)),
                         fresh->up_.descriptor(), answer);
      error != RW_OK)
    return error;
  fresh->opened_ = true;
  fresh->batch_ = entries.batch;
  if (const int error = fresh->attach(entries, answer); error != RW_OK) return error;
  queues = std::move(fresh);
  return RW_OK;
}

int ProgramQueues::attach(const QueueOptions& entries, Datagram& answer) {
  worker_count_ = link_->worker_count();
  const auto opened = answer.body_as<ChannelOpenAnswer>();
  if (!opened || answer.descriptor_count() != 2 + worker_count_ ||
      opened->home_worker >= worker_count_ || !valid_entries(opened->delivery_entries) ||
      opened->down_file_bytes != down_file_bytes(opened->delivery_entries, worker_count_))
    return fail(RW_ECLOSED, "bad answer for a channel");
  auto down = MemoryFile::adopt(answer.take_descriptor(0), opened->down_file_bytes);
  if (!down.ok()) return fail(RW_ENOMEM, "the engine's queues cannot be mapped");
  down_ = std::move(down).value();
  DownHeader header;
  std::memcpy(&header, down_.data(), sizeof header);
  if (header.magic != kDownMagic || header.layout_version != kLayoutVersion ||
      (header.features & ~kKnownFeatures) != 0)
    return fail(RW_EVERSION, "the engine's queues have layout %u; this library %s speaks %u",
                header.layout_version, RINGWIRE_VERSION, kLayoutVersion);
  if (header.worker_count != worker_count_ || header.file_bytes != opened->down_file_bytes ||
      header.delivery_entries != opened->delivery_entries ||
      header.home_worker != opened->home_worker)
    return fail(RW_ECLOSED, "the engine's queues contradict its answer");
  home_worker_ = opened->home_worker;
  event_ = answer.take_descriptor(1);
  submissions_.attach(at_offset<Submission>(up_, kHeaderBytes), entries.submission,
                      at_offset<std::uint64_t>(up_, kUpSubmissionTailOffset),
                      at_offset<std::uint64_t>(down_, kDownSubmissionHeadOffset));
  sleeper_.attach(at_offset<std::uint32_t>(up_, kUpWaitingOffset));
  closed_.attach(at_offset<std::uint32_t>(down_, kDownClosedOffset));
  for (std::uint32_t index = 0; index < worker_count_; ++index) {
    Worker& worker = workers_[index];
    const std::uint64_t line = std::uint64_t{index} * kLineBytes;
    worker.bell_descriptor = answer.take_descriptor(2 + index);
    worker.bell.attach(at_offset<std::uint32_t>(down_, kDownParkedOffset + line));
    worker.releases.attach(
        at_offset<Release>(up_, up_release_offset(entries.submission, entries.release, index)),
        entries.release, at_offset<std::uint64_t>(up_, kUpReleaseTailOffset + line),
        at_offset<std::uint64_t>(down_, kDownReleaseHeadOffset + line));
    worker.deliveries.attach(
        at_offset<Delivery>(down_, down_delivery_offset(opened->delivery_entries, index)),
        opened->delivery_entries, at_offset<std::uint64_t>(down_, kDownDeliveryTailOffset + line),
        at_offset<std::uint64_t>(up_, kUpDeliveryHeadOffset + line));
  }
  return RW_OK;
}

ProgramQueues::~ProgramQueues() {
  // In a forked child it is the parent's channel: the engine must not hear of this.
  if (opened_ && !client_.forked()) flush();
  if (opened_ && !link_->dead() && !client_.forked()) tell_closed();
  if (event_ >= 0) close(event_);
  for (const Worker& worker : workers_)
    if (worker.bell_descriptor >= 0) close(worker.bell_descriptor);
}

void ProgramQueues::tell_closed() {
  const ChannelRequest body{.channel = channel_, .reserved = 0};
  try {
    Datagram answer;
    client_.request(*link_, AttachType::kChannelClose, std::as_bytes(std::span(&body, 1)), -1,
                    answer);
  } catch (const std::bad_alloc&) {
    // The engine would keep a channel that nobody has: all of this program attaches again instead.
    link_->mark_dead();
  }
}

void ProgramQueues::publish_submissions() {
  if (batch_ && ++unshown_ < kShownTogether) return;
  batch_ ? show_all() : show_submissions();
}

void ProgramQueues::publish_releases(std::uint32_t worker) {
  if (batch_ && ++unshown_ < kShownTogether) return;
  batch_ ? show_all() : show_releases(worker);
}

void ProgramQueues::show_all() {
  unshown_ = 0;
  show_submissions();
  for (std::uint32_t worker = 0; worker < worker_count_; ++worker) show_releases(worker);
}

void ProgramQueues::show_submissions() {
  Worker& home = workers_[home_worker_];
  if (submissions_.publish() && home.bell.must_ring(kAsleep))
    eventfd_write(home.bell_descriptor, 1);
}

void ProgramQueues::show_releases(std::uint32_t worker) {
  Worker& to = workers_[worker];
  if (to.releases.publish() && to.bell.must_ring(kAsleep)) eventfd_write(to.bell_descriptor, 1);
}

void ProgramQueues::publish_delivery_heads(std::uint32_t worker) {
  Worker& from = workers_[worker];
  if (from.deliveries.publish_noting_full() && from.bell.must_ring(kAsleep))
    eventfd_write(from.bell_descriptor, 1);
}

bool ProgramQueues::delivery_waits() {
  for (std::uint32_t worker = 0; worker < worker_count_; ++worker)
    if (workers_[worker].deliveries.peek() != nullptr) return true;
  return false;
}

bool ProgramQueues::delivery_waits_now() {
  for (std::uint32_t worker = 0; worker < worker_count_; ++worker)
    if (workers_[worker].deliveries.waits_now()) return true;
  return false;
}

bool ProgramQueues::broken() const {
  const auto is_broken = [](const Worker& worker) {
    return worker.releases.broken() || worker.deliveries.broken();
  };
  return submissions_.broken() ||
         std::any_of(workers_.begin(), workers_.begin() + worker_count_, is_broken);
}

void ProgramQueues::clear_event() {
  char bytes[64];
  // More than 64 rings since the last time: the rest wakes us once for nothing.
  [[maybe_unused]] const ssize_t ignored = read(event_, bytes, sizeof bytes);
}

}  // namespace ringwire::ipc
