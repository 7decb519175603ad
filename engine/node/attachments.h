// The programs that are attached: who they are, their channels and files, and the way of each until
// every worker has let go of it. Knows no socket: attach_server receives and sends. Ring manager
// only; cold.
//
// Life of a channel: opening (background) -> live -> closing (RemoveChannel sent) -> every worker
// said ChannelGone -> freed, its index may be used again. Files adopted for it live as long.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/ids.h"
#include "engine/node/background.h"
#include "engine/node/descriptor.h"
#include "engine/node/memory_budget.h"
#include "engine/node/services.h"
#include "engine/node/user_shares.h"
#include "engine/node/workers.h"
#include "ipc/attach_protocol.h"
#include "ipc/engine_channel.h"
#include "ipc/memory_file.h"

namespace ringwire::node {

/// Channels of one attachment: threads of one program; 1,024 is more than any has.
inline constexpr std::uint32_t kMaxAttachmentChannels = 1'024;
/// Adopted files of one channel: 4 GiB of 1 MiB arenas, or as many large messages in flight.
inline constexpr std::uint32_t kMaxChannelFiles = 4'096;
/// Held back for each attachment that [limits] attachments allows: the down file of one channel as
/// the library opens it by default (132 KiB); more is charged when it is asked for.
inline constexpr std::uint64_t kAttachmentReserveBytes =
    ipc::down_file_bytes(ipc::kDefaultDeliveryEntries, 1);
static_assert(ipc::down_file_bytes(ipc::default_delivery_entries(kMaxWorkers), kMaxWorkers) <=
              kAttachmentReserveBytes);
static_assert(ipc::down_file_bytes(ipc::default_delivery_entries(3), 3) <= kAttachmentReserveBytes);

using AttachmentId = std::uint64_t;  ///< this engine's own number of an attachment, never reused

struct AdoptedFile {
  std::uint64_t bytes = 0;
  bool ready = false;               ///< the worker knows it
  bool asked = false;               ///< a kDrop is on its way
  std::uint32_t shared_number = 0;  ///< for other programs of its user; 0 = not for them
  ipc::MemoryFile memory;
};

struct Channel {
  enum class State : std::uint8_t { kOpening, kLive, kClosing };
  State state = State::kOpening;
  AttachmentId attachment = 0;
  std::uint64_t serial = 0;  ///< never used again, unlike the index
  std::uint32_t number = 0;
  worker::ChannelIndex index = 0;
  std::uint32_t home_worker = 0;
  UserId uid = 0;
  std::uint64_t charged_bytes = 0;
  std::uint32_t workers_left = 0;  ///< that have not said ChannelGone
  std::unique_ptr<ipc::EngineChannel> engine;
  std::unordered_map<std::uint32_t, AdoptedFile> files;
  std::map<std::uint16_t, worker::AddConsumer> serves;  ///< by service
  std::function<void()> when_gone;                      ///< answers kChannelClose
};

struct Attachment {
  AttachmentId number = 0;
  Id128 id;
  std::uint64_t pid = 0;
  std::uint32_t uid = 0;
  std::string label;
  TimeNs since_ns = 0;
  worker::DomainIndex domain = 0;
  std::map<std::uint32_t, worker::ChannelIndex> channels;  ///< by the program's number
  std::set<worker::ChannelIndex> closing;  ///< closed by it, with messages that have not ended
  std::uint64_t channel_bytes = 0;  ///< of down files; charged beyond kAttachmentReserveBytes
  std::uint64_t adopted_bytes = 0;
  std::uint64_t descriptors = 0;  ///< of the engine, for its channels and files
};

struct AttachmentsOptions {
  std::uint32_t max_attachments = 1'024;
  std::uint64_t quota_bytes = 0;      ///< of adopted files, in all
  std::uint64_t channels_bytes = 0;   ///< of down files, in all
  std::uint64_t max_descriptors = 0;  ///< for channels and files, in all
  std::vector<UserId> users;          ///< that may attach, root only if it is named
  bool server = true;
};

/// Requests that were refused because a limit was reached, by what there was no more of; since the
/// start.
struct QuotaCounters {
  std::uint64_t channels = 0;
  std::uint64_t descriptors = 0;
  std::uint64_t files = 0;  ///< of one channel
  std::uint64_t adopted_bytes = 0;
  std::uint64_t channel_bytes = 0;
};

class Attachments {
 public:
  using Answer = std::function<void(ipc::AttachStatus)>;
  using OpenAnswer = std::function<void(ipc::AttachStatus, const ipc::EngineChannel*)>;

  Attachments(const AttachmentsOptions& options, Workers& workers, Background& background,
              MemoryBudget& budget, Services& services);
  ~Attachments();
  Attachments(const Attachments&) = delete;
  Attachments& operator=(const Attachments&) = delete;

  /// Called when something that counts against the budget was given back.
  void set_on_freed(std::function<void()> on_freed) { on_freed_ = std::move(on_freed); }

