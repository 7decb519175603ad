#include "tests/sim/control_net.h"

#include <algorithm>
#include <utility>

namespace ringwire::sim {
namespace {

/// As engine/node sets it (TCP_USER_TIMEOUT): what is not acknowledged for so long ends it.
constexpr DurationNs kGiveUpNs = 10 * kSecondNs;
constexpr DurationNs kRepeatNs = 100 * kMillisecondNs;

}  // namespace

void ControlNet::schedule(TimeNs at, End towards) {
  heap_.push_back({at, order_++, towards});
  std::push_heap(heap_.begin(), heap_.end(), Due::later);
}

void ControlNet::push(End towards, Piece piece, TimeNs now) {
  const auto found = connections_.find(towards / 2);
  if (found == connections_.end()) return;
  auto& queue = found->second.towards[towards % 2];
  piece.sent_at = now;
  queue.push_back(std::move(piece));
  if (queue.size() == 1) schedule(now + delay_ns_, towards);
}

void ControlNet::set_listening(std::uint32_t node, bool is_listening, TimeNs now) {
  listening_[node] = is_listening;
  if (is_listening) return;
  for (auto& [number, connection] : connections_)
    for (std::uint32_t side = 0; side < 2; ++side) {
      if (connection.node[side] != node || !connection.open[side]) continue;
      connection.open[side] = false;
      push(number * 2 + 1 - side, {0, Kind::kClosed, control::CloseKind::kFinOrReset, {}}, now);
    }
}

void ControlNet::cut(std::uint32_t from, std::uint32_t to, TimeNs until) {
  TimeNs& at = cuts_[{from, to}];
  at = std::max(at, until);
}

void ControlNet::heal() { cuts_.clear(); }

void ControlNet::reset_between(std::uint32_t left, std::uint32_t right, TimeNs now) {
  for (auto& [number, connection] : connections_) {
    const bool theirs = (connection.node[0] == left && connection.node[1] == right) ||
                        (connection.node[0] == right && connection.node[1] == left);
    if (!theirs) continue;
    for (std::uint32_t side = 0; side < 2; ++side)
      push(number * 2 + side, {0, Kind::kClosed, control::CloseKind::kFinOrReset, {}}, now);
  }
}

ControlNet::End ControlNet::dial(std::uint32_t from, std::uint32_t to, TimeNs now) {
  const std::uint64_t number = next_connection_++;
  Connection& connection = connections_[number];
  connection.node[0] = from;
  connection.node[1] = to;
  push(number * 2 + 1, {0, Kind::kAccepted, {}, {}}, now);
  return number * 2;
}

void ControlNet::send(End end, std::span<const std::byte> bytes, TimeNs now) {
  push(end ^ 1, {0, Kind::kBytes, {}, {bytes.begin(), bytes.end()}}, now);
}

void ControlNet::close(End end, TimeNs now) {
  const auto found = connections_.find(end / 2);
  // What the kernel has given up sends nothing more: the other side does not hear of it.
  if (found == connections_.end() || !found->second.open[end % 2]) return;
  found->second.open[end % 2] = false;
  push(end ^ 1, {0, Kind::kClosed, control::CloseKind::kFinOrReset, {}}, now);
}

bool ControlNet::poll(TimeNs now, Arrival& arrival) {
  while (!heap_.empty() && heap_.front().at <= now) {
    const End towards = heap_.front().end;
    std::pop_heap(heap_.begin(), heap_.end(), Due::later);
    heap_.pop_back();
    const auto found = connections_.find(towards / 2);
    if (found == connections_.end()) continue;
    Connection& connection = found->second;
    const std::uint32_t side = towards % 2;
    auto& queue = connection.towards[side];
    const std::uint32_t to = connection.node[side];
    const std::uint32_t from = connection.node[1 - side];
    const auto cut_at = cuts_.find({from, to});
    if (cut_at != cuts_.end() && cut_at->second > now) {
      // The kernel repeats it until the cut is over, or gives up and tells its own side.
      if (now - queue.front().sent_at < kGiveUpNs) {
        schedule(now + kRepeatNs, towards);
        continue;
      }
      queue.clear();
      if (!connection.open[1 - side]) {
        connections_.erase(found);
        continue;
      }
      connection.open[1 - side] = false;
      arrival = {Kind::kClosed, from, towards ^ 1, to, control::CloseKind::kTimeout, {}};
      return true;
    }
    Piece piece = std::move(queue.front());
    queue.pop_front();
    if (!queue.empty()) schedule(std::max(queue.front().sent_at + delay_ns_, now), towards);
    if (piece.kind == Kind::kAccepted) {
      if (!listening_[to]) {  // the kernel there refuses
        connection.open[1] = false;
        push(towards ^ 1, {0, Kind::kClosed, control::CloseKind::kFinOrReset, {}}, now);
        continue;
      }
      connection.open[1] = true;
      push(towards ^ 1, {0, Kind::kConnected, {}, {}}, now);
    }
    if (!connection.open[side]) {
      if (!connection.open[0] && !connection.open[1]) connections_.erase(found);
      continue;
    }
    if (piece.kind == Kind::kClosed) connection.open[side] = false;
    arrival = {piece.kind, to, towards, from, piece.close, std::move(piece.bytes)};
    if (piece.kind == Kind::kClosed && !connection.open[0] && !connection.open[1])
      connections_.erase(found);
    return true;
  }
  return false;
}

}  // namespace ringwire::sim
