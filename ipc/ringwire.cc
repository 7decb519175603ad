// The C ABI (ringwire.h): checks arguments, keeps exceptions inside, and calls the rooms behind it.
#include "ipc/ringwire.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>
#include <vector>

#include "base/bytes.h"
#include "base/hash.h"
#include "ipc/last_error.h"
#include "ipc/program_channel.h"
#include "ipc/socket_path.h"

namespace ipc = ringwire::ipc;
using ipc::fail;

struct rw_client {
  std::unique_ptr<ipc::ProgramClient> client;
  std::mutex mutex;
  std::vector<rw_channel*> channels;
};
struct rw_channel {
  rw_client* client = nullptr;
  std::unique_ptr<ipc::ProgramChannel> channel;
};

namespace {

/// How long rw_admin waits for a live engine's answer.
constexpr ringwire::DurationNs kAdminLimitNs = 10 * ringwire::kSecondNs;
constexpr std::size_t kReadBytes = 1u << 20;  // what one read asks for: enough to be rare

// Memory is the only thing that throws in here.
template <typename Body>
int guarded(Body body) noexcept {
  try {
    return body();
  } catch (const std::bad_alloc&) {
    return fail(RW_ENOMEM, "out of memory");
  } catch (...) {
    return fail(RW_ESYSTEM, "an unexpected failure");
  }
}

template <typename Body>
int on_channel(rw_channel* channel, Body body) noexcept {
  if (channel == nullptr) return fail(RW_EINVAL, "the channel is NULL");
  if (channel->channel->forked())
    return fail(RW_EFORK, "this channel was opened before fork(): open one in the child");
  return guarded([&] { return body(*channel->channel); });
}

// A copy of the caller's options that has every field of ours: an older caller's struct is shorter.
// False: its size makes no sense.
template <typename Options>
bool read_options(const Options* given, Options& options) {
  options = {};
  if (given == nullptr) return true;
  if (given->struct_bytes < sizeof given->struct_bytes || given->struct_bytes > 65'536)
    return false;
  std::memcpy(&options, given, std::min(given->struct_bytes, sizeof options));
  options.struct_bytes = sizeof options;
  return true;
}

int bad_options() { return fail(RW_EINVAL, "struct_bytes of the options is not set"); }

bool bad_data(const void* data, std::size_t bytes) { return data == nullptr && bytes > 0; }

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

// Read exactly `bytes` from `offset`; for what cannot seek, from where it stands, if offset is 0.
int read_range(int fd, std::uint64_t offset, std::uint8_t* to, std::uint64_t bytes) {
  bool seeks = true;
  std::uint64_t done = 0;
  while (done < bytes) {
    const std::size_t part = std::min<std::uint64_t>(bytes - done, kReadBytes);
    const ssize_t got = seeks ? pread(fd, to + done, part, static_cast<off_t>(offset + done))
                              : read(fd, to + done, part);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == ESPIPE && seeks && offset == 0) {
      seeks = false;
      continue;
    }
    if (got < 0) return fail(RW_EIO, "reading the file: %s", std::strerror(errno));
    if (got == 0)
      return fail(RW_ESHORT, "the file ended after %llu of %llu bytes",
                  static_cast<unsigned long long>(done), static_cast<unsigned long long>(bytes));
    done += static_cast<std::uint64_t>(got);
  }
  return RW_OK;
}

}  // namespace

// ---- attach -------------------------------------------------------------------------------------

int rw_client_open(const rw_client_options* given, rw_client** client) {
  if (client == nullptr) return fail(RW_EINVAL, "no place for the client");
  *client = nullptr;
  rw_client_options options;
  if (!read_options(given, options)) return bad_options();
  return guarded([&] {
    auto fresh = std::make_unique<rw_client>();
    if (const int error = ipc::ProgramClient::open(options, fresh->client); error != RW_OK)
      return error;
    *client = fresh.release();
    return int{RW_OK};
  });
}

void rw_client_close(rw_client* client) {
  if (client == nullptr) return;
  guarded([&] {
    for (rw_channel* channel : client->channels) delete channel;
    delete client;
    return int{RW_OK};
  });
}

