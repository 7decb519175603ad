// The short way of a message: small, from a program of this node to one of this node, whose worker
// is this one, while nothing is unusual. Instead of an OutMessage and an InMessage, and their
// entries in the tables, it has one line of record and a copy of its bytes. It is known by its
// token alone (and a call by its sequence, where its reply looks for it): not by key or identity,
// and no duplicate window learns of it.
//
// That holds while its elders are with their groups here too, or over. Before anything else happens
// (a cancel, a deadline, another kind of message of its channel, a verdict other than done, a
// consumer that comes or goes) it is made ordinary: gets both records, the tables' entries, and its
// places in the lists, as if it had gone the long way. Those records are reserved from the start.
// What was delivered already goes on being released by the token that its program has.
//
// Hot; one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/worker/core.h"

namespace ringwire::worker {

class ShortWay {
 public:
  explicit ShortWay(Core& core);

  /// Take a submission of this channel: its fields, copied, and its inline bytes, where the program
  /// has them. False: it goes the long way, and no byte was read.
  bool take(ChannelIndex index, const ipc::Submission& fields, const std::byte* inline_bytes);
  /// Those that wait for this consumer, as many as it has room for.
  void hand_out_waiting(std::uint32_t consumer);
  /// True when the release was of a message that is still on the short way, and done with it.
  bool release(ChannelIndex index, const ipc::Release& release);
  /// Who got the last of those just taken begins with it while the turn goes on.
  void show_last();
  /// Tell what found no room before.
  void report(ChannelIndex index);

  /// The InMessage that was a ShortMessage when it was delivered; kNone: no such.
  [[nodiscard]] std::uint32_t find_moved(std::uint32_t at, std::uint32_t generation) const;
  /// Nobody will ask for that any more.
  void forget_moved(std::uint32_t at);

  // --- they go on as ordinary messages ---
  void make_ordinary(std::uint32_t at);
  /// All of this sender that it was not told of.
  void enlist(ChannelIndex index);
  /// All of this sender: it is about to go.
  void enlist_all_of(ChannelIndex index);
  /// All for this service that are with a consumer or wait for one.
  void enlist_service(std::uint16_t service);
  /// All for this service that wait for a consumer's room.
  void enlist_waiting(std::uint16_t service);

  void view_changed();

 private:
  [[nodiscard]] bool goes_here(const ipc::Submission& submission) const;
  [[nodiscard]] bool behind_elder(const Channel& channel, ChannelIndex index,
                                  const ipc::Submission& submission) const;
  [[nodiscard]] std::uint32_t consumer_for(const ipc::Submission& submission) const;
  [[nodiscard]] bool keyed(std::uint16_t flags, std::uint16_t service) const;
  bool hand_out(std::uint32_t at, std::uint32_t consumer);
  void end_receiver(std::uint32_t at);
  void end_sender(std::uint32_t at);
  bool tell(std::uint32_t at);
  void give_back_if_over(std::uint32_t at);
  std::uint32_t make_in(std::uint32_t at);
  void make_out(std::uint32_t at, std::uint32_t in);
  void fill_header(const ShortMessage& message, wire::MessageHeader& header) const;
  template <typename Wanted>
  void enlist_those(Wanted wanted);

  Core& core_;
  std::vector<std::uint64_t> ours_;  ///< bit s: the messages of slot s are for this worker
  std::vector<std::uint32_t> scratch_;
  ChannelIndex last_taker_ = kNone;  ///< that has some which are not shown
};

}  // namespace ringwire::worker
