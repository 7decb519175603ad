#include "apps/demo/story.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <numeric>
#include <stdexcept>

#include "apps/demo/saver.h"
#include "ipc/ringwire.h"

namespace ringwire::demo {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kSecondNs = 1'000'000'000;
constexpr std::int64_t kTickNs = 20'000'000;
constexpr std::int64_t kHuntTickNs = 500'000;              // the moment that is looked for is short
constexpr std::int64_t kStartPatienceNs = 30 * kSecondNs;  // a busy machine starts slowly
constexpr std::int64_t kHuntPatienceNs = 5 * kSecondNs;
constexpr std::int64_t kStopPatienceNs = 2 * kSecondNs;
constexpr std::int64_t kReturnPatienceNs = 30 * kSecondNs;
// The engine stays away at least so long: its death has been noticed by then, not slept through.
constexpr std::int64_t kAwayNs = kSecondNs / 2;
// Nothing ended for so long: something hangs. One large message on a busy machine takes a while.
constexpr std::int64_t kStandstillNs = 180 * kSecondNs;
// Below so many files, the amount sent says nothing about the moment.
constexpr std::size_t kFewFiles = 24;
// UNIX socket paths hold 107 bytes; the longest name in the folder needs 20.
constexpr std::size_t kMaxSocketFolderBytes = 80;
constexpr int kChangedRounds = 3;

std::int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

sigset_t end_signals() {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) ::sigaddset(&set, signal);
  return set;
}

std::string make_folder(const std::string& base) {
  std::string pattern = base + "/ringwire-demo-XXXXXX";
  return ::mkdtemp(pattern.data()) == nullptr ? std::string() : pattern;
}

}  // namespace

Story::Story(StoryOptions options) : options_(std::move(options)) {
  // Blocked here, before any thread exists, and taken in tick().
  const sigset_t set = end_signals();
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
}

Story::~Story() { clean_up(); }

int Story::run() {
  const bool sent = prepare() && start_cluster() && attach() && send_and_kill();
  const bool intact = sent && compare_all() && report();
  if (intact && options_.keep) {
    leave_running();
    return 0;
  }
  if (cluster_ != nullptr && intact) {
    rw_client_close(client_);
    client_ = nullptr;
    const std::string bad = cluster_->stop();
    if (!bad.empty()) fail("did not drain and exit 0 on SIGTERM: " + bad);
  }
  return intact && !failed_ ? 0 : 1;
}

// ---- the acts -----------------------------------------------------------------------------------

bool Story::prepare() {
  try {
    corpus_ = options_.path.empty() ? default_corpus() : corpus_under(options_.path);
  } catch (const std::runtime_error& error) {
    return fail(error.what());
  }
  const char* base = ::getenv("TMPDIR");
  const std::string temporary = base == nullptr || *base == '\0' ? "/tmp" : base;
  run_folder_ = make_folder(temporary);
  if (run_folder_.empty()) return fail("cannot make a folder in " + temporary);
  socket_folder_ = run_folder_;
  if (socket_folder_.size() > kMaxSocketFolderBytes) socket_folder_ = make_folder("/tmp");
  if (socket_folder_.empty()) return fail("cannot make a folder in /tmp");
  struct statvfs space {};
  if (::statvfs(run_folder_.c_str(), &space) == 0) {
    // What is re-sent is stored twice; a message that is being replaced, once more.
    const std::uint64_t needed_bytes = corpus_.bytes + corpus_.bytes / 4 + 64'000'000;
    const std::uint64_t free_bytes = space.f_bavail * space.f_frsize;
    if (free_bytes < needed_bytes) {
      return fail(temporary + " has " + human_bytes(free_bytes) + " free, this needs " +
                  human_bytes(needed_bytes) + ": set TMPDIR to a folder with more room");
    }
  }
  display_.say("sending " + human_count(corpus_.files.size()) + " files, " +
               human_bytes(corpus_.bytes) + ": " + corpus_.about);
  if (corpus_.left_out > 0) {
    display_.say("left out: " + human_count(corpus_.left_out) + " unreadable or special files");
  }
  return true;
}

