// What the tests of the client library stand on: a client with a channel at a FakeEngine, and one
// with a second channel that serves. Tests only; one thread and the engine's.
#pragma once

#include <gtest/gtest.h>

#include <optional>
#include <string>

#include "ipc/ringwire.h"
#include "tests/ipc/fake_engine.h"

namespace ringwire::ipc {

inline constexpr std::int64_t kLongNs = 10'000'000'000;  // a deadline, never a pace

inline rw_send_options no_room_wait() {
  rw_send_options options{};
  options.struct_bytes = sizeof options;
  options.wait_ns = -1;
  return options;
}

inline std::string text_of(const rw_message* message) {
  return {static_cast<const char*>(rw_message_data(message)), rw_message_bytes(message)};
}

struct Ringwire : testing::Test {
  void start(FakeOptions options = {}) {
    options_ = options;
    engine.emplace(folder.socket(), options);
    rw_client_options how{};
    how.struct_bytes = sizeof how;
    path = folder.socket();
    how.socket = path.c_str();
    how.reconnect_ns = kLongNs;
    ASSERT_EQ(rw_client_open(&how, &client), RW_OK) << rw_last_error();
    channel = open_channel();
  }
  rw_channel* open_channel(std::uint32_t entries = 0) {
    rw_channel_options options{};
    options.struct_bytes = sizeof options;
    options.submission_entries = entries;
    rw_channel* opened = nullptr;
    EXPECT_EQ(rw_channel_open(client, &options, &opened), RW_OK) << rw_last_error();
    return opened;
  }
  void restart_engine() {
    engine.reset();
    engine.emplace(folder.socket(), options_);
  }
  ~Ringwire() override { rw_client_close(client); }

  rw_ticket send(const std::string& key, const std::string& payload,
                 const rw_send_options* options = nullptr) {
    const rw_target target = rw_target_key(key.data(), key.size());
    rw_ticket ticket = 0;
    EXPECT_EQ(rw_send(channel, &target, payload.data(), payload.size(), options, &ticket), RW_OK)
        << rw_last_error();
    return ticket;
  }
  rw_outcome wait(rw_ticket ticket) {
    rw_outcome outcome{};
    EXPECT_EQ(rw_wait(channel, ticket, kLongNs, &outcome), RW_OK) << rw_last_error();
    return outcome;
  }
  rw_message* receive(rw_channel* from) {
    rw_message* message = nullptr;
    EXPECT_EQ(rw_receive(from, kLongNs, &message), RW_OK) << rw_last_error();
    return message;
  }

  TemporaryFolder folder;
  std::string path;
  FakeOptions options_;
  std::optional<FakeEngine> engine;
  rw_client* client = nullptr;
  rw_channel* channel = nullptr;
};

struct Served : Ringwire {
  void start_served(FakeOptions options = {}) {
    start(options);
    server = open_channel();
    ASSERT_EQ(rw_serve(server, nullptr), RW_OK) << rw_last_error();
  }
  rw_channel* server = nullptr;
};

}  // namespace ringwire::ipc
