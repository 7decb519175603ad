#include "ring/detector.h"

#include <gtest/gtest.h>

namespace ringwire::ring {
namespace {

constexpr DurationNs kMs = kMillisecondNs;

// A peer that came up at 0 and a clock that ticks every 5 ms.
struct Story {
  Detector detector{DetectorTunables{}, 0};
  TimeNs now = 0;
  LivenessChange last = LivenessChange::kNone;

  Story() { detector.on_control_established(0); }

  // Ticks for so long; remembers a change if there was one.
  void run(DurationNs duration) {
    last = LivenessChange::kNone;
    for (const TimeNs end = now + duration; now < end;) {
      now += 5 * kMs;
      const LivenessChange change = detector.on_tick(now);
      if (change != LivenessChange::kNone) last = change;
    }
  }
};

TEST(Detector, starts_dead_and_comes_up_with_the_control_connection) {
  Detector detector(DetectorTunables{}, 0);
  EXPECT_EQ(detector.liveness(), Liveness::kDead);
  EXPECT_EQ(detector.on_heard(1), LivenessChange::kNone);
  EXPECT_EQ(detector.liveness(), Liveness::kDead);
  EXPECT_EQ(detector.next_deadline_ns(), kNeverNs);
  EXPECT_EQ(detector.on_control_established(2), LivenessChange::kBack);
  EXPECT_EQ(detector.on_control_established(3), LivenessChange::kNone);
  EXPECT_EQ(detector.liveness(), Liveness::kUp);
}

// M-20
TEST(Detector, idle_silence_is_suspected_after_400_ms) {
  Story story;
  story.run(395 * kMs);
  EXPECT_EQ(story.detector.liveness(), Liveness::kUp);
  story.run(5 * kMs);
  EXPECT_EQ(story.last, LivenessChange::kSuspected);
  EXPECT_EQ(story.detector.liveness(), Liveness::kSuspect);
  story.run(1'000 * kMs);
  EXPECT_EQ(story.last, LivenessChange::kNone);  // said once
}

TEST(Detector, unanswered_silence_is_suspected_after_80_ms_from_the_first_unanswered) {
  Story story;
  story.run(60 * kMs);
  story.detector.on_unanswered(story.now);
  story.run(40 * kMs);
  story.detector.on_unanswered(story.now);  // a repetition does not restart the clock
  story.run(35 * kMs);
  EXPECT_EQ(story.detector.liveness(), Liveness::kUp);
  story.run(5 * kMs);
  EXPECT_EQ(story.last, LivenessChange::kSuspected);
}

TEST(Detector, any_sign_of_life_restarts_the_silence) {
  Story story;
  story.detector.on_unanswered(story.now);
  story.run(75 * kMs);
  EXPECT_EQ(story.detector.on_heard(story.now), LivenessChange::kNone);
  story.run(300 * kMs);  // nothing is unanswered any more
  EXPECT_EQ(story.detector.liveness(), Liveness::kUp);
}

TEST(Detector, a_suspect_comes_back_with_the_first_sign_of_life) {
  Story story;
  story.run(400 * kMs);
  ASSERT_EQ(story.detector.liveness(), Liveness::kSuspect);
  EXPECT_EQ(story.detector.on_heard(story.now), LivenessChange::kBack);
  EXPECT_EQ(story.detector.liveness(), Liveness::kUp);
  EXPECT_EQ(story.detector.silence_ns(), 0);
}

// M-21
TEST(Detector, silence_while_we_did_not_run_is_forgiven) {
  Story story;
  story.run(60 * kMs);
  story.detector.on_unanswered(story.now);
  story.now += 10 * kSecondNs;  // descheduled
  EXPECT_EQ(story.detector.on_tick(story.now), LivenessChange::kNone);
  EXPECT_EQ(story.detector.silence_ns(), 70 * kMs);  // one max_tick only
  story.run(65 * kMs);
  EXPECT_EQ(story.detector.liveness(), Liveness::kUp);
  story.run(5 * kMs);
  EXPECT_EQ(story.detector.liveness(), Liveness::kSuspect);
}

TEST(Detector, time_that_runs_backwards_counts_nothing) {
  Story story;
  story.run(100 * kMs);
  EXPECT_EQ(story.detector.on_tick(0), LivenessChange::kNone);
  EXPECT_EQ(story.detector.silence_ns(), 100 * kMs);
}

struct CloseRow {
  const char* name;
  Liveness before;
  CloseKind kind;
  LivenessChange change;
  Liveness after;
};

TEST(Detector, a_closed_control_connection_means_what_the_table_says) {
  using enum Liveness;
  using enum CloseKind;
  const CloseRow rows[] = {
      {"up, process gone", kUp, kFinOrReset, LivenessChange::kDied, kDead},
      {"up, timed out", kUp, kTimeout, LivenessChange::kSuspected, kSuspect},
      {"suspect, process gone", kSuspect, kFinOrReset, LivenessChange::kDied, kDead},
      {"suspect, timed out", kSuspect, kTimeout, LivenessChange::kNone, kSuspect},
      {"dead, process gone", kDead, kFinOrReset, LivenessChange::kNone, kDead},
      {"dead, timed out", kDead, kTimeout, LivenessChange::kNone, kDead},
  };
  for (const CloseRow& row : rows) {
    Story story;
    if (row.before == kSuspect) story.run(400 * kMs);
    if (row.before == kDead) story.detector.on_control_closed(story.now, kFinOrReset);
    ASSERT_EQ(story.detector.liveness(), row.before) << row.name;
    EXPECT_EQ(story.detector.on_control_closed(story.now, row.kind), row.change) << row.name;
    EXPECT_EQ(story.detector.liveness(), row.after) << row.name;
  }
}

TEST(Detector, the_dead_come_back_by_a_new_control_connection_only) {
  Story story;
  story.detector.on_control_closed(story.now, CloseKind::kFinOrReset);
  EXPECT_EQ(story.detector.on_heard(story.now), LivenessChange::kNone);  // a late packet
  EXPECT_EQ(story.detector.liveness(), Liveness::kDead);
  EXPECT_EQ(story.detector.on_control_established(story.now), LivenessChange::kBack);
}

TEST(Detector, heartbeats_are_due_100_ms_after_the_last_thing_sent) {
  Story story;
  story.run(95 * kMs);
  EXPECT_FALSE(story.detector.heartbeat_due(story.now));
  story.run(5 * kMs);
  EXPECT_TRUE(story.detector.heartbeat_due(story.now));
  EXPECT_EQ(story.detector.next_deadline_ns(), 100 * kMs);
  story.detector.on_sent(story.now);
  EXPECT_FALSE(story.detector.heartbeat_due(story.now));
  EXPECT_EQ(story.detector.next_deadline_ns(), story.now + 10 * kMs);  // the next tick
  story.run(400 * kMs);
  ASSERT_EQ(story.detector.liveness(), Liveness::kSuspect);
  EXPECT_TRUE(story.detector.heartbeat_due(story.now));
  story.detector.on_control_closed(story.now, CloseKind::kFinOrReset);
  EXPECT_FALSE(story.detector.heartbeat_due(story.now + kSecondNs));
}

}  // namespace
}  // namespace ringwire::ring
