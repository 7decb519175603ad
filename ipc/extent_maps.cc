#include "ipc/extent_maps.h"

#include "ipc/last_error.h"

namespace ringwire::ipc {

int ExtentMaps::hold(AttachLink& link, std::uint32_t number, ExtentMap*& map) {
  auto found = maps_.find(number);
  if (found == maps_.end()) {
    const FileRequest body{.channel = channel_, .file = number, .bytes = 0};
    Datagram answer;
    if (const int error =
            client_.request(link, AttachType::kMap, std::as_bytes(std::span(&body, 1)), -1, answer);
        error != RW_OK)
      return error;
    const auto about = answer.body_as<FileAnswer>();
    if (!about) return fail(RW_ECLOSED, "bad answer for a file");
    auto file = MemoryFile::adopt(answer.take_descriptor(0), about->bytes);
    if (!file.ok()) return fail(RW_ENOMEM, "a file of the engine cannot be mapped");
    found = maps_.try_emplace(number).first;
    found->second.file = std::move(file).value();
  } else if (found->second.messages == 0) {
    idle_bytes_ -= found->second.file.bytes();
    --idle_count_;
  }
  map = &found->second;
  map->use = ++uses_;
  ++map->messages;
  ++held_;
  return RW_OK;
}

void ExtentMaps::let_go(ExtentMap& map) {
  --held_;
  if (--map.messages > 0) return;
  map.used = monotonic_ns();
  idle_bytes_ += map.file.bytes();
  ++idle_count_;
  while ((idle_bytes_ > kMaxIdleMapBytes || idle_count_ > kMaxIdleMaps) &&
         drop_least_recent(map.used)) {  // not this one: it may come again
  }
}

bool ExtentMaps::drop_least_recent(TimeNs since) {
  auto oldest = maps_.end();
  for (auto at = maps_.begin(); at != maps_.end(); ++at)
    if (at->second.messages == 0 && at->second.used < since &&
        (oldest == maps_.end() || at->second.use < oldest->second.use))
      oldest = at;
  if (oldest == maps_.end()) return false;
  idle_bytes_ -= oldest->second.file.bytes();
  --idle_count_;
  maps_.erase(oldest);
  return true;
}

void ExtentMaps::trim(TimeNs since) {
  while (drop_least_recent(since)) {
  }
}

}  // namespace ringwire::ipc
