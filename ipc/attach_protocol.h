// What is said on the UNIX socket between a program and its engine (docs/segment.md, "Attach"):
// set-up only, never a message's payload. SOCK_SEQPACKET: one request or answer per datagram, at
// most kMaxDatagramBytes, fixed little-endian structs after a common header; file descriptors as
// SCM_RIGHTS. Every request gets exactly one answer with its request number, in any order; the
// engine also sends kClosing on its own. A datagram that breaks a rule ends the attachment with a
// reason.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/ids.h"

namespace ringwire::ipc {

inline constexpr std::uint32_t kAttachMagic = 0x31'52'57'52;  // "RWR1"
inline constexpr std::uint32_t kAttachVersion = 2;
inline constexpr std::size_t kMaxDatagramBytes = 65'536;
inline constexpr std::size_t kMaxDescriptors = 2 + kMaxWorkers;  ///< in one datagram

enum class AttachType : std::uint32_t {
  kHello = 1,  ///< first: HelloRequest, [pidfd of the program]  -> WelcomeAnswer, [status page]
  kChannelOpen =
      2,  ///< ChannelOpenRequest, [up file] -> ChannelOpenAnswer, [down file, event, bells...]
  kChannelClose = 3,  ///< ChannelRequest -> empty. After it the engine touches none of its files
  kAdopt = 4,         ///< FileRequest, [file] -> empty: an extent file that submissions may name
  kDrop = 5,      ///< FileRequest -> empty: forget an adopted file; refused (kBusy) while in use
  kMap = 6,       ///< FileRequest (file = Delivery::extent_file) -> FileAnswer, [file, read-only]
  kService = 7,   ///< ServiceRequest -> ServiceAnswer: a handle for a name
  kServe = 8,     ///< ServeRequest -> empty: the channel becomes a consumer of a service
  kUnserve = 9,   ///< ServeRequest -> empty
  kAdmin = 10,    ///< JSON text -> one or more AdminAnswer + JSON text chunks. Needs no kHello
  kClosing = 11,  ///< engine -> program, request 0: ClosingNotice; the socket ends after it
};

/// Answers carry one of these; values are stable.
enum class AttachStatus : std::uint32_t {
  kOk = 0,
  kVersion = 1,    ///< versions do not fit; the answer names the engine's
  kDenied = 2,     ///< the user may not attach, or the file belongs to another user
  kLimit = 3,      ///< attachments, channels, files or bytes over the limit
  kMalformed = 4,  ///< the request broke a rule
  kUnknown = 5,    ///< no such channel, file or service
  kBusy = 6,       ///< in use; try again later
  kNoMemory = 7,   ///< the engine's memory budget has no room
  kShutdown = 8,   ///< the engine is draining
  kRole = 9,       ///< a slave node serves nothing
  kInternal = 10,
};

struct AttachHeader {
  std::uint32_t magic;
  std::uint32_t type;     ///< AttachType; an answer repeats its request's
  std::uint64_t request;  ///< chosen by the program, not 0
  std::uint32_t status;   ///< AttachStatus in answers, 0 in requests
  std::uint32_t body_bytes;
};
static_assert(sizeof(AttachHeader) == 24);
static_assert(offsetof(AttachHeader, magic) == 0);
static_assert(offsetof(AttachHeader, type) == 4);
static_assert(offsetof(AttachHeader, request) == 8);
static_assert(offsetof(AttachHeader, status) == 16);
static_assert(offsetof(AttachHeader, body_bytes) == 20);

/// The hello and its answer only ever grow at their end, and both versions stay in front, so that
/// two builds that do not fit can say so (S-31).
struct HelloRequest {
  std::uint32_t attach_version;
  std::uint32_t layout_version;
  std::uint64_t attachment_high;  ///< random, the same after an engine restart
  std::uint64_t attachment_low;
  std::uint64_t pid;       ///< for display only
  char label[64];          ///< program name, for display, NUL-padded
  std::uint64_t features;  ///< that the library knows
};
static_assert(sizeof(HelloRequest) == 104);
static_assert(offsetof(HelloRequest, attach_version) == 0);
static_assert(offsetof(HelloRequest, layout_version) == 4);
static_assert(offsetof(HelloRequest, attachment_high) == 8);
static_assert(offsetof(HelloRequest, attachment_low) == 16);
static_assert(offsetof(HelloRequest, pid) == 24);
static_assert(offsetof(HelloRequest, label) == 32);
static_assert(offsetof(HelloRequest, features) == 96);

struct WelcomeAnswer {
  std::uint32_t attach_version;
  std::uint32_t layout_version;
  std::uint32_t worker_count;
  std::uint32_t max_channels;
  std::uint64_t incarnation_high;
  std::uint64_t incarnation_low;
  std::uint64_t max_message_bytes;
  std::uint64_t quota_bytes;  ///< adopted files may sum up to this
  char node_name[64];
  char engine_version[32];
  std::uint64_t features;  ///< in force: those of the hello that the engine knows, too
};
static_assert(sizeof(WelcomeAnswer) == 152);
static_assert(offsetof(WelcomeAnswer, attach_version) == 0);
static_assert(offsetof(WelcomeAnswer, layout_version) == 4);
static_assert(offsetof(WelcomeAnswer, worker_count) == 8);
static_assert(offsetof(WelcomeAnswer, max_channels) == 12);
static_assert(offsetof(WelcomeAnswer, incarnation_high) == 16);
static_assert(offsetof(WelcomeAnswer, incarnation_low) == 24);
static_assert(offsetof(WelcomeAnswer, max_message_bytes) == 32);
static_assert(offsetof(WelcomeAnswer, quota_bytes) == 40);
static_assert(offsetof(WelcomeAnswer, node_name) == 48);
static_assert(offsetof(WelcomeAnswer, engine_version) == 112);
static_assert(offsetof(WelcomeAnswer, features) == 144);
inline constexpr std::size_t kVersionsBytes = 8;  ///< both versions, in front of either body

struct ChannelOpenRequest {
  std::uint32_t channel;  ///< index, chosen by the program, below max_channels
  std::uint32_t submission_entries;
  std::uint32_t release_entries;
  std::uint32_t delivery_entries;
  std::uint64_t up_file_bytes;
  std::uint64_t next_sequence;  ///< the first that will be submitted on it
};
static_assert(sizeof(ChannelOpenRequest) == 32);
static_assert(offsetof(ChannelOpenRequest, channel) == 0);
static_assert(offsetof(ChannelOpenRequest, submission_entries) == 4);
static_assert(offsetof(ChannelOpenRequest, release_entries) == 8);
static_assert(offsetof(ChannelOpenRequest, delivery_entries) == 12);
static_assert(offsetof(ChannelOpenRequest, up_file_bytes) == 16);
static_assert(offsetof(ChannelOpenRequest, next_sequence) == 24);

struct ChannelOpenAnswer {
  std::uint32_t home_worker;
  std::uint32_t delivery_entries;
  std::uint64_t down_file_bytes;
  // descriptors: [0] down file, read-only; [1] eventfd that the engine writes to wake the program;
  // [2 + w] eventfd that the program writes to ring worker w
};
static_assert(sizeof(ChannelOpenAnswer) == 16);
static_assert(offsetof(ChannelOpenAnswer, home_worker) == 0);
static_assert(offsetof(ChannelOpenAnswer, delivery_entries) == 4);
static_assert(offsetof(ChannelOpenAnswer, down_file_bytes) == 8);

struct ChannelRequest {
  std::uint32_t channel;
  std::uint32_t reserved;
};
static_assert(sizeof(ChannelRequest) == 8);
static_assert(offsetof(ChannelRequest, channel) == 0);
static_assert(offsetof(ChannelRequest, reserved) == 4);

struct FileRequest {
  std::uint32_t channel;  ///< kAdopt, kDrop: files belong to a channel
  std::uint32_t file;     ///< number, not 0; chosen by the program for kAdopt/kDrop
  std::uint64_t bytes;    ///< kAdopt
};
static_assert(sizeof(FileRequest) == 16);
static_assert(offsetof(FileRequest, channel) == 0);
static_assert(offsetof(FileRequest, file) == 4);
static_assert(offsetof(FileRequest, bytes) == 8);

struct FileAnswer {
  std::uint64_t bytes;
};
static_assert(sizeof(FileAnswer) == 8);

struct ServiceRequest {
  char name[64];  ///< NUL-padded, at most 63 bytes
};
static_assert(sizeof(ServiceRequest) == 64);
struct ServiceAnswer {
  std::uint32_t handle;
  std::uint32_t reserved;
};
static_assert(sizeof(ServiceAnswer) == 8);
static_assert(offsetof(ServiceAnswer, handle) == 0);
static_assert(offsetof(ServiceAnswer, reserved) == 4);

/// Bits of ServeRequest::flags.
enum ServeFlag : std::uint16_t {
  kServeShare = 1u << 0,  ///< takes payloads where their senders have them (S-52)
};

struct ServeRequest {
  std::uint32_t channel;
  std::uint32_t service;   ///< handle
  std::uint16_t order;     ///< 0 key, 1 none
  std::uint16_t flags;     ///< ServeFlag; only those of features in force
  std::uint32_t prefetch;  ///< messages handed out at once at most; 0 = the engine's choice
};
static_assert(sizeof(ServeRequest) == 16);
static_assert(offsetof(ServeRequest, channel) == 0);
static_assert(offsetof(ServeRequest, service) == 4);
static_assert(offsetof(ServeRequest, order) == 8);
static_assert(offsetof(ServeRequest, flags) == 10);
static_assert(offsetof(ServeRequest, prefetch) == 12);

struct AdminAnswer {
  std::uint32_t more;       ///< 1: another chunk follows
  std::uint32_t exit_code;  ///< of the command line: 0, 1, 2, 4
};
static_assert(sizeof(AdminAnswer) == 8);
static_assert(offsetof(AdminAnswer, more) == 0);
static_assert(offsetof(AdminAnswer, exit_code) == 4);

struct ClosingNotice {
  std::uint32_t status;  ///< AttachStatus
  std::uint32_t reserved;
  char text[120];  ///< one sentence, NUL-padded
};
static_assert(sizeof(ClosingNotice) == 128);
static_assert(offsetof(ClosingNotice, status) == 0);
static_assert(offsetof(ClosingNotice, reserved) == 4);
static_assert(offsetof(ClosingNotice, text) == 8);

}  // namespace ringwire::ipc
