#include "engine/port/dpdk_telemetry.h"

#include <rte_telemetry.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <map>
#include <memory>
#include <mutex>

namespace ringwire::port {
namespace {

/// With the NUL, as DPDK has them.
constexpr std::size_t kMaxNameBytes = 64;
constexpr std::size_t kMaxTextBytes = 128;

struct Commands {
  std::mutex mutex;
  std::map<std::string, std::shared_ptr<const TelemetryAnswer>> answers;
};

/// Never destroyed: DPDK's thread ends with the process.
Commands& commands() {
  static Commands& instance = *new Commands;
  return instance;
}

std::string valid_name(std::string name) {
  name.resize(std::min(name.size(), kMaxNameBytes - 1));
  for (char& letter : name)
    if (std::isalnum(static_cast<unsigned char>(letter)) == 0 && letter != '/') letter = '_';
  return name;
}

int answer_command(const char* command, const char* parameters, rte_tel_data* data) {
  std::shared_ptr<const TelemetryAnswer> answer;
  {
    Commands& all = commands();
    const std::lock_guard lock(all.mutex);
    if (const auto found = all.answers.find(command); found != all.answers.end())
      answer = found->second;
  }
  if (answer == nullptr) return -ENODEV;
  rte_tel_data_start_dict(data);
  std::vector<TelemetryField> fields = (*answer)(parameters == nullptr ? "" : parameters);
  fields.resize(std::min(fields.size(), kMaxTelemetryFields));
  for (TelemetryField& field : fields) {
    const std::string name = valid_name(std::move(field.name));
    if (const auto* number = std::get_if<std::uint64_t>(&field.value)) {
      rte_tel_data_add_dict_u64(data, name.c_str(), *number);
    } else {
      std::string text = std::get<std::string>(std::move(field.value));
      text.resize(std::min(text.size(), kMaxTextBytes - 1));
      rte_tel_data_add_dict_string(data, name.c_str(), text.c_str());
    }
  }
  return 0;
}

}  // namespace

bool add_telemetry(const std::string& command, const std::string& help, TelemetryAnswer answer) {
  Commands& all = commands();
  const std::lock_guard lock(all.mutex);
  const int result = rte_telemetry_register_cmd(command.c_str(), answer_command, help.c_str());
  if (result != 0 && result != -EEXIST) return false;
  all.answers[command] = std::make_shared<const TelemetryAnswer>(std::move(answer));
  return true;
}

void remove_telemetry() {
  Commands& all = commands();
  const std::lock_guard lock(all.mutex);
  all.answers.clear();
}

}  // namespace ringwire::port
