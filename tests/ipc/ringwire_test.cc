// The client library: attaching, what it says of itself and of its engine.
#include "ipc/ringwire.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <thread>

#include "tests/ipc/ringwire_fixture.h"

namespace ringwire::ipc {
namespace {

// ---- attach -------------------------------------------------------------------------------------

TEST_F(Ringwire, tells_about_its_engine) {
  start();
  rw_status_t status{};
  status.struct_bytes = sizeof status;
  ASSERT_EQ(rw_status(client, &status), RW_OK);
  EXPECT_STREQ(status.node, "alpha");
  EXPECT_STREQ(status.engine_version, "9.9.9");
  EXPECT_EQ(status.attached, 1u);
  EXPECT_EQ(status.state, 2u);
  EXPECT_EQ(status.node_count, 2u);
  EXPECT_EQ(status.epoch, 5u);
  rw_node_status nodes[4];
  ASSERT_EQ(rw_status_nodes(client, nodes, 4), 2);
  EXPECT_STREQ(nodes[1].name, "beta");
}

TEST_F(Ringwire, says_where_it_looked_when_there_is_no_engine) {
  const std::string nowhere = folder.socket();
  rw_client_options how{};
  how.struct_bytes = sizeof how;
  how.socket = nowhere.c_str();
  EXPECT_EQ(rw_client_open(&how, &client), RW_ENOENGINE);
  EXPECT_NE(std::string(rw_last_error()).find(nowhere), std::string::npos);
  EXPECT_EQ(client, nullptr);
}

TEST_F(Ringwire, waits_for_an_engine_when_asked_to) {
  std::thread starter([&] { engine.emplace(folder.socket(), FakeOptions{}); });
  const std::string socket = folder.socket();
  rw_client_options how{};
  how.struct_bytes = sizeof how;
  how.socket = socket.c_str();
  how.connect_timeout_ns = kLongNs;
  EXPECT_EQ(rw_client_open(&how, &client), RW_OK);
  starter.join();
}

TEST_F(Ringwire, refuses_a_path_that_no_socket_can_have) {
  const std::string endless(200, 'x');
  rw_client_options how{};
  how.struct_bytes = sizeof how;
  how.socket = endless.c_str();
  EXPECT_EQ(rw_client_open(&how, &client), RW_EINVAL);
}

// S-31: whatever else an engine of another version says behind what is known.
TEST_F(Ringwire, names_both_versions_when_they_do_not_fit) {
  for (const std::size_t bytes : {sizeof(WelcomeAnswer), sizeof(WelcomeAnswer) + 100}) {
    FakeOptions options;
    options.attach_version = 77;
    options.welcome_bytes = bytes;
    engine.emplace(folder.socket(), options);
    const std::string socket = folder.socket();
    rw_client_options how{};
    how.struct_bytes = sizeof how;
    how.socket = socket.c_str();
    EXPECT_EQ(rw_client_open(&how, &client), RW_EVERSION);
    const std::string sentence = rw_last_error();
    EXPECT_NE(sentence.find("77"), std::string::npos) << sentence;
    EXPECT_NE(sentence.find("9.9.9"), std::string::npos) << sentence;
    EXPECT_NE(sentence.find(rw_version()), std::string::npos) << sentence;
  }
}

// S-4.
TEST_F(Ringwire, names_both_layouts_when_a_file_has_another) {
  FakeOptions options;
  options.page_version = 77;
  engine.emplace(folder.socket(), options);
  const std::string socket = folder.socket();
  rw_client_options how{};
  how.struct_bytes = sizeof how;
  how.socket = socket.c_str();
  EXPECT_EQ(rw_client_open(&how, &client), RW_EVERSION);
  const std::string sentence = rw_last_error();
  EXPECT_NE(sentence.find("layout 77"), std::string::npos) << sentence;
  EXPECT_NE(sentence.find("speaks " + std::to_string(kLayoutVersion)), std::string::npos)
      << sentence;
}

TEST_F(Ringwire, opens_only_so_many_channels) {
  FakeOptions options;
  options.max_channels = 2;
  start(options);
  ASSERT_NE(open_channel(), nullptr);
  rw_channel* third = nullptr;
  EXPECT_EQ(rw_channel_open(client, nullptr, &third), RW_ELIMIT);
}

// S-33.
TEST_F(Ringwire, reopened_channel_number_goes_on_with_its_sequence) {
  start();
  EXPECT_EQ(send("k", "a"), 1u);
  rw_channel_close(channel);
  channel = open_channel();
  EXPECT_EQ(send("k", "b"), 2u) << "an identity must never come twice";
}

TEST_F(Ringwire, refuses_bad_arguments) {
  start();
  rw_client* other = nullptr;
  rw_client_options no_size{};
  EXPECT_EQ(rw_client_open(&no_size, &other), RW_EINVAL);
  rw_channel_options odd{};
  odd.struct_bytes = sizeof odd;
  odd.submission_entries = 17;
  rw_channel* opened = nullptr;
  EXPECT_EQ(rw_channel_open(client, &odd, &opened), RW_EINVAL);
  EXPECT_EQ(rw_send(nullptr, nullptr, nullptr, 0, nullptr, nullptr), RW_EINVAL);
  const rw_target nowhere{};
  EXPECT_EQ(rw_send(channel, &nowhere, "x", 1, nullptr, nullptr), RW_EINVAL);
  const std::string long_key(1'025, 'k');
  const rw_target target = rw_target_key(long_key.data(), long_key.size());
  EXPECT_EQ(rw_send(channel, &target, "x", 1, nullptr, nullptr), RW_EINVAL);
  const rw_target unknown = rw_target_node("gamma");
  EXPECT_EQ(rw_send(channel, &unknown, "x", 1, nullptr, nullptr), RW_EINVAL);
  EXPECT_EQ(rw_wait(channel, 99, 0, nullptr), RW_ESTALE);
  EXPECT_EQ(rw_cancel(channel, 99), RW_ESTALE);
}

TEST_F(Ringwire, forked_child_is_told_to_open_its_own) {
  start();
  const pid_t child = fork();
  if (child == 0) {
    rw_message* message = nullptr;
    rw_channel* opened = nullptr;
    const bool told = rw_receive(channel, 0, &message) == RW_EFORK &&
                      rw_channel_open(client, nullptr, &opened) == RW_EFORK;
    if (!told) _exit(1);
    // Its own attachment; and closing what it inherited is no word to the engine.
    rw_client_close(client);
    rw_client_options how{};
    how.struct_bytes = sizeof how;
    how.socket = path.c_str();
    if (rw_client_open(&how, &client) != RW_OK) _exit(2);
    if (rw_channel_open(client, nullptr, &opened) != RW_OK) _exit(3);
    const rw_target target = rw_target_key("k", 1);
    rw_ticket ticket = 0;
    if (rw_send(opened, &target, "mine", 4, nullptr, &ticket) != RW_OK) _exit(4);
    rw_outcome outcome{};
    _exit(rw_wait(opened, ticket, kLongNs, &outcome) == RW_OK ? 0 : 5);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 0);
  EXPECT_EQ(engine->hellos(), 2u);
  EXPECT_EQ(wait(send("k", "still here")).ending, static_cast<unsigned>(RW_ENDING_DONE));
}

// ---- about --------------------------------------------------------------------------------------

TEST_F(Ringwire, admin_request_collects_all_chunks) {
  start();
  char* answer = nullptr;
  int exit_code = -1;
  ASSERT_EQ(rw_admin(path.c_str(), R"({"verb":"status"})", &answer, &exit_code), RW_OK);
  EXPECT_STREQ(answer, R"({"verb":"status"})");
  EXPECT_EQ(exit_code, 1);
  rw_free(answer);
}

extern "C" int abi_names_linked(void);

TEST(RingwireText, every_name_of_the_header_is_in_the_library) {
  EXPECT_EQ(abi_names_linked(), 1 + 54);
}

TEST(RingwireText, names_every_error_and_reason) {
  for (int error = RW_ESYSTEM; error <= RW_OK; ++error) {
    EXPECT_STRNE(rw_error_name(error), "RW_E?") << error;
    EXPECT_STRNE(rw_error_text(error), "no such error") << error;
  }
  EXPECT_STREQ(rw_error_name(RW_EFORK), "RW_EFORK");
  EXPECT_STREQ(rw_error_name(-999), "RW_E?");
  EXPECT_STREQ(rw_reason_name(RW_REASON_NO_CONSUMER), "no_consumer");
  EXPECT_STREQ(rw_reason_name(999), "?");
  EXPECT_STREQ(rw_ending_name(RW_ENDING_UNKNOWN), "unknown");
}

TEST(RingwireText, default_socket_is_what_the_environment_says) {
  setenv("RINGWIRE_SOCKET", "/somewhere/e.sock", 1);
  char buffer[64];
  EXPECT_STREQ(rw_default_socket(buffer, sizeof buffer), "/somewhere/e.sock");
  unsetenv("RINGWIRE_SOCKET");
}

}  // namespace
}  // namespace ringwire::ipc
