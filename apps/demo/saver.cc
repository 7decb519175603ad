#include "apps/demo/saver.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "ipc/ringwire.h"

namespace ringwire::demo {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kForever = -1;
constexpr std::size_t kMaxComponentBytes = 255;  // NAME_MAX of Linux file systems

void append_component(std::string& path, std::string_view component) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string name;
  const bool dots = component == "." || component == "..";
  for (const char c : component) {
    if (c == '\0' || c == '%' || dots) {
      const auto byte = static_cast<unsigned char>(c);
      name += {'%', kHex[byte >> 4], kHex[byte & 15]};
    } else {
      name += c;
    }
  }
  if (name.empty()) name.push_back('%');
  // Two keys that differ only behind this many bytes keep apart by their hash.
  if (name.size() > kMaxComponentBytes) {
    char hash[20];
    std::snprintf(hash, sizeof(hash), "%%h%016llx",
                  static_cast<unsigned long long>(rw_hash(component.data(), component.size())));
    name = name.substr(0, kMaxComponentBytes - 18) + hash;
  }
  path += '/';
  path += name;
}

bool write_all(int descriptor, const char* data, std::size_t bytes) {
  while (bytes > 0) {
    const ssize_t written = ::write(descriptor, data, bytes);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    data += written;
    bytes -= static_cast<std::size_t>(written);
  }
  return true;
}

// Writes under a passing name, then renames: nobody sees half a file under its own name.
bool save(const std::string& folder, const std::string& part, const rw_message* message) {
  std::size_t key_bytes = 0;
  const void* key = rw_message_key(message, &key_bytes);
  const std::string target =
      saved_path(folder, std::string_view(static_cast<const char*>(key), key_bytes));
  std::error_code error;
  fs::create_directories(fs::path(target).parent_path(), error);
  const int descriptor = ::open(part.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (descriptor < 0) return false;
  const bool written = write_all(descriptor, static_cast<const char*>(rw_message_data(message)),
                                 rw_message_bytes(message));
  return (::close(descriptor) == 0) && written && ::rename(part.c_str(), target.c_str()) == 0;
}

int complain(const char* what, int error) {
  std::fprintf(stderr, "server program: %s: %s: %s\n", what, rw_error_text(error), rw_last_error());
  return 1;
}

}  // namespace

std::string saved_path(const std::string& folder, std::string_view key) {
  std::string path = folder;
  while (true) {
    const std::size_t slash = key.find('/');
    append_component(path, key.substr(0, slash));
    if (slash == std::string_view::npos) return path;
    key.remove_prefix(slash + 1);
  }
}

int run_saver(const std::string& socket, const std::string& folder) {
  const std::string part_folder = folder + ".part";
  std::error_code error;
  fs::create_directories(folder, error);
  fs::create_directories(part_folder, error);
  const std::string part = part_folder + "/" + std::to_string(::getpid());

  rw_client_options client_options{};
  client_options.struct_bytes = sizeof(client_options);
  client_options.socket = socket.c_str();
  client_options.label = "demo-saver";
  client_options.connect_timeout_ns = kForever;
  client_options.reconnect_ns = kForever;  // its engine is going to be killed
  rw_client* client = nullptr;
  rw_channel* channel = nullptr;
  int result = rw_client_open(&client_options, &client);
  if (result < 0) return complain("attach", result);
  result = rw_channel_open(client, nullptr, &channel);
  if (result < 0) return complain("channel", result);
  result = rw_serve(channel, nullptr);
  if (result < 0) return complain("serve", result);

  while (true) {
    rw_message* message = nullptr;
    result = rw_receive(channel, kForever, &message);
    if (result == RW_ETIMEOUT || result == RW_EAGAIN) continue;
    if (result < 0) return complain("receive", result);
    const bool saved = save(folder, part, message);
    if (!saved) std::fprintf(stderr, "server program: not saved: %s\n", std::strerror(errno));
    // Refused, not retried: a full disk does not get better by trying again, and the sender's
    // table must show it.
    result = rw_release(channel, message, saved ? RW_DONE : RW_REFUSE);
    if (result < 0 && result != RW_ESTALE) return complain("release", result);
  }
}

}  // namespace ringwire::demo
