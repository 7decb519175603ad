// Receive messages of this server node and print them: hello_serve_cpp [COUNT]
#include <cstdlib>
#include <iostream>
#include <string>

#include "ipc/ringwire.hpp"

int main(int count, char** words) {
  long left = count > 1 ? std::atol(words[1]) : -1;  // negative: until it is killed
  const auto failed = [](const rw::Error& error) {
    std::cerr << "hello_serve_cpp: " << error.sentence() << '\n';
    return 1;
  };
  auto client = rw::Client::open();
  if (!client) return failed(client.error());
  auto channel = client->open_channel();
  if (!channel) return failed(channel.error());
  if (auto served = channel->serve(); !served) return failed(served.error());
  while (left-- != 0) {
    auto message = channel->receive();
    if (!message) return failed(message.error());
    std::cout << message->key_text() << ": " << message->text() << std::endl;
    if (auto released = message->release(); !released) return failed(released.error());
  }
  return 0;
}
