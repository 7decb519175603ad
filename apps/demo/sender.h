// The demo's client program: sends files through the slave node, several in flight, and books how
// each of them ended. Runs in a thread of its own over its own channel; the main thread watches
// through progress() and moves the limit. Cold.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "apps/demo/corpus.h"
#include "ipc/ringwire.h"

namespace ringwire::demo {

/// In flight at most: enough to keep three servers busy, little enough that memory stays small.
/// One message is always allowed, whatever its size.
inline constexpr std::size_t kMaxFlightMessages = 96;
inline constexpr std::uint64_t kMaxFlightBytes = 96'000'000;

enum class Ending : std::uint8_t {
  kNone,      ///< not sent, or no outcome yet
  kDone,      ///< processed by a server program
  kFailed,    ///< provably never handed to one
  kUnknown,   ///< may have been
  kUnread,    ///< the file vanished or became unreadable: nothing was sent
  kShrunken,  ///< the file became shorter while it was read: nothing was sent
};

struct Progress {
  std::uint64_t submitted_files = 0;
  std::uint64_t submitted_bytes = 0;
  std::uint64_t ended_files = 0;
  std::uint64_t done_files = 0;
  std::uint64_t done_bytes = 0;
  std::uint64_t failed_files = 0;
  std::uint64_t unknown_files = 0;
  std::uint64_t resent_files = 0;    ///< done with more than one attempt
  std::int64_t busy_ns = 0;          ///< with anything in flight
  std::int64_t failover_ns = 0;      ///< longest gap between outcomes around the kill
  std::int64_t first_resent_ns = 0;  ///< from the kill to the first re-sent message done; 0: none
  std::vector<std::string> complaints;  ///< the first few failures, for a person
  std::string error;                    ///< why sending stopped early; "" if it did not
  bool finished = false;
};

class Sender {
 public:
  /// `client` is attached to the slave node; `corpus` outlives the sender and is changed by run().
  Sender(rw_client* client, Corpus& corpus);

  /// Send the files of these indices, then wait for every outcome. Blocks: run it in a thread.
  void run(const std::vector<std::size_t>& indices);

  /// Submit nothing that would take the bytes submitted above this. Any thread.
  void set_limit_bytes(std::uint64_t limit_bytes);
  /// An engine has just been killed. Any thread.
  void note_kill();
  /// Stop as soon as possible. Any thread.
  void stop();
  [[nodiscard]] Progress progress() const;
  /// After run(), how each file of the corpus ended.
  [[nodiscard]] const std::vector<Ending>& endings() const { return endings_; }

 private:
  enum class Step : std::uint8_t { kSubmitted, kSkipped, kFull, kBroken };

  Step submit(std::size_t index);
  int send(const CorpusFile& file, rw_ticket& ticket);
  void book(const rw_outcome& outcome);
  void book_times(const rw_outcome& outcome, std::int64_t now_ns);
  bool may_submit(std::size_t index) const;
  bool stopped() const;
  void await_outcomes();
  void finish(const std::string& error);

  rw_client* client_;
  Corpus& corpus_;
  rw_channel* channel_ = nullptr;
  std::vector<Ending> endings_;
  std::unordered_map<rw_ticket, std::size_t> flight_;
  std::uint64_t flight_bytes_ = 0;
  std::int64_t quiet_since_ns_ = 0;  // last outcome, or the first submission after a pause

  mutable std::mutex mutex_;  // guards all below
  Progress progress_;
  std::uint64_t limit_bytes_ = UINT64_MAX;
  std::int64_t killed_at_ns_ = 0;
  bool stop_ = false;
};

}  // namespace ringwire::demo
