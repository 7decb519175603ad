// A production worker between a peer and a program that lie, and a peer and a program that do not
// (docs/architecture.md G10, G13; docs/wire.md W-60; docs/segment.md S-12, S-13). The input is a
// story of what the liars do. Oracle: the honest peer's messages reach the honest program, each
// once, and are done; only the liars lose their session and their attachment; every message that
// the worker took is done, failed, unknown or in flight; and the memory that it asks for is
// bounded.
#include <unistd.h>

#include <cstring>
#include <map>
#include <memory>
#include <string>

#include "base/check.h"
#include "engine/transport/session.h"
#include "engine/worker/worker.h"
#include "ipc/extent_pool.h"
#include "ring/placement.h"
#include "tests/fuzz/forger.h"
#include "tests/fuzz/hand_port.h"
#include "tests/fuzz/input.h"
#include "tests/sim/program_channel.h"

namespace {

using namespace ringwire;
using fuzz::Input;
using transport::EventKind;

constexpr std::uint64_t kEvilId = 55;    // at the door, for the peer that lies
constexpr std::uint64_t kHonestId = 77;  // for the one that does not
constexpr worker::NodeIndex kEvilNode = 1;
constexpr worker::NodeIndex kHonestNode = 2;
constexpr worker::ChannelIndex kHonestChannel = 0;
constexpr worker::ChannelIndex kEvilChannel = 1;
constexpr std::uint32_t kSlots = 256;
constexpr std::uint32_t kEntries = 16;
constexpr std::uint64_t kMostLargeBytes = 1 << 20;
constexpr std::size_t kMostFiles = 64;

transport::SessionConfig session_config(std::uint64_t local, std::uint64_t remote) {
  transport::SessionConfig config;
  config.local_connection_id = local;
  config.remote_connection_id = remote;
  config.max_packet_bytes = fuzz::HandPort::kBytes;
  config.message_slots = kSlots;
  return config;
}

std::shared_ptr<const ring::View> view_of_one() {
  ring::Member member;
  member.name = "victim";
  ring::PlacementInput input;
  input.epoch = 1;
  input.members = std::span(&member, 1);
  auto built = ring::build_view(input);
  RW_CHECK(built.ok());
  return std::make_shared<const ring::View>(std::move(built).value());
}

// The up file of the program that lies, all bytes its own.
class EvilProgram {
 public:
  EvilProgram() {
    const std::uint64_t bytes = ipc::up_file_bytes(kEntries, kEntries, 1);
    auto made = ipc::MemoryFile::create("fuzz-up", bytes);
    RW_CHECK(made.ok());
    up_ = std::move(made).value();
    const ipc::UpHeader header{ipc::kUpMagic, ipc::kLayoutVersion, 1, bytes, kEntries, kEntries};
    std::memcpy(up_.data(), &header, sizeof header);
    ipc::ChannelOpenRequest request{};
    request.submission_entries = kEntries;
    request.release_entries = kEntries;
    request.delivery_entries = kEntries;
    request.up_file_bytes = bytes;
    request.next_sequence = 1;
    auto opened = ipc::EngineChannel::open(dup(up_.descriptor()), request, 1, 0);
    RW_CHECK(opened.ok());
    engine_ = std::move(opened).value();
  }

  ipc::EngineChannel* engine() { return engine_.get(); }

