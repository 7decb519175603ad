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
inline constexpr std::uint32_t kAttachVersion = 1;
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

struct HelloRequest {
  std::uint32_t attach_version;
  std::uint32_t layout_version;
  std::uint64_t attachment_high;  ///< random, the same after an engine restart
  std::uint64_t attachment_low;
  std::uint64_t pid;  ///< for display only
  char label[64];     ///< program name, for display, NUL-padded
};
static_assert(sizeof(HelloRequest) == 96);

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
};
static_assert(sizeof(WelcomeAnswer) == 144);

struct ChannelOpenRequest {
  std::uint32_t channel;  ///< index, chosen by the program, below max_channels
  std::uint32_t submission_entries;
  std::uint32_t release_entries;
  std::uint32_t delivery_entries;
  std::uint64_t up_file_bytes;
  std::uint64_t next_sequence;  ///< the first that will be submitted on it
};
static_assert(sizeof(ChannelOpenRequest) == 32);

struct ChannelOpenAnswer {
  std::uint32_t home_worker;
  std::uint32_t delivery_entries;
  std::uint64_t down_file_bytes;
  // descriptors: [0] down file, read-only; [1] eventfd that the engine writes to wake the program;
  // [2 + w] eventfd that the program writes to ring worker w
};
static_assert(sizeof(ChannelOpenAnswer) == 16);

struct ChannelRequest {
  std::uint32_t channel;
  std::uint32_t reserved;
};
static_assert(sizeof(ChannelRequest) == 8);

struct FileRequest {
  std::uint32_t channel;  ///< kAdopt, kDrop: files belong to a channel
  std::uint32_t file;     ///< number, not 0; chosen by the program for kAdopt/kDrop
  std::uint64_t bytes;    ///< kAdopt
};
static_assert(sizeof(FileRequest) == 16);

struct FileAnswer {
  std::uint64_t bytes;
};
static_assert(sizeof(FileAnswer) == 8);

struct ServiceRequest {
  char name[64];  ///< NUL-padded, at most 63 bytes
};
struct ServiceAnswer {
  std::uint32_t handle;
  std::uint32_t reserved;
};
static_assert(sizeof(ServiceAnswer) == 8);

struct ServeRequest {
  std::uint32_t channel;
  std::uint32_t service;   ///< handle
  std::uint32_t order;     ///< 0 key, 1 none
  std::uint32_t prefetch;  ///< messages handed out at once at most; 0 = the engine's choice
};
static_assert(sizeof(ServeRequest) == 16);

struct AdminAnswer {
  std::uint32_t more;       ///< 1: another chunk follows
  std::uint32_t exit_code;  ///< of the command line: 0, 1, 2, 4
};
static_assert(sizeof(AdminAnswer) == 8);

struct ClosingNotice {
  std::uint32_t status;  ///< AttachStatus
  std::uint32_t reserved;
  char text[120];  ///< one sentence, NUL-padded
};
static_assert(sizeof(ClosingNotice) == 128);

}  // namespace ringwire::ipc
