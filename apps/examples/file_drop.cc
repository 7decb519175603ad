// Send files, each as one message with its path as key, several under way: file_drop FILE...
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <iostream>
#include <map>
#include <string>

#include "ipc/ringwire.hpp"

namespace {

constexpr std::size_t kUnderWay = 8;  // files in memory at once

// Takes one outcome; false when the file did not arrive.
bool take_outcome(rw::Channel& channel, std::map<rw::Ticket, std::string>& sent) {
  const auto first = sent.begin();
  auto outcome = channel.wait(first->first);
  const bool done = outcome.ok() && outcome->done();
  std::cout << first->second << ": "
            << (done           ? std::string("done at ") + outcome->node
                : outcome.ok() ? outcome->reason_name()
                               : outcome.error().sentence())
            << '\n';
  sent.erase(first);
  return done;
}

}  // namespace

int main(int count, char** words) {
  auto client = rw::Client::open();
  if (!client) {
    std::cerr << "file_drop: " << client.error().sentence() << '\n';
    return 1;
  }
  auto channel = client->open_channel();
  if (!channel) {
    std::cerr << "file_drop: " << channel.error().sentence() << '\n';
    return 1;
  }
  std::map<rw::Ticket, std::string> sent;
  int failures = 0;
  for (int index = 1; index < count; ++index) {
    const std::string path = words[index];
    const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    struct stat about {};
    if (fd < 0 || fstat(fd, &about) != 0) {
      std::cerr << path << ": cannot be read\n";
      ++failures;
      continue;
    }
    auto ticket =
        channel->send_file(rw::to_key(path), fd, 0, static_cast<std::uint64_t>(about.st_size));
    close(fd);
    if (!ticket) {
      std::cerr << path << ": " << ticket.error().sentence() << '\n';
      ++failures;
      continue;
    }
    sent.emplace(*ticket, path);
    if (sent.size() >= kUnderWay && !take_outcome(*channel, sent)) ++failures;
  }
  while (!sent.empty())
    if (!take_outcome(*channel, sent)) ++failures;
  return failures == 0 ? 0 : 1;
}
