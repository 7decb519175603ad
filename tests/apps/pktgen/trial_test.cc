#include "apps/pktgen/trial.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace ringwire::pktgen {
namespace {

/// A path that carries so much and loses the rest; the generator can do twice that.
class Path {
 public:
  explicit Path(double carries_per_s) : carries_per_s_(carries_per_s) {}
  Trial operator()(double packets_per_s) {
    ++trials;
    const double able = 2 * carries_per_s_;
    Trial trial;
    trial.offered_per_s = packets_per_s;
    trial.sent_per_s = packets_per_s == 0 ? able : std::min(packets_per_s, able);
    trial.received_per_s = std::min(trial.sent_per_s, carries_per_s_);
    trial.sent = static_cast<std::uint64_t>(trial.sent_per_s);
    trial.received = static_cast<std::uint64_t>(trial.received_per_s);
    return trial;
  }
  int trials = 0;

 private:
  double carries_per_s_;
};

TEST(Search, finds_the_highest_rate_without_loss) {
  for (const double carries : {1e3, 123'456.0, 2e7}) {
    Path path(carries);
    const Trial best = search_throughput({}, std::ref(path));
    EXPECT_LE(best.sent_per_s, carries);
    EXPECT_GE(best.sent_per_s, 0.95 * carries);
    EXPECT_EQ(best.loss(), 0);
    EXPECT_LE(path.trials, 10);
  }
}

TEST(Search, finds_more_where_some_loss_passes) {
  Path path(1e6);
  SearchOptions options;
  options.loss_bound = 0.2;
  const Trial best = search_throughput(options, std::ref(path));
  EXPECT_GE(best.sent_per_s, 1.2e6);
  EXPECT_LE(best.loss(), 0.2);
}

TEST(Search, is_over_at_once_when_all_that_can_be_sent_comes_back) {
  int trials = 0;
  const Trial best = search_throughput({}, [&](double packets_per_s) {
    ++trials;
    Trial trial;
    trial.offered_per_s = packets_per_s;
    trial.sent_per_s = trial.received_per_s = 5e6;
    trial.sent = trial.received = 5'000'000;
    return trial;
  });
  EXPECT_EQ(trials, 1);
  EXPECT_EQ(best.received, 5'000'000U);
}

TEST(Search, ends_without_a_result_when_nothing_comes_back) {
  int trials = 0;
  const Trial best = search_throughput({}, [&](double packets_per_s) {
    ++trials;
    Trial trial;
    trial.offered_per_s = packets_per_s;
    trial.sent_per_s = 1e6;
    trial.sent = 1'000'000;
    return trial;
  });
  EXPECT_EQ(best.received, 0U);
  EXPECT_LE(trials, 40);
}

}  // namespace
}  // namespace ringwire::pktgen
