#include "engine/port/neighbours.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "base/endpoint_text.h"
#include "base/random.h"

namespace ringwire::port {
namespace {

constexpr EthernetAddress kOurs = {2, 0, 0, 0, 0, 1};
constexpr EthernetAddress kTheirs = {2, 0, 0, 0, 0, 2};
constexpr EthernetAddress kAll = {255, 255, 255, 255, 255, 255};
constexpr TimeNs kStart = kSecondNs;

using Frame = std::vector<std::byte>;

IpAddress ip(const char* text) { return parse_address(text)->address; }

/// Bytes as written in a standard or a capture: "0806 0001".
Frame hex(std::string_view text) {
  Frame frame;
  std::string digits;
  for (const char letter : text)
    if (letter != ' ') digits.push_back(letter);
  for (std::size_t at = 0; at + 1 < digits.size(); at += 2)
    frame.push_back(static_cast<std::byte>(std::stoi(digits.substr(at, 2), nullptr, 16)));
  return frame;
}

NeighboursOptions host(const EthernetAddress& ethernet, const char* address) {
  return {.ethernet = ethernet, .local = ip(address)};
}

/// Frames between two hosts of this kind, by their destination address.
struct Host {
  explicit Host(const NeighboursOptions& options) : neighbours(options) {}

  Neighbours::Outcome take(TimeNs now, const Frame& frame) {
    answer.assign(2'048, std::byte{0});
    const auto outcome = neighbours.on_frame(now, frame, answer);
    answer.resize(outcome.answer_bytes);
    return outcome;
  }
  Frame request(TimeNs now) {
    Frame frame(kMaxRequestBytes);
    frame.resize(neighbours.poll_request(now, frame));
    return frame;
  }

  Neighbours neighbours;
  Frame answer;
};

// An ARP request as a kernel sends it, padded to the least frame.
Frame arp_request() {
  Frame frame =
      hex("ffffffffffff 020000000002 0806 0001 0800 06 04 0001 020000000002 0a000002"
          "000000000000 0a000001");
  frame.resize(60);
  return frame;
}

TEST(Neighbours, answers_an_arp_request_for_its_address) {
  Host us(host(kOurs, "10.0.0.1"));
  ASSERT_EQ(us.take(kStart, arp_request()).answer_bytes, 42U);
  EXPECT_EQ(us.answer,
            hex("020000000002 020000000001 0806 0001 0800 06 04 0002 020000000001 0a000001"
                "020000000002 0a000002"));
}

TEST(Neighbours, answers_no_arp_request_for_another_address) {
  Host us(host(kOurs, "10.0.0.9"));
  EXPECT_EQ(us.take(kStart, arp_request()).answer_bytes, 0U);
  EXPECT_EQ(us.neighbours.counters().ignored, 1U);
}

// `ping -c 1`, from a capture: identifier 0x1234, sequence 1, payload "abcd".
constexpr const char* kPing =
    "020000000001 020000000002 0800 4500 0020 0001 4000 4001 26da 0a000002 0a000001"
    "0800 2104 1234 0001 61626364";

TEST(Neighbours, answers_an_icmp_echo_with_the_same_payload) {
  Host us(host(kOurs, "10.0.0.1"));
  ASSERT_EQ(us.take(kStart, hex(kPing)).answer_bytes, 46U);
  EXPECT_EQ(us.answer,
            hex("020000000002 020000000001 0800 4500 0020 0001 4000 4001 26da 0a000001 0a000002"
                "0000 2904 1234 0001 61626364"));
}

TEST(Neighbours, answers_no_echo_that_is_wrong_in_any_byte_that_counts) {
  const Frame good = hex(kPing);
  for (std::size_t at = 0; at < good.size(); ++at) {
    if (at >= 6 && at < 12) continue;  // whoever sent it
    Frame bad = good;
    bad[at] ^= std::byte{0x11};
    Host us(host(kOurs, "10.0.0.1"));
    EXPECT_EQ(us.take(kStart, bad).answer_bytes, 0U) << "byte " << at;
  }
  for (std::size_t bytes = 0; bytes < good.size(); ++bytes) {
    Host us(host(kOurs, "10.0.0.1"));
    EXPECT_EQ(
        us.take(kStart, Frame(good.begin(), good.begin() + static_cast<long>(bytes))).answer_bytes,
        0U);
  }
}

TEST(Neighbours, answers_a_solicitation_and_an_echo_over_ipv6) {
  Host us(host(kOurs, "fd00::1"));
  Host them(host(kTheirs, "fd00::2"));
  ASSERT_TRUE(them.neighbours.open(ip("fd00::1")));
  const Frame solicitation = them.request(kStart);
  // To the group ff02::1:ff00:1, from RFC 2464 7 and RFC 4291 2.7.1.
  EXPECT_EQ(Frame(solicitation.begin(), solicitation.begin() + 6), hex("3333ff000001"));
  ASSERT_EQ(us.take(kStart, solicitation).answer_bytes, 86U);
  EXPECT_EQ(Frame(us.answer.begin(), us.answer.begin() + 14),
            hex("020000000002 020000000001 86dd"));
  // fd00::2 -> fd00::1: identifier 1, sequence 1; checksum by RFC 1071, worked out apart.
  const Frame ping =
      hex("020000000001 020000000002 86dd 60000000 0008 3a 40"
          "fd000000000000000000000000000002 fd000000000000000000000000000001 8000 85b6 0001 0001");
  ASSERT_EQ(us.take(kStart, ping).answer_bytes, 62U);
  EXPECT_EQ(us.answer, hex("020000000002 020000000001 86dd 60000000 0008 3a 40"
                           "fd000000000000000000000000000001 fd000000000000000000000000000002"
                           "8100 84b6 0001 0001"));
}

TEST(Neighbours, a_probe_for_our_address_is_answered_to_all) {
  Host us(host(kOurs, "fd00::1"));
  Frame probe =
      hex("3333ff000001 020000000002 86dd 60000000 0018 3a ff"
          "00000000000000000000000000000000 ff0200000000000000000001ff000001"
          "8700 0000 00000000 fd000000000000000000000000000001");
  const std::uint16_t sum = internet_sum(std::span(probe).subspan(22), 0x18 + 58);
  probe[56] = static_cast<std::byte>(~sum >> 8 & 0xff);
  probe[57] = static_cast<std::byte>(~sum & 0xff);
  ASSERT_EQ(us.take(kStart, probe).answer_bytes, 86U);
  EXPECT_EQ(Frame(us.answer.begin(), us.answer.begin() + 6), hex("333300000001"));
}

/// One host finds the other, whatever the family.
void find_each_other(const char* a, const char* b) {
  Host us(host(kOurs, a));
  Host them(host(kTheirs, b));
  const auto neighbour = us.neighbours.open(ip(b));
  ASSERT_TRUE(neighbour);
  EXPECT_EQ(us.neighbours.find(*neighbour), nullptr);
  const Frame request = us.request(kStart);
  ASSERT_FALSE(request.empty());
  EXPECT_TRUE(us.request(kStart).empty()) << "asked twice at once";
  ASSERT_NE(them.take(kStart, request).answer_bytes, 0U);
  EXPECT_TRUE(us.take(kStart, them.answer).is_news);
  ASSERT_NE(us.neighbours.find(*neighbour), nullptr);
  EXPECT_EQ(*us.neighbours.find(*neighbour), kTheirs);
}

TEST(Neighbours, two_find_each_other_over_ipv4) { find_each_other("10.0.0.1", "10.0.0.2"); }
TEST(Neighbours, two_find_each_other_over_ipv6) { find_each_other("fd00::1", "fd00::2"); }

TEST(Neighbours, asks_five_times_in_a_second_and_then_each_second) {
  Host us(host(kOurs, "10.0.0.1"));
  ASSERT_TRUE(us.neighbours.open(ip("10.0.0.2")));
  std::vector<TimeNs> asked;
  for (TimeNs now = kStart; now < kStart + 4 * kSecondNs; now += 10 * kMillisecondNs)
    if (!us.request(now).empty()) asked.push_back((now - kStart) / kMillisecondNs);
  EXPECT_EQ(asked, (std::vector<TimeNs>{0, 200, 400, 600, 800, 1'800, 2'800, 3'800}));
}

TEST(Neighbours, refreshes_what_is_in_use_and_keeps_it_meanwhile) {
  Host us(host(kOurs, "10.0.0.1"));
  const auto neighbour = us.neighbours.open(ip("10.0.0.2"));
  us.take(kStart, arp_request());
  EXPECT_TRUE(us.request(kStart + kRefreshNs - 1).empty());
  EXPECT_FALSE(us.request(kStart + kRefreshNs).empty());
  EXPECT_NE(us.neighbours.find(*neighbour), nullptr);
  us.neighbours.close(*neighbour);
  EXPECT_TRUE(us.request(kStart + 3 * kRefreshNs).empty());
}

TEST(Neighbours, sends_what_is_off_the_link_to_the_gateway) {
  NeighboursOptions options = host(kOurs, "10.0.0.1");
  options.gateway = ip("10.0.0.2");
  options.prefix_bits = 24;
  Neighbours neighbours(options);
  const auto gateway = neighbours.open(ip("10.0.0.2"));
  EXPECT_EQ(neighbours.open(ip("192.0.2.1")), gateway);
  EXPECT_EQ(neighbours.open(ip("10.0.1.1")), gateway);
  EXPECT_NE(neighbours.open(ip("10.0.0.254")), gateway);
}

TEST(Neighbours, a_host_that_moves_is_followed_and_one_that_takes_our_address_is_counted) {
  Host us(host(kOurs, "10.0.0.1"));
  const auto neighbour = us.neighbours.open(ip("10.0.0.2"));
  us.take(kStart, arp_request());
  Frame moved = arp_request();
  moved[14 + 13] = std::byte{9};  // the sender's Ethernet address
  us.take(kStart, moved);
  EXPECT_EQ((*us.neighbours.find(*neighbour))[5], 9);
  Frame claim = arp_request();
  claim[14 + 17] = std::byte{1};  // the sender says that it is 10.0.0.1
  EXPECT_EQ(us.take(kStart, claim).answer_bytes, 0U);
  EXPECT_EQ(us.neighbours.counters().conflicts, 1U);
}

TEST(Neighbours, no_group_address_is_ever_learned) {
  Host us(host(kOurs, "10.0.0.1"));
  const auto neighbour = us.neighbours.open(ip("10.0.0.2"));
  Frame frame = arp_request();
  std::memcpy(frame.data() + 22, kAll.data(), 6);
  us.take(kStart, frame);
  EXPECT_EQ(us.neighbours.find(*neighbour), nullptr);
}

TEST(Neighbours, a_flood_of_strangers_takes_no_entry_and_little_of_the_line) {
  NeighboursOptions options = host(kOurs, "10.0.0.1");
  options.capacity_count = 2;
  Host us(options);
  const auto first = us.neighbours.open(ip("10.0.0.2"));
  std::uint64_t answered = 0;
  for (std::uint32_t number = 0; number < 100'000; ++number) {
    Frame frame = arp_request();
    std::memcpy(frame.data() + 14 + 14, &number, 4);  // another sender each time
    answered += us.take(kStart + number, frame).answer_bytes != 0 ? 1U : 0U;
  }
  EXPECT_EQ(answered, kAnswerBurst);
  EXPECT_EQ(us.neighbours.find(*first), nullptr);
  const auto second = us.neighbours.open(ip("10.0.0.3"));
  ASSERT_TRUE(second);
  EXPECT_FALSE(us.neighbours.open(ip("10.0.0.4"))) << "no place is left";
  us.neighbours.close(*second);
  EXPECT_TRUE(us.neighbours.open(ip("10.0.0.4"))) << "who is not open makes room";
  us.take(kStart + kSecondNs, arp_request());
  EXPECT_NE(us.neighbours.find(*first), nullptr) << "the flood over, all is well";
  EXPECT_NE(us.answer.size(), 0U);
}

TEST(Neighbours, any_bytes_are_read_within_bounds) {
  for (const char* address : {"10.0.0.1", "fd00::1"}) {
    Host us(host(kOurs, address));
    Host them(host(kTheirs, address[0] == 'f' ? "fd00::2" : "10.0.0.2"));
    ASSERT_TRUE(them.neighbours.open(ip(address)));
    const Frame seed = them.request(kStart);
    Random random(7);
    for (int round = 0; round < 20'000; ++round) {
      Frame frame = seed;
      frame.resize(random.below(120));  // exactly as much memory as is told
      for (int change = 0; change < 3 && !frame.empty(); ++change)
        frame[random.below(frame.size())] = static_cast<std::byte>(random.below(256));
      Frame answer(kMaxRequestBytes);
      EXPECT_LE(us.neighbours.on_frame(kStart, frame, answer).answer_bytes, answer.size());
    }
  }
}

}  // namespace
}  // namespace ringwire::port
