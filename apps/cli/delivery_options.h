// The options with which `send` and `bench` say how a message is to be delivered. Cold.
#pragma once

#include <cstdint>
#include <string>

#include "apps/cli/shell.h"
#include "ipc/ringwire.h"

namespace ringwire::cli {

/// Add --ack none|accepted|processed; sets an rw_level.
void add_ack_option(CLI::App& command, std::uint32_t& level);
/// Add --order key|none; sets an rw_order.
void add_order_option(CLI::App& command, std::uint32_t& order);
/// Add --require all|majority|one; sets an rw_require.
void add_require_option(CLI::App& command, std::uint32_t& require);
/// Add --service S.
void add_service_option(CLI::App& command, std::string& service);

/// Add --share.
void add_share_option(CLI::App& command, bool& share);

/// "done", "failed(no_consumer)", "unknown(timeout)".
[[nodiscard]] std::string outcome_name(const rw_outcome& outcome);

/// "none", "accepted", "processed".
[[nodiscard]] std::string level_name(std::uint32_t level);

}  // namespace ringwire::cli