bool Story::start_cluster() {
  cluster_ = std::make_unique<Cluster>(ClusterOptions{.engine_path = options_.engine_path,
                                                      .self_path = options_.self_path,
                                                      .run_folder = run_folder_,
                                                      .socket_folder = socket_folder_,
                                                      .engine_options = options_.engine_options,
                                                      .outlives = options_.keep});
  const std::string problem = cluster_->start();
  if (!problem.empty()) return fail(problem);
  const std::int64_t begun_ns = now_ns();
  for (std::size_t i = 0; i <= kSlaveIndex;) {
    if (cluster_->in_service(i)) {
      ++i;
      continue;
    }
    if (!tick(kTickNs)) return false;
    const std::string missing = cluster_->missing_process();
    if (!missing.empty()) return fail(missing);
    if (now_ns() - begun_ns > kStartPatienceNs) {
      return fail(cluster_->name(i) + " is not in service after " + human_time(kStartPatienceNs) +
                  "; its log: " + cluster_->log(i));
    }
    display_.renew("starting: " + std::to_string(i) + " of 4 engines in service");
  }
  return true;
}

bool Story::attach() {
  const std::string socket = cluster_->socket(kSlaveIndex);
  rw_client_options options{};
  options.struct_bytes = sizeof(options);
  options.socket = socket.c_str();
  options.label = "demo-sender";
  options.reconnect_ns = kStopPatienceNs;  // the slave's engine is not meant to go away
  const int opened = rw_client_open(&options, &client_);
  if (opened < 0) return fail(std::string("cannot attach to the slave: ") + rw_last_error());
  const std::int64_t begun_ns = now_ns();
  while (true) {
    rw_node_status nodes[16];
    const int count = std::min(rw_status_nodes(client_, nodes, 16), 16);
    const auto serving = std::count_if(nodes, nodes + std::max(count, 0), [](const auto& node) {
      return node.role == 0 && (node.state == 1 || node.state == 2);
    });
    if (serving >= static_cast<std::ptrdiff_t>(kServerCount)) break;
    if (!tick(kTickNs)) return false;
    if (now_ns() - begun_ns > kStartPatienceNs) {
      return fail("the slave sees " + std::to_string(serving) + " of 3 servers after " +
                  human_time(kStartPatienceNs));
    }
  }
  display_.say("cluster of 3 server engines and 1 slave engine is up, in " + run_folder_);
  return true;
}

bool Story::send_and_kill() {
  sender_ = std::make_unique<Sender>(client_, corpus_);
  // The last part waits until the engine is back, so that it takes its share again.
  if (!few_files()) sender_->set_limit_bytes(corpus_.bytes - corpus_.bytes / 6);
  std::vector<std::size_t> all(corpus_.files.size());
  std::iota(all.begin(), all.end(), std::size_t{0});
  started_ns_ = last_change_ns_ = now_ns();
  sending_ = std::thread([this, all] { sender_->run(all); });

  while (true) {
    const Progress progress = sender_->progress();
    if (progress.finished && (act_ == Act::kBack || !progress.error.empty())) break;
    if (!tick(act_ == Act::kHunting ? kHuntTickNs : kTickNs)) return false;
    const std::string missing = cluster_->missing_process();
    if (!missing.empty()) return fail(missing);
    if (act_ == Act::kHunting) hunt(progress);
    if (act_ == Act::kDead) bring_back(progress);
    if (act_ == Act::kReturning) await_return();
    show(progress);
    if (progress.ended_files != last_ended_) {
      last_ended_ = progress.ended_files;
      last_change_ns_ = now_ns();
    } else if (now_ns() - last_change_ns_ > kStandstillNs) {
      return fail("nothing has ended for " + human_time(kStandstillNs) + ": giving up with " +
                  human_count(progress.submitted_files - progress.ended_files) + " in flight");
    }
    if (failed_) return false;
  }
  sending_.join();
  const Progress progress = sender_->progress();
  return progress.error.empty() || fail(progress.error);
}

// Looks for the moment at which a death hurts most: a message half received, and others received
// whole but not yet handed back by the server program.
void Story::hunt(const Progress& progress) {
  if (progress.submitted_files == 0) return;
  const std::int64_t hunted_ns = now_ns() - started_ns_;
  std::size_t fallback = 0;
  EngineLoad fallback_load;
  for (std::size_t i = 0; i < kServerCount; ++i) {
    const EngineLoad load = cluster_->load(i);
    const bool half = load.part_received > 0;
    const bool whole = load.unprocessed > 0;
    if (half && (whole || few_files())) return kill(i, load, true);
    if (load.part_received + load.unprocessed >=
        fallback_load.part_received + fallback_load.unprocessed) {
      fallback = i;
      fallback_load = load;
    }
  }
  const bool much_sent = !few_files() && progress.submitted_bytes > corpus_.bytes / 5 * 3;
  if (much_sent || progress.finished || (hunted_ns > kHuntPatienceNs && !few_files())) {
    kill(fallback, fallback_load, false);
  }
}

