// ringwire-pktgen: packets of all sizes at all rates through a port of ours. blast sends, sink
// counts, echo sends back, search finds the highest rate without loss over frame sizes. The same
// ports, and so the same frames, as the engine's. Exit codes: 0 done, 1 failed, 2 wrong usage, 4
// nobody there in time.
#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <span>

#include "apps/cli/table.h"
#include "apps/pktgen/control_connection.h"
#include "apps/pktgen/echo.h"
#include "apps/pktgen/generator.h"
#include "apps/pktgen/live_table.h"
#include "apps/pktgen/load_report.h"
#include "apps/pktgen/message_load.h"
#include "apps/pktgen/tally.h"
#include "apps/pktgen/trial.h"
#include "apps/pktgen/wire.h"
#include "base/endpoint_text.h"
#include "engine/node/clock.h"
#include "engine/node/config_text.h"
#include "engine/transport/limits.h"

namespace ringwire::pktgen {
namespace {

/// That the other side has to take the last packets.
constexpr DurationNs kLingerNs = 200 * kMillisecondNs;
/// That messages may take to end when no more are sent: above what an engine keeps one for a
/// program that is away, before it turns it away.
constexpr DurationNs kDrainNs = 10 * kSecondNs;
/// The sizes of RFC 2544 section 9.1 for Ethernet, and a jumbo frame.
constexpr std::array<std::uint32_t, 8> kSizes = {64, 128, 256, 512, 1'024, 1'280, 1'518, 9'018};

volatile sig_atomic_t stop_asked = 0;
bool stopped() { return stop_asked != 0; }

struct Options {
  WireOptions wire;
  std::string address = "127.0.0.1:3300";
  std::string gateway;
  std::string to;
  GeneratorOptions generator;
  double percent = 0;
  double seconds = 0;
  double wait_s = 20;
  std::vector<std::uint32_t> sizes;
  SearchOptions search;
  double trial_s = 1;
  std::string engine;
  std::string name;
  std::string level = "processed";
  LoadOptions load;
  bool json = false;
};

Endpoint endpoint_of(const std::string& text, const char* option) {
  const auto endpoint = parse_endpoint(text);
  if (!endpoint) throw WireError{std::string(option) + ": \"" + text + "\" is no ADDRESS:PORT", 2};
  return *endpoint;
}

void find_remote(Wire& wire, const Options& options) {
  const auto patience = std::chrono::nanoseconds(static_cast<std::int64_t>(options.wait_s * 1e9));
  if (!wire.find(options.generator.remote, patience))
    throw WireError{options.to + " was not found on the link within " +
                        std::to_string(static_cast<int>(options.wait_s)) +
                        " s: is the link up, and somebody there?",
                    4};
}

/// The rate that --rate or --percent asks for at a frame size; 0: as fast as it goes.
double rate_of(const Wire& wire, const Options& options, std::uint32_t frame_bytes) {
  if (options.percent == 0) return options.generator.packets_per_s;
  const std::uint32_t mbits = wire.link_mbits();
  if (mbits == 0)
    throw WireError{"the device does not say how fast its link is: give --rate, not --percent", 2};
  return options.percent / 100 * mbits * 1e6 / 8 / (frame_bytes + kWireGapBytes);
}

/// The table of rates, each second, unless --json wants nothing beside its object.
class Show {
 public:
  Show(Wire& wire, const Options& options, TimeNs now)
      : table_(wire), next_ns_(options.json ? kNeverNs : now + kSecondNs) {}

  void poll(TimeNs now) {
    if (now < next_ns_) return;
    next_ns_ = now + kSecondNs;
    std::printf("%s%s", is_terminal_ ? "\033[H\033[J" : "", table_.render(now).c_str());
    std::fflush(stdout);
  }

