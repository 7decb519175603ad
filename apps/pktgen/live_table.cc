#include "apps/pktgen/live_table.h"

#include <cstdio>

#include "apps/cli/table.h"
#include "apps/pktgen/packet_stamp.h"
#include "engine/node/clock.h"

namespace ringwire::pktgen {
namespace {

std::string number(const char* format, double value) {
  char text[32];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

}  // namespace

LiveTable::LiveTable(Wire& wire)
    : wire_(wire), last_(wire.ports().size()), last_ns_(node::clock_now_ns()) {}

std::string LiveTable::render(TimeNs now) {
  using cli::Table;
  Table table({{"QUEUE"},
               {"TX Mpps", Table::Align::kRight},
               {"TX Gbit/s", Table::Align::kRight},
               {"RX Mpps", Table::Align::kRight},
               {"RX Gbit/s", Table::Align::kRight},
               {"TX FULL", Table::Align::kRight},
               {"RX ERRORS", Table::Align::kRight},
               {"NO BUFFER", Table::Align::kRight}});
  const double seconds = static_cast<double>(now - last_ns_) * 1e-9;
  for (std::size_t queue = 0; queue < last_.size(); ++queue) {
    const port::PortCounters counters = wire_.ports()[queue]->counters();
    port::PortCounters& last = last_[queue];
    const auto rate = [seconds](std::uint64_t count, std::uint64_t before) {
      return static_cast<double>(count - before) / seconds;
    };
    const double tx = rate(counters.tx_packets, last.tx_packets);
    const double rx = rate(counters.rx_packets, last.rx_packets);
    const double around = kFrameOverheadBytes + kWireGapBytes;
    const double tx_bits = (rate(counters.tx_bytes, last.tx_bytes) + tx * around) * 8;
    const double rx_bits = (rate(counters.rx_bytes, last.rx_bytes) + rx * around) * 8;
    table.add({std::to_string(queue), number("%.3f", tx / 1e6), number("%.2f", tx_bits / 1e9),
               number("%.3f", rx / 1e6), number("%.2f", rx_bits / 1e9),
               std::to_string(counters.tx_full - last.tx_full),
               std::to_string(counters.rx_errors - last.rx_errors),
               std::to_string(counters.buffers_exhausted - last.buffers_exhausted)});
    last = counters;
  }
  last_ns_ = now;
  return table.render(cli::Colour::kOff);
}

}  // namespace ringwire::pktgen
