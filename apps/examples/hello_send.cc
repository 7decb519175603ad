// Send one message by key and say how it ended: hello_send_cpp [KEY [TEXT]]
#include <iostream>
#include <string_view>

#include "ipc/ringwire.hpp"

int main(int count, char** words) {
  const std::string_view key = count > 1 ? words[1] : "greeting";
  const std::string_view text = count > 2 ? words[2] : "hello, ring";
  const auto failed = [](const rw::Error& error) {
    std::cerr << "hello_send_cpp: " << error.sentence() << '\n';
    return 1;
  };
  auto client = rw::Client::open();
  if (!client) return failed(client.error());
  auto channel = client->open_channel();
  if (!channel) return failed(channel.error());
  auto ticket = channel->send(rw::to_key(key), text, {.level = rw::Level::kProcessed});
  if (!ticket) return failed(ticket.error());
  auto outcome = channel->wait(*ticket);
  if (!outcome) return failed(outcome.error());
  std::cout << (outcome->done() ? "done at " : "not done: ")
            << (outcome->done() ? outcome->node : outcome->reason_name()) << '\n';
  return outcome->done() ? 0 : 1;
}
