#include "engine/control/messages.h"

#include <algorithm>

#include "base/bytes.h"
#include "base/check.h"
#include "base/mutant.h"

namespace ringwire::control {
namespace {

// ---- writing ------------------------------------------------------------------------------------

class Encoder {
 public:
  explicit Encoder(std::vector<std::byte>& out) : out_(out), start_(out.size()) {
    out_.resize(start_ + kLengthBytes);
  }

  template <typename T>
  void number(T value) {
    out_.resize(out_.size() + sizeof(T));
    store_le(out_.data() + out_.size() - sizeof(T), value);
  }
  template <typename T>
  requires std::is_enum_v<T>
  void enumerator(T value) { number(static_cast<std::underlying_type_t<T>>(value)); }
  void id(const Id128& value) {
    number(value.high);
    number(value.low);
  }
  void text(std::string_view value, std::size_t limit_bytes) {
    RW_CHECK(value.size() <= limit_bytes);
    number(static_cast<std::uint16_t>(value.size()));
    raw(as_bytes(value));
  }
  void endpoint(const Endpoint& value) {
    raw(std::as_bytes(std::span(value.address)));
    number(value.port);
  }

  void finish() {
    const std::size_t length = out_.size() - start_ - kLengthBytes;
    RW_CHECK(length <= kMaxMessageBytes);
    store_le(out_.data() + start_, static_cast<std::uint32_t>(length));
  }

 private:
  void raw(std::span<const std::byte> bytes) {
    out_.insert(out_.end(), bytes.begin(), bytes.end());
  }

  std::vector<std::byte>& out_;
  std::size_t start_;
};

void put(Encoder& out, const Hello& hello) {
  RW_CHECK(!hello.data_endpoints.empty());
  RW_CHECK(hello.data_endpoints.size() <= kMaxWorkers);
  out.enumerator(MessageType::kHello);
  out.number(hello.magic);
  out.number(hello.wire_version_min);
  out.number(hello.wire_version_max);
  out.number(hello.features);
  out.enumerator(hello.security);
  out.text(hello.cluster_name, kMaxNameBytes);
  out.id(hello.cluster_id);
  out.text(hello.node_name, kMaxNameBytes);
  out.id(hello.incarnation);
  out.enumerator(hello.role);
  out.enumerator(hello.cluster_kind);
  out.number(hello.secondaries);
  out.number(hello.placement_version);
  out.number(hello.placement_digest);
  out.number(hello.members_digest);
  out.number(static_cast<std::uint8_t>(hello.data_endpoints.size()));
  for (const Endpoint& endpoint : hello.data_endpoints) out.endpoint(endpoint);
  out.number(hello.max_packet_bytes);
  out.number(hello.receive_queue_bytes * (RW_MUTANT(121) ? hello.data_endpoints.size() : 1));
  out.number(hello.message_slots);
  out.text(hello.software_version, kMaxTextBytes);
  out.number(hello.started_at_ns);
  out.number(hello.weight);
  out.text(hello.zone, kMaxTextBytes);
  out.endpoint(hello.control_endpoint);
  out.number(hello.nonce);
}

void put(Encoder& out, const HelloRefuse& refuse) {
  out.enumerator(MessageType::kHelloRefuse);
  out.enumerator(refuse.reason);
  out.text(refuse.text, kMaxTextBytes);
}

void put(Encoder& out, const Sessions& sessions) {
  RW_CHECK(sessions.connection_ids.size() ==
           std::size_t{sessions.own_workers} * sessions.peer_workers);
  out.enumerator(MessageType::kSessions);
  out.number(sessions.own_workers);
  out.number(sessions.peer_workers);
  out.number(sessions.max_packet_bytes);
  for (const std::uint64_t id : sessions.connection_ids) out.number(id);
}

void put(Encoder& out, const Heartbeat& heartbeat) {
  out.enumerator(MessageType::kHeartbeat);
  out.number(heartbeat.sequence);
  out.number(static_cast<std::uint64_t>(heartbeat.sent_ns));
}

void put(Encoder& out, const HeartbeatAck& ack) {
  out.enumerator(MessageType::kHeartbeatAck);
  out.number(ack.sequence);
  out.number(static_cast<std::uint64_t>(ack.sent_ns));
}

void put(Encoder& out, const Goodbye& goodbye) {
  out.enumerator(MessageType::kGoodbye);
  out.enumerator(goodbye.reason);
}

void put(Encoder& out, const NodeState& state) {
  out.enumerator(MessageType::kNodeState);
  out.enumerator(state.condition);
  out.number(state.epoch);
}

void put(Encoder& out, const PeerList& list) {
  RW_CHECK(list.peers.size() <= kMaxPeersPerList);
  out.enumerator(MessageType::kPeerList);
  out.number(static_cast<std::uint16_t>(list.peers.size()));
  for (const PeerList::Peer& peer : list.peers) {
    out.text(peer.name, kMaxNameBytes);
    out.endpoint(peer.control);
  }
}

void put(Encoder& out, const Challenge& challenge) {
  out.enumerator(MessageType::kChallenge);
  out.number(challenge.nonce);
}

void put(Encoder& out, const ChallengeAnswer& answer) {
  out.enumerator(MessageType::kChallengeAnswer);
  out.number(answer.nonce);
}

// ---- reading ------------------------------------------------------------------------------------

class Decoder {
 public:
  explicit Decoder(std::span<const std::byte> source) : reader_(source) {}

