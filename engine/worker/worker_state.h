// The inside of a worker: its parts, and what its turn does between them. The turn itself and time
// are in worker.cc, packets in worker_network.cc, commands in worker_commands.cc. Hot; one thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <variant>
#include <vector>

#include "engine/worker/channels.h"
#include "engine/worker/core.h"
#include "engine/worker/groups.h"
#include "engine/worker/inbound.h"
#include "engine/worker/outbound.h"
#include "engine/worker/short_way.h"

namespace ringwire::worker {

struct Worker::State {
  State(const WorkerConfig& config, port::Port& port, CommandBox& command_box, NoticeBox& notices,
        TimeNs now)
      : core(config, port, notices, now),
        commands(command_box),
        channels(core),
        outbound(core),
        inbound(core),
        groups(core),
        short_way(core),
        receive_is_a_call(port.wait_descriptor() >= 0) {
    core.channels_part = &channels;
    core.outbound = &outbound;
    core.inbound = &inbound;
    core.groups = &groups;
    core.short_way = &short_way;
    meet_siblings();
  }

  void meet_siblings();
  void receive();
  void receive_from_siblings();
  void on_packet(std::uint32_t link_index, std::span<const std::byte> packet, DurationNs waited_ns);
  void run_timers();
  void obey();
  void transmit();
  void transmit_to_siblings();
  void fill_burst();
  void gather_evidence();
  void check_drained();
  void keep_house();

  void operator()(std::monostate&) {}
  void operator()(AddChannel& command) { channels.add(command); }
  void operator()(RemoveChannel& command) { channels.remove(command); }
  void operator()(AddService& command);
  void operator()(AddConsumer& command) { groups.add_consumer(command); }
  void operator()(RemoveConsumer& command) { groups.remove_consumer(command); }
  void operator()(TakeBack& command) { groups.take_back(command.index); }
  void operator()(AddFile& command) { channels.add_file(command); }
  void operator()(DropFile& command) { channels.drop_file(command); }
  void operator()(AddExtentFile& command);
  void operator()(RefuseLarge& command) {
    inbound.on_large_refused(command.request, command.reason);
  }
  void operator()(AddSession& command);
  void operator()(CloseSessions& command);
  void operator()(SetPeerState& command);
  void operator()(SetView& command);
  void operator()(Drain&);
  void operator()(TakeSnapshot& command);

  std::uint32_t link_of(NodeIndex node, std::uint32_t remote_worker);
  void end_session(std::uint32_t link_index);

  Core core;
  CommandBox& commands;
  Channels channels;
  Outbound outbound;
  Inbound inbound;
  Groups groups;
  ShortWay short_way;
  transport::EventBatch events;
  std::array<port::RxPacket, port::kBurstPackets> received;
  std::array<port::TxPacket, kTransmitPackets> spare{};  ///< empty buffers, from the front
  std::size_t spare_count = 0;
  std::array<port::TxPacket, kTransmitPackets> filled{};  ///< of which [unsent_from, + count) wait
  std::size_t unsent_from = 0;
  std::size_t unsent_count = 0;
  std::uint32_t next_link = 0;   ///< transmit begins with another link each turn
  const bool receive_is_a_call;  ///< the port is a socket: each look at it is a system call
  TimeNs programs_at_ns = 0;     ///< a program had something for us
  TimeNs packets_at_ns = 0;      ///< a packet came or went
  TimeNs receive_at_ns = 0;      ///< no look at the port before
  TimeNs house_at_ns = 0;
  TimeNs evidence_look_ns = 0;          ///< no look at who is silent before
  std::vector<std::uint32_t> siblings;  ///< links to the other workers here, by worker; own: kNone
  std::uint32_t wakes = 0;              ///< bit w: worker w must be woken
  bool crossing_full = false;           ///< what waits for a sibling did not fit
};

}  // namespace ringwire::worker