  void submit(Input& input) {
    ipc::Submission entry{};
    entry.sequence = input.below(8) == 0 ? input.near(sequence_) : ++sequence_;
    entry.hash = input.below(4);
    entry.payload_bytes = input.below(8) == 0 ? input.near(128) : input.below(100);
    entry.payload_offset = input.below(8) == 0 ? input.near(4'096) : 0;
    entry.deadline_ns = input.below(4) == 0 ? static_cast<std::int64_t>(input.near(kSecondNs)) : 0;
    entry.extent_file = input.below(4) == 0 ? input.below(3) : 0;
    entry.node =
        static_cast<std::uint32_t>(input.below(8) == 0 ? input.near(1'024) : input.below(4));
    entry.key_bytes =
        static_cast<std::uint16_t>(input.below(8) == 0 ? input.near(128) : input.below(20));
    entry.service =
        static_cast<std::uint16_t>(input.below(8) == 0 ? input.near(2) : input.below(2));
    entry.flags = static_cast<std::uint16_t>(input.below(2) == 0 ? input.u8() : 0);
    entry.target = static_cast<std::uint8_t>(input.below(8));
    entry.level = static_cast<std::uint8_t>(input.below(8) == 0 ? input.u8() : input.below(3));
    entry.require = static_cast<std::uint8_t>(input.below(4));
    entry.priority = static_cast<std::uint8_t>(input.below(3));
    const auto own = input.raw(input.below(32));
    if (!own.empty()) std::memcpy(entry.inline_bytes, own.data(), own.size());
    std::memcpy(up_.data() + ipc::kHeaderBytes + tail_ % kEntries * sizeof entry, &entry,
                sizeof entry);
    ++tail_;
    put(ipc::kUpSubmissionTailOffset, tail_);
  }
  void release(Input& input) {
    const ipc::Release entry{
        input.below(4) == 0 ? input.near(0) : (std::uint64_t{1} << 32 | input.below(8)),
        input.below(5), input.below(3)};
    std::memcpy(up_.data() + ipc::up_release_offset(kEntries, kEntries, 0) +
                    releases_ % kEntries * sizeof entry,
                &entry, sizeof entry);
    put(ipc::kUpReleaseTailOffset, ++releases_);
  }
  void take_deliveries(Input& input) {
    delivered_ = input.below(8) == 0 ? input.near(delivered_) : delivered_ + input.below(3);
    put(ipc::kUpDeliveryHeadOffset, delivered_);
  }
  void scribble(Input& input) {
    const auto bytes = input.raw(input.below(64));
    if (bytes.empty()) return;
    const std::uint64_t at = input.u16() % (up_.bytes() - bytes.size());
    std::memcpy(up_.data() + at, bytes.data(), bytes.size());
  }

 private:
  void put(std::uint64_t offset, std::uint64_t value) {
    std::memcpy(up_.data() + offset, &value, sizeof value);
  }

  ipc::MemoryFile up_;
  std::unique_ptr<ipc::EngineChannel> engine_;
  std::uint64_t sequence_ = 0;
  std::uint64_t tail_ = 0;
  std::uint64_t releases_ = 0;
  std::uint64_t delivered_ = 0;
};

class Story {
 public:
  explicit Story(Input input) : input_(input), forger_(kEvilId, kSlots, fuzz::HandPort::kBytes) {
    worker::WorkerConfig config;
    config.out_messages = 256;
    config.in_messages = 1'024;
    config.duplicate_windows = 64;
    config.origin_secret[0] = 1;
    config.origin_secret[1] = 2;
    worker_ = std::make_unique<worker::Worker>(config, port_, commands_, notices_, now_);
    static const auto view = view_of_one();
    command(worker::SetView{view});
    command(worker::AddService{1, "a"});
    command(worker::AddChannel{kHonestChannel, honest_program_.engine(), {5, 1}, 0, 0, 1});
    command(worker::AddConsumer{kHonestChannel, 0, false, 0});
    command(worker::AddChannel{kEvilChannel, evil_program_.engine(), {1, 2}, 0, 1, 1});
    command(worker::AddConsumer{kEvilChannel, 1, false, 0});
    add_session(kEvilNode, kEvilId);
    add_session(kHonestNode, kHonestId);
    turn();
  }

  void tell() {
    for (int step = 0; step < 150 && !input_.empty(); ++step) {
      act();
      turn();
    }
    // Whatever they did: the honest still get through.
    for (int count = 0; count < 2; ++count) send_honest();
    run_until_honest_done();
    check_counters();
  }

 private:
  void command(worker::Command item) { RW_CHECK(commands_.try_push(item)); }

  void add_session(worker::NodeIndex node, std::uint64_t id) {
    command(
        worker::AddSession{node,
                           0,
                           1,
                           {},
                           id,
                           std::make_unique<transport::Session>(session_config(id, id + 1), now_)});
    command(worker::SetPeerState{node, worker::PeerState::kUp});
  }

  void act() {
    switch (input_.below(14)) {
      case 0:
        return pass(DurationNs{input_.u16()} * kMicrosecondNs);
      case 1:
      case 2:
      case 3:
        return port_.give(forger_.mixed(input_));
      case 4:
        return port_.give(forger_.bulk(input_));
      case 5:
        return port_.give(forger_.raw(input_));
      case 6:
        return port_.give(forger_.honest_ack());
      case 7:
        return port_.give(input_.raw(input_.u8()));
      case 8:
      case 9:
        return evil_program_.submit(input_);
      case 10:
        return evil_program_.release(input_);
      case 11:
        return evil_program_.take_deliveries(input_);
      case 12:
        return input_.below(4) == 0 ? evil_program_.scribble(input_) : send_honest();
      default:
        if (!evil_broken_) return;
        evil_broken_ = false;
        forger_ = fuzz::Forger(kEvilId, kSlots, fuzz::HandPort::kBytes);
        return add_session(kEvilNode, kEvilId);
    }
  }

  void pass(DurationNs duration) {
    for (int part = 0; part < 4; ++part) {
      now_ += duration / 4;
      turn();
    }
  }

  void turn() {
    now_ += kMicrosecondNs;
    worker_->turn(now_);
    for (const auto& sent : port_.take_sent()) {
      const auto header = wire::decode_frame_header(sent.bytes);
      RW_CHECK(header.has_value());
      if (header->connection_id == kEvilId + 1) {
        forger_.their_newest_packet = header->packet_number;
      } else {
        RW_CHECK(header->connection_id == kHonestId + 1);
        RW_CHECK(honest_peer_.on_packet(now_, sent.bytes, events_) || honest_peer_.closed());
        RW_CHECK(!honest_peer_.closed());
        read_honest_events();
      }
    }
    if (honest_peer_.next_deadline_ns() <= now_) {
      honest_peer_.on_timer(now_, events_);
      read_honest_events();
    }
    while (const std::size_t bytes = honest_peer_.poll_transmit(now_, packet_))
      port_.give(std::span<const std::byte>(packet_).first(bytes));
    serve_honest();
    obey_notices();
  }

  // --- the honest ones ---

  void send_honest() {
    if (sent_ - done_ >= 8) return;
    transport::OutgoingMessage message;
    message.header.id = {{6, 6}, 0, sent_ + 1};
    message.header.payload_bytes = sizeof sent_;
    message.header.epoch = 1;
    payloads_[sent_ % 8] = sent_ + 1;
    message.payload = reinterpret_cast<const std::byte*>(&payloads_[sent_ % 8]);
    transport::MessageNumber number{};
    if (honest_peer_.send(message, number) == transport::SendVerdict::kTaken) ++sent_;
  }

  void read_honest_events() {
    for (const transport::Event& event : events_.all()) {
      RW_CHECK(event.kind != EventKind::kClosed);
      if (event.kind != EventKind::kResult) continue;
      RW_CHECK(event.ending == Ending::kDone);
      ++done_;
    }
    events_.clear();
  }

  // The honest program takes what comes, and gives it back at once. The liars may send to its
  // service, too; what the honest peer sends comes once each, in order.
  void serve_honest() {
    ipc::Delivery delivery;
    std::uint32_t from = 0;
    while (honest_program_.receive(delivery, from)) {
      if (delivery.kind != static_cast<std::uint8_t>(ipc::DeliveryKind::kMessage)) continue;
      if (delivery.origin.attachment_high == 6 && delivery.origin.node == kHonestNode) {
        std::uint64_t number = 0;
        RW_CHECK(delivery.payload_bytes == sizeof number);
        std::memcpy(&number, delivery.inline_bytes, sizeof number);
        RW_CHECK(number == ++received_);
      }
      RW_CHECK(honest_program_.release(from, {delivery.token, 0, 0}));
    }
  }

  void run_until_honest_done() {
    for (int round = 0; round < 2'000 && done_ < sent_; ++round) pass(kMillisecondNs);
    RW_CHECK(done_ == sent_);
    RW_CHECK(received_ == sent_);
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
      if (const auto* broken = std::get_if<worker::SessionBroken>(&notice)) {
        RW_CHECK(broken->node == kEvilNode);
        evil_broken_ = true;
      }
      if (const auto* violated = std::get_if<worker::ChannelViolated>(&notice)) {
        RW_CHECK(violated->index == kEvilChannel);
        command(worker::RemoveChannel{kEvilChannel});
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
  sim::ProgramChannel honest_program_{1, 1, 0};
  EvilProgram evil_program_;
  std::unique_ptr<worker::Worker> worker_;
  transport::Session honest_peer_{session_config(kHonestId + 1, kHonestId), kSecondNs};
  fuzz::Forger forger_;
  transport::EventBatch events_;
  std::array<std::byte, fuzz::HandPort::kBytes> packet_{};
  std::array<std::uint64_t, 8> payloads_{};
  std::unique_ptr<worker::WorkerSnapshot> snapshot_;
  std::uint32_t next_file_ = 1;
  std::uint64_t sent_ = 0;
  std::uint64_t done_ = 0;
  std::uint64_t received_ = 0;
  bool evil_broken_ = false;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Story(Input(data, size)).tell();
  return 0;
}
