// The client library: a channel that shows the engine several sends and releases at a time.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "ipc/program_queues.h"
#include "tests/ipc/ringwire_fixture.h"

namespace ringwire::ipc {
namespace {

struct RingwireBatch : Ringwire {
  rw_channel* open_batch() {
    rw_channel_options options{};
    options.struct_bytes = sizeof options;
    options.batch = 1;
    rw_channel* opened = nullptr;
    EXPECT_EQ(rw_channel_open(client, &options, &opened), RW_OK) << rw_last_error();
    return opened;
  }
  rw_ticket send_on(rw_channel* on, const std::string& payload) {
    const rw_target target = rw_target_key("k", 1);
    rw_ticket ticket = 0;
    EXPECT_EQ(rw_send(on, &target, payload.data(), payload.size(), nullptr, &ticket), RW_OK);
    return ticket;
  }
  /// A send of another channel came back: the engine has seen all that was shown before.
  std::size_t seen_now() {
    wait(send("other", "whole"));
    std::size_t count = 0;
    for (const SeenSubmission& seen : engine->seen())
      if (seen.payload == "batched") ++count;
    return count;
  }
};

TEST_F(RingwireBatch, keeps_sends_back_until_they_are_flushed) {
  start();
  rw_channel* batch = open_batch();
  for (int count = 0; count < 3; ++count) send_on(batch, "batched");
  EXPECT_EQ(seen_now(), 0U);
  EXPECT_EQ(rw_outstanding(batch), 3);
  EXPECT_EQ(rw_flush(batch), RW_OK);
  EXPECT_TRUE(engine->wait_for_submissions(4));
  EXPECT_EQ(seen_now(), 3U);
}

TEST_F(RingwireBatch, keeps_back_fewer_than_a_batch) {
  start();
  rw_channel* batch = open_batch();
  for (std::uint32_t count = 0; count < 2 * kShownTogether; ++count) send_on(batch, "batched");
  EXPECT_TRUE(engine->wait_for_submissions(kShownTogether));
}

TEST_F(RingwireBatch, shows_all_before_it_waits) {
  start();
  rw_channel* batch = open_batch();
  send_on(batch, "batched");
  const rw_ticket ticket = send_on(batch, "batched");
  rw_outcome outcome{};
  EXPECT_EQ(rw_wait(batch, ticket, kLongNs, &outcome), RW_OK);
  EXPECT_EQ(outcome.ending, static_cast<unsigned>(RW_ENDING_DONE));
}

TEST_F(RingwireBatch, shows_all_when_it_is_closed) {
  start();
  rw_channel* batch = open_batch();
  send_on(batch, "batched");
  rw_channel_close(batch);
  EXPECT_TRUE(engine->wait_for_submissions(1));
}

TEST_F(RingwireBatch, keeps_releases_back_until_it_looks_for_more) {
  start();
  rw_channel* batch = open_batch();
  ASSERT_EQ(rw_serve(batch, nullptr), RW_OK) << rw_last_error();
  ASSERT_TRUE(engine->wait_until_served());
  const rw_ticket ticket = send("k", "for the batch");
  rw_message* message = nullptr;
  ASSERT_EQ(rw_receive(batch, kLongNs, &message), RW_OK) << rw_last_error();
  ASSERT_EQ(rw_release(batch, message, RW_DONE), RW_OK);
  EXPECT_TRUE(engine->releases().empty());
  EXPECT_EQ(rw_receive(batch, 0, &message), RW_EAGAIN);
  EXPECT_TRUE(engine->wait_until_released(1));
  wait(ticket);
}

TEST_F(RingwireBatch, shows_releases_also_when_the_next_message_is_here_already) {
  start();
  rw_channel* batch = open_batch();
  ASSERT_EQ(rw_serve(batch, nullptr), RW_OK) << rw_last_error();
  ASSERT_TRUE(engine->wait_until_served());
  send("k", "first");
  send("k", "second");
  ASSERT_TRUE(engine->wait_for_submissions(2));
  rw_message* message = nullptr;
  for (std::size_t count = 0; count < 2; ++count) {
    ASSERT_EQ(rw_receive(batch, kLongNs, &message), RW_OK) << rw_last_error();
    EXPECT_TRUE(engine->wait_until_released(count));
    ASSERT_EQ(rw_release(batch, message, RW_DONE), RW_OK);
  }
}

TEST_F(RingwireBatch, shows_what_it_kept_to_the_next_engine) {
  start();
  rw_channel* batch = open_batch();
  const rw_ticket ticket = send_on(batch, "batched");
  restart_engine();
  rw_outcome outcome{};
  EXPECT_EQ(rw_wait(batch, ticket, kLongNs, &outcome), RW_OK) << rw_last_error();
  EXPECT_EQ(outcome.ending, static_cast<unsigned>(RW_ENDING_DONE));
}

}  // namespace
}  // namespace ringwire::ipc
