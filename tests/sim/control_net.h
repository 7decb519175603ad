// The kernel's TCP between the simulated nodes: byte streams that arrive whole, in order and late,
// are held up by cuts, given up after a while, and reset when a node dies. Virtual time; one
// thread.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "base/time.h"
#include "engine/control/peer_control.h"

namespace ringwire::sim {

class ControlNet {
 public:
  /// One end of one connection: connection x 2 + side; side 0 dialled. Never used twice.
  using End = std::uint64_t;
  enum class Kind : std::uint8_t { kAccepted, kConnected, kBytes, kClosed };
  struct Arrival {
    Kind kind{};
    std::uint32_t node = 0;  ///< who it is for
    End end = 0;
    std::uint32_t from = 0;
    control::CloseKind close{};  ///< kClosed
    std::vector<std::byte> bytes;
  };

  explicit ControlNet(std::uint32_t nodes) : nodes_(nodes), listening_(nodes, false) {}

  void set_delay(DurationNs delay_ns) { delay_ns_ = delay_ns; }
  /// A node's engine begins or ends. An end resets all its connections.
  void set_listening(std::uint32_t node, bool is_listening, TimeNs now);
  /// `until` passes: nothing from `from` reaches `to` before it.
  void cut(std::uint32_t from, std::uint32_t to, TimeNs until);
  void heal();
  /// Both ends see a reset, as from a middle box.
  void reset_between(std::uint32_t left, std::uint32_t right, TimeNs now);

  End dial(std::uint32_t from, std::uint32_t to, TimeNs now);
  void send(End end, std::span<const std::byte> bytes, TimeNs now);
  /// FIN, after what was sent.
  void close(End end, TimeNs now);

  [[nodiscard]] TimeNs next_event_ns() const { return heap_.empty() ? kNeverNs : heap_.front().at; }
  /// The next thing that has arrived by `now`; false: none.
  bool poll(TimeNs now, Arrival& arrival);

 private:
  struct Piece {
    TimeNs sent_at = 0;
    Kind kind{};
    control::CloseKind close{};
    std::vector<std::byte> bytes;
  };
  struct Connection {
    std::uint32_t node[2] = {0, 0};
    std::deque<Piece> towards[2];  ///< what is on its way to side 0, side 1
    bool open[2] = {true, false};  ///< that side's engine still knows it
  };
  struct Due {
    TimeNs at = 0;
    std::uint64_t order = 0;
    End end = 0;
    static bool later(const Due& left, const Due& right) {
      return left.at != right.at ? left.at > right.at : left.order > right.order;
    }
  };
  void push(End towards, Piece piece, TimeNs now);
  void schedule(TimeNs at, End towards);

  std::uint32_t nodes_;
  DurationNs delay_ns_ = 100 * kMicrosecondNs;
  std::vector<bool> listening_;
  std::map<std::pair<std::uint32_t, std::uint32_t>, TimeNs> cuts_;
  std::map<std::uint64_t, Connection> connections_;
  std::uint64_t next_connection_ = 1;
  std::uint64_t order_ = 0;
  std::vector<Due> heap_;
};

}  // namespace ringwire::sim
