// The demo from beginning to end: start the cluster, send, kill a server engine when it hurts most,
// bring it back, compare, report, clean up. Main thread; the sender has a thread of its own. Cold.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "apps/demo/checker.h"
#include "apps/demo/cluster.h"
#include "apps/demo/corpus.h"
#include "apps/demo/display.h"
#include "apps/demo/sender.h"

namespace ringwire::demo {

struct StoryOptions {
  std::string path;         ///< what to send; "" = the default corpus
  std::string engine_path;  ///< the engine's program
  std::string self_path;    ///< this program
  std::vector<std::string> engine_options;
  bool keep = false;  ///< leave the cluster running
};

class Story {
 public:
  explicit Story(StoryOptions options);
  ~Story();
  Story(const Story&) = delete;
  Story& operator=(const Story&) = delete;

  /// Returns the exit code: 0 if and only if every file arrived intact.
  int run();

 private:
  enum class Act : std::uint8_t { kHunting, kDead, kReturning, kBack };

  bool prepare();
  bool start_cluster();
  bool attach();
  bool send_and_kill();
  void hunt(const Progress& progress);
  void kill(std::size_t index, const EngineLoad& load, bool seen);
  void bring_back(const Progress& progress);
  void await_return();
  bool compare_all();
  bool report();
  void leave_running();
  void clean_up();

  bool tick(std::int64_t pause_ns);  // false once a signal asked to end
  bool fail(const std::string& sentence);
  void show(const Progress& progress);
  [[nodiscard]] bool few_files() const;

  StoryOptions options_;
  Display display_;
  Corpus corpus_;
  std::string run_folder_;
  std::string socket_folder_;
  std::unique_ptr<Cluster> cluster_;
  rw_client* client_ = nullptr;
  std::unique_ptr<Sender> sender_;
  std::thread sending_;
  Comparison comparison_;

  Act act_ = Act::kHunting;
  std::size_t victim_ = 0;
  std::int64_t started_ns_ = 0;
  std::int64_t killed_ns_ = 0;
  std::int64_t restarted_ns_ = 0;
  std::int64_t returned_ns_ = 0;
  std::int64_t last_change_ns_ = 0;
  std::uint64_t last_ended_ = 0;
  bool interrupted_ = false;
  bool failed_ = false;
};

}  // namespace ringwire::demo
