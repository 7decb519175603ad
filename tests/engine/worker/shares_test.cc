// What a greedy program can take of a worker's records, and what is left for others
// (docs/operations.md, "Quotas"): production worker, real queues, virtual time.
#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <memory>
#include <vector>

#include "engine/worker/worker.h"
#include "ring/placement.h"
#include "tests/fuzz/hand_port.h"
#include "tests/sim/program_channel.h"

namespace ringwire::worker {
namespace {

constexpr std::uint32_t kRecords = 256;
constexpr std::uint16_t kGood = 1;
constexpr std::uint16_t kGreedy = 2;  ///< and the numbers after it

/// A program of one channel: what it has sent, what it was told.
struct Program {
  explicit Program(ChannelIndex at) : index(at) {}

  bool send(std::uint16_t service) {
    ipc::Submission entry{};
    entry.sequence = sent + 1;
    entry.hash = index;
    entry.target = static_cast<std::uint8_t>(ipc::TargetKind::kKey);
    entry.level = static_cast<std::uint8_t>(Level::kProcessed);
    entry.service = service;
    entry.payload_bytes = 8;
    if (!queues.submit(entry)) return false;
    ++sent;
    return true;
  }
  /// Takes what came: outcomes are counted, messages given back.
  void take() {
    ipc::Delivery delivery;
    std::uint32_t from = 0;
    while (queues.receive(delivery, from)) {
      if (delivery.kind != static_cast<std::uint8_t>(ipc::DeliveryKind::kOutcomes)) {
        ++received;
        ASSERT_TRUE(queues.release(from, {delivery.token, 0, 0}));
        continue;
      }
      for (std::size_t at = 0; at < delivery.count; ++at) {
        ipc::OutcomeRecord record;
        std::memcpy(&record, delivery.inline_bytes + at * sizeof record, sizeof record);
        if (record.ending == static_cast<std::uint8_t>(Ending::kDone)) ++done;
      }
    }
  }

  ChannelIndex index;
  sim::ProgramChannel queues{1, 1, 0};
  std::uint64_t sent = 0;
  std::uint64_t done = 0;
  std::uint64_t received = 0;
};

class Shares : public testing::Test {
 public:
  explicit Shares(std::uint32_t records = kRecords) {
    WorkerConfig config;
    config.out_messages = config.in_messages = records;
    worker_ = std::make_unique<Worker>(config, port_, commands_, notices_, now_);
    ring::Member member;
    member.name = "alone";
    ring::PlacementInput input;
    input.epoch = 1;
    input.members = std::span(&member, 1);
    command(SetView{std::make_shared<const ring::View>(ring::build_view(input).value())});
    command(SetPeerState{0, PeerState::kUp});
    for (std::uint16_t service = kGood; service < kGreedy + 8; ++service)
      command(AddService{service, std::string(1, static_cast<char>('a' + service))});
    sender_ = &add(0);
    server_ = &add(0);
    command(AddConsumer{server_->index, kGood, false, 0});
  }

  Program& add(DomainIndex domain) {
    const auto index = static_cast<ChannelIndex>(programs_.size());
    programs_.push_back(std::make_unique<Program>(index));
    command(AddChannel{index, programs_.back()->queues.engine(), {index + 1, 1}, domain, 0, 1});
    return *programs_.back();
  }
  /// Programs of one user that send to services of their own and give nothing back.
  void add_greedy(DomainIndex domain, std::uint16_t count) {
    for (std::uint16_t at = 0; at < count; ++at) {
      Program& program = add(domain);
      const auto service = static_cast<std::uint16_t>(kGreedy + greedy_.size());
      command(AddConsumer{program.index, service, false, kRecords});
      greedy_.push_back(&program);
    }
  }
  void turn() {
    turn([](const Notice&) {});
  }
  template <typename Look>
  void turn(Look look) {
    now_ += kMillisecondNs;
    worker_->turn(now_);
    for (Notice notice; notices_.try_pop(notice);) {
      look(notice);
      if (auto* own = std::get_if<OwnFile>(&notice)) files_[own->file] = std::move(own->memory);
    }
    worker_->bell_changes().clear();
  }
  /// Submissions ever taken; one turn is needed to ask.
  std::uint64_t taken() {
    std::uint64_t count = 0;
    command(TakeSnapshot{std::make_unique<WorkerSnapshot>()});
    turn([&](const Notice& notice) {
      if (const auto* told = std::get_if<SnapshotTaken>(&notice))
        count = told->snapshot->counters.taken;
    });
    return count;
  }
  /// The greedy ones send what they can, for so many turns.
  void fill_up() {
    for (int round = 0; round < 200; ++round) {
      for (std::size_t at = 0; at < greedy_.size(); ++at)
        while (greedy_[at]->send(static_cast<std::uint16_t>(kGreedy + at))) {
        }
      turn();
    }
  }
  void expect_served() {
    for (int round = 0; round < 500 && sender_->done < 100; ++round) {
      if (sender_->sent < 100) sender_->send(kGood);
      turn();
      server_->take();
      sender_->take();
      for (std::size_t at = 0; at < greedy_.size(); ++at)
        greedy_[at]->send(static_cast<std::uint16_t>(kGreedy + at));
    }
    EXPECT_EQ(sender_->done, 100u);
    EXPECT_EQ(server_->received, 100u);
  }
  void command(Command item) { RW_CHECK(commands_.try_push(item)); }