  template <typename T>
  void number(T& value) {
    value = reader_.read<T>();
  }
  void time(TimeNs& value) { value = static_cast<TimeNs>(reader_.u64()); }
  /// An enumerator in low .. high (both included).
  template <typename T>
  void enumerator(T& value, T low, T high) {
    const auto raw = reader_.read<std::underlying_type_t<T>>();
    value = static_cast<T>(raw);
    require(value >= low && value <= high);
  }
  void id(Id128& value) {
    number(value.high);
    number(value.low);
  }
  void text(std::string& value, std::size_t limit_bytes) {
    const std::uint16_t bytes = reader_.u16();
    require(bytes <= limit_bytes);
    value = as_text(reader_.view(bytes));
    require(value.find('\0') == std::string::npos);
  }
  void name(std::string& value) {
    text(value, kMaxNameBytes);
    require(is_valid_name(value));
  }
  void endpoint(Endpoint& value) {
    const auto raw = reader_.view(value.address.size());
    for (std::size_t index = 0; index < raw.size(); ++index)
      value.address[index] = std::to_integer<std::uint8_t>(raw[index]);
    value.port = reader_.u16();
  }

  /// A rule on what was read; has no say once the input has run out.
  void require(bool holds) {
    if (reader_.ok() && !holds) bad_value_ = true;
  }
  /// False once there is nothing sensible to read on for.
  [[nodiscard]] bool good() const { return reader_.ok() && !bad_value_; }
  [[nodiscard]] std::optional<MessageError> verdict(bool may_trail) const {
    if (bad_value_) return MessageError::kBadValue;
    if (!reader_.ok()) return MessageError::kTruncated;
    if (!may_trail && !reader_.at_end()) return MessageError::kTrailing;
    return std::nullopt;
  }

