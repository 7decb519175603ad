// A production worker between programs of one node, one of which owns every byte that a program can
// write and changes them while the worker runs, in some stories also while it reads
// (docs/architecture.md G8, G10; docs/segment.md S-12, S-13, S-41). Oracle: what one honest program
// sends reaches the other, each once, intact, in order, and is done; only the liar is found guilty,
// and may come again; every message that was taken is done, failed, unknown or in flight; memory is
// bounded; and a turn does at most so many operations, whatever stands in the queues.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <map>
#include <memory>
#include <vector>

#include "base/check.h"
#include "engine/worker/core.h"
#include "engine/worker/worker.h"
#include "ring/placement.h"
#include "tests/fuzz/hand_port.h"
#include "tests/fuzz/hostile_memory.h"
#include "tests/fuzz/input.h"
#include "tests/sim/program_channel.h"

namespace {

using namespace ringwire;
using fuzz::HostileMemory;
using fuzz::Input;

constexpr worker::ChannelIndex kSender = 0;
constexpr worker::ChannelIndex kServer = 1;
constexpr worker::ChannelIndex kLiar = 2;
constexpr std::uint64_t kHonestHigh = 5;
constexpr std::size_t kMostFiles = 64;
constexpr std::uint64_t kMostLargeBytes = 1 << 20;
constexpr std::uint64_t kMostWaiting = 8;
constexpr int kMostSteps = 100'000;
constexpr std::size_t kMostTimes = 20'000'000;
// In the liar's queues a turn finds at most what they hold: 16 submissions, 16 releases, and puts
// 16 deliveries; with two honest programs that have at most 8 messages under way.
constexpr std::uint64_t kMostOperations = 3 * HostileMemory::kEntries;

/// CPU time of this thread, or 0 where nobody asks for times: a story does not depend on it.
std::uint64_t cpu_ns() {
  static const bool asked = std::getenv("RINGWIRE_FUZZ_TIMES") != nullptr;
  timespec now{};
  if (!asked || ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now) != 0) return 0;
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 +
         static_cast<std::uint64_t>(now.tv_nsec);
}

// States that were told, and the most work that one of them made; for the closing lines. With
// RINGWIRE_FUZZ_TIMES also what turns cost: that over a liar's memory, and an idle one.
struct Report {
  std::uint64_t states = 0;
  std::uint64_t violations = 0;
  std::uint64_t hostile_messages = 0;  ///< that reached the honest server, as they may
  std::uint64_t longest_turn = 0;
  std::vector<std::uint64_t> turn_ns;  ///< of turns that did something with hostile memory
  std::uint64_t turns_operations = 0;

