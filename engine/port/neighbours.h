// Who is next on the link, and what a host owes its neighbours where no kernel does it: ARP
// (RFC 826) and ICMP echo (RFC 792) over IPv4; neighbour discovery (RFC 4861) and ICMPv6 echo
// (RFC 4443) over IPv6; the gateway for destinations off the link. Pure: told the time, handed
// frames, fills in frames. One object a port, by its worker's thread; find() is hot, the rest cold.
//
// Bounded against strangers: only addresses that somebody opened have an entry, so no frame makes
// one; answers come out of a budget; each frame costs one look-up. Nobody proves an Ethernet
// address on a link: who can send frames there can lead ours astray (not read or forge them, where
// security is on). What is known once stays known while nobody says otherwise.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "base/time.h"

namespace ringwire::port {

using EthernetAddress = std::array<std::uint8_t, 6>;
using IpAddress = std::array<std::uint8_t, 16>;  ///< as in Endpoint: IPv4 mapped into IPv6

/// Answers in a row, and in the long run: `ping -f` has 100 or more a second, a link of a thousand
/// hosts asks for us less often than that.
inline constexpr std::uint32_t kAnswerBurst = 64;
inline constexpr std::uint32_t kAnswersPerSecond = 2'000;
/// Between two requests for an address that is not known: five in the first second, then one.
inline constexpr DurationNs kAskSoonNs = 200 * kMillisecondNs;
inline constexpr std::uint32_t kSoonAsks = 5;
inline constexpr DurationNs kAskLaterNs = kSecondNs;
/// An address that is in use is asked for again this long after its last answer (RFC 4861 has 30 s
/// for REACHABLE_TIME, kernels as much for ARP).
inline constexpr DurationNs kRefreshNs = 30 * kSecondNs;
/// A frame of ours that is no answer to an echo: Ethernet, IPv6, neighbour solicitation, option.
inline constexpr std::size_t kMaxRequestBytes = 14 + 40 + 32;

struct NeighboursOptions {
  EthernetAddress ethernet{};  ///< ours
  IpAddress local{};           ///< ours; its family is the only one spoken
  std::optional<IpAddress> gateway{};
  std::uint32_t prefix_bits = 0;  ///< of the link's network (IPv4: 0..32); without gateway: unused
  std::uint32_t capacity_count = 1'024;
};

enum class NeighbourId : std::uint32_t {};

struct NeighbourCounters {
  std::uint64_t requests_sent = 0;
  std::uint64_t answers_sent = 0;
  std::uint64_t answers_refused = 0;  ///< out of budget, or no room
  std::uint64_t learned = 0;          ///< an address became known, or another one
  std::uint64_t conflicts = 0;        ///< another host claims our address
  std::uint64_t ignored = 0;          ///< not for us, not understood, or wrong
};

class Neighbours {
 public:
  explicit Neighbours(const NeighboursOptions& options);

  /// The next hop to `remote`, which is looked for until closed as often as opened. Nothing when
  /// the table is full of open ones.
  std::optional<NeighbourId> open(const IpAddress& remote);
  void close(NeighbourId neighbour);
  /// Null while not known.
  [[nodiscard]] const EthernetAddress* find(NeighbourId neighbour) const {
    const Entry& entry = entries_[static_cast<std::size_t>(neighbour)];
    return entry.is_known ? &entry.ethernet : nullptr;
  }

  struct Outcome {
    std::size_t answer_bytes = 0;  ///< written to the answer: send it; 0: none
    bool is_news = false;          ///< of use to the other ports of a device, too
  };
  /// Take an Ethernet frame (no VLAN tag) that is not for the data path. `answer` should have as
  /// much room as the frame, and kMaxRequestBytes.
  Outcome on_frame(TimeNs now, std::span<const std::byte> frame, std::span<std::byte> answer);
  /// A request that is due, written to `frame` of at least kMaxRequestBytes; 0 if none is.
  std::size_t poll_request(TimeNs now, std::span<std::byte> frame);
  /// When poll_request() should be asked again; kNeverNs: after the next open().
  [[nodiscard]] TimeNs next_request_ns() const { return next_request_ns_; }

  [[nodiscard]] const NeighbourCounters& counters() const { return counters_; }

 private:
  struct Entry {
    IpAddress address{};
    EthernetAddress ethernet{};
    bool is_known = false;
    bool is_used = false;  ///< stands for an address at all
    std::uint32_t opened_count = 0;
    std::uint32_t asked_count = 0;  ///< since the last answer
    TimeNs ask_ns = 0;
  };

  [[nodiscard]] bool is_on_link(const IpAddress& remote) const;
  [[nodiscard]] std::optional<std::uint32_t> free_entry();
  void learn(TimeNs now, const IpAddress& address, const EthernetAddress& ethernet);
  bool spend_answer(TimeNs now);
  Outcome on_arp(TimeNs now, std::span<const std::byte> frame, std::span<std::byte> answer);
  Outcome on_ipv4(TimeNs now, std::span<const std::byte> frame, std::span<std::byte> answer);
  Outcome on_ipv6(TimeNs now, std::span<const std::byte> frame, std::span<std::byte> answer);
  Outcome on_solicitation(TimeNs now, std::span<const std::byte> frame,
                          std::span<std::byte> answer);
  Outcome on_advertisement(TimeNs now, std::span<const std::byte> frame);
  Outcome ignored();
  std::size_t write_arp_request(const IpAddress& address, std::span<std::byte> frame) const;
  std::size_t write_solicitation(const IpAddress& address, std::span<std::byte> frame) const;

  NeighboursOptions options_;
  bool is_ipv4_ = false;
  std::vector<Entry> entries_;
  std::map<IpAddress, std::uint32_t> indices_;  ///< changes in open() only
  TimeNs next_request_ns_ = kNeverNs;
  std::uint32_t answers_left_ = kAnswerBurst;
  TimeNs answers_filled_ns_ = 0;
  NeighbourCounters counters_;
};

/// The Internet checksum (RFC 1071) of `bytes`, added to `sum`; 0xffff over bytes that contain
/// their right checksum. As a number: store it big-endian, complemented.
[[nodiscard]] std::uint16_t internet_sum(std::span<const std::byte> bytes, std::uint32_t sum = 0);

}  // namespace ringwire::port
