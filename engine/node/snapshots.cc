#include "engine/node/snapshots.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace ringwire::node {
namespace {

/// A worker sleeps at most 100 ms and is woken for this; one that needs longer is in trouble, and
/// whoever asks wants to know the rest.
constexpr std::chrono::milliseconds kPatience(1'000);

}  // namespace

Snapshots::Snapshots(boost::asio::io_context& manager, Workers& workers)
    : timer_(manager), workers_(workers), asked_(workers.count(), false) {}

void Snapshots::take(const Room& room, Then then) {
  room_.sessions = std::max(room_.sessions, room.sessions);
  room_.channels = std::max(room_.channels, room.channels);
  room_.groups = std::max(room_.groups, room.groups);
  next_.push_back(std::move(then));
  if (!under_way_) start();
}

void Snapshots::start() {
  under_way_ = true;
  now_ = std::exchange(next_, {});
  all_.clear();
  all_.resize(workers_.count());
  missing_ = 0;
  for (std::uint32_t worker = 0; worker < workers_.count(); ++worker) {
    if (asked_[worker]) continue;
    asked_[worker] = true;
    ++missing_;
    auto snapshot = std::make_unique<worker::WorkerSnapshot>();
    snapshot->sessions.reserve(room_.sessions);
    snapshot->channels.reserve(room_.channels);
    snapshot->groups.reserve(room_.groups);
    workers_.send(worker, worker::TakeSnapshot{std::move(snapshot)});
  }
  timer_.expires_after(kPatience);
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (!error && under_way_) finish();
  });
}

void Snapshots::on_taken(std::uint32_t worker, worker::SnapshotTaken& taken) {
  asked_[worker] = false;
  if (!under_way_ || missing_ == 0) return;
  all_[worker] = std::move(taken.snapshot);
  if (--missing_ == 0) finish();
}

void Snapshots::finish() {
  timer_.cancel();
  under_way_ = false;
  const All all = std::move(all_);
  for (const Then& then : std::exchange(now_, {})) then(all);
  if (!next_.empty() && !under_way_) start();
}

void Snapshots::cancel() {
  timer_.cancel();
  under_way_ = false;
  now_.clear();
  next_.clear();
}

}  // namespace ringwire::node