void Story::kill(std::size_t index, const EngineLoad& load, bool seen) {
  cluster_->kill_engine(index);
  sender_->note_kill();
  killed_ns_ = now_ns();
  victim_ = index;
  act_ = Act::kDead;
  display_.say("killed " + cluster_->name(index) + " (SIGKILL) while it held " +
               std::to_string(std::max<std::int64_t>(load.part_received, 0)) +
               " part-received and " + std::to_string(std::max<std::int64_t>(load.unprocessed, 0)) +
               " unprocessed messages");
  if (!seen) display_.say("  (a moment with both was looked for, and not seen)");
}

void Story::bring_back(const Progress& progress) {
  // After the first message has found another server, and not before its death could be noticed.
  const std::int64_t away_ns = now_ns() - killed_ns_;
  if (away_ns < kAwayNs) return;
  if (progress.first_resent_ns == 0 && !progress.finished && away_ns < 10 * kAwayNs) return;
  if (!cluster_->restart_engine(victim_)) {
    fail("cannot start " + cluster_->name(victim_) + " again");
    return;
  }
  restarted_ns_ = now_ns();
  act_ = Act::kReturning;
}

void Story::await_return() {
  if (cluster_->in_service(victim_)) {
    returned_ns_ = now_ns();
    act_ = Act::kBack;
    sender_->set_limit_bytes(UINT64_MAX);
    display_.say(cluster_->name(victim_) + " is back in service, " +
                 human_time(returned_ns_ - restarted_ns_) + " after its restart");
  } else if (now_ns() - restarted_ns_ > kReturnPatienceNs) {
    fail(cluster_->name(victim_) + " is not back in service after " +
         human_time(kReturnPatienceNs) + "; its log: " + cluster_->log(victim_));
  }
}

bool Story::compare_all() {
  std::vector<std::string> saved;
  for (std::size_t i = 0; i < kServerCount; ++i) saved.push_back(cluster_->saved_folder(i));
  // Files that somebody changed in the meantime are sent once more: only then do they compare.
  for (int round = 0;; ++round) {
    comparison_ = compare(corpus_, sender_->endings(), saved, run_folder_, [this] {
      display_.renew("comparing every file by SHA-256");
      return tick(kTickNs);
    });
    if (!comparison_.error.empty()) return fail("not compared: " + comparison_.error);
    if (comparison_.changed.empty() || round == kChangedRounds) return true;
    display_.say(human_count(comparison_.changed.size()) +
                 " files changed while the demo ran: sending them again");
    for (const std::size_t index : comparison_.changed) {
      for (const std::string& folder : saved) {
        std::error_code ignored;
        fs::remove(saved_path(folder, corpus_.files[index].key), ignored);
      }
    }
    sending_ = std::thread([this] { sender_->run(comparison_.changed); });
    while (!sender_->progress().finished) {
      if (!tick(kTickNs)) return false;
    }
    sending_.join();
  }
}

bool Story::report() {
  const Progress progress = sender_->progress();
  const auto unread = static_cast<std::uint64_t>(
      std::count(sender_->endings().begin(), sender_->endings().end(), Ending::kUnread));
  const auto row = [this](const char* name, const std::string& value, const char* note = "") {
    char line[160];
    std::snprintf(line, sizeof(line), "  %-16s %12s  %s", name, value.c_str(), note);
    display_.say(line);
  };
  const auto rate_bytes =
      static_cast<std::uint64_t>(static_cast<double>(progress.done_bytes) * 1e9 /
                                 static_cast<double>(std::max<std::int64_t>(progress.busy_ns, 1)));
  display_.say("");
  row("sent", human_count(progress.submitted_files), "files, one message each");
  row("done", human_count(progress.done_files), "handed back by a server program");
  row("re-sent", human_count(progress.resent_files), "needed more than one attempt");
  row("failed", human_count(progress.failed_files));
  if (progress.unknown_files > 0) row("unknown", human_count(progress.unknown_files));
  row("lost", human_count(comparison_.lost.size()), "done, but saved nowhere");
  row("corrupt", human_count(comparison_.corrupt.size()), "saved with another SHA-256");
  row("intact", human_count(comparison_.intact_files), "same SHA-256");
  if (comparison_.copies > comparison_.intact_files) {
    row("saved twice", human_count(comparison_.copies - comparison_.intact_files),
        "on two servers: the price of at least once");
  }
  if (unread > 0) row("not sent", human_count(unread), "vanished or unreadable by then");
  if (!comparison_.changed.empty()) {
    row("changing", human_count(comparison_.changed.size()), "changed too often to be compared");
  }
  row("bytes", human_bytes(progress.done_bytes));
  row("speed", human_bytes(rate_bytes) + "/s", "while anything was in flight, the kill included");
  row("failover", human_time(progress.failover_ns), "longest gap between outcomes at the kill");
  if (progress.first_resent_ns > 0) {
    row("first re-sent", human_time(progress.first_resent_ns), "after the kill, and done");
  }
  for (const std::string& complaint : progress.complaints) display_.say("  " + complaint);
  const bool intact = progress.failed_files == 0 && progress.unknown_files == 0 &&
                      comparison_.lost.empty() && comparison_.corrupt.empty() &&
                      comparison_.changed.empty() &&
                      comparison_.intact_files + unread == corpus_.files.size();
  display_.say(intact ? "  all intact" : "  NOT all intact");
  return intact;
}

