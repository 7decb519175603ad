// The channels of programs as one worker sees them: which are scanned and which are parked, what
// waits to be told to them, what they hand back, and their end. Hot but for adding and removing.
#pragma once

#include <cstdint>

#include "base/touched.h"
#include "engine/worker/core.h"

namespace ringwire::worker {

class Channels {
 public:
  explicit Channels(Core& core) : core_(core) { reserve_touched(blocked_, kMaxChannels); }

  void add(const AddChannel& command);
  void remove(const RemoveChannel& command);
  void add_file(const AddFile& command);
  void drop_file(const DropFile& command);

  /// Scan this channel from now on.
  void touch(ChannelIndex index);
  /// The program broke a rule: nothing more is taken from it; the ring manager ends its attachment.
  void violate(ChannelIndex index);

  /// Take releases and submissions of all scanned channels; park those that were idle for long.
  /// True if there were any.
  bool poll();
  /// Tell outcomes and hand out replies, then make all deliveries of this turn visible and wake who
  /// sleeps.
  void flush();

  /// Put one message into the channel's delivery queue. False when that is full. kReply: `call` is
  /// what it answers.
  bool deliver(ChannelIndex index, std::uint32_t in, ipc::DeliveryKind kind,
               std::uint32_t call = kNone);
  /// An entry of the channel's delivery queue was filled: shown at the latest by flush().
  void note_delivery(ChannelIndex index);
  /// The next messages of a run that is whole, at most so many: how many found room.
  std::uint32_t deliver_of_run(ChannelIndex index, std::uint32_t run, std::uint32_t most);
  /// Make what was filled visible now.
  void show(Channel& channel);
  /// A reply or direct message for a channel, now or when there is room.
  void push_direct(ChannelIndex index, std::uint32_t in);

  /// Park all scanned channels. False when one of them has something: then none is parked.
  bool park_all();

  /// Some program's full queue keeps something back: look again after kBlockedNapNs.
  [[nodiscard]] bool blocked() const { return !blocked_.empty(); }
  static constexpr DurationNs kBlockedNapNs = kMillisecondNs;

  /// The live channel of this identity, or kNone.
  [[nodiscard]] ChannelIndex find(const Id128& attachment, std::uint32_t number) const;

 private:
  void note_deliveries(ChannelIndex index);
  bool take_releases(ChannelIndex index);
  [[nodiscard]] bool park(Channel& channel);
  [[nodiscard]] bool waits_for_others(const Channel& channel) const;
  void finish_removal(ChannelIndex index);
  [[nodiscard]] std::uint32_t find_released(std::uint64_t token) const;

  Core& core_;
  std::vector<ChannelIndex> blocked_;  ///< parked by park_all() although something waits for them
};

}  // namespace ringwire::worker