int rw_channel_open(rw_client* client, const rw_channel_options* given, rw_channel** channel) {
  if (channel == nullptr || client == nullptr)
    return fail(RW_EINVAL, "client or place for the channel is NULL");
  *channel = nullptr;
  if (client->client->forked())
    return fail(RW_EFORK, "this client was opened before fork(): open one in the child");
  rw_channel_options options;
  if (!read_options(given, options)) return bad_options();
  return guarded([&] {
    auto fresh = std::make_unique<rw_channel>();
    fresh->client = client;
    if (const int error = ipc::ProgramChannel::open(*client->client, options, fresh->channel);
        error != RW_OK)
      return error;
    const std::lock_guard lock(client->mutex);
    client->channels.push_back(fresh.get());
    *channel = fresh.release();
    return int{RW_OK};
  });
}

void rw_channel_close(rw_channel* channel) {
  if (channel == nullptr) return;
  guarded([&] {
    if (!channel->channel->forked()) {
      const std::lock_guard lock(channel->client->mutex);
      std::erase(channel->client->channels, channel);
    } else {
      std::erase(channel->client->channels, channel);
    }
    delete channel;
    return int{RW_OK};
  });
}

// ---- where to -----------------------------------------------------------------------------------

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

// ---- send ---------------------------------------------------------------------------------------

namespace {

int send_with_flags(rw_channel* channel, const rw_target* target, const void* data, size_t bytes,
                    const rw_send_options* given, std::uint16_t flags, rw_ticket* ticket) {
  if (ticket != nullptr) *ticket = 0;
  return on_channel(channel, [&](ipc::ProgramChannel& on) {
    rw_send_options options;
    if (!read_options(given, options)) return bad_options();
    if (target == nullptr || bad_data(data, bytes))
      return fail(RW_EINVAL, "target or data is NULL");
    return on.send(*target, data, bytes, options, flags, ticket);
  });
}

}  // namespace

int rw_send(rw_channel* channel, const rw_target* target, const void* data, size_t bytes,
            const rw_send_options* options, rw_ticket* ticket) {
  return send_with_flags(channel, target, data, bytes, options, 0, ticket);
}

int rw_call_start(rw_channel* channel, const rw_target* target, const void* data, size_t bytes,
                  const rw_send_options* options, rw_ticket* ticket) {
  if (target != nullptr)
    if (const int error = ipc::ProgramChannel::callable(*target); error != RW_OK) return error;
  return send_with_flags(channel, target, data, bytes, options, ipc::kSubmitCall, ticket);
}

int rw_loan(rw_channel* channel, size_t bytes, rw_loan_t* loan) {
  return on_channel(channel, [&](ipc::ProgramChannel& on) {
    if (loan == nullptr) return fail(RW_EINVAL, "no place for the loan");
    *loan = {};
    return on.loan(bytes, *loan);
  });
}

int rw_send_loan(rw_channel* channel, const rw_target* target, rw_loan_t* loan,
                 const rw_send_options* given, rw_ticket* ticket) {
  if (ticket != nullptr) *ticket = 0;
  return on_channel(channel, [&](ipc::ProgramChannel& on) {
    rw_send_options options;
    if (!read_options(given, options)) return bad_options();
    if (target == nullptr || loan == nullptr) return fail(RW_EINVAL, "target or loan is NULL");
    return on.send_loan(*target, *loan, options, ticket);
  });
}

void rw_loan_cancel(rw_channel* channel, rw_loan_t* loan) {
  if (loan == nullptr) return;
  on_channel(channel, [&](ipc::ProgramChannel& on) { return on.cancel_loan(*loan); });
}

int rw_send_file(rw_channel* channel, const rw_target* target, int fd, uint64_t offset,
                 uint64_t bytes, const rw_send_options* given, rw_ticket* ticket) {
  if (ticket != nullptr) *ticket = 0;
  return on_channel(channel, [&](ipc::ProgramChannel& on) {
    rw_send_options options;
    if (!read_options(given, options)) return bad_options();
    if (target == nullptr || fd < 0) return fail(RW_EINVAL, "target is NULL or fd negative");
    // Before memory for it is made: the size of a regular file is known.
    struct stat about {};
    if (fstat(fd, &about) != 0) return fail(RW_EIO, "the file: %s", std::strerror(errno));
    const auto file_bytes = static_cast<std::uint64_t>(about.st_size);
    if (S_ISREG(about.st_mode) && (offset > file_bytes || bytes > file_bytes - offset))
      return fail(RW_ESHORT, "the file has %llu bytes",
                  static_cast<unsigned long long>(file_bytes));
    rw_loan_t loan{};
    if (const int error = on.loan(bytes, loan); error != RW_OK) return error;
    int error = read_range(fd, offset, static_cast<std::uint8_t*>(loan.data), bytes);
    if (error == RW_OK) error = on.send_loan(*target, loan, options, ticket);
    if (error != RW_OK) {
      const int saved = errno;
      if (loan.data != nullptr) on.cancel_loan(loan);
      errno = saved;
    }
    return error;
  });
}