// ---- means --------------------------------------------------------------------------------------

void Story::leave_running() {
  display_.say("");
  display_.say("The cluster keeps running. To try commands with:");
  for (std::size_t i = 0; i <= kSlaveIndex; ++i) {
    display_.say("RINGWIRE_SOCKET=" + cluster_->socket(i));
  }
  std::string pids;
  for (const pid_t pid : cluster_->pids()) pids.append(" ").append(std::to_string(pid));
  display_.say("To end it: kill" + pids + "; rm -r " + run_folder_ +
               (socket_folder_ == run_folder_ ? "" : " " + socket_folder_));
  cluster_->release();
  run_folder_.clear();
  socket_folder_.clear();
}

// On every way out: no thread, no process and no big file stays; logs stay if something failed.
void Story::clean_up() {
  if (sender_ != nullptr) sender_->stop();
  if (sending_.joinable()) {
    // It stops by itself soon; should it wait inside the library, ended engines let it go.
    const std::int64_t begun_ns = now_ns();
    while (!sender_->progress().finished && now_ns() - begun_ns < kStopPatienceNs) {
      std::this_thread::sleep_for(std::chrono::nanoseconds(kTickNs));
    }
    if (!sender_->progress().finished) cluster_.reset();
    sending_.join();
  }
  rw_client_close(client_);
  client_ = nullptr;
  sender_.reset();
  cluster_.reset();
  std::error_code ignored;
  if (run_folder_.empty()) return;
  if (failed_ && !interrupted_) {
    for (const char* bulky : {"/saved", "/state"}) fs::remove_all(run_folder_ + bulky, ignored);
    display_.say("the logs are kept in " + run_folder_);
  } else {
    fs::remove_all(run_folder_, ignored);
  }
  if (socket_folder_ != run_folder_) fs::remove_all(socket_folder_, ignored);
}

bool Story::tick(std::int64_t pause_ns) {
  const sigset_t set = end_signals();
  const timespec pause{.tv_sec = 0, .tv_nsec = pause_ns};
  const int signal = ::sigtimedwait(&set, nullptr, &pause);
  if (signal <= 0) return true;
  interrupted_ = true;
  return fail("interrupted: ending the cluster");
}

bool Story::fail(const std::string& sentence) {
  display_.say("ringwire-demo: " + sentence);
  failed_ = true;
  return false;
}

void Story::show(const Progress& progress) {
  const double share = corpus_.bytes == 0 ? 1.0
                                          : static_cast<double>(progress.done_bytes) /
                                                static_cast<double>(corpus_.bytes);
  constexpr int kBarColumns = 24;
  const int filled = static_cast<int>(share * kBarColumns);
  const std::string bar =
      std::string(static_cast<std::size_t>(std::clamp(filled, 0, kBarColumns)), '#');
  char line[256];
  static constexpr const char* kActs[] = {"", "down", "coming back", ""};
  const char* act = kActs[static_cast<int>(act_)];
  std::snprintf(line, sizeof(line), "[%-24s] %3.0f %%  %s of %s  %s of %s files%s%s%s", bar.c_str(),
                share * 100, human_bytes(progress.done_bytes).c_str(),
                human_bytes(corpus_.bytes).c_str(), human_count(progress.done_files).c_str(),
                human_count(corpus_.files.size()).c_str(), *act == '\0' ? "" : "  ",
                *act == '\0' ? "" : cluster_->name(victim_).c_str(),
                *act == '\0' ? "" : (std::string(" ") + act).c_str());
  display_.renew(line);
}

bool Story::few_files() const { return corpus_.files.size() < kFewFiles; }

}  // namespace ringwire::demo
