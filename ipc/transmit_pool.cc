#include "ipc/transmit_pool.h"

#include <unistd.h>

#include <new>

#include "ipc/last_error.h"

namespace ringwire::ipc {

int TransmitPool::take(AttachLink& link, std::uint64_t bytes, Extent& extent) {
  if (auto taken = pool_.take(bytes)) {
    extent = *taken;
    return RW_OK;
  }
  const std::uint64_t quota = link.welcome().quota_bytes;
  if (quota != 0 && bytes > quota)
    return fail(RW_ETOOLARGE, "%llu bytes are over this program's quota of %llu",
                static_cast<unsigned long long>(bytes), static_cast<unsigned long long>(quota));
  int error = grow(link, bytes);
  // Idle files of other sizes may be in the way.
  while ((error == RW_ELIMIT || error == RW_ENOMEM) && evict_one(link, kNeverNs))
    error = grow(link, bytes);
  if (error == RW_ELIMIT || error == RW_ENOMEM)
    return pool_.extents_taken() > 0 ? RW_EAGAIN : RW_ENOMEM;
  if (error != RW_OK) return error;
  extent = pool_.take(bytes).value();
  return RW_OK;
}

int TransmitPool::grow(AttachLink& link, std::uint64_t bytes) {
  const std::uint16_t size_class = ExtentPool::class_of(bytes);
  std::uint32_t number = 0;
  if (size_class != kLargeClass) {
    if (arena_files_ >= kMaxArenaFiles)
      return fail(RW_ELIMIT, "%u arena files of this channel are in use", kMaxArenaFiles);
    if (const int error = add_file(link, kClassFileBytes, number); error != RW_OK) return error;
    ++arena_files_;
    pool_.add_class_file(size_class, number, files_.at(number).data(), kClassFileBytes,
                         monotonic_ns());
    return RW_OK;
  }
  std::uint64_t file_bytes = ExtentPool::large_file_bytes(bytes);
  // Near the quota the rounding must not be what does not fit.
  if (const std::uint64_t quota = link.welcome().quota_bytes; quota != 0 && file_bytes > quota)
    file_bytes = (bytes + 4'095) / 4'096 * 4'096;
  if (const int error = add_file(link, file_bytes, number); error != RW_OK) return error;
  pool_.add_large_file(number, files_.at(number).data(), files_.at(number).bytes());
  return RW_OK;
}

int TransmitPool::add_file(AttachLink& link, std::uint64_t bytes, std::uint32_t& number) {
  auto made = MemoryFile::create("ringwire-out", bytes);
  if (!made.ok())
    return fail(made.error() == MemoryError::kWrongSize ? RW_ETOOLARGE : RW_ENOMEM,
                "no memory for a file of %llu bytes", static_cast<unsigned long long>(bytes));
  number = ++last_number_;
  const auto [at, added] = files_.emplace(number, std::move(made).value());
  const int error = adopt(link, number, at->second);
  // A dead link does not matter: the next one is offered all files.
  if (error == RW_OK || link.dead()) return RW_OK;
  files_.erase(at);
  return error;
}

int TransmitPool::adopt(AttachLink& link, std::uint32_t number, const MemoryFile& file) {
  const FileRequest body{.channel = channel_, .file = number, .bytes = file.bytes()};
  // Read-only where it can be had: only so may the engine give it on to who reads by reference.
  const int read_only = file.open_read_only();
  Datagram answer;
  int error = RW_ENOMEM;
  try {
    error = client_.request(link, AttachType::kAdopt, std::as_bytes(std::span(&body, 1)),
                            read_only < 0 ? file.descriptor() : read_only, answer);
  } catch (...) {
    if (read_only >= 0) close(read_only);
    throw;
  }
  if (read_only >= 0) close(read_only);
  return error;
}

void TransmitPool::give_back(AttachLink& link, const Extent& extent) {
  const TimeNs now = monotonic_ns();
  pool_.give_back(extent, now);
  // Never the one that has just come back: who sends one huge message after another uses it again.
  while (pool_.free_large_bytes() > kMaxIdleLargeBytes && evict_one(link, now)) {
  }
}

bool TransmitPool::evict_one(AttachLink& link, TimeNs since) {
  const std::uint32_t number = pool_.evict_idle_large(since);
  if (number != 0) drop(link, number);
  return number != 0;
}

void TransmitPool::drop(AttachLink& link, std::uint32_t number) {
  const FileRequest body{.channel = channel_, .file = number, .bytes = 0};
  // Whatever the engine says, the file is not named by us again; it forgets it with the channel.
  try {
    Datagram answer;
    client_.request(link, AttachType::kDrop, std::as_bytes(std::span(&body, 1)), -1, answer);
  } catch (const std::bad_alloc&) {
    // It keeps its own mapping of the file until then.
  }
  files_.erase(number);
}

void TransmitPool::trim(AttachLink& link, TimeNs since) {
  while (evict_one(link, since)) {
  }
  while (const std::uint32_t number = pool_.evict_idle_class_file(since)) {
    --arena_files_;
    drop(link, number);
  }
}

int TransmitPool::adopt_all(AttachLink& link) {
  for (const auto& [number, file] : files_)
    if (const int error = adopt(link, number, file); error != RW_OK) return error;
  return RW_OK;
}

}  // namespace ringwire::ipc
