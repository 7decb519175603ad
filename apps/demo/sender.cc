#include "apps/demo/sender.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>

namespace ringwire::demo {
namespace {

// A gap between outcomes counts as part of the failover if it ends within this time of the kill.
constexpr std::int64_t kFailoverWindowNs = 30'000'000'000;
constexpr std::size_t kMaxComplaints = 5;
constexpr int kPollMs = 20;  // how soon a moved limit or a stop is seen

std::int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace

Sender::Sender(rw_client* client, Corpus& corpus)
    : client_(client), corpus_(corpus), endings_(corpus.files.size(), Ending::kNone) {}

void Sender::run(const std::vector<std::size_t>& indices) {
  {
    const std::lock_guard lock(mutex_);
    progress_.finished = false;
  }
  const int opened = rw_channel_open(client_, nullptr, &channel_);
  if (opened < 0) return finish(std::string("no channel: ") + rw_last_error());
  std::string error;
  std::size_t next = 0;
  while (!stopped() && (next < indices.size() || !flight_.empty())) {
    if (next < indices.size() && may_submit(indices[next])) {
      const Step step = submit(indices[next]);
      if (step == Step::kBroken) {
        error = std::string("sending stopped: ") + rw_last_error();
        break;
      }
      if (step != Step::kFull) {
        ++next;
        continue;
      }
    }
    await_outcomes();
  }
  rw_channel_close(channel_);
  channel_ = nullptr;
  flight_.clear();
  flight_bytes_ = 0;
  finish(error);
}

void Sender::set_limit_bytes(std::uint64_t limit_bytes) {
  const std::lock_guard lock(mutex_);
  limit_bytes_ = limit_bytes;
}

void Sender::note_kill() {
  const std::lock_guard lock(mutex_);
  killed_at_ns_ = now_ns();
}

void Sender::stop() {
  const std::lock_guard lock(mutex_);
  stop_ = true;
}

Progress Sender::progress() const {
  const std::lock_guard lock(mutex_);
  return progress_;
}

Sender::Step Sender::submit(std::size_t index) {
  CorpusFile& file = corpus_.files[index];
  // Looked at right before it is read: a later change is then seen by comparing once more.
  if (!look_at(file.path, file.state)) {
    endings_[index] = Ending::kUnread;
    return Step::kSkipped;
  }
  rw_ticket ticket = 0;
  const int sent = send(file, ticket);
  if (sent == RW_EIO || sent == RW_ESHORT) {
    endings_[index] = sent == RW_EIO ? Ending::kUnread : Ending::kShrunken;
    return Step::kSkipped;
  }
  // Taken back by outcomes that end; with nothing in flight it would never change.
  if ((sent == RW_EAGAIN || sent == RW_ETIMEOUT || sent == RW_ENOMEM) && !flight_.empty()) {
    return Step::kFull;
  }
  if (sent < 0) return Step::kBroken;
  if (flight_.empty()) quiet_since_ns_ = now_ns();
  endings_[index] = Ending::kNone;
  flight_.emplace(ticket, index);
  flight_bytes_ += file.state.bytes;
  const std::lock_guard lock(mutex_);
  ++progress_.submitted_files;
  progress_.submitted_bytes += file.state.bytes;
  return Step::kSubmitted;
}

int Sender::send(const CorpusFile& file, rw_ticket& ticket) {
  const rw_target target = rw_target_key(file.key.data(), file.key.size());
  rw_send_options options{};
  options.struct_bytes = sizeof(options);
  options.level = RW_LEVEL_PROCESSED;
  const int descriptor = ::open(file.path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return RW_EIO;
  const int sent = file.state.bytes == 0 ? rw_send(channel_, &target, nullptr, 0, &options, &ticket)
                                         : rw_send_file(channel_, &target, descriptor, 0,
                                                        file.state.bytes, &options, &ticket);
  ::close(descriptor);
  return sent;
}

void Sender::book(const rw_outcome& outcome) {
  const auto it = flight_.find(outcome.ticket);
  if (it == flight_.end()) return;
  const std::size_t index = it->second;
  const CorpusFile& file = corpus_.files[index];
  flight_.erase(it);
  flight_bytes_ -= file.state.bytes;

  const std::lock_guard lock(mutex_);
  book_times(outcome, now_ns());
  ++progress_.ended_files;
  if (outcome.ending == RW_ENDING_DONE) {
    endings_[index] = Ending::kDone;
    ++progress_.done_files;
    progress_.done_bytes += file.state.bytes;
    if (outcome.attempts > 1) ++progress_.resent_files;
    return;
  }
  const bool failed = outcome.ending == RW_ENDING_FAILED;
  endings_[index] = failed ? Ending::kFailed : Ending::kUnknown;
  ++(failed ? progress_.failed_files : progress_.unknown_files);
  if (progress_.complaints.size() < kMaxComplaints) {
    progress_.complaints.push_back(file.key + ": " + rw_ending_name(outcome.ending) + " (" +
                                   rw_reason_name(outcome.reason) + ")");
  }
}

// Under the mutex.
void Sender::book_times(const rw_outcome& outcome, std::int64_t now_ns) {
  const std::int64_t since_ns = quiet_since_ns_;
  progress_.busy_ns += now_ns - since_ns;
  quiet_since_ns_ = now_ns;
  if (killed_at_ns_ == 0 || now_ns - killed_at_ns_ > kFailoverWindowNs) return;
  progress_.failover_ns =
      std::max(progress_.failover_ns, now_ns - std::max(since_ns, killed_at_ns_));
  if (outcome.attempts > 1 && progress_.first_resent_ns == 0) {
    progress_.first_resent_ns = now_ns - killed_at_ns_;
  }
}

bool Sender::may_submit(std::size_t index) const {
  const std::uint64_t bytes = corpus_.files[index].state.bytes;
  if (flight_.size() >= kMaxFlightMessages) return false;
  if (!flight_.empty() && flight_bytes_ + bytes > kMaxFlightBytes) return false;
  const std::lock_guard lock(mutex_);
  // The very first one goes whatever its size: one file may be all there is.
  return progress_.submitted_files == 0 || progress_.submitted_bytes + bytes <= limit_bytes_;
}

bool Sender::stopped() const {
  const std::lock_guard lock(mutex_);
  return stop_;
}

void Sender::await_outcomes() {
  rw_outcome outcomes[64];
  const int count = rw_poll(channel_, outcomes, 64);
  for (int i = 0; i < count; ++i) book(outcomes[i]);
  if (count > 0) return;
  pollfd waiting{.fd = rw_fd(channel_), .events = POLLIN, .revents = 0};
  ::poll(&waiting, 1, kPollMs);
}

void Sender::finish(const std::string& error) {
  const std::lock_guard lock(mutex_);
  progress_.error = error;
  progress_.finished = true;
}

}  // namespace ringwire::demo
