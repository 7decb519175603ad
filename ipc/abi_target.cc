// Where to: the C ABI's targets (ringwire.h).
#include "ipc/layout.h"
#include "ipc/ringwire.h"

namespace ipc = ringwire::ipc;

namespace {

rw_target target_of(ipc::TargetKind kind) {
  rw_target target{};
  target.kind = static_cast<std::uint32_t>(kind);
  return target;
}

rw_target keyed_target(ipc::TargetKind kind, const void* key, std::size_t bytes) {
  rw_target target = target_of(kind);
  target.key = key;
  target.key_bytes = bytes;
  target.hash = key == nullptr ? rw_hash("", 0) : rw_hash(key, bytes);
  return target;
}

}  // namespace

rw_target rw_target_key(const void* key, size_t bytes) {
  return keyed_target(ipc::TargetKind::kKey, key, bytes);
}
rw_target rw_target_hash(uint64_t hash) {
  rw_target target = target_of(ipc::TargetKind::kKey);
  target.hash = hash;
  return target;
}
rw_target rw_target_random(void) { return target_of(ipc::TargetKind::kRandom); }
rw_target rw_target_broadcast(void) { return target_of(ipc::TargetKind::kBroadcast); }
rw_target rw_target_replicas(const void* key, size_t bytes) {
  return keyed_target(ipc::TargetKind::kReplicas, key, bytes);
}
rw_target rw_target_replicas_hash(uint64_t hash) {
  rw_target target = target_of(ipc::TargetKind::kReplicas);
  target.hash = hash;
  return target;
}
rw_target rw_target_node(const char* name) {
  rw_target target = target_of(ipc::TargetKind::kNode);
  target.node = name;
  return target;
}
rw_target rw_target_origin(const rw_origin* origin) {
  rw_target target = target_of(ipc::TargetKind::kOrigin);
  if (origin == nullptr)
    target.kind = 0;  // refused by the send
  else
    target.origin = *origin;
  return target;
}