  fuzz::HandPort port_;
  CommandBox commands_;
  NoticeBox notices_;
  TimeNs now_ = kSecondNs;
  std::map<std::uint32_t, std::unique_ptr<ipc::MemoryFile>> files_;
  std::vector<std::unique_ptr<Program>> programs_;
  std::vector<Program*> greedy_;
  std::unique_ptr<Worker> worker_;
  Program* sender_ = nullptr;
  Program* server_ = nullptr;
};

TEST_F(Shares, programs_of_another_user_that_give_nothing_back_starve_nobody) {
  add_greedy(1, 6);
  fill_up();
  expect_served();
}

TEST_F(Shares, nor_do_programs_of_the_same_user) {
  add_greedy(0, 6);
  fill_up();
  expect_served();
}

TEST_F(Shares, nor_do_programs_of_many_users) {
  for (DomainIndex domain = 1; domain <= 3; ++domain) add_greedy(domain, 2);
  fill_up();
  expect_served();
}

// One that ended takes no new submissions of what it left; nobody is there for these.
TEST_F(Shares, what_nobody_takes_of_a_program_that_is_gone_ends) {
  Program& gone = add(0);
  const auto nobodys = static_cast<std::uint16_t>(kGreedy + 7);
  for (int count = 0; count < 10; ++count) ASSERT_TRUE(gone.send(nobodys));
  turn();
  command(RemoveChannel{gone.index});
  bool is_gone = false;
  const auto look = [&](const Notice& notice) {
    is_gone = is_gone || std::holds_alternative<ChannelGone>(notice);
  };
  const TimeNs removed_ns = now_;
  const DurationNs grace_ns = WorkerConfig{}.program_grace_ns;
  while (now_ < removed_ns + 10 * grace_ns) turn(look);
  EXPECT_FALSE(is_gone) << "somebody may still come";
  while (now_ < removed_ns + 20 * grace_ns) turn(look);
  EXPECT_TRUE(is_gone);
}

TEST_F(Shares, a_program_that_is_gone_and_one_that_has_too_much_let_the_worker_sleep) {
  add_greedy(1, 6);
  fill_up();
  Program& gone = add(0);
  ASSERT_TRUE(gone.send(kGreedy + 7));
  turn();
  command(RemoveChannel{gone.index});
  bool sleeps = false;
  for (int count = 0; count < 2'000 && !sleeps; ++count) {
    turn();
    sleeps = worker_->prepare_sleep();
    worker_->wake();
  }
  EXPECT_TRUE(sleeps);
}

class Floods : public Shares {
 public:
  Floods() : Shares(16'384) {}
};

TEST_F(Floods, of_many_channels_make_no_long_turn_and_keep_nobody_from_being_served_in_it) {
  constexpr std::uint32_t kFlooding = 200;
  for (std::uint32_t count = 0; count < kFlooding; ++count) greedy_.push_back(&add(1));
  turn();
  const std::uint64_t before = taken();
  for (Program* program : greedy_)
    while (program->send(kGreedy)) {
    }
  ASSERT_TRUE(sender_->send(kGood));
  turn();
  server_->take();
  EXPECT_EQ(server_->received, 1u) << "in the first turn";
  EXPECT_EQ(taken() - before, 1 + kFlooding * 16) << "4,096 >> 8 of each channel";
}

}  // namespace
}  // namespace ringwire::worker
