#include "engine/port/fault_port.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <set>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/endpoint_text.h"
#include "engine/port/sim_port.h"

namespace ringwire::port {
namespace {

const Endpoint kA = *parse_endpoint("10.0.0.1:1");
const Endpoint kB = *parse_endpoint("10.0.0.2:1");
constexpr std::uint32_t kBytes = 64;

struct Got {
  std::uint32_t number = 0;
  std::uint32_t bytes = 0;
  bool intact = false;
  bool operator==(const Got&) const = default;
};

/// A perfect network between two ports that may mistreat packets.
class World {
 public:
  World(const FaultOptions& at_a, const FaultOptions& at_b) : network_(SimOptions{}) {
    network_.set_default_path({.delay_ns = 0});
    a_ = std::make_unique<FaultPort>(network_.make_port({.local = kA}), at_a);
    b_ = std::make_unique<FaultPort>(
        network_.make_port({.local = kB, .receive_queue_bytes = 64U << 20}), at_b);
    EXPECT_TRUE(a_->open_destination(kB, to_b_));
  }

  /// Sends numbers in bursts of 10, then receives while there is something, after each burst.
  std::vector<Got> exchange(std::uint32_t count) {
    std::vector<Got> all;
    for (std::uint32_t next = 0; next < count; next += 10) {
      std::array<TxPacket, 10> packets;
      EXPECT_EQ(a_->tx_alloc(packets), packets.size());
      for (std::uint32_t index = 0; index < packets.size(); ++index) {
        fill(packets[index], next + index);
        packets[index].destination = to_b_;
      }
      EXPECT_EQ(a_->tx_burst(packets), packets.size());
      turn(all);
    }
    // Turns without traffic, so that what is held back comes out.
    for (int idle = 0; idle < 100; ++idle) turn(all);
    return all;
  }

  FaultPort& a() { return *a_; }
  FaultPort& b() { return *b_; }

 private:
  static void fill(TxPacket& packet, std::uint32_t number) {
    std::memset(packet.data, 0x11, kBytes);
    store_le<std::uint32_t>(packet.data, number);
    store_le<std::uint32_t>(packet.data + 4, ~number);
    packet.bytes = kBytes;
  }

  static Got read(const RxPacket& packet) {
    Got got{0, static_cast<std::uint32_t>(packet.bytes.size()), false};
    if (packet.bytes.size() < 8) return got;
    got.number = load_le<std::uint32_t>(packet.bytes.data());
    got.intact = load_le<std::uint32_t>(packet.bytes.data() + 4) == ~got.number &&
                 std::all_of(packet.bytes.begin() + 8, packet.bytes.end(),
                             [](std::byte byte) { return byte == std::byte{0x11}; });
    return got;
  }

  void turn(std::vector<Got>& all) {
    a_->flush();
    network_.advance(network_.now_ns() + 1);
    std::array<RxPacket, kBurstPackets> packets;
    while (const std::size_t count = b_->rx_burst(packets))
      for (const RxPacket& packet : std::span(packets).first(count)) all.push_back(read(packet));
  }