  void add_time(std::uint64_t operations, std::uint64_t ns) {
    longest_turn = std::max(longest_turn, operations);
    if (operations == 0 || ns == 0 || turn_ns.size() == kMostTimes) return;
    turn_ns.push_back(ns);
    turns_operations += operations;
  }
  ~Report() {
    if (!turn_ns.empty()) {
      std::sort(turn_ns.begin(), turn_ns.end());
      std::uint64_t sum_ns = 0;
      for (const std::uint64_t ns : turn_ns) sum_ns += ns;
      const auto at = [&](std::size_t permille) {
        return static_cast<unsigned long long>(turn_ns[(turn_ns.size() - 1) * permille / 1'000]);
      };
      std::printf(
          "turns with hostile work %zu: CPU ns p50 %llu, p99 %llu, p99.9 %llu, max %llu; "
          "%llu ns per operation\n",
          turn_ns.size(), at(500), at(990), at(999), at(1'000),
          static_cast<unsigned long long>(sum_ns / turns_operations));
    }
    std::printf(
        "states %llu, violations %llu, hostile messages %llu, longest turn %llu operations on "
        "hostile memory\n",
        static_cast<unsigned long long>(states), static_cast<unsigned long long>(violations),
        static_cast<unsigned long long>(hostile_messages),
        static_cast<unsigned long long>(longest_turn));
  }
} report;

std::shared_ptr<const ring::View> view_of_one() {
  ring::Member member;
  member.name = "alone";
  ring::PlacementInput input;
  input.epoch = 1;
  input.members = std::span(&member, 1);
  auto built = ring::build_view(input);
  RW_CHECK(built.ok());
  return std::make_shared<const ring::View>(std::move(built).value());
}

class Story {
 public:
  explicit Story(Input input) : input_(input) {
    worker::WorkerConfig config;
    config.out_messages = 256;
    config.in_messages = 1'024;
    config.duplicate_windows = 64;
    config.program_grace_ns = 10 * kMillisecondNs;
    config.origin_secret[0] = 1;
    config.origin_secret[1] = 2;
    worker_ = std::make_unique<worker::Worker>(config, port_, commands_, notices_, now_);
    static const auto view = view_of_one();
    command(worker::SetView{view});
    command(worker::SetPeerState{0, worker::PeerState::kUp});
    command(worker::AddService{1, "a"});
    command(worker::AddChannel{kSender, sender_.engine(), {kHonestHigh, 1}, 0, 0, 1});
    command(worker::AddChannel{kServer, server_.engine(), {kHonestHigh, 2}, 0, 0, 1});
    command(worker::AddConsumer{kServer, 0, false, 0});
    racing_ = input_.below(16) == 15;
    come_again();
  }

  void tell() {
    for (int step = 0; step < kMostSteps && !input_.empty(); ++step) {
      for (std::uint32_t count = 1 + input_.below(4); count > 0; --count) liar_->mutate(input_);
      if (input_.below(4) == 0) send_honest();
      // Killed, and another comes: what a liar did to itself must not be the story's end.
      if (input_.below(128) == 0 && !leaving_) remove_liar();
      turn();
      ++report.states;
      // What it had sent ends within [limits] program_grace, many times over.
      for (int round = 0; leaving_; ++round) {
        RW_CHECK(round < 1'000);
        now_ += kMillisecondNs;
        turn();
      }
    }
    for (int count = 0; count < 2; ++count) send_honest();
    for (int round = 0; round < 5'000 && done_ < sent_; ++round) {
      now_ += kMillisecondNs;
      turn();
    }
    RW_CHECK(received_ == sent_);
    RW_CHECK(done_ == sent_);
    check_counters();
  }

 private:
  void command(worker::Command item) { RW_CHECK(commands_.try_push(item)); }

  void remove_liar() {
    leaving_ = true;
    command(worker::RemoveChannel{kLiar});
  }
  void come_again() {
    leaving_ = false;
    liar_ = std::make_unique<HostileMemory>();
    command(worker::AddChannel{kLiar, liar_->engine(), {1, ++liar_id_}, 0, 1, 1});
    command(worker::AddConsumer{kLiar, 1, false, 0, true});
    command(worker::AddFile{kLiar, 1, liar_->transmit().data(), liar_->transmit().bytes(), 1, 77});
    if (racing_) liar_->race(liar_id_);
  }

  void turn() {
    now_ += kMicrosecondNs;
    const std::uint64_t before = liar_ ? liar_->operations() : 0;
    if (sender_.take_bell(0)) worker_->wake_channel(kSender);
    if (server_.take_bell(0)) worker_->wake_channel(kServer);
    if (liar_ && !leaving_) worker_->wake_channel(kLiar);  // it rings as often as it likes
    const std::uint64_t since_ns = cpu_ns();
    worker_->turn(now_);
    const std::uint64_t took_ns = cpu_ns() - since_ns;
    if (liar_) {
      const std::uint64_t operations = liar_->operations() - before;
      RW_CHECK(operations <= kMostOperations);
      report.add_time(operations, took_ns);
    }
    static_cast<void>(port_.take_sent());
    serve();
    hear();
    obey_notices();
  }

  // Each with its number, in one of three shapes: in the entry, and with a key beside it.
  void send_honest() {
    if (sent_ - done_ >= kMostWaiting) return;
    ipc::Submission entry{};
    entry.sequence = sent_ + 1;
    entry.hash = 7;
    entry.target = static_cast<std::uint8_t>(ipc::TargetKind::kKey);
    entry.level = static_cast<std::uint8_t>(Level::kProcessed);
    const std::uint64_t number = sent_ + 1;
    entry.key_bytes = static_cast<std::uint16_t>(number % 3 * 8);
    entry.payload_bytes = sizeof number;
    std::memset(entry.inline_bytes, 'k', entry.key_bytes);
    std::memcpy(entry.inline_bytes + entry.key_bytes, &number, sizeof number);
    if (sender_.submit(entry)) ++sent_;
  }

  void serve() {
    ipc::Delivery delivery;
    std::uint32_t from = 0;
    while (server_.receive(delivery, from)) {
      if (delivery.kind != static_cast<std::uint8_t>(ipc::DeliveryKind::kMessage)) continue;
      if (delivery.origin.attachment_high == kHonestHigh) {
        std::uint64_t number = 0;
        RW_CHECK(delivery.origin.attachment_low == 1);
        RW_CHECK(delivery.payload_bytes == sizeof number);
        std::memcpy(&number, delivery.inline_bytes + delivery.key_bytes, sizeof number);
        RW_CHECK(number == ++received_);
      } else {
        RW_CHECK(delivery.origin.attachment_high == 1);
        ++report.hostile_messages;
      }
      RW_CHECK(server_.release(from, {delivery.token, 0, 0}));
    }
  }

  void hear() {
    ipc::Delivery delivery;
    std::uint32_t from = 0;
    while (sender_.receive(delivery, from)) {
      // A liar has no origin token of ours, so nothing else comes here.
      RW_CHECK(delivery.kind == static_cast<std::uint8_t>(ipc::DeliveryKind::kOutcomes));
      for (std::size_t at = 0; at < delivery.count; ++at) {
        ipc::OutcomeRecord record;
        std::memcpy(&record, delivery.inline_bytes + at * sizeof record, sizeof record);
        RW_CHECK(record.ending == static_cast<std::uint8_t>(Ending::kDone));
        RW_CHECK(record.sequence == ++done_);
      }
    }
  }

  // --- the ring manager ---

  void obey_notices() {
    worker::Notice notice;
    while (notices_.try_pop(notice)) {
      if (const auto* need = std::get_if<worker::NeedClassFile>(&notice))
        add_file(need->domain, ipc::kClassFileBytes, need->size_class, 0);
      if (const auto* need = std::get_if<worker::NeedLarge>(&notice)) {
        if (need->bytes > kMostLargeBytes || files_.size() >= kMostFiles / 2)
          command(worker::RefuseLarge{need->request, Reason::kTooLarge});
        else
          add_file(need->domain, need->bytes, ipc::kLargeClass, need->request);
      }
      if (auto* own = std::get_if<worker::OwnFile>(&notice))
        files_[own->file] = std::move(own->memory);
      if (const auto* gone = std::get_if<worker::ReturnFile>(&notice)) files_.erase(gone->file);
      RW_CHECK(files_.size() <= kMostFiles);
      if (const auto* violated = std::get_if<worker::ChannelViolated>(&notice)) {
        RW_CHECK(violated->index == kLiar);
        ++report.violations;
        if (!leaving_) remove_liar();
      }
      if (const auto* gone = std::get_if<worker::ChannelGone>(&notice)) {
        RW_CHECK(gone->index == kLiar);
        liar_.reset();
        come_again();
      }
      if (auto* taken = std::get_if<worker::SnapshotTaken>(&notice))
        snapshot_ = std::move(taken->snapshot);
      notice = std::monostate{};
    }
    worker_->bell_changes().clear();
  }

  void add_file(worker::DomainIndex domain, std::uint64_t bytes, std::uint16_t size_class,
                std::uint64_t request) {
    auto made = ipc::MemoryFile::create("fuzz", bytes);
    RW_CHECK(made.ok());
    const std::uint32_t file = next_file_++;
    files_[file] = std::make_unique<ipc::MemoryFile>(std::move(made).value());
    command(worker::AddExtentFile{
        domain, file, files_[file]->data(), files_[file]->bytes(), size_class, request, {}});
  }

  void check_counters() {
    command(worker::TakeSnapshot{std::make_unique<worker::WorkerSnapshot>()});
    turn();
    RW_CHECK(snapshot_ != nullptr);
    const worker::WorkerCounters& counters = snapshot_->counters;
    RW_CHECK(counters.taken ==
             counters.done + counters.failed + counters.unknown + counters.in_flight_now);
    RW_CHECK(counters.delivered >= received_);
  }

  Input input_;
  fuzz::HandPort port_;
  worker::CommandBox commands_;
  worker::NoticeBox notices_;
  TimeNs now_ = kSecondNs;
  std::map<std::uint32_t, std::unique_ptr<ipc::MemoryFile>> files_;
  sim::ProgramChannel sender_{1, 1, 0};
  sim::ProgramChannel server_{1, 1, 0};
  std::unique_ptr<HostileMemory> liar_;
  std::unique_ptr<worker::Worker> worker_;
  std::unique_ptr<worker::WorkerSnapshot> snapshot_;
  std::uint64_t liar_id_ = 0;
  std::uint32_t next_file_ = 1;
  std::uint64_t sent_ = 0;
  std::uint64_t done_ = 0;
  std::uint64_t received_ = 0;
  bool racing_ = false;
  bool leaving_ = false;  ///< the liar was removed, and is not gone yet
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Story(Input(data, size)).tell();
  return 0;
}
