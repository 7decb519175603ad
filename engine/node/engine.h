// One engine: puts all rooms together from a configuration, runs the ring manager's thread, and
// takes everything down again in order. Several engines can live in one process (tests do).
//
// Threads: construct, start, drain and stop from one thread; the ring manager's loop runs on its
// own.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "engine/node/config.h"

namespace ringwire::node {

class Engine {
 public:
  /// Opens everything that can fail: state directory, ports, memory, sockets. Errors: StartError,
  /// one sentence that says what to change.
  explicit Engine(const Config& config);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  /// Start all threads; `on_ready` is called once, on the ring manager's thread, when programs can
  /// attach and the workers have the first view (a slave: its ports and socket). `on_end` is called
  /// once, on the same thread, when a drain is over or the engine cannot go on (failed() tells):
  /// then call stop().
  void start(std::function<void(const std::string& line)> on_ready, std::function<void()> on_end);
  /// Tell the peers, finish what is outstanding for at most [timing] drain, then report the end.
  /// Any thread; repeated calls do nothing.
  void drain();
  /// End all threads and close everything, at once. Outstanding work is lost here: its senders
  /// send it again.
  void stop();

  /// After stop(): it ended because it could not go on; the log says why.
  [[nodiscard]] bool failed() const;

  /// Where programs attach.
  [[nodiscard]] const std::string& socket_path() const;
  /// host:port that other nodes can dial (numeric).
  [[nodiscard]] std::string control_address() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace ringwire::node
