#include "apps/demo/cluster.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <utility>

#include "ipc/ringwire.h"

namespace ringwire::demo {
namespace {

// Draining takes at most ten seconds by default: longer than that, something hangs.
constexpr std::chrono::milliseconds kDrainPatience{15'000};

// Binds to a port that the kernel picks; the descriptor is kept open until all are found, so that
// no port is found twice.
int bind_any(int type, std::uint16_t& port) {
  const int descriptor = ::socket(AF_INET, type | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return -1;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = ::htonl(INADDR_LOOPBACK);
  socklen_t address_bytes = sizeof(address);
  // The socket interface takes every family through this one type.
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (::bind(descriptor, generic, address_bytes) != 0 ||
      ::getsockname(descriptor, generic, &address_bytes) != 0) {
    ::close(descriptor);
    return -1;
  }
  port = ::ntohs(address.sin_port);
  return descriptor;
}

std::int64_t number_of(const nlohmann::json& answer, const char* key) {
  const auto it = answer.find(key);
  return it != answer.end() && it->is_number_integer() ? it->get<std::int64_t>() : -1;
}

}  // namespace

Cluster::Cluster(ClusterOptions options) : options_(std::move(options)), nodes_(kServerCount + 1) {}

Cluster::~Cluster() = default;  // the children's own ends

std::string Cluster::start() {
  if (!find_ports()) return "no free port on 127.0.0.1";
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    if (!write_configuration(i)) return "cannot write into " + options_.run_folder;
    if (!start_engine(i)) return "cannot start " + options_.engine_path;
  }
  for (std::size_t i = 0; i < kServerCount; ++i) {
    if (!start_saver(i)) return "cannot start " + options_.self_path;
  }
  return "";
}

bool Cluster::in_service(std::size_t index) {
  const std::string state = load(index).state;
  return state == "serving" || (index == kSlaveIndex && state == "up");
}

EngineLoad Cluster::load(std::size_t index) const {
  EngineLoad load;
  char* text = nullptr;
  int exit_code = 0;
  if (rw_admin(socket(index).c_str(), R"({"verb":"status"})", &text, &exit_code) != RW_OK) {
    return load;
  }
  const nlohmann::json answer = nlohmann::json::parse(text, nullptr, false);
  rw_free(text);
  if (exit_code != 0 || !answer.is_object()) return load;
  load.part_received = number_of(answer, "receiving");
  load.unprocessed = number_of(answer, "unprocessed");
  load.state = answer.value("state", "");
  return load;
}

void Cluster::kill_engine(std::size_t index) {
  nodes_[index].killed = true;
  nodes_[index].engine.kill_now();
}

bool Cluster::restart_engine(std::size_t index) {
  nodes_[index].killed = false;
  return start_engine(index);
}

std::string Cluster::missing_process() {
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    Node& node = nodes_[i];
    if (!node.killed && !node.engine.running()) {
      return "engine " + name(i) + " ended with " + node.engine.ending() + "; its log: " + log(i);
    }
    if (i < kServerCount && !node.saver.running()) {
      return "server program of " + name(i) + " ended with " + node.saver.ending() +
             "; its log: " + log(i);
    }
  }
  return "";
}

std::string Cluster::stop() {
  for (Node& node : nodes_) node.saver.ask_to_end();
  for (Node& node : nodes_) node.saver.await_end(kDrainPatience);
  for (Node& node : nodes_) node.engine.ask_to_end();
  std::string bad;
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    if (nodes_[i].engine.await_end(kDrainPatience)) continue;
    bad += (bad.empty() ? "" : ", ") + name(i) + " (" + nodes_[i].engine.ending() + ")";
  }
  return bad;
}

void Cluster::release() {
  for (Node& node : nodes_) {
    node.engine.release();
    node.saver.release();
  }
}

std::string Cluster::name(std::size_t index) const {
  return index == kSlaveIndex ? "client" : "server-" + std::to_string(index + 1);
}

std::string Cluster::socket(std::size_t index) const {
  return options_.socket_folder + "/" + name(index) + ".sock";
}

std::string Cluster::saved_folder(std::size_t index) const {
  return options_.run_folder + "/saved/" + name(index);
}

std::string Cluster::log(std::size_t index) const {
  return options_.run_folder + "/" + name(index) + ".log";
}

std::vector<pid_t> Cluster::pids() const {
  std::vector<pid_t> pids;
  for (const Node& node : nodes_) {
    for (const pid_t pid : {node.saver.pid(), node.engine.pid()}) {
      if (pid != 0) pids.push_back(pid);
    }
  }
  return pids;
}

bool Cluster::find_ports() {
  std::vector<int> open;
  bool ok = true;
  for (Node& node : nodes_) {
    open.push_back(bind_any(SOCK_STREAM, node.control_port));
    open.push_back(bind_any(SOCK_DGRAM, node.data_port));
  }
  for (const int descriptor : open) {
    ok = ok && descriptor >= 0;
    if (descriptor >= 0) ::close(descriptor);
  }
  return ok;
}

std::string Cluster::configuration(std::size_t index) const {
  std::string members;
  std::string seeds;
  for (std::size_t i = 0; i < kServerCount; ++i) {
    const std::string comma = i == 0 ? "" : ", ";
    members += comma + '"' + name(i) + '"';
    seeds += comma + "\"127.0.0.1:" + std::to_string(nodes_[i].control_port) + '"';
  }
  const Node& node = nodes_[index];
  return "[cluster]\nname = \"demo\"\ntype = \"hash\"\nsecondaries = 1\nmembers = [" + members +
         "]\nseeds = [" + seeds + "]\n\n[node]\nname = \"" + name(index) + "\"\nrole = \"" +
         (index == kSlaveIndex ? "slave" : "server") + "\"\nstate = \"" + options_.run_folder +
         "/state/" + name(index) +
         "\"\ncontrol = \"127.0.0.1:" + std::to_string(node.control_port) + "\"\nsocket = \"" +
         socket(index) +
         "\"\nworkers = 1\n\n[[port]]\nkind = \"socket\"\naddress = \"127.0.0.1\"\nudp_base = " +
         std::to_string(node.data_port) + "\n";
}

bool Cluster::write_configuration(std::size_t index) const {
  std::error_code error;
  std::filesystem::create_directories(options_.run_folder + "/state", error);
  std::ofstream file(options_.run_folder + "/" + name(index) + ".toml");
  file << configuration(index);
  file.close();
  return !file.fail();
}

bool Cluster::start_engine(std::size_t index) {
  ChildOptions options;
  options.command = {options_.engine_path, "-f", options_.run_folder + "/" + name(index) + ".toml"};
  for (const std::string& option : options_.engine_options) {
    options.command.push_back("-o");
    options.command.push_back(option);
  }
  options.output_path = log(index);
  options.outlives = options_.outlives;
  return nodes_[index].engine.start(options);
}

bool Cluster::start_saver(std::size_t index) {
  ChildOptions options;
  options.command = {options_.self_path, "--saver", socket(index), saved_folder(index)};
  options.output_path = log(index);
  options.outlives = options_.outlives;
  return nodes_[index].saver.start(options);
}

}  // namespace ringwire::demo
