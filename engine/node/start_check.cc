#include "engine/node/start_check.h"

#include <pwd.h>
#include <sys/un.h>

#include <charconv>
#include <string_view>
#include <utility>

#include "engine/node/attachments.h"
#include "engine/node/extent_files.h"
#include "engine/node/node_paths.h"
#include "engine/node/node_ports.h"
#include "engine/node/ring_view.h"
#include "engine/node/start_error.h"
#include "engine/port/dpdk_eal.h"
#include "ipc/status_page.h"
#include "ring/view.h"

namespace ringwire::node {
namespace {

/// What must be left for messages beside the fixed terms, or the engine could receive no large one:
/// one large extent of 1 MiB, a class file of each size, the sessions with one peer.
constexpr std::uint64_t kSpareBytes = 16ULL << 20;

class Check {
 public:
  explicit Check(const Config& config) : config_(config) {}

  std::vector<ConfigProblem> run() {
    for (const std::string& user : config_.allow.users)
      if (!find_user(user))
        add("allow.users", "names " + user + ", a user that this machine does not know");
    check_socket();
    try {
      static_cast<void>(find_address(config_.port.address, config_.node.control.host));
    } catch (const StartError& error) {
      add("port.0.address", error.what());
    }
    if (uses_dpdk(config_) && !port::DpdkEal::is_built())
      add("port.0.kind",
          "this build has no DPDK: `apt-get install libdpdk-dev`, then set up and build again");
    const MemoryBudget budget = fixed_budget(config_, worker_settings(config_),
                                             config_.node.workers * wanted_port_bytes(config_));
    if (std::string problem = memory_problem(budget); !problem.empty())
      add("limits.memory", std::move(problem));
    return std::move(problems_);
  }

 private:
  void add(std::string_view key, std::string text) {
    problems_.push_back(problem_at(config_, key, std::move(text)));
  }

  void check_socket() {
    const bool is_chosen = config_.node.socket.empty();
    const std::string path =
        is_chosen ? default_socket_path(config_.node.name) : config_.node.socket;
    if (path.size() >= sizeof sockaddr_un{}.sun_path)
      add("node.socket", path + " is longer than the kernel's 107 bytes");
    if (is_chosen && !is_safe_folder(default_socket_folder()))
      add("node.socket",
          default_socket_folder() + " belongs to another user: set [node] socket and state");
  }

  const Config& config_;
  std::vector<ConfigProblem> problems_;
};

}  // namespace

std::vector<ConfigProblem> start_problems(const Config& config) { return Check(config).run(); }

std::optional<std::uint32_t> find_user(const std::string& user) {
  std::uint32_t id = 0;
  const char* end = user.data() + user.size();
  const auto [stop, error] = std::from_chars(user.data(), end, id);
  if (error == std::errc{} && stop == end) return id;
  if (const passwd* entry = ::getpwnam(user.c_str())) return entry->pw_uid;
  return std::nullopt;
}

worker::WorkerConfig worker_settings(const Config& config) {
  worker::WorkerConfig worker;
  worker.worker_count = config.node.workers;
  worker.server = config.node.role == NodeRole::kServer;
  worker.max_deliveries = config.limits.max_deliveries;
  worker.queue_bytes = config.limits.queue_bytes;
  worker.program_grace_ns = config.limits.program_grace_ns;
  worker.reject_when_full = config.limits.queue_full == QueueFull::kReject;
  worker.drop_oldest = config.limits.queue_full == QueueFull::kDropOldest;
  return worker;
}

MemoryBudget fixed_budget(const Config& config, const worker::WorkerConfig& worker,
                          std::uint64_t port_bytes) {
  MemoryBudget budget(config.limits.memory_bytes != 0
                          ? config.limits.memory_bytes
                          : automatic_budget_bytes(read_machine_memory("")));
  budget.add_fixed("workers", config.node.workers * worker::worker_memory_bytes(worker));
  budget.add_fixed("ports", port_bytes);
  budget.add_fixed("class_files", first_class_files_bytes(config.node.workers));
  budget.add_fixed("status_page", ipc::kStatusBytes);
  // One table being used, one being built.
  budget.add_fixed("slot_tables", 2ULL * kSlotCount * sizeof(ring::MemberIndex) *
                                      (1 + config.cluster.secondaries));
  budget.add_fixed("attachments", config.limits.attachments * kAttachmentReserveBytes);
  return budget;
}

std::string memory_problem(const MemoryBudget& budget) {
  if (budget.fits(kSpareBytes)) return {};
  return "is too small: these fixed terms and " + std::to_string(kSpareBytes) +
         " bytes for messages must fit\n" + budget.sum_text();
}

}  // namespace ringwire::node
