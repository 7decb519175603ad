// Engines in this process, each with a folder, ports of its own and loopback addresses. Waits on
// conditions with a deadline.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "engine/node/config.h"
#include "engine/node/engine.h"
#include "tests/engine/node/attach_caller.h"
#include "tests/engine/node/scratch_folder.h"

namespace ringwire::node {

constexpr std::chrono::seconds kPatience(20);

/// Yields until `condition()` holds; false when it does not within the deadline.
template <typename Condition>
bool wait_until(Condition condition) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() >= deadline) return false;
    std::this_thread::yield();
  }
  return true;
}

class EngineWorld {
 public:
  /// A running engine. Options are "section.key=value".
  struct Node {
    std::unique_ptr<Engine> engine;
    std::future<void> ready;
    std::future<void> ended;
    std::string socket;
  };

  Config make_config(const std::string& name, std::vector<std::string> options) const {
    options.insert(
        options.begin(),
        {"node.name=" + name, "node.state=" + folder_.path() + "/" + name,
         "node.socket=" + folder_.path() + "/" + name + ".sock", "node.control=127.0.0.1:0",
         "port.address=127.0.0.1", "port.udp_base=0", "limits.memory=512MiB", "timing.drain=20s"});
    auto config = load_config(std::nullopt, {}, options);
    if (!config.ok()) throw std::runtime_error(config.error().front().to_text());
    return std::move(config).value();
  }

  Node start(const std::string& name, std::vector<std::string> options = {}) const {
    const Config config = make_config(name, std::move(options));
    Node node;
    node.engine = std::make_unique<Engine>(config);
    node.socket = config.node.socket;
    auto ready = std::make_shared<std::promise<void>>();
    auto ended = std::make_shared<std::promise<void>>();
    node.ready = ready->get_future();
    node.ended = ended->get_future();
    node.engine->start([ready](const std::string&) { ready->set_value(); },
                       [ended] { ended->set_value(); });
    return node;
  }
  Node start_ready(const std::string& name, std::vector<std::string> options = {}) const {
    Node node = start(name, std::move(options));
    EXPECT_EQ(node.ready.wait_for(kPatience), std::future_status::ready);
    return node;
  }

  [[nodiscard]] const ScratchFolder& folder() const { return folder_; }

 private:
  ScratchFolder folder_;
};

/// One admin request; null when it was not answered.
inline nlohmann::json ask_admin(const std::string& socket, const std::string& request,
                                std::uint32_t* exit_code = nullptr) {
  AttachCaller caller(socket);
  std::string text;
  const auto bytes = std::as_bytes(std::span(request.data(), request.size()));
  caller.send(
      AttachCaller::header(ipc::AttachType::kAdmin, static_cast<std::uint32_t>(request.size())),
      bytes);
  while (true) {
    const auto answer = caller.receive();
    ipc::AdminAnswer head{};
    if (!answer || answer->type() != ipc::AttachType::kAdmin || answer->body.size() < sizeof head)
      return nullptr;
    std::memcpy(&head, answer->body.data(), sizeof head);
    text.append(reinterpret_cast<const char*>(answer->body.data()) + sizeof head,
                answer->body.size() - sizeof head);
    if (exit_code != nullptr) *exit_code = head.exit_code;
    if (head.more == 0) return nlohmann::json::parse(text, nullptr, false);
  }
}

/// The state of node `name` as the engine at `socket` sees it.
inline std::string state_seen(const std::string& socket, const std::string& name) {
  const nlohmann::json answer = ask_admin(socket, R"({"verb":"nodes"})");
  if (!answer.is_object()) return "";
  for (const auto& node : answer["nodes"])
    if (node["name"] == name) return node["state"];
  return "";
}

}  // namespace ringwire::node