// ---- how sends ended ----------------------------------------------------------------------------

int rw_wait(rw_channel* channel, rw_ticket ticket, int64_t timeout_ns, rw_outcome* outcome) {
  return on_channel(channel,
                    [&](ipc::ProgramChannel& on) { return on.wait(ticket, timeout_ns, outcome); });
}

int rw_poll(rw_channel* channel, rw_outcome* outcomes, int max) {
  return on_channel(channel, [&](ipc::ProgramChannel& on) {
    if (outcomes == nullptr || max <= 0) return fail(RW_EINVAL, "no place for outcomes");
    return on.poll(outcomes, max);
  });
}

int rw_outcome_targets(rw_channel* channel, rw_ticket ticket, rw_outcome* targets, int max) {
  return on_channel(channel, [&](ipc::ProgramChannel& on) {
    if (targets == nullptr || max <= 0) return fail(RW_EINVAL, "no place for targets");
    return on.outcome_targets(ticket, targets, max);
  });
}

int rw_cancel(rw_channel* channel, rw_ticket ticket) {
  return on_channel(channel, [&](ipc::ProgramChannel& on) { return on.cancel(ticket); });
}

int rw_outstanding(rw_channel* channel) {
  return on_channel(channel,
                    [&](ipc::ProgramChannel& on) { return static_cast<int>(on.outstanding()); });
}

int rw_call(rw_channel* channel, const rw_target* target, const void* data, size_t bytes,
            const rw_send_options* given, rw_message** reply, rw_outcome* outcome) {
  if (reply != nullptr) *reply = nullptr;
  if (outcome != nullptr) *outcome = {};
  return on_channel(channel, [&](ipc::ProgramChannel& on) {
    rw_send_options options;
    if (!read_options(given, options)) return bad_options();
    if (target == nullptr || reply == nullptr || bad_data(data, bytes))
      return fail(RW_EINVAL, "target, data or place for the reply is NULL");
    return on.call(*target, data, bytes, options, reply, outcome);
  });
}

// ---- receive ------------------------------------------------------------------------------------

int rw_serve(rw_channel* channel, const rw_serve_options* given) {
  return on_channel(channel, [&](ipc::ProgramChannel& on) {
    rw_serve_options options;
    if (!read_options(given, options)) return bad_options();
    return on.serve(options);
  });
}

int rw_unserve(rw_channel* channel, const char* service) {
  return on_channel(channel, [&](ipc::ProgramChannel& on) { return on.unserve(service); });
}

int rw_receive_many(rw_channel* channel, int64_t timeout_ns, rw_message** messages, int max) {
  return on_channel(channel, [&](ipc::ProgramChannel& on) {
    if (messages == nullptr || max <= 0) return fail(RW_EINVAL, "no place for messages");
    return on.receive(timeout_ns, messages, max);
  });
}

int rw_receive(rw_channel* channel, int64_t timeout_ns, rw_message** message) {
  if (message != nullptr) *message = nullptr;
  const int count = rw_receive_many(channel, timeout_ns, message, 1);
  return count > 0 ? int{RW_OK} : count;
}

const void* rw_message_data(const rw_message* message) { return message->data; }
size_t rw_message_bytes(const rw_message* message) { return message->entry.payload_bytes; }
const void* rw_message_key(const rw_message* message, size_t* bytes) {
  if (bytes != nullptr) *bytes = message->entry.key_bytes;
  return message->key;
}
uint64_t rw_message_hash(const rw_message* message) { return message->entry.hash; }
uint32_t rw_message_flags(const rw_message* message) {
  const bool is_reply = message->entry.kind == static_cast<std::uint8_t>(ipc::DeliveryKind::kReply);
  return message->entry.flags | (is_reply ? std::uint32_t{RW_FLAG_REPLY} : 0u);
}
uint32_t rw_message_attempt(const rw_message* message) { return message->entry.attempt; }
rw_ticket rw_message_ticket(const rw_message* message) {
  return message->entry.kind == static_cast<std::uint8_t>(ipc::DeliveryKind::kReply)
             ? message->entry.ticket
             : 0;
}
rw_origin rw_message_origin(const rw_message* message) {
  rw_origin origin;
  std::memcpy(&origin, &message->entry.origin, sizeof origin);
  return origin;
}
const char* rw_message_origin_node(const rw_message* message) { return message->origin_node; }
const char* rw_message_service(const rw_message* message) { return message->service; }

