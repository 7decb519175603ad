#include "tests/sim/path_figures.h"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "base/check.h"
#include "base/endpoint_text.h"
#include "engine/port/sim_port.h"
#include "engine/transport/session.h"

namespace ringwire::sim {
namespace {

using transport::Event;
using transport::EventKind;

constexpr std::uint64_t kLinkBytesPerS = 1'250'000'000;  // 10 Gbit/s
constexpr DurationNs kOneWayNs = 50 * kMicrosecondNs;
constexpr std::uint32_t kPacketBytes = 8'944;
constexpr std::uint64_t kReceiveQueueBytes = 2 << 20;
constexpr std::uint64_t kGiB = std::uint64_t{1} << 30;

/// Zero bytes to send from, and room to receive into; pages come when touched. What arrives is not
/// looked at here: all messages share it.
class Region {
 public:
  explicit Region(std::uint64_t bytes) : bytes_(bytes) {
    void* const at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    RW_CHECK(at != MAP_FAILED);
    data_ = static_cast<std::byte*>(at);
  }
  ~Region() { munmap(data_, bytes_); }
  Region(const Region&) = delete;
  Region& operator=(const Region&) = delete;
  [[nodiscard]] std::byte* data() const { return data_; }

 private:
  std::byte* data_ = nullptr;
  std::uint64_t bytes_;
};

Endpoint host_endpoint(std::uint32_t host) {
  return endpoint_of_ipv4(
      {10, 0, static_cast<std::uint8_t>(host >> 8), static_cast<std::uint8_t>(host & 0xff)}, 4'000);
}

/// Hosts with sessions between them, each a loop of receive, timers, transmit. An event of a
/// session goes to the host's handler after the usual things were done: memory given, arrived
/// messages settled as processed and released.
class Fabric {
 public:
  struct Link {
    std::unique_ptr<transport::Session> session;
    port::DestinationId destination{};
    std::uint64_t next_sequence = 1;
    std::uint64_t arrived_bytes = 0;
    std::uint64_t arrived_messages = 0;
    std::uint64_t results = 0;
    std::map<transport::MessageNumber, std::uint64_t> opened;  ///< bytes of messages under way
  };
  struct Host {
    std::unique_ptr<port::SimPort> port;
    std::map<std::uint64_t, Link*> by_connection;
    std::vector<std::unique_ptr<Link>> links;
    DurationNs run_ns = 0;
    DurationNs pause_ns = 0;  ///< 0: always running
    [[nodiscard]] bool runs_at(TimeNs now) const {
      return pause_ns == 0 || now % (run_ns + pause_ns) < run_ns;
    }
    [[nodiscard]] TimeNs runs_from(TimeNs now) const {
      return runs_at(now) ? now : (now / (run_ns + pause_ns) + 1) * (run_ns + pause_ns);
    }
  };

  explicit Fabric(std::uint64_t seed) : network({.seed = seed}) {}

  Host& add_host() {
    Host& host = *hosts.emplace_back(std::make_unique<Host>());
    port::SimPortOptions options;
    options.local = host_endpoint(static_cast<std::uint32_t>(hosts.size()));
    options.receive_queue_bytes = kReceiveQueueBytes;
    host.port = network.make_port(options);
    return host;
  }

  /// The two ends of a new session: left's, right's.
  std::pair<Link*, Link*> connect(Host& left, Host& right) {
    const std::uint64_t left_id = next_connection_++;
    const std::uint64_t right_id = next_connection_++;
    return {end(left, right, left_id, right_id), end(right, left, right_id, left_id)};
  }

  /// False when the session has no credit or slot for it now.
  bool send(Link& link, std::uint64_t bytes) {
    transport::OutgoingMessage message;
    message.header.id = {{1, 1}, 1, link.next_sequence};
    message.header.payload_bytes = bytes;
    message.header.level = Level::kProcessed;
    message.payload = memory_.data();
    transport::MessageNumber number{};
    if (link.session->send(message, number) != transport::SendVerdict::kTaken) return false;
    ++link.next_sequence;
    return true;
  }

  /// Runs from event to event until then; `after` is called at each.
  void run(TimeNs until, const std::function<void()>& after) {
    while (now < until) {
      network.advance(now);
      for (const auto& host : hosts)
        if (host->runs_at(now)) pump(*host);
      after();
      for (const auto& host : hosts)
        if (host->runs_at(now)) transmit(*host);
      TimeNs next = network.next_event_ns();
      for (const auto& host : hosts) {
        for (const auto& link : host->links)
          next = std::min(
              next, host->runs_from(link->session->next_deadline_ns() == kNeverNs
                                        ? kNeverNs / 2
                                        : std::max(now + 1, link->session->next_deadline_ns())));
        if (!host->runs_at(now)) next = std::min(next, host->runs_from(now));
      }
      now = std::min(until, std::max(now + 1, std::max(next, now + idle_step_ns)));
    }
  }

  port::SimNetwork network;
  std::vector<std::unique_ptr<Host>> hosts;
  TimeNs now = kSecondNs;
  DurationNs idle_step_ns = 0;

 private:
  Link* end(Host& host, Host& remote, std::uint64_t local_id, std::uint64_t remote_id) {
    Link& link = *host.links.emplace_back(std::make_unique<Link>());
    RW_CHECK(host.port->open_destination(remote.port->local(), link.destination));
    link.session = std::make_unique<transport::Session>(
        transport::SessionConfig{.local_connection_id = local_id,
                                 .remote_connection_id = remote_id,
                                 .max_packet_bytes = kPacketBytes,
                                 .peer_receive_queue_bytes = kReceiveQueueBytes,
                                 .message_slots = 2'048,
                                 .idle_rtt_ns = 2 * kOneWayNs},
        now);
    host.by_connection[local_id] = &link;
    return &link;
  }

  void pump(Host& host) {
    std::array<port::RxPacket, port::kBurstPackets> packets;
    while (const std::size_t count = host.port->rx_burst(packets))
      for (std::size_t at = 0; at < count; ++at) {
        Link& link = *host.by_connection.at(transport::connection_id_of(packets[at].bytes));
        link.session->on_packet(now, packets[at].bytes, events_, packets[at].waited_ns);
        handle(link);
      }
    for (const auto& link : host.links) {
      if (link->session->next_deadline_ns() > now) continue;
      link->session->on_timer(now, events_);
      handle(*link);
    }
  }

  void handle(Link& link) {
    for (const Event& event : events_.all()) {
      if (event.kind == EventKind::kOpen) {
        link.opened[event.number] = event.header.payload_bytes;
        link.session->accept(event.number, room_.data());
      } else if (event.kind == EventKind::kMessage || event.kind == EventKind::kComplete) {
        const auto found = link.opened.find(event.number);
        link.arrived_bytes +=
            event.kind == EventKind::kMessage ? event.header.payload_bytes : found->second;
        if (found != link.opened.end()) link.opened.erase(found);
        ++link.arrived_messages;
        link.session->settle(event.number, Ending::kDone, Reason::kNone);
        link.session->release(event.number);
      } else if (event.kind == EventKind::kResult) {
        ++link.results;
      }
    }
  }

  void transmit(Host& host) {
    for (const auto& link : host.links)
      for (;;) {
        port::TxPacket packet;
        if (host.port->tx_alloc(std::span(&packet, 1)) == 0) return;
        const std::size_t bytes =
            link->session->poll_transmit(now, std::span(packet.data, packet.capacity_bytes));
        if (bytes == 0) {
          host.port->tx_free(std::span(&packet, 1));
          break;
        }
        packet.bytes = static_cast<std::uint32_t>(bytes);
        packet.destination = link->destination;
        host.port->tx_burst(std::span(&packet, 1));
      }
  }

  Region memory_{kGiB};
  Region room_{kGiB};
  transport::EventBatch events_;
  std::uint64_t next_connection_ = 1;
};

port::SimPath plain_path() {
  port::SimPath path;
  path.delay_ns = kOneWayNs;
  return path;
}

double per_second(std::uint64_t bytes, DurationNs time_ns) {
  return static_cast<double>(bytes) * static_cast<double>(kSecondNs) / static_cast<double>(time_ns);
}

}  // namespace

double goodput(const PathOptions& options) {
  Fabric fabric(1);
  port::SimPath path = plain_path();
  path.loss = options.loss;
  path.duplicate = options.duplicate;
  path.bytes_per_s = kLinkBytesPerS;
  fabric.network.set_default_path(path);
  Fabric::Host& left = fabric.add_host();
  Fabric::Host& right = fabric.add_host();
  right.run_ns = options.run_ns;
  right.pause_ns = options.pause_ns;
  const auto [from, to] = fabric.connect(left, right);
  std::uint64_t sent = 0;
  const TimeNs start = fabric.now;
  fabric.run(start + options.duration_ns, [&, from = from] {
    while (sent - from->results < 8 && fabric.send(*from, 1'000'000)) ++sent;
  });
  return per_second(to->arrived_bytes, options.duration_ns);
}

Incast incast(std::uint32_t senders, std::uint64_t queue_bytes) {
  Fabric fabric(2);
  fabric.network.set_default_path(plain_path());
  Fabric::Host& sink = fabric.add_host();
  fabric.network.set_link(sink.port->local(), {kLinkBytesPerS, queue_bytes});
  struct Sender {
    Fabric::Link* from;
    Fabric::Link* to;
    std::uint64_t sent = 0;
  };
  std::vector<Sender> all;
  for (std::uint32_t sender = 0; sender < senders; ++sender) {
    const auto [from, to] = fabric.connect(fabric.add_host(), sink);
    all.push_back({from, to});
  }
  const DurationNs duration_ns = kSecondNs;
  fabric.run(fabric.now + duration_ns, [&] {
    for (Sender& sender : all)
      while (sender.sent - sender.from->results < 2 && fabric.send(*sender.from, 1'000'000))
        ++sender.sent;
  });
  std::uint64_t sum = 0;
  std::uint64_t least = UINT64_MAX;
  for (const Sender& sender : all) {
    sum += sender.to->arrived_bytes;
    least = std::min(least, sender.to->arrived_bytes);
  }
  return {per_second(sum, duration_ns) / static_cast<double>(kLinkBytesPerS),
          static_cast<double>(least) * senders / static_cast<double>(sum)};
}

DurationNs slowest_small_beside_large() {
  Fabric fabric(3);
  port::SimPath path = plain_path();
  path.bytes_per_s = kLinkBytesPerS;
  fabric.network.set_default_path(path);
  Fabric::Host& left = fabric.add_host();
  const auto [from, to] = fabric.connect(left, fabric.add_host());
  RW_CHECK(fabric.send(*from, kGiB));
  const TimeNs start = fabric.now;
  std::vector<TimeNs> sent_at;
  std::uint64_t seen = 0;
  DurationNs slowest = 0;
  fabric.run(start + 100 * kMillisecondNs, [&, from = from, to = to] {
    for (; seen < to->arrived_messages; ++seen)
      slowest = std::max(slowest, fabric.now - sent_at[seen]);
    const auto due = static_cast<std::size_t>((fabric.now - start) / (500 * kMicrosecondNs));
    if (sent_at.size() < due && fabric.send(*from, 64)) sent_at.push_back(fabric.now);
  });
  RW_CHECK(to->opened.size() == 1);  // the large one is still under way
  RW_CHECK(seen + 10 > sent_at.size());
  return slowest;
}

bool everything_arrives(double loss, double duplicate) {
  Fabric fabric(4);
  port::SimPath path = plain_path();
  path.bytes_per_s = kLinkBytesPerS;
  path.loss = loss;
  path.duplicate = duplicate;
  fabric.network.set_default_path(path);
  Fabric::Host& left = fabric.add_host();
  const auto [from, to] = fabric.connect(left, fabric.add_host());
  std::uint64_t sent = 0;
  const TimeNs limit = fabric.now + 60 * kSecondNs;
  while (to->arrived_messages < 100 && fabric.now < limit)
    fabric.run(fabric.now + 10 * kMillisecondNs, [&, from = from] {
      while (sent < 100 && sent - from->results < 8 && fabric.send(*from, 1 + sent * 3'000)) ++sent;
    });
  return to->arrived_messages == 100;
}

bool print_path_figures() {
  bool good = true;
  const auto line = [&good](const char* what, double value, const char* unit, double asked,
                            bool at_least) {
    const bool reached = at_least ? value >= asked : value <= asked;
    good &= reached;
    std::printf("%-62s %8.3f %-9s asked: %s %.3f%s\n", what, value, unit,
                at_least ? "at least" : "at most", asked, reached ? "" : "   MISSED");
  };
  std::printf("one session, 10 Gbit/s, 100 us of round trip, 8,944-byte frames; virtual time\n");
  const double lossless = goodput({});
  line("goodput without loss, of the link", lossless / kLinkBytesPerS, "", 0.9, true);
  line("goodput at 1 % loss, of that without", goodput({.loss = 0.01}) / lossless, "", 0.9, true);
  line("goodput at 10 % loss, of that without", goodput({.loss = 0.1}) / lossless, "", 0.6, true);
  line("goodput, receiver descheduled 1 ms of 2, of that without",
       goodput({.pause_ns = kMillisecondNs}) / lossless, "", 0.45, true);
  line("all arrives at 30 % loss and 50 % duplication", everything_arrives(0.3, 0.5) ? 1 : 0, "", 1,
       true);
  const Incast many = incast(32, 1 << 20);
  line("32-to-1 incast, 1 MiB of queue: of the link", many.link_share, "", 0.85, true);
  line("32-to-1 incast: slowest sender, of its fair share", many.least_share, "", 0.5, true);
  const Incast shallow = incast(32, 256 << 10);
  line("32-to-1 incast, 256 KiB of queue: of the link", shallow.link_share, "", 0.85, true);
  line("32-to-1 incast, 256 KiB: slowest sender", shallow.least_share, "", 0.5, true);
  line("64 B beside 1 GiB: slowest of 200", static_cast<double>(slowest_small_beside_large()) / 1e6,
       "ms", 1.2, false);
  return good;
}

}  // namespace ringwire::sim
