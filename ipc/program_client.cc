#include "ipc/program_client.h"

#include <errno.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "base/hash.h"
#include "ipc/last_error.h"
#include "ipc/socket_path.h"

namespace ringwire::ipc {
namespace {

constexpr std::size_t kPageBytes = 4'096;
constexpr DurationNs kMinBackOffNs = 10 * kMillisecondNs;
constexpr DurationNs kMaxBackOffNs = 200 * kMillisecondNs;
constexpr DurationNs kDefaultReconnectNs = 30 * kSecondNs;

Id128 random_id() {
  Id128 id;
  if (getrandom(&id, sizeof id, 0) != sizeof id) {
    // No entropy call on this kernel: unique by time and process is still unique on this node.
    id.high = mix64(static_cast<std::uint64_t>(monotonic_ns()));
    id.low = mix64(static_cast<std::uint64_t>(getpid()) ^ id.high);
  }
  return id;
}

}  // namespace

ForkGuard::ForkGuard() : pid_(getpid()) {
  void* at = mmap(nullptr, kPageBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) return;
  if (madvise(at, kPageBytes, MADV_WIPEONFORK) != 0) {
    munmap(at, kPageBytes);
    return;
  }
  page_ = static_cast<std::uint32_t*>(at);
  *page_ = 1;
}

ForkGuard::~ForkGuard() {
  if (page_ != nullptr) munmap(page_, kPageBytes);
}

bool ForkGuard::forked() const { return page_ != nullptr ? *page_ == 0 : getpid() != pid_; }

int ProgramClient::open(const rw_client_options& options, std::unique_ptr<ProgramClient>& client) {
  std::unique_ptr<ProgramClient> fresh(new ProgramClient);
  fresh->path_ = find_socket_path(options.socket);
  fresh->label_ = options.label != nullptr ? options.label : program_invocation_short_name;
  fresh->attachment_ = random_id();
  fresh->reconnect_ns_ = options.reconnect_ns == 0 ? kDefaultReconnectNs : options.reconnect_ns;
  const TimeNs begin = monotonic_ns();
  DurationNs back_off = kMinBackOffNs;
  for (;;) {
    const int error =
        AttachLink::open(fresh->path_, fresh->label_, fresh->attachment_, fresh->link_);
    if (error == RW_OK) break;
    const TimeNs now = monotonic_ns();
    const bool give_up =
        options.connect_timeout_ns >= 0 && now - begin >= options.connect_timeout_ns;
    // One that is stopped may go on, as one that is not there may be started.
    if ((error != RW_ENOENGINE && error != RW_ETIMEOUT) || give_up) return error;
    wait_on(-1, 0, -1, 0, now + back_off);
    back_off = std::min(2 * back_off, kMaxBackOffNs);
  }
  client = std::move(fresh);
  return RW_OK;
}

ProgramClient::~ProgramClient() = default;

std::shared_ptr<AttachLink> ProgramClient::link() {
  const std::lock_guard lock(mutex_);
  return link_;
}

int ProgramClient::relink(std::shared_ptr<AttachLink>& stale, TimeNs& next_attempt) {
  const std::lock_guard lock(mutex_);
  if (closed_error_ != RW_OK) return fail(closed_error_, "%s", closed_text_.c_str());
  if (link_ != stale && !link_->dead()) {
    stale = link_;
    return RW_OK;
  }
  if (back_off_ns_ == 0) {
    // First to come after its death: was it an accident, or was this program thrown out?
    const AttachStatus status = link_->closing_status(closed_text_);
    if (status != AttachStatus::kOk && status != AttachStatus::kShutdown) {
      closed_error_ = RW_ECLOSED;
      return fail(closed_error_, "%s", closed_text_.c_str());
    }
    back_off_ns_ = kMinBackOffNs;
    next_attempt_ = 0;
  }
  const TimeNs now = monotonic_ns();
  if (now < next_attempt_) {
    next_attempt = next_attempt_;
    return RW_EAGAIN;
  }
  const int error = AttachLink::open(path_, label_, attachment_, link_);
  if (error == RW_OK) {
    back_off_ns_ = 0;
    stale = link_;
    return RW_OK;
  }
  if (error == RW_EVERSION) return error;
  // All else may pass: no engine yet, or one that still buries our former attachment.
  next_attempt_ = now + back_off_ns_;
  next_attempt = next_attempt_;
  back_off_ns_ = std::min(2 * back_off_ns_, kMaxBackOffNs);
  return RW_EAGAIN;
}

int ProgramClient::request(AttachLink& link, AttachType type, std::span<const std::byte> body,
                           int descriptor, Datagram& answer) {
  const std::lock_guard lock(mutex_);
  return link.request(type, body, descriptor, answer);
}

int ProgramClient::service_handle(AttachLink& link, const std::string& name,
                                  std::uint16_t& handle) {
  const std::lock_guard lock(mutex_);
  return link.service_handle(name, handle);
}

int ProgramClient::add_channel(std::uint32_t& number, std::uint64_t& next_sequence) {
  const std::lock_guard lock(mutex_);
  std::uint32_t index = 0;
  while (index < numbers_.size() && numbers_[index].used) ++index;
  if (index >= link_->welcome().max_channels)
    return fail(RW_ELIMIT, "a program may open %u channels", link_->welcome().max_channels);
  if (index == numbers_.size()) numbers_.emplace_back();
  numbers_[index].used = true;
  number = index;
  next_sequence = numbers_[index].next_sequence;
  return RW_OK;
}

void ProgramClient::remove_channel(std::uint32_t number, std::uint64_t next_sequence) {
  const std::lock_guard lock(mutex_);
  numbers_[number] = {false, next_sequence};
}

}  // namespace ringwire::ipc
