// What one peer can make a receiver hold, whatever it says (docs/wire.md W-61).
#include <gtest/gtest.h>

#include <functional>
#include <vector>

#include "tests/engine/transport/attacker.h"

namespace ringwire::transport {
namespace {

/// Offers messages made by `offer(at)` until the session closes; how many it took before that.
std::uint32_t taken_until_closed(
    Victim& victim, const std::function<std::vector<std::byte>(std::uint32_t)>& offer) {
  for (std::uint32_t at = 0; at < 2 * kSlots; ++at) {
    victim.feed(offer(at));
    if (victim.session().closed()) return at;
  }
  return ~0U;
}

// W-61
TEST(HostileMemory, unscheduled_requests_end_at_the_windows_of_the_classes) {
  std::uint64_t held_bytes = 0;
  for (std::uint32_t service = 0; service < kServiceClasses; ++service) {
    Attacker attacker;
    Victim victim;
    const std::uint32_t taken = taken_until_closed(victim, [&](std::uint32_t at) {
      return attacker.mixed([&](ByteWriter& writer) {
        wire::MessageHeader header;
        header.payload_bytes = kUnscheduledBytes;
        wire::encode_message(writer, ItemType::kOpen, kSlots + at, header,
                             {{}, {service, service != 0}, {}});
      });
    });
    EXPECT_EQ(victim.opened(), taken);
    held_bytes += taken * kUnscheduledBytes;
  }
  EXPECT_EQ(held_bytes, std::uint64_t{kServiceClasses} * kInitialWindowBytes);  // 8 MiB
}

TEST(HostileMemory, unscheduled_replies_end_at_a_quarter_of_the_slots) {
  Attacker attacker;
  Victim victim;
  EXPECT_EQ(taken_until_closed(victim,
                               [&](std::uint32_t at) {
                                 return attacker.message(ItemType::kOpen, kSlots + at,
                                                         kUnscheduledBytes, wire::kReply);
                               }),
            kSlots / 4);
}

TEST(HostileMemory, announced_messages_end_at_64_requests_and_64_replies) {
  for (const std::uint16_t flags : {std::uint16_t{0}, std::uint16_t{wire::kReply}}) {
    Attacker attacker;
    Victim victim;
    EXPECT_EQ(taken_until_closed(victim,
                                 [&](std::uint32_t at) {
                                   return attacker.mixed([&](ByteWriter& writer) {
                                     wire::MessageHeader header;
                                     header.payload_bytes = 1'000'000;
                                     header.flags = flags;
                                     const std::uint32_t service = 1 + at % 60;
                                     wire::encode_message(writer, ItemType::kOpenAnnounced,
                                                          kSlots + at, header,
                                                          {{}, {service, true}, {}});
                                   });
                                 }),
              kMaxAnnounced);
  }
}

}  // namespace
}  // namespace ringwire::transport
