#include "engine/node/attachments.h"

#include <fcntl.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "engine/node/clock.h"

namespace ringwire::node {

using ipc::AttachStatus;

namespace {

/// Half of what is counted one by one is kept in equal parts for the users that may attach; of
/// bytes an eighth, so that a user alone can still send the largest message that there may be.
UserShares half_kept(const AttachmentsOptions& options, std::uint64_t capacity) {
  return UserShares({capacity, even_parts(options.users, capacity / 2)});
}
UserShares eighth_kept(const AttachmentsOptions& options, std::uint64_t capacity) {
  return UserShares({capacity, even_parts(options.users, capacity / 8)});
}

}  // namespace

Attachments::Attachments(const AttachmentsOptions& options, Workers& workers,
                         Background& background, MemoryBudget& budget, Services& services)
    : options_(options),
      workers_(workers),
      background_(background),
      budget_(budget),
      services_(services),
      attached_(half_kept(options, options.max_attachments)),
      channels_taken_(half_kept(options, worker::kMaxChannels)),
      channel_bytes_(eighth_kept(options, options.channels_bytes)),
      descriptors_(half_kept(options, options.max_descriptors)),
      adopted_bytes_(eighth_kept(options, options.quota_bytes)),
      channels_(worker::kMaxChannels),
      home_counts_(workers.count(), 0) {
  for (std::uint32_t index = worker::kMaxChannels; index > 0; --index)
    free_indices_.push_back(index - 1);
}

Attachments::~Attachments() = default;

AttachStatus Attachments::attach(Attachment attachment, AttachmentId& number) {
  if (ids_.contains(attachment.id)) return AttachStatus::kDenied;
  if (!attached_.try_take(attachment.uid, 1)) return AttachStatus::kLimit;
  ids_.insert(attachment.id);
  number = next_attachment_++;
  attachment.number = number;
  attachment.since_ns = clock_now_ns();
  attachments_.emplace(number, std::move(attachment));
  return AttachStatus::kOk;
}

void Attachments::detach(AttachmentId number) {
  const auto found = attachments_.find(number);
  if (found == attachments_.end()) return;
  ids_.erase(found->second.id);
  attached_.give_back(found->second.uid, 1);
  std::set<worker::ChannelIndex> channels = std::move(found->second.closing);
  for (const auto& [name, index] : found->second.channels) channels.insert(index);
  for (const worker::ChannelIndex index : channels) {
    Channel& channel = *channels_[index];
    channel.when_gone = nullptr;
    std::erase_if(pending_,
                  [gone = index](const auto& entry) { return entry.second.index == gone; });
    if (channel.state == Channel::State::kLive) start_closing(channel);
    // What it is charged with is its own until it is freed.
    channel.attachment = 0;
  }
  const std::uint64_t bytes = found->second.channel_bytes;
  const std::uint64_t charged =
      bytes > kAttachmentReserveBytes ? bytes - kAttachmentReserveBytes : 0;
  budget_.give_back(MemoryUse::kChannels, charged);
  budget_.force_charge(MemoryUse::kChannels, bytes);  // the reserve serves the next attachment
  attachments_.erase(found);
}

void Attachments::open_channel(AttachmentId number, const ipc::ChannelOpenRequest& request,
                               Descriptor up_file, OpenAnswer answer) {
  Attachment& attachment = attachments_.at(number);
  if (request.channel >= kMaxAttachmentChannels || request.next_sequence == 0)
    return answer(AttachStatus::kMalformed, nullptr);
  if (attachment.channels.contains(request.channel)) return answer(AttachStatus::kBusy, nullptr);
  const auto is_capacity = [](std::uint32_t entries) {
    return entries >= ipc::kMinQueueEntries && entries <= ipc::kMaxQueueEntries &&
           (entries & (entries - 1)) == 0;
  };
  if (!is_capacity(request.delivery_entries) || !is_capacity(request.submission_entries) ||
      !is_capacity(request.release_entries))
    return answer(AttachStatus::kMalformed, nullptr);
  const std::uint64_t bytes =
      ipc::EngineChannel::down_file_bytes(request.delivery_entries, workers_.count());
  if (!channels_taken_.try_take(attachment.uid, 1)) {
    ++refused_.channels;
    return answer(AttachStatus::kLimit, nullptr);
  }
  if (!take_descriptors(attachment, descriptors_per_channel())) {
    channels_taken_.give_back(attachment.uid, 1);
    return answer(AttachStatus::kLimit, nullptr);
  }
  if (!charge_channel(attachment, bytes)) {
    ++refused_.channel_bytes;
    channels_taken_.give_back(attachment.uid, 1);
    descriptors_.give_back(attachment.uid, descriptors_per_channel());
    attachment.descriptors -= descriptors_per_channel();
    return answer(AttachStatus::kNoMemory, nullptr);
  }

  const worker::ChannelIndex index = free_indices_.back();
  free_indices_.pop_back();
  auto channel = std::make_unique<Channel>();
  channel->attachment = number;
  channel->uid = attachment.uid;
  channel->number = request.channel;
  channel->index = index;
  channel->serial = next_request_++;
  channel->home_worker = least_loaded_worker();
  channel->charged_bytes = bytes;
  ++home_counts_[channel->home_worker];
  ++channels_count_;
  attachment.channels.emplace(request.channel, index);
  // A down file of 65,536 entries for 16 workers is 256 MiB: not on this thread.
  background_.run(
      [up = up_file.take(), request, workers = workers_.count(), home = channel->home_worker] {
        return ipc::EngineChannel::open(up, request, workers, home);
      },
      [this, index, next = request.next_sequence, answer = std::move(answer)](
          Result<std::unique_ptr<ipc::EngineChannel>, AttachStatus> opened) {
        finish_open(index, next, std::move(opened), answer);
      });
  channels_[index] = std::move(channel);
}

void Attachments::finish_open(worker::ChannelIndex index, std::uint64_t next_sequence,
                              Result<std::unique_ptr<ipc::EngineChannel>, AttachStatus> opened,
                              const OpenAnswer& answer) {
  Channel& channel = *channels_[index];
  const auto owner = attachments_.find(channel.attachment);
  if (owner == attachments_.end()) return free_channel(index);  // it left meanwhile
  if (!opened.ok()) {
    owner->second.channels.erase(channel.number);
    free_channel(index);
    return answer(opened.error(), nullptr);
  }
  channel.engine = std::move(opened).value();
  channel.state = Channel::State::kLive;
  worker::AddChannel add;
  add.index = index;
  add.channel = channel.engine.get();
  add.attachment = owner->second.id;
  add.number = channel.number;
  add.domain = owner->second.domain;
  add.next_sequence = next_sequence;
  workers_.send_all(add);
  answer(AttachStatus::kOk, channel.engine.get());
}

void Attachments::close_channel(AttachmentId number, std::uint32_t channel, Answer answer) {
  Channel* found = live_channel(number, channel);
  if (found == nullptr) return answer(AttachStatus::kUnknown);
  found->when_gone = [answer = std::move(answer)] { answer(AttachStatus::kOk); };
  Attachment& attachment = attachments_.at(number);
  attachment.channels.erase(channel);
  attachment.closing.insert(found->index);
  start_closing(*found);
}

void Attachments::adopt(AttachmentId number, const ipc::FileRequest& request, Descriptor file,
                        Answer answer) {
  Channel* channel = live_channel(number, request.channel);
  if (channel == nullptr) return answer(AttachStatus::kUnknown);
  if (request.file == 0 || request.bytes == 0) return answer(AttachStatus::kMalformed);
  if (channel->files.contains(request.file)) return answer(AttachStatus::kBusy);
  Attachment& attachment = attachments_.at(number);
  if (channel->files.size() >= kMaxChannelFiles) {
    ++refused_.files;
    return answer(AttachStatus::kLimit);
  }
  if (!adopted_bytes_.try_take(attachment.uid, request.bytes)) {
    ++refused_.adopted_bytes;
    return answer(AttachStatus::kLimit);
  }
  if (!take_descriptors(attachment, 1)) {
    adopted_bytes_.give_back(attachment.uid, request.bytes);
    return answer(AttachStatus::kLimit);
  }
  attachment.adopted_bytes += request.bytes;
  channel->files[request.file].bytes = request.bytes;
  // Mapping populates the pages of the file: milliseconds for a large one.
  background_.run(
      [descriptor = file.take(), bytes = request.bytes] {
        return ipc::MemoryFile::adopt(descriptor, bytes);
      },
      [this, index = channel->index, serial = channel->serial, file_number = request.file,
       answer = std::move(answer)](Result<ipc::MemoryFile, ipc::MemoryError> mapped) mutable {
        // The index may have been freed, and taken by another channel, in the meantime.
        if (channels_[index] == nullptr || channels_[index]->serial != serial)
          return answer(AttachStatus::kUnknown);
        finish_adopt(index, file_number, std::move(mapped), std::move(answer));
      });
}

void Attachments::finish_adopt(worker::ChannelIndex index, std::uint32_t file,
                               Result<ipc::MemoryFile, ipc::MemoryError> mapped, Answer answer) {
  Channel& channel = *channels_[index];
  const auto found = channel.files.find(file);
  if (found == channel.files.end() || channel.state != Channel::State::kLive)
    return answer(AttachStatus::kUnknown);
  if (!mapped.ok()) {
    forget_file(channel, file);
    const bool no_memory = mapped.error() == ipc::MemoryError::kNoMemory;
    return answer(no_memory ? AttachStatus::kNoMemory : AttachStatus::kMalformed);
  }
  found->second.memory = std::move(mapped).value();
  found->second.shared_number =
      number_shared(attachments_.at(channel.attachment).domain, found->second.memory);
  worker::AddFile add;
  add.index = index;
  add.file = file;
  add.data = found->second.memory.data();
  add.bytes = found->second.bytes;
  add.shared_file = found->second.shared_number;
  add.request = next_request_++;
  pending_[add.request] = {index, file, std::move(answer)};
  workers_.send(channel.home_worker, add);
}

std::uint32_t Attachments::number_shared(worker::DomainIndex domain,
                                         const ipc::MemoryFile& memory) {
  // What could be written through it is not given on (S-53); its messages are copied.
  if ((::fcntl(memory.descriptor(), F_GETFL) & O_ACCMODE) != O_RDONLY) return 0;
  do {
    if (++next_shared_ == worker::kWorkerFileBase) next_shared_ = worker::kProgramFileBase;
  } while (shared_files_.contains(next_shared_));
  shared_files_[next_shared_] = {domain, &memory};
  return next_shared_;
}

const ipc::MemoryFile* Attachments::find_shared(std::uint32_t file,
                                                worker::DomainIndex domain) const {
  const auto found = shared_files_.find(file);
  if (found == shared_files_.end() || found->second.domain != domain) return nullptr;
  return found->second.memory;
}

void Attachments::drop(AttachmentId number, const ipc::FileRequest& request, Answer answer) {
  Channel* channel = live_channel(number, request.channel);
  if (channel == nullptr) return answer(AttachStatus::kUnknown);
  const auto found = channel->files.find(request.file);
  if (found == channel->files.end()) return answer(AttachStatus::kUnknown);
  if (!found->second.ready || found->second.asked) return answer(AttachStatus::kBusy);
  found->second.asked = true;
  worker::DropFile drop;
  drop.index = channel->index;
  drop.file = request.file;
  drop.request = next_request_++;
  pending_[drop.request] = {channel->index, request.file, std::move(answer)};
  workers_.send(channel->home_worker, drop);
}

AttachStatus Attachments::serve(AttachmentId number, const ipc::ServeRequest& request) {
  if (!options_.server) return AttachStatus::kRole;
  if (request.order > 1 || (request.flags & ~ipc::kServeShare) != 0)
    return AttachStatus::kMalformed;
  Channel* channel = live_channel(number, request.channel);
  if (channel == nullptr || request.service >= services_.count()) return AttachStatus::kUnknown;
  const auto service = static_cast<std::uint16_t>(request.service);
  const worker::AddConsumer add{channel->index, service, request.order == 1, request.prefetch,
                                (request.flags & ipc::kServeShare) != 0};
  if (!channel->serves.emplace(service, add).second) return AttachStatus::kBusy;
  workers_.send_all(add);
  return AttachStatus::kOk;
}

AttachStatus Attachments::unserve(AttachmentId number, const ipc::ServeRequest& request) {
  Channel* channel = live_channel(number, request.channel);
  if (channel == nullptr || request.service >= services_.count()) return AttachStatus::kUnknown;
  const auto service = static_cast<std::uint16_t>(request.service);
  if (channel->serves.erase(service) == 0) return AttachStatus::kUnknown;
  workers_.send_all(worker::RemoveConsumer{channel->index, service});
  return AttachStatus::kOk;
}

bool Attachments::serves(AttachmentId number) const {
  const Attachment* attachment = find(number);
  return attachment != nullptr && std::any_of(attachment->channels.begin(),
                                              attachment->channels.end(), [&](const auto& channel) {
                                                return !channels_[channel.second]->serves.empty();
                                              });
}

void Attachments::take_place(AttachmentId number) {
  const Attachment* attachment = find(number);
  if (attachment == nullptr) return;
  for (const auto& [own_number, index] : attachment->channels) {
    const Channel& channel = *channels_[index];
    if (channel.state != Channel::State::kLive) continue;
    for (const auto& [service, add] : channel.serves)
      workers_.send_all(worker::RemoveConsumer{index, service});
    workers_.send_all(worker::TakeBack{index});
  }
}

void Attachments::give_place_back(AttachmentId number) {
  const Attachment* attachment = find(number);
  if (attachment == nullptr) return;
  for (const auto& [own_number, index] : attachment->channels) {
    const Channel& channel = *channels_[index];
    if (channel.state != Channel::State::kLive) continue;
    for (const auto& [service, add] : channel.serves) workers_.send_all(add);
  }
}

void Attachments::on_channel_gone(const worker::ChannelGone& gone) {
  if (gone.index >= channels_.size() || channels_[gone.index] == nullptr) return;
  Channel& channel = *channels_[gone.index];
  if (channel.state != Channel::State::kClosing || --channel.workers_left > 0) return;
  const std::function<void()> when_gone = std::move(channel.when_gone);
  const auto owner = attachments_.find(channel.attachment);
  if (owner != attachments_.end()) owner->second.closing.erase(gone.index);
  free_channel(gone.index);
  if (when_gone) when_gone();
}

void Attachments::on_file_ready(const worker::FileReady& ready) {
  auto node = pending_.extract(ready.request);
  if (node.empty()) return;
  Channel& channel = *channels_[node.mapped().index];
  const auto file = channel.files.find(node.mapped().file);
  RW_CHECK(file != channel.files.end());
  file->second.ready = true;
  node.mapped().answer(AttachStatus::kOk);
}

void Attachments::on_file_gone(const worker::FileGone& gone) {
  auto node = pending_.extract(gone.request);
  if (node.empty()) return;
  Channel& channel = *channels_[node.mapped().index];
  if (gone.busy)
    channel.files.at(node.mapped().file).asked = false;
  else
    forget_file(channel, node.mapped().file);
  node.mapped().answer(gone.busy ? AttachStatus::kBusy : AttachStatus::kOk);
}

AttachmentId Attachments::attachment_of(worker::ChannelIndex index) const {
  const Channel* channel = find_channel(index);
  return channel == nullptr ? 0 : channel->attachment;
}

const Channel* Attachments::find_channel(worker::ChannelIndex index) const {
  return index < channels_.size() ? channels_[index].get() : nullptr;
}

const Attachment* Attachments::find(AttachmentId number) const {
  const auto found = attachments_.find(number);
  return found == attachments_.end() ? nullptr : &found->second;
}

Channel* Attachments::live_channel(AttachmentId number, std::uint32_t channel) {
  const Attachment& attachment = attachments_.at(number);
  const auto found = attachment.channels.find(channel);
  if (found == attachment.channels.end()) return nullptr;
  Channel* live = channels_[found->second].get();
  return live->state == Channel::State::kLive ? live : nullptr;
}

std::uint64_t Attachments::descriptors_per_channel() const {
  return 5 + std::uint64_t{workers_.count()};  // up, down twice, both ends of the event, bells
}

bool Attachments::take_descriptors(Attachment& attachment, std::uint64_t count) {
  if (attachment.descriptors + count > options_.max_descriptors / 2 ||
      !descriptors_.try_take(attachment.uid, count)) {
    ++refused_.descriptors;
    return false;
  }
  attachment.descriptors += count;
  return true;
}

void Attachments::give_back_descriptors(const Channel& channel, std::uint64_t count) {
  descriptors_.give_back(channel.uid, count);
  const auto owner = attachments_.find(channel.attachment);
  if (owner != attachments_.end()) owner->second.descriptors -= count;
}

bool Attachments::charge_channel(Attachment& attachment, std::uint64_t bytes) {
  if (!channel_bytes_.try_take(attachment.uid, bytes)) return false;
  const std::uint64_t old_bytes = std::max(attachment.channel_bytes, kAttachmentReserveBytes);
  const std::uint64_t new_bytes =
      std::max(attachment.channel_bytes + bytes, kAttachmentReserveBytes);
  if (!budget_.try_charge(MemoryUse::kChannels, new_bytes - old_bytes)) {
    channel_bytes_.give_back(attachment.uid, bytes);
    return false;
  }
  attachment.channel_bytes += bytes;
  return true;
}

void Attachments::give_back_channel(Channel& channel) {
  channels_taken_.give_back(channel.uid, 1);
  channel_bytes_.give_back(channel.uid, channel.charged_bytes);
  give_back_descriptors(channel, descriptors_per_channel());
  const auto owner = attachments_.find(channel.attachment);
  if (owner == attachments_.end()) {
    budget_.give_back(MemoryUse::kChannels, channel.charged_bytes);
    return;
  }
  Attachment& attachment = owner->second;
  const std::uint64_t old_bytes = std::max(attachment.channel_bytes, kAttachmentReserveBytes);
  attachment.channel_bytes -= channel.charged_bytes;
  const std::uint64_t new_bytes = std::max(attachment.channel_bytes, kAttachmentReserveBytes);
  budget_.give_back(MemoryUse::kChannels, old_bytes - new_bytes);
}

void Attachments::forget_file(Channel& channel, std::uint32_t file) {
  auto node = channel.files.extract(file);
  if (node.empty()) return;
  shared_files_.erase(node.mapped().shared_number);
  adopted_bytes_.give_back(channel.uid, node.mapped().bytes);
  give_back_descriptors(channel, 1);
  const auto owner = attachments_.find(channel.attachment);
  if (owner != attachments_.end()) owner->second.adopted_bytes -= node.mapped().bytes;
  background_.run(
      [memory = std::move(node.mapped().memory)]() mutable {
        memory = ipc::MemoryFile();
        return 0;
      },
      [](int) {});
}

void Attachments::start_closing(Channel& channel) {
  channel.state = Channel::State::kClosing;
  channel.workers_left = workers_.count();
  workers_.send_all(worker::RemoveChannel{channel.index});
}

void Attachments::free_channel(worker::ChannelIndex index) {
  Channel& channel = *channels_[index];
  // A worker drops a channel's files without a word when it drops the channel.
  for (auto at = pending_.begin(); at != pending_.end();) {
    if (at->second.index != index) {
      ++at;
      continue;
    }
    const Answer answer = std::move(at->second.answer);
    at = pending_.erase(at);
    answer(AttachStatus::kUnknown);
  }
  while (!channel.files.empty()) forget_file(channel, channel.files.begin()->first);
  give_back_channel(channel);
  --home_counts_[channel.home_worker];
  --channels_count_;
  channels_[index].reset();
  free_indices_.push_back(index);
  if (on_freed_) on_freed_();
}

std::uint32_t Attachments::least_loaded_worker() const {
  const auto least = std::min_element(home_counts_.begin(), home_counts_.end());
  return static_cast<std::uint32_t>(least - home_counts_.begin());
}

}  // namespace ringwire::node