  SimNetwork network_;
  std::unique_ptr<FaultPort> a_;
  std::unique_ptr<FaultPort> b_;
  DestinationId to_b_{};
};

FaultOptions faults(std::string_view text) {
  auto parsed = parse_fault_options(text);
  EXPECT_TRUE(parsed.ok()) << text;
  return parsed.ok() ? parsed.value() : FaultOptions{};
}

constexpr std::uint32_t kCount = 10'000;

/// Runs `spec` once at the sender and once at the receiver, and checks both alike.
template <typename Check>
void on_each_side(std::string_view spec, Check check) {
  {
    SCOPED_TRACE("tx");
    World world(faults(spec), {});
    const std::vector<Got> got = world.exchange(kCount);
    check(got, world.a().tx_faults());
    EXPECT_EQ(world.b().rx_faults().packets, got.size());
  }
  {
    SCOPED_TRACE("rx");
    World world({}, faults(spec));
    const std::vector<Got> got = world.exchange(kCount);
    check(got, world.b().rx_faults());
  }
}

double as_double(std::uint64_t count) { return static_cast<double>(count); }

// The bounds below are five standard deviations of a binomial of 10,000.

TEST(FaultPort, without_faults_everything_passes_in_order) {
  on_each_side("", [](const std::vector<Got>& got, const FaultCounters& counters) {
    ASSERT_EQ(got.size(), kCount);
    for (std::uint32_t number = 0; number < kCount; ++number)
      ASSERT_EQ(got[number], (Got{number, kBytes, true}));
    EXPECT_EQ(counters.packets, kCount);
  });
}

TEST(FaultPort, loses_at_the_rate_asked_for) {
  on_each_side("loss=0.05,seed=3", [](const std::vector<Got>& got, const FaultCounters& counters) {
    EXPECT_EQ(got.size() + counters.lost, kCount);
    EXPECT_NEAR(as_double(counters.lost), 500, 110);
  });
}

TEST(FaultPort, loses_in_bursts) {
  on_each_side("burst=0.01,burst_packets=10",
               [](const std::vector<Got>& got, const FaultCounters& counters) {
                 EXPECT_EQ(got.size() + counters.lost, kCount);
                 EXPECT_GT(counters.lost, 500U);
                 // Whole bursts: each gap in the numbers is at least as long as one.
                 std::uint32_t next = 0;
                 std::size_t gaps = 0;
                 for (const Got& packet : got) {
                   if (packet.number != next) {
                     EXPECT_GE(packet.number - next, 10U);
                     ++gaps;
                   }
                   next = packet.number + 1;
                 }
                 EXPECT_NEAR(as_double(gaps), 91, 45);
               });
}

TEST(FaultPort, duplicates_at_the_rate_asked_for) {
  on_each_side("dup=0.1", [](const std::vector<Got>& got, const FaultCounters& counters) {
    EXPECT_EQ(got.size(), kCount + counters.duplicated);
    EXPECT_NEAR(as_double(counters.duplicated), 1'000, 150);
    std::set<std::uint32_t> numbers;
    for (const Got& packet : got) {
      EXPECT_TRUE(packet.intact);
      numbers.insert(packet.number);
    }
    EXPECT_EQ(numbers.size(), kCount);
  });
}

TEST(FaultPort, reordered_packets_are_passed_by_later_ones_and_none_is_lost) {
  on_each_side("reorder=0.02,reorder_packets=5",
               [](const std::vector<Got>& got, const FaultCounters& counters) {
                 ASSERT_EQ(got.size(), kCount);
                 EXPECT_NEAR(as_double(counters.reordered), 200, 70);
                 std::uint64_t late = 0;
                 std::uint32_t highest = 0;
                 for (const Got& packet : got) {
                   if (packet.number < highest) {
                     ++late;
                     EXPECT_GE(highest - packet.number, 5U);
                   }
                   highest = std::max(highest, packet.number);
                 }
                 // All but those at the very end, which nothing follows.
                 EXPECT_GE(late + 5, counters.reordered);
                 EXPECT_LE(late, counters.reordered);
               });
}

TEST(FaultPort, delayed_packets_come_some_bursts_later_and_none_is_lost) {
  on_each_side(
      "delay=0.02,delay_bursts=4", [](const std::vector<Got>& got, const FaultCounters& counters) {
        ASSERT_EQ(got.size(), kCount);
        EXPECT_NEAR(as_double(counters.delayed), 200, 70);
        EXPECT_FALSE(std::is_sorted(got.begin(), got.end(), [](const Got& left, const Got& right) {
          return left.number < right.number;
        }));
      });
}

TEST(FaultPort, corrupts_one_byte_at_the_rate_asked_for) {
  on_each_side("corrupt=0.05", [](const std::vector<Got>& got, const FaultCounters& counters) {
    ASSERT_EQ(got.size(), kCount);
    EXPECT_NEAR(as_double(counters.corrupted), 500, 110);
    const auto spoiled =
        std::count_if(got.begin(), got.end(), [](const Got& packet) { return !packet.intact; });
    EXPECT_EQ(static_cast<std::uint64_t>(spoiled), counters.corrupted);
  });
}

TEST(FaultPort, swallows_what_is_longer_than_the_largest) {
  on_each_side("largest=63", [](const std::vector<Got>& got, const FaultCounters& counters) {
    EXPECT_TRUE(got.empty());
    EXPECT_EQ(counters.lost, counters.packets);
  });
  on_each_side("largest=64", [](const std::vector<Got>& got, const FaultCounters& counters) {
    EXPECT_EQ(got.size(), kCount);
    EXPECT_EQ(counters.lost, 0U);
  });
}

TEST(FaultPort, truncates_but_leaves_at_least_one_byte) {
  on_each_side("truncate=0.05", [](const std::vector<Got>& got, const FaultCounters& counters) {
    ASSERT_EQ(got.size(), kCount);
    EXPECT_NEAR(as_double(counters.truncated), 500, 110);
    std::uint64_t short_ones = 0;
    for (const Got& packet : got) {
      EXPECT_GE(packet.bytes, 1U);
      short_ones += packet.bytes < kBytes;
    }
    EXPECT_EQ(short_ones, counters.truncated);
  });
}

TEST(FaultPort, one_seed_gives_one_trace) {
  const auto trace = [](std::string_view seed) {
    const FaultOptions mix =
        faults(std::string("loss=0.05,burst=0.001,dup=0.05,reorder=0.05,delay=0.05,corrupt=0.05,"
                           "truncate=0.05,seed=") +
               std::string(seed));
    World world(mix, mix);
    return world.exchange(2'000);
  };
  EXPECT_EQ(trace("3"), trace("3"));
  EXPECT_NE(trace("3"), trace("4"));
}

TEST(FaultPort, a_side_can_be_left_alone) {
  World world(faults("loss=1,side=rx"), faults("loss=1,side=tx"));
  EXPECT_EQ(world.exchange(100).size(), 100U);
}

TEST(FaultPort, losing_everything_loses_no_buffer) {
  World world(faults("loss=1"), {});
  EXPECT_EQ(world.exchange(5'000).size(), 0U);
  EXPECT_EQ(world.a().tx_faults().lost, 5'000U);
}

TEST(FaultPort, holding_everything_back_is_bounded) {
  World world(faults("delay=1,delay_bursts=1000"), {});
  std::vector<Got> got = world.exchange(1'000);
  EXPECT_EQ(got.size(), 1'000U - FaultPort::kHeldPackets);
}

/// Takes at most `room_` packets in all; the rest of Port is what is inside.
class NarrowPort final : public Port {
 public:
  explicit NarrowPort(std::unique_ptr<Port> inner, std::size_t room)
      : inner_(std::move(inner)), room_(room) {}
  void widen(std::size_t packets) { room_ += packets; }

  std::uint32_t max_payload_bytes() const override { return inner_->max_payload_bytes(); }
  std::uint64_t receive_queue_bytes() const override { return inner_->receive_queue_bytes(); }
  Endpoint local() const override { return inner_->local(); }
  bool open_destination(const Endpoint& remote, DestinationId& destination) override {
    return inner_->open_destination(remote, destination);
  }
  void close_destination(DestinationId destination) override {
    inner_->close_destination(destination);
  }
  std::size_t rx_burst(std::span<RxPacket> packets) override { return inner_->rx_burst(packets); }
  std::size_t tx_alloc(std::span<TxPacket> packets) override { return inner_->tx_alloc(packets); }
  std::size_t tx_burst(std::span<const TxPacket> packets) override {
    const std::size_t taken = inner_->tx_burst(packets.first(std::min(packets.size(), room_)));
    room_ -= taken;
    return taken;
  }
  void tx_free(std::span<const TxPacket> packets) override { inner_->tx_free(packets); }
  void flush() override { inner_->flush(); }
  int wait_descriptor() const override { return inner_->wait_descriptor(); }
  const PortCounters& counters() const override { return inner_->counters(); }

 private:
  std::unique_ptr<Port> inner_;
  std::size_t room_;
};

// What the inner port has no room for must stay the caller's, unharmed, and be sent later: the
// faults drawn for it must have been taken back.
TEST(FaultPort, a_full_inner_port_gives_packets_back_as_they_were) {
  SimNetwork network(SimOptions{});
  network.set_default_path({.delay_ns = 0});
  auto narrow = std::make_unique<NarrowPort>(network.make_port({.local = kA}), 0);
  NarrowPort& door = *narrow;
  FaultPort a(std::move(narrow), faults("corrupt=0.5,loss=0.1,dup=0.1,truncate=0.1,seed=9"));
  const auto b = network.make_port({.local = kB});
  DestinationId to_b{};
  ASSERT_TRUE(a.open_destination(kB, to_b));
  std::vector<TxPacket> packets(40);
  ASSERT_EQ(a.tx_alloc(packets), packets.size());
  for (TxPacket& packet : packets) {
    std::memset(packet.data, 0x77, kBytes);
    packet.bytes = kBytes;
    packet.destination = to_b;
  }
  std::span<const TxPacket> rest = packets;
  for (int round = 0; !rest.empty(); ++round) {
    ASSERT_LT(round, 1'000);
    rest = rest.subspan(a.tx_burst(rest));
    for (const TxPacket& packet : rest)
      EXPECT_TRUE(std::all_of(packet.data, packet.data + kBytes,
                              [](std::byte byte) { return byte == std::byte{0x77}; }));
    door.widen(1);
  }
  network.advance(1);
  std::array<RxPacket, kBurstPackets> received;
  const FaultCounters& counters = a.tx_faults();
  EXPECT_LE(b->rx_burst(received), 40 - counters.lost + counters.duplicated);
  EXPECT_GT(counters.corrupted, 0U);
  // All buffers are back.
  std::vector<TxPacket> all(512);
  EXPECT_EQ(a.tx_alloc(all), all.size());
  a.tx_free(all);
}

TEST(FaultOptions, reads_every_name) {
  const FaultOptions options = faults(
      "loss=0.05,burst=0.5,burst_packets=4,reorder=0.02,reorder_packets=7,delay=1,delay_bursts=9,"
      "dup=0.01,corrupt=0.001,truncate=0,side=tx,seed=3");
  EXPECT_EQ(options.loss, 0.05);
  EXPECT_EQ(options.burst, 0.5);
  EXPECT_EQ(options.burst_packets, 4U);
  EXPECT_EQ(options.reorder, 0.02);
  EXPECT_EQ(options.reorder_packets, 7U);
  EXPECT_EQ(options.delay, 1.0);
  EXPECT_EQ(options.delay_bursts, 9U);
  EXPECT_EQ(options.duplicate, 0.01);
  EXPECT_EQ(options.corrupt, 0.001);
  EXPECT_EQ(options.truncate, 0.0);
  EXPECT_EQ(options.side, FaultSide::kTx);
  EXPECT_EQ(options.seed, 3U);
}

TEST(FaultOptions, wrong_texts_are_refused_with_the_wrong_part_named) {
  const struct {
    const char* text;
    const char* named;
  } rows[] = {
      {"los=0.1", "\"los\""},        {"loss", "\"loss\""},
      {"loss=1.5", "\"1.5\""},       {"loss=-0.1", "\"-0.1\""},
      {"loss=", "\"loss\""},         {"loss=0.1x", "\"0.1x\""},
      {"loss=nan", "\"nan\""},       {"loss=0.1,,dup=0.1", "\"\""},
      {"loss=0.1,", "comma"},        {"burst_packets=0", "\"0\""},
      {"delay_bursts=-1", "\"-1\""}, {"side=left", "\"left\""},
      {"seed=x", "\"x\""},           {"=1", "\"\""},
  };
  for (const auto& row : rows) {
    const auto parsed = parse_fault_options(row.text);
    ASSERT_FALSE(parsed.ok()) << row.text;
    EXPECT_NE(parsed.error().find(row.named), std::string::npos) << parsed.error();
  }
}

}  // namespace
}  // namespace ringwire::port
