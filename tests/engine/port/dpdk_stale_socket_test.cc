#include "engine/port/dpdk_stale_socket.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>

namespace ringwire::port {
namespace {

TEST(StaleSocket, is_looked_for_where_the_device_makes_one) {
  const struct {
    const char* device;
    const char* path;
  } rows[] = {
      {"net_memif0,role=server,socket=/run/a.sock,socket-abstract=no,rsize=10", "/run/a.sock"},
      {"net_memif0,role=client,socket=/run/a.sock,socket-abstract=no", nullptr},
      {"net_memif0,socket=/run/a.sock,socket-abstract=no", nullptr},
      {"net_memif0,role=server,socket=/run/a.sock", nullptr},
      {"net_memif0,role=server,socket-abstract=no", nullptr},
      {"net_vhost0,iface=/run/v.sock,queues=1", "/run/v.sock"},
      {"net_vhost0,iface=/run/v.sock,client=0", "/run/v.sock"},
      {"net_vhost0,iface=/run/v.sock,client=1", nullptr},
      {"net_virtio_user0,path=/run/v.sock", nullptr},
      {"net_tap0,iface=/run/v.sock", nullptr},
      {"", nullptr},
  };
  for (const auto& row : rows) {
    const auto path = socket_made_by(row.device);
    EXPECT_EQ(path.value_or(""), row.path == nullptr ? "" : row.path) << row.device;
  }
}

class StaleSocketFile : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "rw_stale_XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    path_ = folder_ / "memif.sock";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  /// The listening end of a socket file.
  int listen_at(int kind) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path_.c_str(), path_.native().size() + 1);
    const int listener = ::socket(AF_UNIX, kind, 0);
    EXPECT_EQ(::bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(listener, 1), 0);
    return listener;
  }
  /// Both ways of writing the argument.
  void remove() {
    const std::string device = "net_memif0,role=server,socket-abstract=no,socket=" + path_.native();
    const std::vector<std::string> arguments =
        separate_ ? std::vector<std::string>{"-l", "0", "--vdev", device}
                  : std::vector<std::string>{"-l", "0", "--vdev=" + device};
    remove_stale_sockets(arguments);
  }

  std::filesystem::path folder_;
  std::filesystem::path path_;
  bool separate_ = false;
};

TEST_F(StaleSocketFile, goes_when_nobody_listens_on_it) {
  for (const int kind : {SOCK_SEQPACKET, SOCK_STREAM})
    for (const bool separate : {false, true}) {
      separate_ = separate;
      ::close(listen_at(kind));
      ASSERT_TRUE(std::filesystem::exists(path_));
      remove();
      EXPECT_FALSE(std::filesystem::exists(path_));
    }
}

TEST_F(StaleSocketFile, stays_while_somebody_listens_on_it) {
  for (const int kind : {SOCK_SEQPACKET, SOCK_STREAM}) {
    const int listener = listen_at(kind);
    remove();
    EXPECT_TRUE(std::filesystem::exists(path_));
    ::close(listener);
    std::filesystem::remove(path_);
  }
}

TEST_F(StaleSocketFile, stays_when_it_is_no_socket) {
  std::ofstream(path_) << "a file";
  remove();
  EXPECT_TRUE(std::filesystem::exists(path_));
}

}  // namespace
}  // namespace ringwire::port
