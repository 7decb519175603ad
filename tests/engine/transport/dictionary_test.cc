#include "engine/transport/dictionary.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace ringwire::transport {
namespace {

using Verdict = AttachmentReceiver::Verdict;

Id128 id(std::uint64_t value) { return {value, ~value}; }

// What a message with this entry tells the receiver.
Verdict tell(AttachmentReceiver& receiver, const wire::HandleUse& use, const Id128& real,
             Id128& out) {
  out = use.define || use.handle == 0 ? real : Id128{};
  return receiver.resolve(use, out);
}

// W-30, W-31
TEST(Dictionary, defines_an_attachment_until_it_is_acknowledged) {
  AttachmentSender sender;
  AttachmentReceiver receiver;
  const EntryIndex entry = sender.acquire(id(1));
  Id128 out;
  for (int repeat = 0; repeat < 2; ++repeat) {
    EXPECT_TRUE(sender.use(entry).define);
    EXPECT_EQ(tell(receiver, sender.use(entry), id(1), out), Verdict::kOk);
  }
  sender.on_acked(entry);
  EXPECT_FALSE(sender.use(entry).define);
  EXPECT_EQ(tell(receiver, sender.use(entry), id(1), out), Verdict::kOk);
  EXPECT_EQ(out, id(1));
  EXPECT_EQ(sender.acquire(id(1)), entry);
}

// W-33
TEST(Dictionary, reuses_only_what_no_message_holds) {
  AttachmentSender sender;
  AttachmentReceiver receiver;
  std::vector<EntryIndex> held;
  for (std::uint64_t value = 0; value < kAttachmentHandles; ++value)
    held.push_back(sender.acquire(id(value)));
  EXPECT_EQ(sender.acquire(id(5'000)), kNoEntry);
  Id128 out;
  for (std::uint64_t value = 0; value < kAttachmentHandles; ++value)
    ASSERT_EQ(tell(receiver, sender.use(held[value]), id(value), out), Verdict::kOk);
  const wire::HandleUse old{sender.use(held[3]).handle, false};
  for (const EntryIndex entry : held) sender.release(entry);
  for (std::uint64_t value = 5'000; value < 5'000 + kAttachmentHandles; ++value) {
    const EntryIndex entry = sender.acquire(id(value));
    ASSERT_NE(entry, kNoEntry);
    ASSERT_TRUE(sender.use(entry).define);
    ASSERT_EQ(tell(receiver, sender.use(entry), id(value), out), Verdict::kOk);
    sender.on_acked(entry);
    ASSERT_EQ(tell(receiver, sender.use(entry), id(value), out), Verdict::kOk);
    ASSERT_EQ(out, id(value));
    sender.release(entry);
  }
  // W-34: a late packet that means the old attachment
  EXPECT_EQ(receiver.resolve(old, out), Verdict::kStale);
}

// W-33
TEST(Dictionary, an_entry_is_found_again_after_many_others_came_and_went) {
  AttachmentSender sender;
  const EntryIndex kept = sender.acquire(id(1));
  for (std::uint64_t value = 2; value < 10'000; ++value) sender.release(sender.acquire(id(value)));
  EXPECT_EQ(sender.acquire(id(1)), kept);
}

// W-34
TEST(Dictionary, an_old_definition_does_not_overwrite_a_newer_one) {
  AttachmentReceiver receiver;
  Id128 out = id(2);
  EXPECT_EQ(receiver.resolve({1U << kAttachmentHandleBits | 1, true}, out), Verdict::kOk);
  out = id(1);
  EXPECT_EQ(receiver.resolve({1, true}, out), Verdict::kOk);
  EXPECT_EQ(out, id(1));
  out = {};
  EXPECT_EQ(receiver.resolve({1U << kAttachmentHandleBits | 1, false}, out), Verdict::kOk);
  EXPECT_EQ(out, id(2));
}

// W-34
TEST(Dictionary, refuses_handles_never_defined_or_defined_twice) {
  AttachmentReceiver receiver;
  Id128 out = id(1);
  EXPECT_EQ(receiver.resolve({1, false}, out), Verdict::kViolation);
  EXPECT_EQ(receiver.resolve({1, true}, out), Verdict::kOk);
  out = id(2);
  EXPECT_EQ(receiver.resolve({1, true}, out), Verdict::kViolation);
  EXPECT_EQ(receiver.resolve({kAttachmentHandles + 1, true}, out), Verdict::kViolation);
  EXPECT_EQ(receiver.resolve({1U << kAttachmentHandleBits | 1, false}, out), Verdict::kViolation);
}

// W-32, W-35
TEST(Dictionary, services_get_handles_while_there_are_any) {
  ServiceSender sender;
  ServiceReceiver receiver;
  for (int index = 1; index < static_cast<int>(kServiceClasses); ++index) {
    const std::string name = "service-" + std::to_string(index);
    const std::uint8_t service_class = sender.class_of(name);
    ASSERT_EQ(service_class, index);
    ASSERT_EQ(sender.class_of(name), index);
    std::string_view told = name;
    ASSERT_TRUE(sender.use(service_class).define);
    ASSERT_TRUE(receiver.resolve(sender.use(service_class), told));
    sender.on_acked(service_class);
    told = {};
    ASSERT_TRUE(receiver.resolve(sender.use(service_class), told));
    ASSERT_EQ(told, name);
  }
  EXPECT_EQ(sender.class_of("one too many"), 0);
  EXPECT_EQ(sender.use(0).handle, 0U);
  EXPECT_FALSE(sender.use(0).define);
}

// W-32
TEST(Dictionary, the_empty_service_is_a_service) {
  ServiceSender sender;
  EXPECT_EQ(sender.class_of("a"), 1);
  EXPECT_EQ(sender.class_of(""), 2);
  EXPECT_EQ(sender.class_of(""), 2);
  EXPECT_EQ(sender.class_of("a"), 1);
}

}  // namespace
}  // namespace ringwire::transport