 private:
  LiveTable table_;
  TimeNs next_ns_;
  bool is_terminal_ = ::isatty(STDOUT_FILENO) != 0;
};

TimeNs end_of(const Options& options, TimeNs begin) {
  return options.seconds == 0 ? kNeverNs : begin + static_cast<TimeNs>(options.seconds * 1e9);
}

/// Calls `work(now)` over and over until the time is up or a signal comes.
template <typename Work>
double run_for(Wire& wire, const Options& options, Work&& work) {
  const TimeNs begin = node::clock_now_ns();
  const TimeNs end = end_of(options, begin);
  Show show(wire, options, begin);
  TimeNs now = begin;
  for (; now < end && !stopped(); now = node::clock_now_ns()) {
    work(now);
    show.poll(now);
  }
  return static_cast<double>(now - begin) * 1e-9;
}

/// Takes what came on all queues.
template <typename Take>
void receive(Wire& wire, Take&& take) {
  std::array<port::RxPacket, port::kBurstPackets> packets;
  for (auto& port : wire.ports()) {
    const std::size_t count = port->rx_burst(packets);
    if (count != 0) take(*port, std::span<const port::RxPacket>(packets).first(count));
  }
}

int blast(Options& options) {
  Wire wire(options.wire);
  find_remote(wire, options);
  Generator generator(wire, options.generator);
  generator.start(node::clock_now_ns(), rate_of(wire, options, options.generator.frame_bytes));
  const double seconds = run_for(wire, options, [&](TimeNs now) {
    generator.poll(now);
    receive(wire, [](port::Port&, std::span<const port::RxPacket>) {});
  });
  // What is still in a ring of shared memory goes when that does.
  for (const TimeNs end = node::clock_now_ns() + kLingerNs; node::clock_now_ns() < end;)
    receive(wire, [](port::Port&, std::span<const port::RxPacket>) {});
  const double rate = static_cast<double>(generator.sent()) / seconds;
  if (options.json) {
    std::printf("%s\n", nlohmann::json{{"mode", "blast"},
                                       {"frame_bytes", options.generator.frame_bytes},
                                       {"sent", generator.sent()},
                                       {"packets_per_s", rate},
                                       {"duration_ns", seconds * 1e9}}
                            .dump(1)
                            .c_str());
  } else {
    std::printf("sent %llu frames of %u bytes in %.2f s: %.3f Mpps\n",
                static_cast<unsigned long long>(generator.sent()), options.generator.frame_bytes,
                seconds, rate / 1e6);
  }
  return 0;
}

int sink(Options& options) {
  Wire wire(options.wire);
  Tally tally;
  const double seconds = run_for(wire, options, [&](TimeNs) {
    receive(wire, [&](port::Port&, std::span<const port::RxPacket> packets) {
      // Not the time before they were received: a packet may be stamped later than that.
      const TimeNs now = node::clock_now_ns();
      for (const port::RxPacket& packet : packets) tally.on_packet(now, packet.bytes);
    });
  });
  if (options.json) {
    std::printf("%s\n", nlohmann::json{{"mode", "sink"},
                                       {"received", tally.packets()},
                                       {"bytes", tally.bytes()},
                                       {"missing", tally.missing()},
                                       {"reordered", tally.reordered()},
                                       {"foreign", tally.foreign()},
                                       {"latency_ns", latency_json(tally.latency())},
                                       {"duration_ns", seconds * 1e9}}
                            .dump(1)
                            .c_str());
  } else {
    std::printf(
        "received %llu, missing %llu, reordered %llu, foreign %llu\n"
        "latency p50 %.2f us, p99 %.2f us, max %.2f us (of use when sender and sink are on one "
        "host)\n",
        static_cast<unsigned long long>(tally.packets()),
        static_cast<unsigned long long>(tally.missing()),
        static_cast<unsigned long long>(tally.reordered()),
        static_cast<unsigned long long>(tally.foreign()),
        static_cast<double>(tally.latency().value_at(50'000)) / 1e3,
        static_cast<double>(tally.latency().value_at(99'000)) / 1e3,
        static_cast<double>(tally.latency().max_value()) / 1e3);
  }
  return 0;
}

int echo(Options& options) {
  Wire wire(options.wire);
  Echo echo;
  const double seconds = run_for(wire, options, [&](TimeNs) {
    receive(wire, [&](port::Port& port, std::span<const port::RxPacket> packets) {
      echo.answer(port, packets);
    });
  });
  if (options.json)
    std::printf("%s\n", nlohmann::json{{"mode", "echo"},
                                       {"echoed", echo.echoed()},
                                       {"dropped", echo.dropped()},
                                       {"duration_ns", seconds * 1e9}}
                            .dump(1)
                            .c_str());
  else
    std::printf("echoed %llu, dropped %llu\n", static_cast<unsigned long long>(echo.echoed()),
                static_cast<unsigned long long>(echo.dropped()));
  return 0;
}

std::string text_of(const char* format, double value) {
  char text[32];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

int search(Options& options) {
  Wire wire(options.wire);
  find_remote(wire, options);
  options.search.trial_ns = static_cast<DurationNs>(options.trial_s * 1e9);
  using cli::Table;
  Table table({{"FRAME", Table::Align::kRight},
               {"Mpps", Table::Align::kRight},
               {"Gbit/s", Table::Align::kRight},
               {"LOSS", Table::Align::kRight},
               {"P50 us", Table::Align::kRight},
               {"P99 us", Table::Align::kRight},
               {"MOST Mpps", Table::Align::kRight}});
  nlohmann::json rows = nlohmann::json::array();
  bool all_passed = true;
  for (const std::uint32_t size : options.sizes) {
    if (size - kFrameOverheadBytes > wire.max_payload_bytes()) {
      std::fprintf(stderr, "ringwire-pktgen: frames of %u bytes do not fit this device\n", size);
      continue;
    }
    options.generator.frame_bytes = size;
    Generator generator(wire, options.generator);
    double most_per_s = 0;
    const Trial best = search_throughput(options.search, [&](double packets_per_s) {
      Trial trial = run_trial(wire, generator, options.search, packets_per_s, stopped);
      most_per_s = std::max(most_per_s, trial.received_per_s);
      return trial;
    });
    if (stopped()) break;
    all_passed = all_passed && best.received != 0;
    const double bits_per_s = best.received_per_s * (size + kWireGapBytes) * 8;
    rows.push_back({{"frame_bytes", size},
                    {"packets_per_s", best.received_per_s},
                    {"link_bits_per_s", bits_per_s},
                    {"loss", best.loss()},
                    {"latency_ns", latency_json(best.latency)},
                    {"most_packets_per_s", most_per_s}});
    table.add({std::to_string(size), text_of("%.3f", best.received_per_s / 1e6),
               text_of("%.2f", bits_per_s / 1e9), text_of("%.5f", best.loss()),
               text_of("%.2f", static_cast<double>(best.latency.value_at(50'000)) / 1e3),
               text_of("%.2f", static_cast<double>(best.latency.value_at(99'000)) / 1e3),
               text_of("%.3f", most_per_s / 1e6)});
  }
  if (options.json)
    std::printf("%s\n", nlohmann::json{{"mode", "search"},
                                       {"loss_bound", options.search.loss_bound},
                                       {"trial_ns", options.search.trial_ns},
                                       {"rows", rows}}
                            .dump(1)
                            .c_str());
  else
    std::printf("%s", table.render(cli::Colour::kOff).c_str());
  return all_passed && !stopped() ? 0 : 1;
}

/// In short steps: the engine wants to hear of us meanwhile.
void find_engine(Wire& wire, ControlConnection& control, std::chrono::nanoseconds patience) {
  const Endpoint& remote = control.engine().data_endpoints.front();
  const TimeNs give_up = node::clock_now_ns() + patience.count();
  while (!wire.find(remote, std::chrono::milliseconds(50))) {
    control.poll(node::clock_now_ns());
    if (!control.ended().empty()) throw WireError{control.ended(), 1};
    if (node::clock_now_ns() > give_up || stopped())
      throw WireError{"nobody answers at the engine's data address " + endpoint_text(remote) +
                          ": is this device on its link?",
                      4};
  }
}

int peer(Options& options) {
  const auto engine = node::parse_host_port(options.engine);
  if (!engine) throw WireError{"--engine: \"" + options.engine + "\" is no HOST:PORT", 2};
  const auto patience = std::chrono::nanoseconds(static_cast<std::int64_t>(options.wait_s * 1e9));
  Wire wire(options.wire);
  if (wire.max_payload_bytes() < transport::kMinPacketBytes)
    throw WireError{"engines want packets of at least " +
                        std::to_string(transport::kMinPacketBytes) + " bytes: raise --mtu",
                    2};
  ControlOptions joining;
  joining.engine = *engine;
  joining.node_name = options.name.empty() ? "pktgen-" + std::to_string(::getpid()) : options.name;
  for (const auto& port : wire.ports()) joining.data.push_back(port->local());
  joining.max_packet_bytes = wire.max_payload_bytes();
  joining.receive_queue_bytes = wire.ports().front()->receive_queue_bytes();
  ControlConnection control(joining);
  control.join(patience, stopped);
  if (stopped()) return 1;
  find_engine(wire, control, patience);
  MessageLoad load(wire, control, control.round_trip_ns(), options.load);
  const TimeNs begin = node::clock_now_ns();
  const TimeNs end = end_of(options, begin);
  TimeNs give_up = kNeverNs;
  TimeNs now = begin;
  Show show(wire, options, begin);
  for (; !load.finished() && now < give_up; now = node::clock_now_ns()) {
    if (give_up == kNeverNs && (now >= end || stopped())) {
      load.stop();
      give_up = now + kDrainNs;
    }
    control.poll(now);
    load.poll(now);
    show.poll(now);
    if (load.broken() != 0 || !control.ended().empty()) break;
  }
  const DurationNs duration_ns = now - begin;
  // The last replies are acknowledged yet.
  for (const TimeNs until = now + kLingerNs; now < until; now = node::clock_now_ns())
    load.poll(now);
  if (load.broken() != 0)
    std::fprintf(stderr, "ringwire-pktgen: a session broke: is the path's MTU below --mtu?\n");
  else if (!control.ended().empty())
    std::fprintf(stderr, "ringwire-pktgen: %s\n", control.ended().c_str());
  control.leave();
  const LoadReport report{control.engine().node_name, options.load, load, duration_ns};
  std::printf("%s\n", options.json ? report.json().c_str() : report.text().c_str());
  return load.done() != 0 && load.done() == load.sent() && load.damaged() == 0 ? 0 : 1;
}

void add_wire_options(CLI::App& app, Options& options) {
  app.add_option("--address", options.address, "ours, ADDRESS:PORT; queue i has PORT + i")
      ->required();
  app.add_option("--device", options.wire.device, "DPDK's name [the only one]");
  app.add_option("--gateway", options.gateway, "next hop to other networks, ADDRESS");
  app.add_option("--queues", options.wire.queues_count, "[1]")->check(CLI::Range(1, 16));
  app.add_option("--mtu", options.wire.mtu_bytes, "[the device's]")->check(CLI::Range(576, 9'600));
  app.add_option("--vlan", options.wire.vlan, "802.1Q tag")->check(CLI::Range(1, 4'094));
  app.add_flag("--json", options.json, "for programs");
  app.add_option("--duration", options.seconds, "seconds [until SIGINT]")
      ->check(CLI::NonNegativeNumber);
}

void add_generator_options(CLI::App& app, Options& options) {
  app.add_option("--to", options.to, "ADDRESS:PORT of the other side's first queue")->required();
  app.add_option("--to-queues", options.generator.remote_queues, "the other side's queues [1]")
      ->check(CLI::Range(1, 16));
  app.add_option("--burst", options.generator.burst_packets, "packets at a time [32]")
      ->check(CLI::Range(1, static_cast<int>(port::kBurstPackets)));
  app.add_option("--flows", options.generator.flows_count, "numbered by themselves [1]")
      ->check(CLI::Range(1, static_cast<int>(kMaxFlows)));
  app.add_option("--wait", options.wait_s, "seconds for the other side to appear [20]")
      ->check(CLI::NonNegativeNumber);
}

void add_load_options(CLI::App& app, Options& options) {
  app.add_option("--engine", options.engine, "HOST:PORT of its [node] control")->required();
  app.add_option("--name", options.name, "our node name [pktgen-PID]");
  app.add_option("--size", options.load.payload_bytes, "of a payload in bytes, KiB, MiB [64]")
      ->transform(CLI::AsSizeValue(false))
      ->check(CLI::Range(std::uint64_t{1}, kMaxPayloadBytes));
  app.add_option("--rate", options.load.messages_per_s, "messages/s [all that the window takes]")
      ->check(CLI::PositiveNumber);
  app.add_option("--count", options.load.count, "messages [until the time is up]");
  app.add_option("--window", options.load.window, "messages without an outcome [256]")
      ->check(CLI::Range(1U, kMaxWindow));
  app.add_option("--keys", options.load.keys, "that messages have in turn [1024]")
      ->check(CLI::Range(1U, kMaxKeys));
  CLI::Option* level =
      app.add_option("--level", options.level, "none, accepted, processed [processed]")
          ->check(CLI::IsMember({"none", "accepted", "processed"}));
  app.add_flag("--call", options.load.call, "want a reply, which must be equal")->excludes(level);
  app.add_flag("!--unordered", options.load.ordered, "messages may overtake others of their key");
  app.add_option("--service", options.load.service, "[\"\"]");
  app.add_option("--wait", options.wait_s, "seconds for the engine to appear [20]")
      ->check(CLI::NonNegativeNumber);
}

int main(int count, char** given) {
  const std::vector<std::string> all(given + 1, given + count);
  const auto end = std::find(all.begin(), all.end(), "--");
  Options options;
  std::vector<std::string> own = all;
  if (end != all.end()) {
    options.wire.eal.assign(all.begin(), end);
    own.assign(end + 1, all.end());
  }
  CLI::App app(
      "Packet-level load through a DPDK device (EAL arguments stand before \"--\") or a kernel "
      "socket (without them): ringwire-pktgen -l 1 -a 0000:3b:00.0 -- search --address "
      "10.0.0.1:3300 --to 10.0.0.2:3300");
  app.require_subcommand(1);
  const auto frames =
      CLI::Range(static_cast<int>(kMinFrameBytes), static_cast<int>(kMaxFrameBytes));
  CLI::App& blast_mode = *app.add_subcommand("blast", "send stamped frames");
  add_wire_options(blast_mode, options);
  add_generator_options(blast_mode, options);
  blast_mode.add_option("--size", options.generator.frame_bytes, "of a frame, 64 to 9018 [64]")
      ->check(frames);
  CLI::Option* rate =
      blast_mode.add_option("--rate", options.generator.packets_per_s, "packets/s [all that goes]")
          ->check(CLI::PositiveNumber);
  blast_mode.add_option("--percent", options.percent, "of the link's rate")
      ->check(CLI::Range(0.001, 100.0))
      ->excludes(rate);
  CLI::App& sink_mode = *app.add_subcommand("sink", "count what arrives: loss, order, latency");
  add_wire_options(sink_mode, options);
  CLI::App& echo_mode = *app.add_subcommand("echo", "send back what arrives");
  add_wire_options(echo_mode, options);
  CLI::App& search_mode = *app.add_subcommand(
      "search", "the highest rate without loss, and latency there, against an echo (RFC 2544)");
  add_wire_options(search_mode, options);
  add_generator_options(search_mode, options);
  search_mode
      .add_option("--sizes", options.sizes, "of frames [64,128,256,512,1024,1280,1518,9018]")
      ->delimiter(',')
      ->check(frames);
  search_mode.add_option("--loss", options.search.loss_bound, "that passes, a part of 1 [0]")
      ->check(CLI::Range(0.0, 1.0));
  search_mode.add_option("--trial", options.trial_s, "seconds of each [1]")
      ->check(CLI::PositiveNumber);
  CLI::App& peer_mode = *app.add_subcommand(
      "peer", "load one engine with messages, as a slave node without programs");
  add_wire_options(peer_mode, options);
  add_load_options(peer_mode, options);
  try {
    std::reverse(own.begin(), own.end());
    app.parse(own);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  options.load.level = options.level == "none"       ? Level::kNone
                       : options.level == "accepted" ? Level::kAccepted
                                                     : Level::kProcessed;
  if (options.sizes.empty()) options.sizes.assign(kSizes.begin(), kSizes.end());
  for (const int signal : {SIGINT, SIGTERM}) ::signal(signal, [](int) { stop_asked = 1; });
  try {
    options.wire.local = endpoint_of(options.address, "--address");
    if (!options.to.empty()) options.generator.remote = endpoint_of(options.to, "--to");
    if (!options.gateway.empty()) {
      const auto gateway = parse_address(options.gateway);
      if (!gateway) throw WireError{"--gateway: \"" + options.gateway + "\" is no address", 2};
      options.wire.gateway = *gateway;
    }
    if (blast_mode.parsed()) return blast(options);
    if (sink_mode.parsed()) return sink(options);
    if (echo_mode.parsed()) return echo(options);
    if (peer_mode.parsed()) return peer(options);
    return search(options);
  } catch (const WireError& error) {
    std::fprintf(stderr, "ringwire-pktgen: %s\n", error.text.c_str());
    return error.exit_code;
  }
}

}  // namespace
}  // namespace ringwire::pktgen

int main(int count, char** given) { return ringwire::pktgen::main(count, given); }
