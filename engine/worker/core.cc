#include "engine/worker/core.h"

#include "base/touched.h"
#include "engine/worker/outbound.h"

#include <utility>

namespace ringwire::worker {

Core::Core(const WorkerConfig& worker_config, port::Port& worker_port, NoticeBox& notice_box,
           TimeNs start)
    : config(worker_config),
      port(worker_port),
      outbox(notice_box, most_notices_waiting(config)),
      now(start),
      outs(config.out_messages),
      ins(config.in_messages),
      shorts(config.in_messages),
      short_bodies(config.in_messages),
      flights(config.out_messages * 2),
      out_runs(runs_for(config.out_messages)),
      in_runs(runs_for(config.in_messages)),
      out_by_sequence(config.out_messages),
      chain_tail(config.out_messages),
      in_by_identity(config.in_messages),
      held_by_predecessor(config.in_messages),
      link_by_connection(ipc::kMaxNodes * kMaxWorkers),
      channel_by_identity(kMaxChannels),
      windows(config.duplicate_windows, table_seed),
      deadlines(config.out_messages * 2),
      channels(kMaxChannels),
      nodes(ipc::kMaxNodes),
      next_own_file(kWorkerFileBase + config.index * kWorkerFileSpan) {
  reserve_touched(active, kMaxChannels);
  reserve_touched(bell_changes, kMaxChannels);
  services.reserve(kMaxServices);
  services.emplace_back();  // 0 is the default service ""
}

ipc::ExtentPool& Core::pool(DomainIndex domain) {
  RW_CHECK(domain < kMaxDomains);
  if (pools.size() <= domain) pools.resize(domain + 1);
  if (!pools[domain]) pools[domain] = std::make_unique<ipc::ExtentPool>(ipc::kFilesAhead);
  return *pools[domain];
}

ipc::Extent Core::take_small(DomainIndex domain, std::uint64_t bytes) {
  ipc::ExtentPool& extents = pool(domain);
  const std::uint16_t size_class = ipc::ExtentPool::class_of(bytes);
  RW_CHECK(size_class != ipc::kLargeClass);
  if (auto extent = extents.take(bytes)) {
    // Said again with the next message if it could not be said now.
    if (extents.runs_low(size_class))
      static_cast<void>(outbox.try_tell(NeedClassFile{domain, size_class}));
    return *extent;
  }
  // The helper's file has not come yet. The credit that let this message come promised memory, so
  // the worker makes a file itself: about 1 ms, once per megabyte of a burst's first appearance.
  if (!outbox.has_room()) return {};
  auto made = ipc::MemoryFile::create("ringwire-extents", ipc::kClassFileBytes);
  if (!made.ok()) return {};
  auto memory = std::make_unique<ipc::MemoryFile>(std::move(made).value());
  const std::uint32_t file = next_own_file++;
  extents.add_class_file(size_class, file, memory->data(), memory->bytes(), now);
  outbox.tell(OwnFile{domain, file, std::move(memory)});
  ++counters.sync_growth;
  return extents.take(bytes).value_or(ipc::Extent{});
}

void Core::give_back(DomainIndex domain, const ipc::Extent& extent) {
  if (!extent.empty()) pool(domain).give_back(extent, now);
}

void Core::give_back(const HeldMemory& memory) {
  if (memory.lender == kNone) return give_back(memory.domain, memory.extent);
  outbound->on_memory_back(memory.lender);
}

void Core::end_use(std::uint32_t in, const HeldMemory& memory) {
  if (memory.extent.empty()) return;
  if (!quarantine.empty() && quarantine.keep(delivery_token(in), memory)) return;
  give_back(memory);
}

}  // namespace ringwire::worker
