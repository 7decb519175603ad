// What must be true of all voters of a world together, whatever fails. It sees what reaches disks,
// which views are committed, and what is sent; it keeps the first violation.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "ring/decree.h"

namespace ringwire::ring {

class AgreementOracle {
 public:
  std::string violation;
  std::map<std::uint64_t, Decree> committed;

  void fail(const std::string& what) {
    if (violation.empty()) violation = what;
  }
  void on_proposed(std::uint64_t epoch, const Decree& decree) {
    proposed_[epoch].push_back(decree);
  }
  void on_committed(std::uint64_t epoch, const Decree& decree) {
    const auto [at, is_new] = committed.try_emplace(epoch, decree);
    if (!is_new && at->second != decree) fail("two decrees committed for " + text(epoch));
    if (const auto chosen = chosen_.find(epoch); is_new && epoch > 1) {
      if (chosen == chosen_.end()) fail("committed but not chosen: " + text(epoch));
    }
    if (epoch <= 1) return;
    for (const Decree& known : proposed_[epoch])
      if (known == decree) return;
    fail("committed but never proposed for " + text(epoch));
  }
  // A record reached a disk: its vote counts from now on, whatever becomes of the node.
  void on_durable(const Record& record) {
    if (record.epoch > 0) on_committed(record.epoch, record.decree);
    if (record.accepted.empty()) return;
    const std::uint64_t epoch = record.epoch + 1;
    Votes& votes = votes_[{epoch, record.accepted}];
    if (votes.voters.empty()) votes.decree = record.accepted_decree;
    if (votes.decree != record.accepted_decree) fail("two decrees under one ballot");
    insert(votes.voters, record.self);
    if (!is_majority(record.decree.voters, votes.voters) ||
        !is_majority(votes.decree.voters, votes.voters))
      return;
    const auto [at, is_new] = chosen_.try_emplace(epoch, votes.decree);
    if (!is_new && at->second != votes.decree) fail("two decrees chosen for " + text(epoch));
  }
  // The write-ahead rule: what is said rests on what is on the disk.
  void on_sent(const Message& message, const Record& durable) {
    const bool is_past = durable.epoch >= message.epoch;
    switch (message.kind) {
      case MessageKind::kPrepare:
      case MessageKind::kPromise:
        if (!is_past && durable.promised < message.ballot) fail("promise before it was durable");
        break;
      case MessageKind::kAccepted:
        if (!is_past && durable.accepted < message.ballot) fail("vote before it was durable");
        break;
      case MessageKind::kLearn:
        if (!is_past) fail("commit told before it was durable");
        break;
      default:
        break;
    }
  }

 private:
  struct Votes {
    Decree decree;
    IdSet voters;
  };
  static std::string text(std::uint64_t epoch) {
    return std::string("epoch ").append(std::to_string(epoch));
  }

  std::map<std::pair<std::uint64_t, Ballot>, Votes> votes_;
  std::map<std::uint64_t, Decree> chosen_;
  std::map<std::uint64_t, std::vector<Decree>> proposed_;
};

}  // namespace ringwire::ring
