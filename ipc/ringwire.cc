// The C ABI of clients and channels (ringwire.h): checks arguments and calls the rooms behind it.
#include "ipc/ringwire.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "ipc/abi_guard.h"

namespace ipc = ringwire::ipc;
using ipc::bad_options;
using ipc::fail;
using ipc::guarded;
using ipc::on_channel;
using ipc::read_options;

namespace {

constexpr std::size_t kReadBytes = 1u << 20;  // what one read asks for: enough to be rare

bool bad_data(const void* data, std::size_t bytes) { return data == nullptr && bytes > 0; }

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

int rw_flush(rw_channel* channel) {
  return on_channel(channel, [](ipc::ProgramChannel& on) { return on.flush(); });
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
  constexpr std::uint32_t kInternal = ipc::kDeliverMemoryKept;
  return (message->entry.flags & ~kInternal) | (is_reply ? std::uint32_t{RW_FLAG_REPLY} : 0u);
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