  /// Errors: kLimit, kDenied (the id is attached already).
  ipc::AttachStatus attach(Attachment attachment, AttachmentId& number);
  /// The program is gone, or is sent away: all its channels are closed. The answers that are still
  /// owed to it are never given.
  void detach(AttachmentId number);

  // Requests. Each answers exactly once, now or later, unless the attachment ends before.
  void open_channel(AttachmentId number, const ipc::ChannelOpenRequest& request, Descriptor up_file,
                    OpenAnswer answer);
  /// The number is free at once; the answer comes when the last message of the channel has ended.
  void close_channel(AttachmentId number, std::uint32_t channel, Answer answer);
  void adopt(AttachmentId number, const ipc::FileRequest& request, Descriptor file, Answer answer);
  void drop(AttachmentId number, const ipc::FileRequest& request, Answer answer);
  /// A transmit file of a program of this domain, by the number in its deliveries (S-53), or
  /// nullptr.
  [[nodiscard]] const ipc::MemoryFile* find_shared(std::uint32_t file,
                                                   worker::DomainIndex domain) const;
  ipc::AttachStatus serve(AttachmentId number, const ipc::ServeRequest& request);
  ipc::AttachStatus unserve(AttachmentId number, const ipc::ServeRequest& request);
  /// Whether any channel of it serves.
  [[nodiscard]] bool serves(AttachmentId number) const;
  /// A stopped program: it is given nothing, and what it holds of services goes to others.
  void take_place(AttachmentId number);
  /// It runs again, and serves what it served.
  void give_place_back(AttachmentId number);

  // Notices of the workers.
  void on_channel_gone(const worker::ChannelGone& gone);
  void on_file_ready(const worker::FileReady& ready);
  void on_file_gone(const worker::FileGone& gone);
  /// The attachment of a channel; 0 when it has none any more.
  [[nodiscard]] AttachmentId attachment_of(worker::ChannelIndex index) const;

  [[nodiscard]] const std::map<AttachmentId, Attachment>& all() const { return attachments_; }
  [[nodiscard]] const Channel* find_channel(worker::ChannelIndex index) const;
  [[nodiscard]] const Attachment* find(AttachmentId number) const;
  [[nodiscard]] const QuotaCounters& refused() const { return refused_; }
  /// Channels that some worker still knows, closing ones counted.
  [[nodiscard]] std::size_t channels_count() const { return channels_count_; }

 private:
  struct Pending {
    worker::ChannelIndex index = 0;
    std::uint32_t file = 0;
    Answer answer;
  };

  Channel* live_channel(AttachmentId number, std::uint32_t channel);
  bool take_descriptors(Attachment& attachment, std::uint64_t count);
  void give_back_descriptors(const Channel& channel, std::uint64_t count);
  [[nodiscard]] std::uint64_t descriptors_per_channel() const;
  bool charge_channel(Attachment& attachment, std::uint64_t bytes);
  void give_back_channel(Channel& channel);
  void finish_open(worker::ChannelIndex index, std::uint64_t next_sequence,
                   Result<std::unique_ptr<ipc::EngineChannel>, ipc::AttachStatus> opened,
                   const OpenAnswer& answer);
  void finish_adopt(worker::ChannelIndex index, std::uint32_t file,
                    Result<ipc::MemoryFile, ipc::MemoryError> mapped, Answer answer);
  [[nodiscard]] std::uint32_t number_shared(worker::DomainIndex domain,
                                            const ipc::MemoryFile& memory);
  void forget_file(Channel& channel, std::uint32_t file);
  void start_closing(Channel& channel);
  void free_channel(worker::ChannelIndex index);
  std::uint32_t least_loaded_worker() const;

  AttachmentsOptions options_;
  Workers& workers_;
  Background& background_;
  MemoryBudget& budget_;
  Services& services_;
  std::function<void()> on_freed_;
  AttachmentId next_attachment_ = 1;
  std::uint64_t next_request_ = 1;
  UserShares attached_;
  UserShares channels_taken_;
  UserShares channel_bytes_;
  UserShares descriptors_;
  UserShares adopted_bytes_;
  QuotaCounters refused_;
  std::uint32_t next_shared_ = worker::kProgramFileBase;
  struct SharedFile {
    worker::DomainIndex domain = 0;
    const ipc::MemoryFile* memory = nullptr;  ///< an AdoptedFile's
  };
  std::unordered_map<std::uint32_t, SharedFile> shared_files_;  ///< by number
  std::map<AttachmentId, Attachment> attachments_;
  std::set<Id128> ids_;
  std::vector<std::unique_ptr<Channel>> channels_;  ///< by index
  std::vector<worker::ChannelIndex> free_indices_;
  std::vector<std::uint32_t> home_counts_;
  std::size_t channels_count_ = 0;
  std::unordered_map<std::uint64_t, Pending> pending_;  ///< by request number to a worker
};

}  // namespace ringwire::node