int rw_reply(rw_channel* channel, const rw_message* message, const void* data, size_t bytes,
             const rw_send_options* given, rw_ticket* ticket) {
  if (ticket != nullptr) *ticket = 0;
  return on_channel(channel, [&](ipc::ProgramChannel& on) {
    rw_send_options options;
    if (!read_options(given, options)) return bad_options();
    if (message == nullptr || bad_data(data, bytes))
      return fail(RW_EINVAL, "message or data is NULL");
    if (!message->live) return fail(RW_ESTALE, "the message was released before");
    const int error = on.reply(*message, data, bytes, options, ticket);
    // The caller's handle is const, the message in our pool is not.
    if (error == RW_OK) const_cast<rw_message*>(message)->replied = true;
    return error;
  });
}

int rw_release(rw_channel* channel, rw_message* message, int verdict) {
  return on_channel(channel, [&](ipc::ProgramChannel& on) {
    if (message == nullptr) return fail(RW_EINVAL, "the message is NULL");
    return on.release(message, static_cast<std::uint32_t>(verdict));
  });
}

int rw_fd(rw_channel* channel) {
  return on_channel(channel, [](ipc::ProgramChannel& on) { return on.event_descriptor(); });
}

// ---- about --------------------------------------------------------------------------------------

int rw_status(rw_client* client, rw_status_t* status) {
  if (client == nullptr || status == nullptr) return fail(RW_EINVAL, "client or status is NULL");
  if (client->client->forked()) return fail(RW_EFORK, "this client was opened before fork()");
  return guarded([&] {
    rw_status_t said{};
    const std::size_t wanted = status->struct_bytes;
    if (wanted < sizeof wanted || wanted > 65'536) return bad_options();
    const auto link = client->client->link();
    link->check();
    const ipc::WelcomeAnswer& welcome = link->welcome();
    static_assert(sizeof said.node == sizeof welcome.node_name);
    static_assert(sizeof said.engine_version == sizeof welcome.engine_version);
    std::memcpy(said.node, welcome.node_name, sizeof said.node);
    std::memcpy(said.engine_version, welcome.engine_version, sizeof said.engine_version);
    said.struct_bytes = wanted;
    said.attached = link->dead() ? 0 : 1;
    said.state = link->status().state();
    said.node_count = link->status().node_count();
    said.worker_count = welcome.worker_count;
    said.epoch = link->status().epoch();
    said.incarnation[0] = welcome.incarnation_high;
    said.incarnation[1] = welcome.incarnation_low;
    said.max_message_bytes = welcome.max_message_bytes;
    std::memcpy(status, &said, std::min(wanted, sizeof said));
    return int{RW_OK};
  });
}

int rw_status_nodes(rw_client* client, rw_node_status* nodes, int max) {
  if (client == nullptr || nodes == nullptr || max <= 0)
    return fail(RW_EINVAL, "client or place for nodes is NULL");
  if (client->client->forked()) return fail(RW_EFORK, "this client was opened before fork()");
  return guarded([&] {
    const auto link = client->client->link();
    const ipc::StatusPage& page = link->status();
    const std::uint32_t count = std::min(page.node_count(), static_cast<std::uint32_t>(max));
    for (std::uint32_t index = 0; index < count; ++index) {
      nodes[index] = {};
      const std::string_view name = page.name(index);
      std::memcpy(nodes[index].name, name.data(), name.size());
      nodes[index].state = page.node_state(index);
      nodes[index].role = page.node_role(index);
    }
    return static_cast<int>(count);
  });
}

uint64_t rw_hash(const void* data, size_t bytes) {
  return ringwire::key_hash({static_cast<const std::byte*>(data), bytes});
}

int rw_admin(const char* socket, const char* request, char** answer, int* exit_code) {
  return rw_admin_within(socket, request, kAdminLimitNs, answer, exit_code);
}

int rw_admin_within(const char* socket, const char* request, int64_t timeout_ns, char** answer,
                    int* exit_code) {
  if (request == nullptr || answer == nullptr)
    return fail(RW_EINVAL, "request or place for the answer is NULL");
  *answer = nullptr;
  if (exit_code != nullptr) *exit_code = 1;
  return guarded([&]() -> int {
    const std::string path = ipc::find_socket_path(socket);
    int fd = -1;
    const ringwire::TimeNs deadline =
        timeout_ns < 0 ? ringwire::kNeverNs : ipc::monotonic_ns() + timeout_ns;
    if (const int error = ipc::AttachLink::connect_socket(path, deadline, fd); error != RW_OK)
      return error;
    struct Closer {
      int fd;
      ~Closer() { close(fd); }
    } closer{fd};
    const std::string_view text(request);
    ipc::AttachHeader header{};
    header.magic = ipc::kAttachMagic;
    header.type = static_cast<std::uint32_t>(ipc::AttachType::kAdmin);
    header.request = 1;
    header.body_bytes = static_cast<std::uint32_t>(text.size());
    if (text.size() > ipc::kMaxDatagramBytes - sizeof header)
      return fail(RW_ETOOLARGE, "the request is too long");
    // An engine that is alive answers in milliseconds; one that is stopped must not hang its asker.
    const auto silent = [&path] {
      return fail(RW_ETIMEOUT, "the engine at %s does not answer: is it stopped?", path.c_str());
    };
    // Whether the engine took it shows in the answer: an engine that refuses a caller says why and
    // hangs up, perhaps before it was asked.
    if (ipc::send_datagram(fd, header, ringwire::as_bytes(text), {}, deadline) ==
        ipc::SocketResult::kSystem)
      return fail(RW_ESYSTEM, "asking the engine at %s: %s", path.c_str(), std::strerror(errno));
    std::string collected;
    ipc::Datagram part;
    for (bool more = true; more;) {
      const ipc::SocketResult received = ipc::receive_datagram(fd, part, deadline);
      if (received == ipc::SocketResult::kTimeout) return silent();
      if (received != ipc::SocketResult::kDone)
        return fail(RW_ENOENGINE, "the engine at %s hung up", path.c_str());
      if (const auto notice = part.body_as<ipc::ClosingNotice>();
          notice && part.header().type == static_cast<std::uint32_t>(ipc::AttachType::kClosing))
        return fail(ipc::error_of(static_cast<ipc::AttachStatus>(notice->status)),
                    "the engine at %s refused: %.*s", path.c_str(),
                    static_cast<int>(sizeof notice->text), notice->text);
      const auto status = static_cast<ipc::AttachStatus>(part.header().status);
      ipc::AdminAnswer about{};
      if (status != ipc::AttachStatus::kOk || part.body().size() < sizeof about)
        return fail(status == ipc::AttachStatus::kOk ? int{RW_ECLOSED} : ipc::error_of(status),
                    "the engine at %s refused the request", path.c_str());
      std::memcpy(&about, part.body().data(), sizeof about);
      collected += ringwire::as_text(part.body().subspan(sizeof about));
      more = about.more != 0;
      if (exit_code != nullptr) *exit_code = static_cast<int>(about.exit_code);
    }
    *answer = static_cast<char*>(std::malloc(collected.size() + 1));
    if (*answer == nullptr) return fail(RW_ENOMEM, "out of memory");
    std::memcpy(*answer, collected.c_str(), collected.size() + 1);
    return RW_OK;
  });
}

void rw_free(void* memory) { std::free(memory); }

const char* rw_last_error(void) { return ipc::last_error(); }

const char* rw_default_socket(char* buffer, size_t bytes) {
  if (buffer == nullptr || bytes == 0) return "";
  buffer[0] = '\0';
  guarded([&] {
    const std::string path = ipc::find_socket_path(nullptr);
    const std::size_t copied = std::min(path.size(), bytes - 1);
    std::memcpy(buffer, path.data(), copied);
    buffer[copied] = '\0';
    return int{RW_OK};
  });
  return buffer;
}

const char* rw_version(void) { return RINGWIRE_VERSION; }
