// A program that means harm, for tests/system/hostile_test.py: it attacks the engine at a socket in
// one way, again and again until it did it ROUNDS times, and prints what became of it as one line
// of JSON: rounds made, and how often the engine ended its attachment. `--die` ends it by SIGKILL
// somewhere in the middle.
//
//   hostile_program SOCKET ATTACK ROUNDS SEED [--die]
//   hostile_program --list
#include <sys/resource.h>
#include <sys/socket.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/system/hostile_channel.h"

namespace {

using ringwire::hostile::HostileChannel;
using ringwire::node::AttachCaller;
using ringwire::node::Descriptor;
using ringwire::node::make_memory;
namespace ipc = ringwire::ipc;

struct Round {
  const std::string& socket;
  std::mt19937_64& random;
  std::uint64_t number;

  [[nodiscard]] std::uint64_t below(std::uint64_t bound) const { return random() % bound; }
  /// A channel that means well until now. Its own service, or none.
  [[nodiscard]] std::unique_ptr<HostileChannel> open(bool serves = true) const {
    auto channel = std::make_unique<HostileChannel>(socket);
    const std::string service = "hostile-" + std::to_string(::getpid() % 8);
    if (!channel->open(random()) || (serves && !channel->serve(service))) return nullptr;
    return channel;
  }
};

/// Whether the engine ended the attachment: looks for so long as the engine may need.
bool is_ended(AttachCaller& caller) {
  while (const auto answer = caller.receive())
    if (answer->type() == ipc::AttachType::kClosing) return true;
  return true;  // hung up without a word, which is an end as well
}

// --- attacks: each returns whether the attachment was ended --------------------------------------

bool jump_indices(const Round& round) {
  const auto channel = round.open();
  if (channel == nullptr) return false;
  for (int count = 0; count < 20; ++count) channel->submit(channel->good());
  const std::uint64_t jumps[] = {channel->tail() + HostileChannel::kEntries + 1,
                                 channel->tail() + (std::uint64_t{1} << 63), UINT64_MAX};
  const std::uint64_t jump = jumps[round.below(3)];
  const std::uint64_t words[] = {ipc::kUpSubmissionTailOffset, ipc::kUpReleaseTailOffset,
                                 ipc::kUpDeliveryHeadOffset};
  // A head of deliveries is looked at when there are deliveries for it.
  channel->store(words[round.number % 3], jump);
  for (int count = 0; count < 8; ++count) channel->release(0);
  channel->store(words[round.number % 3], jump);
  channel->store(words[0], jump);
  channel->ring();
  return is_ended(channel->caller());
}

bool change_while_read(const Round& round) {
  const auto channel = round.open();
  if (channel == nullptr) return false;
  channel->tear(round.random(), [&] {
    for (int count = 0; count < 20'000; ++count) {
      auto entry = channel->good();
      if (count % 2 == 0) entry.extent_file = 1, entry.payload_bytes = round.below(4'096);
      if (!channel->submit(entry)) channel->ring();
      if (const auto delivery = channel->take()) channel->release(delivery->token);
    }
  });
  channel->set_tail(channel->tail() + 2 * HostileChannel::kEntries);
  channel->ring();
  return is_ended(channel->caller());
}

bool lie_in_entries(const Round& round) {
  const auto channel = round.open();
  if (channel == nullptr) return false;
  auto entry = channel->good();
  entry.extent_file = 1;
  switch (round.number % 10) {
    case 0:
      entry.payload_bytes = HostileChannel::kTransmitBytes + 1;
      break;
    case 1:
      entry.payload_offset = UINT64_MAX - 8;
      break;
    case 2:
      entry.payload_bytes = UINT64_MAX;
      entry.payload_offset = 64;
      break;
    case 3:
      entry.key_bytes = 65'535;
      break;
    case 4:
      entry.key_bytes = 1'000;
      entry.flags = ipc::kSubmitKeyInExtent;
      break;
    case 5:
      entry.extent_file = 99;
      break;
    case 6:
      entry.extent_file = 0;
      entry.payload_bytes = 129;
      break;
    case 7:
      entry.target = static_cast<std::uint8_t>(7 + round.below(249));
      break;
    case 8:
      entry.service = 60'000;
      break;
    default:
      entry.sequence = 0;
      break;
  }
  channel->submit(entry);
  return is_ended(channel->caller());
}

/// What it never got, what it gave back before, and what others have. Ends nobody: counted.
bool release_wrongly(const Round& round) {
  const auto channel = round.open();
  if (channel == nullptr) return false;
  for (int count = 0; count < 2'000; ++count) {
    channel->submit(channel->good());
    channel->release(round.random());
    channel->release(round.below(64) << 32 | round.below(64));
    if (const auto delivery = channel->take()) {
      channel->release(delivery->token);
      channel->release(delivery->token);
      channel->release(delivery->token + (std::uint64_t{1} << 32));
      channel->release(delivery->token, static_cast<std::uint32_t>(round.random()));
    }
  }
  return false;
}

/// Answers to calls that nobody made to it: tokens of its own deliveries with other bytes.
bool forge_replies(const Round& round) {
  const auto channel = round.open();
  if (channel == nullptr) return false;
  ipc::OriginToken token{};
  for (int count = 0; count < 2'000; ++count) {
    if (const auto delivery = channel->take()) {
      token = delivery->origin;
      channel->release(delivery->token);
    }
    auto entry = channel->good();
    if (count % 2 == 0) {
      entry.target = static_cast<std::uint8_t>(ipc::TargetKind::kOrigin);
      entry.flags = round.below(2) == 0 ? ipc::kSubmitReply : 0;
      entry.payload_bytes = 8;
      auto forged = token;
      auto* bytes = reinterpret_cast<unsigned char*>(&forged);
      if (round.below(4) != 0)
        bytes[round.below(sizeof forged)] ^= static_cast<unsigned char>(1U << round.below(8));
      std::memcpy(entry.inline_bytes, &forged, sizeof forged);
    }
    channel->submit(entry);
  }
  return false;
}

bool pass_descriptors(const Round& round) {
  AttachCaller caller(round.socket);
  if (round.number % 2 == 0) caller.attach(round.random());
  const Descriptor file = make_memory(4'096);
  const std::size_t counts[] = {1, 2, 19, 100, 253};
  const std::vector<int> many(counts[round.below(5)], file.get());
  caller.request(ipc::AttachType::kService, ipc::ServiceRequest{}, many);
  return is_ended(caller);
}

bool send_half_messages(const Round& round) {
  AttachCaller caller(round.socket);
  if (round.number % 2 == 0) caller.attach(round.random());
  auto header =
      AttachCaller::header(ipc::AttachType::kChannelOpen, sizeof(ipc::ChannelOpenRequest));
  std::vector<std::byte> body(sizeof(ipc::ChannelOpenRequest));
  switch (round.number % 4) {
    case 0:
      body.resize(round.below(body.size()));
      break;
    case 1:
      header.body_bytes = static_cast<std::uint32_t>(round.random());
      break;
    case 2:
      header.type = static_cast<std::uint32_t>(round.random());
      header.magic = static_cast<std::uint32_t>(round.random());
      break;
    default:
      caller.send_bytes(std::as_bytes(std::span(&header, 1)).first(round.below(sizeof header)));
      return is_ended(caller);
  }
  caller.send(header, body);
  return is_ended(caller);
}

/// Comes and goes, and comes and stays without a word, as often as descriptors allow.
bool flood_with_calls(const Round& round) {
  std::vector<std::unique_ptr<AttachCaller>> callers;
  for (int count = 0; count < 500; ++count) {
    auto caller = std::make_unique<AttachCaller>(round.socket);
    if (count % 2 == 0) callers.push_back(std::move(caller));
  }
  return false;
}

/// Asks for reports and files, and reads no answer.
bool read_no_answers(const Round& round) {
  const auto channel = round.open(false);
  if (channel == nullptr) return false;
  const std::string question = R"({"verb":"attachments"})";
  const auto header =
      AttachCaller::header(ipc::AttachType::kAdmin, static_cast<std::uint32_t>(question.size()));
  const auto map = AttachCaller::header(ipc::AttachType::kMap, sizeof(ipc::FileRequest));
  const ipc::FileRequest file{0, 2, 0};
  for (int count = 0; count < 100; ++count) {
    channel->caller().try_send(header, std::as_bytes(std::span(question)));
    channel->caller().try_send(map, std::as_bytes(std::span(&file, 1)));
  }
  return false;
}

bool give_wrong_files(const Round& round) {
  const auto channel = round.open(false);
  if (channel == nullptr) return false;
  Descriptor file;
  std::uint64_t said = 8'192;
  switch (round.number % 6) {
    case 0:
      file = make_memory(8'192, 0);
      break;
    case 1:
      file = make_memory(4'096);
      break;
    case 2:  // grows and shrinks under the engine, if that maps it
      file = make_memory(8'192, F_SEAL_GROW);
      break;
    case 3:
      file = Descriptor(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
      break;
    case 4:
      file = Descriptor(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
      break;
    default:
      file = make_memory(4'096);
      said = UINT64_MAX;
      break;
  }
  const int number = file.get();
  channel->caller().request(ipc::AttachType::kAdopt, ipc::FileRequest{0, 2, said},
                            std::span(&number, 1));
  if (round.number % 6 == 2 && ::ftruncate(number, 0) != 0) return false;
  const auto answer = channel->caller().receive();
  if (!answer || answer->status() == ipc::AttachStatus::kOk) std::abort();  // it took such a file
  // An adopted file whose pages go away under the engine's reads.
  auto entry = channel->good();
  entry.extent_file = 1;
  entry.payload_bytes = HostileChannel::kTransmitBytes;
  ::fallocate(channel->transmit_file(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
              static_cast<off_t>(HostileChannel::kTransmitBytes));
  channel->submit(entry);
  if (::ftruncate(channel->transmit_file(), 0) == 0) std::abort();  // it is sealed
  return false;
}

/// Takes all that it is given and gives nothing back, and sends as much as it can.
bool keep_everything(const Round& round) {
  std::vector<std::unique_ptr<HostileChannel>> channels;
  for (int count = 0; count < 8; ++count) {
    auto channel = round.open();
    if (channel == nullptr) break;
    channels.push_back(std::move(channel));
  }
  for (int count = 0; count < 20'000; ++count)
    for (const auto& channel : channels) {
      auto entry = channel->good();
      if (count % 4 == 0) entry.extent_file = 1, entry.payload_bytes = round.below(100'000);
      channel->submit(entry);
      static_cast<void>(channel->take());
    }
  return false;
}

/// Gives the engine files until it takes no more: another program must still find room.
bool hoard_descriptors(const Round& round) {
  const auto greedy = round.open(false);
  if (greedy == nullptr) return false;
  const Descriptor file = make_memory(4'096);
  const int number = file.get();
  const auto adopt = [&](HostileChannel& channel, std::uint32_t name) {
    const auto answer = channel.caller().ask(
        ipc::AttachType::kAdopt, ipc::FileRequest{0, name, 4'096}, std::span(&number, 1));
    return answer ? answer->status() : ipc::AttachStatus::kInternal;
  };
  ipc::AttachStatus last = ipc::AttachStatus::kOk;
  for (std::uint32_t name = 2; last == ipc::AttachStatus::kOk; ++name) last = adopt(*greedy, name);
  if (last != ipc::AttachStatus::kLimit) std::abort();
  const auto modest = round.open(false);
  if (modest == nullptr || adopt(*modest, 2) != ipc::AttachStatus::kOk) std::abort();
  return false;
}

using Attack = bool (*)(const Round&);
const std::map<std::string, Attack> kAttacks = {
    {"indices", jump_indices},      {"races", change_while_read}, {"lengths", lie_in_entries},
    {"releases", release_wrongly},  {"replies", forge_replies},   {"descriptors", pass_descriptors},
    {"halves", send_half_messages}, {"calls", flood_with_calls},  {"silence", read_no_answers},
    {"files", give_wrong_files},    {"greed", keep_everything},   {"hoard", hoard_descriptors},
};

}  // namespace

int main(int count, char** arguments) {
  if (count == 2 && std::string(arguments[1]) == "--list") {
    for (const auto& [name, attack] : kAttacks) std::printf("%s\n", name.c_str());
    return 0;
  }
  if (count < 5 || !kAttacks.contains(arguments[2])) return 2;
  const std::string socket = arguments[1];
  const Attack attack = kAttacks.at(arguments[2]);
  const std::uint64_t rounds = std::strtoull(arguments[3], nullptr, 10);
  std::mt19937_64 random(std::strtoull(arguments[4], nullptr, 10));
  if (count == 6) {  // --die: between any two of its stores, not at a chosen place
    const auto after_us = static_cast<suseconds_t>(1'000 + random() % 60'000);
    const itimerval timer{{0, 0}, {0, after_us}};
    std::signal(SIGALRM, [](int) { ::kill(::getpid(), SIGKILL); });
    ::setitimer(ITIMER_REAL, &timer, nullptr);
  }
  std::uint64_t ended = 0;
  for (std::uint64_t number = 0; number < rounds || count == 6; ++number)
    if (attack({socket, random, number})) ++ended;
  std::printf("{\"rounds\": %llu, \"ended\": %llu}\n", static_cast<unsigned long long>(rounds),
              static_cast<unsigned long long>(ended));
  return 0;
}
