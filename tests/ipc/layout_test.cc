// The layout that the compiler made, against the numbers that docs/segment.md states (S-60 to
// S-66): the document is the contract, and this test reads it.
#include "ipc/layout.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <utility>

#include "ipc/attach_protocol.h"

namespace ringwire::ipc {
namespace {

struct Field {
  std::size_t offset;
  std::size_t bytes;
  bool operator==(const Field&) const = default;
};
std::ostream& operator<<(std::ostream& out, const Field& field) {
  return out << field.offset << " (" << field.bytes << " bytes)";
}
struct Layout {
  std::size_t bytes = 0;
  std::map<std::string, Field> fields;
};

/// What the document says: blocks that start with `Name, N bytes`, then `offset name:bytes` until
/// an empty line; and `Name: kOne=1 kTwo=2` for numbers.
struct Document {
  Document() {
    const char* folder = std::getenv("RINGWIRE_DOCS");
    std::ifstream file(std::string(folder != nullptr ? folder : "docs") + "/segment.md");
    const std::regex head(R"((\w+), (\d+) bytes)");
    const std::regex field(R"((\d+) (\w+):(\d+))");
    const std::regex numbers(R"((\w+): (?:\w+=.*))");
    const std::regex number(R"((\w+)=(0x[0-9a-f]+|\d+))");
    std::string of;
    std::string names;
    for (std::string line; std::getline(file, line);) {
      std::smatch match;
      if (line.empty() || line.starts_with("```")) of.clear();
      if (std::regex_match(line, match, head)) {
        of = match[1];
        layouts[of].bytes = std::stoul(match[2]);
        continue;
      }
      if (std::regex_match(line, match, numbers)) names = match[1];
      if (!line.starts_with(' ') && match.empty()) names.clear();
      for (std::sregex_iterator at(line.begin(), line.end(), number), end;
           at != end && !names.empty(); ++at)
        values[names][(*at)[1]] = std::stoull((*at)[2], nullptr, 0);
      for (std::sregex_iterator at(line.begin(), line.end(), field), end; at != end && !of.empty();
           ++at)
        layouts[of].fields[(*at)[2]] = {std::stoul((*at)[1]), std::stoul((*at)[3])};
    }
  }
  std::map<std::string, Layout> layouts;
  std::map<std::string, std::map<std::string, std::uint64_t>> values;
};

const Document& document() {
  static const Document read;
  return read;
}

#define RW_FIELD(type, name)                            \
  {                                                     \
#name, { offsetof(type, name), sizeof(type::name) } \
  }

// S-60, S-61, S-62, S-63, S-64: each structure's size, and each field's place and size.
TEST(Layout, is_what_the_document_says) {
  const std::map<std::string, Layout> made = {
      {"UpHeader",
       {sizeof(UpHeader),
        {RW_FIELD(UpHeader, magic), RW_FIELD(UpHeader, layout_version),
         RW_FIELD(UpHeader, worker_count), RW_FIELD(UpHeader, file_bytes),
         RW_FIELD(UpHeader, submission_entries), RW_FIELD(UpHeader, release_entries),
         RW_FIELD(UpHeader, features)}}},
      {"Submission",
       {sizeof(Submission),
        {RW_FIELD(Submission, sequence), RW_FIELD(Submission, hash),
         RW_FIELD(Submission, payload_bytes), RW_FIELD(Submission, payload_offset),
         RW_FIELD(Submission, deadline_ns), RW_FIELD(Submission, extent_file),
         RW_FIELD(Submission, node), RW_FIELD(Submission, key_bytes), RW_FIELD(Submission, service),
         RW_FIELD(Submission, flags), RW_FIELD(Submission, target), RW_FIELD(Submission, level),
         RW_FIELD(Submission, require), RW_FIELD(Submission, priority),
         RW_FIELD(Submission, reserved), RW_FIELD(Submission, inline_bytes)}}},
      {"Release",
       {sizeof(Release),
        {RW_FIELD(Release, token), RW_FIELD(Release, verdict), RW_FIELD(Release, flags)}}},
      {"DownHeader",
       {sizeof(DownHeader),
        {RW_FIELD(DownHeader, magic), RW_FIELD(DownHeader, layout_version),
         RW_FIELD(DownHeader, worker_count), RW_FIELD(DownHeader, file_bytes),
         RW_FIELD(DownHeader, delivery_entries), RW_FIELD(DownHeader, home_worker),
         RW_FIELD(DownHeader, features)}}},
      {"OriginToken",
       {sizeof(OriginToken),
        {RW_FIELD(OriginToken, attachment_high), RW_FIELD(OriginToken, attachment_low),
         RW_FIELD(OriginToken, sequence), RW_FIELD(OriginToken, node_incarnation),
         RW_FIELD(OriginToken, channel), RW_FIELD(OriginToken, node), RW_FIELD(OriginToken, flags),
         RW_FIELD(OriginToken, home_worker), RW_FIELD(OriginToken, reserved),
         RW_FIELD(OriginToken, seal), RW_FIELD(OriginToken, reserved2)}}},
      {"Delivery",
       {sizeof(Delivery),
        {RW_FIELD(Delivery, token), RW_FIELD(Delivery, hash), RW_FIELD(Delivery, payload_bytes),
         RW_FIELD(Delivery, payload_offset), RW_FIELD(Delivery, ticket),
         RW_FIELD(Delivery, extent_file), RW_FIELD(Delivery, attempt),
         RW_FIELD(Delivery, key_bytes), RW_FIELD(Delivery, flags), RW_FIELD(Delivery, service),
         RW_FIELD(Delivery, kind), RW_FIELD(Delivery, count), RW_FIELD(Delivery, reserved),
         RW_FIELD(Delivery, origin), RW_FIELD(Delivery, inline_bytes)}}},
      {"OutcomeRecord",
       {sizeof(OutcomeRecord),
        {RW_FIELD(OutcomeRecord, sequence), RW_FIELD(OutcomeRecord, node),
         RW_FIELD(OutcomeRecord, ending), RW_FIELD(OutcomeRecord, reason),
         RW_FIELD(OutcomeRecord, level), RW_FIELD(OutcomeRecord, attempt)}}},
      {"NodeRecord",
       {sizeof(NodeRecord),
        {RW_FIELD(NodeRecord, name), RW_FIELD(NodeRecord, name_bytes), RW_FIELD(NodeRecord, state),
         RW_FIELD(NodeRecord, role), RW_FIELD(NodeRecord, reserved),
         RW_FIELD(NodeRecord, incarnation_low), RW_FIELD(NodeRecord, reserved2)}}},
      {"StatusHeader",
       {sizeof(StatusHeader),
        {RW_FIELD(StatusHeader, magic), RW_FIELD(StatusHeader, layout_version),
         RW_FIELD(StatusHeader, node_capacity), RW_FIELD(StatusHeader, incarnation_high),
         RW_FIELD(StatusHeader, incarnation_low), RW_FIELD(StatusHeader, epoch),
         RW_FIELD(StatusHeader, self), RW_FIELD(StatusHeader, node_count),
         RW_FIELD(StatusHeader, state), RW_FIELD(StatusHeader, cluster_type),
         RW_FIELD(StatusHeader, features)}}},
      {"AttachHeader",
       {sizeof(AttachHeader),
        {RW_FIELD(AttachHeader, magic), RW_FIELD(AttachHeader, type),
         RW_FIELD(AttachHeader, request), RW_FIELD(AttachHeader, status),
         RW_FIELD(AttachHeader, body_bytes)}}},
      {"HelloRequest",
       {sizeof(HelloRequest),
        {RW_FIELD(HelloRequest, attach_version), RW_FIELD(HelloRequest, layout_version),
         RW_FIELD(HelloRequest, attachment_high), RW_FIELD(HelloRequest, attachment_low),
         RW_FIELD(HelloRequest, pid), RW_FIELD(HelloRequest, label),
         RW_FIELD(HelloRequest, features)}}},
      {"WelcomeAnswer",
       {sizeof(WelcomeAnswer),
        {RW_FIELD(WelcomeAnswer, attach_version), RW_FIELD(WelcomeAnswer, layout_version),
         RW_FIELD(WelcomeAnswer, worker_count), RW_FIELD(WelcomeAnswer, max_channels),
         RW_FIELD(WelcomeAnswer, incarnation_high), RW_FIELD(WelcomeAnswer, incarnation_low),
         RW_FIELD(WelcomeAnswer, max_message_bytes), RW_FIELD(WelcomeAnswer, quota_bytes),
         RW_FIELD(WelcomeAnswer, node_name), RW_FIELD(WelcomeAnswer, engine_version),
         RW_FIELD(WelcomeAnswer, features)}}},
      {"ChannelOpenRequest",
       {sizeof(ChannelOpenRequest),
        {RW_FIELD(ChannelOpenRequest, channel), RW_FIELD(ChannelOpenRequest, submission_entries),
         RW_FIELD(ChannelOpenRequest, release_entries),
         RW_FIELD(ChannelOpenRequest, delivery_entries),
         RW_FIELD(ChannelOpenRequest, up_file_bytes),
         RW_FIELD(ChannelOpenRequest, next_sequence)}}},
      {"ChannelOpenAnswer",
       {sizeof(ChannelOpenAnswer),
        {RW_FIELD(ChannelOpenAnswer, home_worker), RW_FIELD(ChannelOpenAnswer, delivery_entries),
         RW_FIELD(ChannelOpenAnswer, down_file_bytes)}}},
      {"ChannelRequest",
       {sizeof(ChannelRequest),
        {RW_FIELD(ChannelRequest, channel), RW_FIELD(ChannelRequest, reserved)}}},
      {"FileRequest",
       {sizeof(FileRequest),
        {RW_FIELD(FileRequest, channel), RW_FIELD(FileRequest, file),
         RW_FIELD(FileRequest, bytes)}}},
      {"FileAnswer", {sizeof(FileAnswer), {RW_FIELD(FileAnswer, bytes)}}},
      {"ServiceRequest", {sizeof(ServiceRequest), {RW_FIELD(ServiceRequest, name)}}},
      {"ServiceAnswer",
       {sizeof(ServiceAnswer),
        {RW_FIELD(ServiceAnswer, handle), RW_FIELD(ServiceAnswer, reserved)}}},
      {"ServeRequest",
       {sizeof(ServeRequest),
        {RW_FIELD(ServeRequest, channel), RW_FIELD(ServeRequest, service),
         RW_FIELD(ServeRequest, order), RW_FIELD(ServeRequest, flags),
         RW_FIELD(ServeRequest, prefetch)}}},
      {"AdminAnswer",
       {sizeof(AdminAnswer), {RW_FIELD(AdminAnswer, more), RW_FIELD(AdminAnswer, exit_code)}}},
      {"ClosingNotice",
       {sizeof(ClosingNotice),
        {RW_FIELD(ClosingNotice, status), RW_FIELD(ClosingNotice, reserved),
         RW_FIELD(ClosingNotice, text)}}},
  };
  for (const auto& [name, layout] : made) {
    const auto said = document().layouts.find(name);
    ASSERT_NE(said, document().layouts.end()) << name << " is not in the document";
    EXPECT_EQ(said->second.bytes, layout.bytes) << name;
    EXPECT_EQ(said->second.fields.size(), layout.fields.size()) << name;
    for (const auto& [field_name, field] : layout.fields) {
      const auto place = said->second.fields.find(field_name);
      ASSERT_NE(place, said->second.fields.end()) << name << "::" << field_name;
      EXPECT_EQ(place->second, field) << name << "::" << field_name;
    }
  }
  EXPECT_EQ(document().layouts.size(), made.size()) << "the document has structures of its own";
}

#undef RW_FIELD

// S-60 to S-64: no byte that the compiler chose.
TEST(Layout, has_no_holes) {
  for (const auto& [name, layout] : document().layouts) {
    std::map<std::size_t, std::size_t> by_offset;
    for (const auto& [field_name, field] : layout.fields) by_offset[field.offset] = field.bytes;
    std::size_t end = 0;
    for (const auto& [offset, bytes] : by_offset) {
      EXPECT_EQ(offset, end) << name;
      end = offset + bytes;
    }
    EXPECT_EQ(end, layout.bytes) << name;
  }
}

template <typename Enum>
std::uint64_t number(Enum value) {
  return static_cast<std::uint64_t>(value);
}

using Numbers = std::map<std::string, std::uint64_t>;

// S-65, S-66: constants, and the numbers of every enumeration.
TEST(Layout, numbers_are_those_of_the_document) {
  const std::map<std::string, Numbers> made = {
      {"Constants",
       {{"kUpMagic", number(kUpMagic)},
        {"kDownMagic", number(kDownMagic)},
        {"kStatusMagic", number(kStatusMagic)},
        {"kAttachMagic", number(kAttachMagic)},
        {"kLayoutVersion", number(kLayoutVersion)},
        {"kAttachVersion", number(kAttachVersion)},
        {"kKnownFeatures", number(kKnownFeatures)},
        {"kHeaderBytes", number(kHeaderBytes)},
        {"kLineBytes", number(kLineBytes)},
        {"kInlineBytes", number(kInlineBytes)},
        {"kMinQueueEntries", number(kMinQueueEntries)},
        {"kMaxQueueEntries", number(kMaxQueueEntries)},
        {"kMaxOutstandingSpan", number(kMaxOutstandingSpan)},
        {"kMaxDatagramBytes", number(kMaxDatagramBytes)},
        {"kMaxDescriptors", number(kMaxDescriptors)},
        {"kMaxWorkers", number(kMaxWorkers)},
        {"kMaxNodes", number(kMaxNodes)},
        {"kNoNode", number(kNoNode)},
        {"kStatusRecordsOffset", number(kStatusRecordsOffset)},
        {"kStatusBytes", number(kStatusBytes)},
        {"kOutcomesPerDelivery", number(kOutcomesPerDelivery)},
        {"kEndingMemoryFree", number(kEndingMemoryFree)},
        {"kLevelMemoryKept", number(kLevelMemoryKept)}}},
      {"Words",
       {{"kUpSubmissionTailOffset", number(kUpSubmissionTailOffset)},
        {"kUpWaitingOffset", number(kUpWaitingOffset)},
        {"kUpDeliveryHeadOffset", number(kUpDeliveryHeadOffset)},
        {"kUpReleaseTailOffset", number(kUpReleaseTailOffset)},
        {"kDownSubmissionHeadOffset", number(kDownSubmissionHeadOffset)},
        {"kDownClosedOffset", number(kDownClosedOffset)},
        {"kDownDeliveryTailOffset", number(kDownDeliveryTailOffset)},
        {"kDownReleaseHeadOffset", number(kDownReleaseHeadOffset)},
        {"kDownParkedOffset", number(kDownParkedOffset)}}},
      {"TargetKind",
       {{"kKey", number(TargetKind::kKey)},
        {"kRandom", number(TargetKind::kRandom)},
        {"kBroadcast", number(TargetKind::kBroadcast)},
        {"kReplicas", number(TargetKind::kReplicas)},
        {"kNode", number(TargetKind::kNode)},
        {"kOrigin", number(TargetKind::kOrigin)}}},
      {"SubmissionFlag",
       {{"kSubmitOrderNone", number(kSubmitOrderNone)},
        {"kSubmitExcludeSelf", number(kSubmitExcludeSelf)},
        {"kSubmitCall", number(kSubmitCall)},
        {"kSubmitKeyInExtent", number(kSubmitKeyInExtent)},
        {"kSubmitReplayed", number(kSubmitReplayed)},
        {"kSubmitNoWait", number(kSubmitNoWait)},
        {"kSubmitCancel", number(kSubmitCancel)},
        {"kSubmitReply", number(kSubmitReply)},
        {"kSubmitShare", number(kSubmitShare)}}},
      {"Require",
       {{"kAll", number(Require::kAll)},
        {"kMajority", number(Require::kMajority)},
        {"kOne", number(Require::kOne)}}},
      {"Verdict",
       {{"kDone", number(Verdict::kDone)},
        {"kRetry", number(Verdict::kRetry)},
        {"kRefuse", number(Verdict::kRefuse)}}},
      {"ReleaseFlag", {{"kReleaseReplied", number(kReleaseReplied)}}},
      {"Feature", {{"kFeatureShare", number(kFeatureShare)}}},
      {"ServeFlag", {{"kServeShare", number(kServeShare)}}},
      {"DeliveryKind",
       {{"kMessage", number(DeliveryKind::kMessage)},
        {"kReply", number(DeliveryKind::kReply)},
        {"kDirect", number(DeliveryKind::kDirect)},
        {"kOutcomes", number(DeliveryKind::kOutcomes)},
        {"kTargets", number(DeliveryKind::kTargets)}}},
      {"DeliveryFlag",
       {{"kDeliverRedelivered", number(kDeliverRedelivered)},
        {"kDeliverDegraded", number(kDeliverDegraded)},
        {"kDeliverReply", number(kDeliverReply)},
        {"kDeliverBroadcast", number(kDeliverBroadcast)},
        {"kDeliverReplica", number(kDeliverReplica)},
        {"kDeliverMerge", number(kDeliverMerge)},
        {"kDeliverCall", number(kDeliverCall)},
        {"kDeliverShared", number(kDeliverShared)},
        {"kDeliverMemoryKept", number(kDeliverMemoryKept)}}},
      {"NodeState",
       {{"kUnknown", number(NodeState::kUnknown)},
        {"kUp", number(NodeState::kUp)},
        {"kServing", number(NodeState::kServing)},
        {"kSuspended", number(NodeState::kSuspended)},
        {"kReturning", number(NodeState::kReturning)},
        {"kJoining", number(NodeState::kJoining)},
        {"kLeaving", number(NodeState::kLeaving)},
        {"kOut", number(NodeState::kOut)},
        {"kDown", number(NodeState::kDown)},
        {"kHung", number(NodeState::kHung)}}},
      {"AttachType",
       {{"kHello", number(AttachType::kHello)},
        {"kChannelOpen", number(AttachType::kChannelOpen)},
        {"kChannelClose", number(AttachType::kChannelClose)},
        {"kAdopt", number(AttachType::kAdopt)},
        {"kDrop", number(AttachType::kDrop)},
        {"kMap", number(AttachType::kMap)},
        {"kService", number(AttachType::kService)},
        {"kServe", number(AttachType::kServe)},
        {"kUnserve", number(AttachType::kUnserve)},
        {"kAdmin", number(AttachType::kAdmin)},
        {"kClosing", number(AttachType::kClosing)}}},
      {"AttachStatus",
       {{"kOk", number(AttachStatus::kOk)},
        {"kVersion", number(AttachStatus::kVersion)},
        {"kDenied", number(AttachStatus::kDenied)},
        {"kLimit", number(AttachStatus::kLimit)},
        {"kMalformed", number(AttachStatus::kMalformed)},
        {"kUnknown", number(AttachStatus::kUnknown)},
        {"kBusy", number(AttachStatus::kBusy)},
        {"kNoMemory", number(AttachStatus::kNoMemory)},
        {"kShutdown", number(AttachStatus::kShutdown)},
        {"kRole", number(AttachStatus::kRole)},
        {"kInternal", number(AttachStatus::kInternal)}}},
  };
  for (const auto& [name, numbers] : made) {
    const auto said = document().values.find(name);
    ASSERT_NE(said, document().values.end()) << name << " is not in the document";
    for (const auto& [key, value] : numbers) {
      const auto place = said->second.find(key);
      ASSERT_NE(place, said->second.end()) << name << "::" << key;
      EXPECT_EQ(place->second, value) << name << "::" << key;
    }
    EXPECT_EQ(said->second.size(), numbers.size()) << name;
  }
  EXPECT_EQ(document().values.size(), made.size()) << "the document has numbers of its own";
}

}  // namespace
}  // namespace ringwire::ipc