 private:
  ByteReader reader_;
  bool bad_value_ = false;
};

void get(Decoder& in, Hello& hello) {
  in.number(hello.magic);
  in.require(hello.magic == kProtocolMagic);
  in.number(hello.wire_version_min);
  in.number(hello.wire_version_max);
  in.require(hello.wire_version_min <= hello.wire_version_max);
  in.number(hello.features);
  in.enumerator(hello.security, Security::kClear, Security::kTls);
  in.name(hello.cluster_name);
  in.id(hello.cluster_id);
  in.name(hello.node_name);
  in.id(hello.incarnation);
  in.require(!hello.incarnation.empty());
  in.enumerator(hello.role, Role::kServer, Role::kSlave);
  in.enumerator(hello.cluster_kind, ClusterKind::kHash, ClusterKind::kRandom);
  in.number(hello.secondaries);
  in.number(hello.placement_version);
  in.number(hello.placement_digest);
  in.number(hello.members_digest);
  std::uint8_t workers = 0;
  in.number(workers);
  in.require(workers >= 1 && workers <= kMaxWorkers);
  if (!in.good()) return;
  hello.data_endpoints.resize(workers);
  for (Endpoint& endpoint : hello.data_endpoints) in.endpoint(endpoint);
  in.number(hello.max_packet_bytes);
  in.require(hello.max_packet_bytes >= kLeastPacketBytes);
  in.number(hello.receive_queue_bytes);
  in.number(hello.message_slots);
  in.require(hello.message_slots >= kLeastMessageSlots);
  in.require(hello.message_slots <= kMostMessageSlots);
  in.require((hello.message_slots & (hello.message_slots - 1)) == 0);
  in.text(hello.software_version, kMaxTextBytes);
  in.number(hello.started_at_ns);
  in.number(hello.weight);
  in.require(hello.role != Role::kServer ||
             (hello.weight >= kLeastWeight && hello.weight <= kMostWeight));
  in.text(hello.zone, kMaxTextBytes);
  in.endpoint(hello.control_endpoint);
  in.number(hello.nonce);
}

void get(Decoder& in, HelloRefuse& refuse) {
  in.enumerator(refuse.reason, RefuseReason{1}, RefuseReason{kRefuseReasonCount});
  in.text(refuse.text, kMaxTextBytes);
}

void get(Decoder& in, Sessions& sessions) {
  in.number(sessions.own_workers);
  in.number(sessions.peer_workers);
  in.number(sessions.max_packet_bytes);
  if (RW_MUTANT(128)) sessions.max_packet_bytes = ~std::uint32_t{0};
  in.require(sessions.max_packet_bytes >= kLeastPacketBytes);
  in.require(sessions.own_workers >= 1 && sessions.own_workers <= kMaxWorkers);
  in.require(sessions.peer_workers >= 1 && sessions.peer_workers <= kMaxWorkers);
  if (!in.good()) return;
  sessions.connection_ids.resize(std::size_t{sessions.own_workers} * sessions.peer_workers);
  for (std::uint64_t& id : sessions.connection_ids) {
    in.number(id);
    in.require(id != 0);
  }
}

void get(Decoder& in, Heartbeat& heartbeat) {
  in.number(heartbeat.sequence);
  in.time(heartbeat.sent_ns);
}

void get(Decoder& in, HeartbeatAck& ack) {
  in.number(ack.sequence);
  in.time(ack.sent_ns);
}

void get(Decoder& in, Goodbye& goodbye) {
  in.enumerator(goodbye.reason, GoodbyeReason::kDraining, GoodbyeReason::kRestart);
}

void get(Decoder& in, NodeState& state) {
  in.enumerator(state.condition, NodeCondition::kServing, NodeCondition::kOut);
  in.number(state.epoch);
}

void get(Decoder& in, PeerList& list) {
  std::uint16_t count = 0;
  in.number(count);
  in.require(count <= kMaxPeersPerList);
  for (std::uint16_t index = 0; index < count && in.good(); ++index) {
    PeerList::Peer peer;
    in.name(peer.name);
    in.endpoint(peer.control);
    list.peers.push_back(std::move(peer));
  }
}

void get(Decoder& in, Challenge& challenge) { in.number(challenge.nonce); }

void get(Decoder& in, ChallengeAnswer& answer) { in.number(answer.nonce); }

template <typename T>
Result<Message, MessageError> decode_as(Decoder& in) {
  T body;
  get(in, body);
  if (const auto error = in.verdict(std::is_same_v<T, Hello>)) return Failure{*error};
  return Message{std::move(body)};
}

}  // namespace

bool is_valid_name(std::string_view name) {
  const auto allowed = [](char letter) {
    return (letter >= 'A' && letter <= 'Z') || (letter >= 'a' && letter <= 'z') ||
           (letter >= '0' && letter <= '9') || letter == '.' || letter == '_' || letter == '-';
  };
  return !name.empty() && name.size() <= kMaxNameBytes &&
         std::all_of(name.begin(), name.end(), allowed);
}

void encode(const Message& message, std::vector<std::byte>& out) {
  Encoder encoder(out);
  std::visit([&](const auto& body) { put(encoder, body); }, message);
  encoder.finish();
}

Result<Message, MessageError> decode(std::span<const std::byte> type_and_body) {
  if (type_and_body.size() > kMaxMessageBytes) return Failure{MessageError::kTooLong};
  if (type_and_body.size() < kTypeBytes) return Failure{MessageError::kTooShort};
  const auto type = static_cast<MessageType>(load_le<std::uint16_t>(type_and_body.data()));
  Decoder in(type_and_body.subspan(kTypeBytes));
  switch (type) {
    case MessageType::kHello:
      return decode_as<Hello>(in);
    case MessageType::kHelloRefuse:
      return decode_as<HelloRefuse>(in);
    case MessageType::kSessions:
      return decode_as<Sessions>(in);
    case MessageType::kHeartbeat:
      return decode_as<Heartbeat>(in);
    case MessageType::kHeartbeatAck:
      return decode_as<HeartbeatAck>(in);
    case MessageType::kGoodbye:
      return decode_as<Goodbye>(in);
    case MessageType::kNodeState:
      return decode_as<NodeState>(in);
    case MessageType::kPeerList:
      return decode_as<PeerList>(in);
    case MessageType::kChallenge:
      return decode_as<Challenge>(in);
    case MessageType::kChallengeAnswer:
      return decode_as<ChallengeAnswer>(in);
  }
  return Failure{MessageError::kUnknownType};
}

std::string_view name_of(RefuseReason reason) {
  switch (reason) {
    case RefuseReason::kWireVersion:
      return "wire-version";
    case RefuseReason::kSecurity:
      return "security";
    case RefuseReason::kClusterName:
      return "cluster-name";
    case RefuseReason::kClusterId:
      return "cluster-id";
    case RefuseReason::kSelf:
      return "self";
    case RefuseReason::kNameInUse:
      return "name-in-use";
    case RefuseReason::kClusterType:
      return "cluster-type";
    case RefuseReason::kSecondaries:
      return "secondaries";
    case RefuseReason::kPlacementVersion:
      return "placement-version";
    case RefuseReason::kPlacementDigest:
      return "placement-digest";
    case RefuseReason::kMembers:
      return "members";
    case RefuseReason::kDuplicateConnection:
      return "duplicate-connection";
    case RefuseReason::kTooManyNodes:
      return "too-many-nodes";
    case RefuseReason::kDraining:
      return "draining";
    case RefuseReason::kNotAllowed:
      return "not-allowed";
  }
  return "unknown";
}

std::string_view name_of(MessageError error) {
  switch (error) {
    case MessageError::kTooLong:
      return "too long";
    case MessageError::kTooShort:
      return "too short";
    case MessageError::kUnknownType:
      return "unknown type";
    case MessageError::kTruncated:
      return "truncated";
    case MessageError::kTrailing:
      return "trailing bytes";
    case MessageError::kBadValue:
      return "bad value";
  }
  return "unknown";
}

}  // namespace ringwire::control
