// The C ABI's calls about the engine, the admin door, and the library itself (ringwire.h).
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/hash.h"
#include "ipc/abi_guard.h"
#include "ipc/socket_path.h"

namespace ipc = ringwire::ipc;
using ipc::bad_options;
using ipc::fail;
using ipc::guarded;

namespace {

/// How long rw_admin waits for a live engine's answer.
constexpr ringwire::DurationNs kAdminLimitNs = 10 * ringwire::kSecondNs;
}  // namespace

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
