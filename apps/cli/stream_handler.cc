#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <random>

#include "apps/cli/handler.h"
#include "apps/cli/link.h"

namespace ringwire::cli {
namespace {

// Tells the answers of two receiving processes apart, so that one is not counted twice.
std::string process_mark() {
  static const std::string kMark = [] {
    std::random_device random;
    return fmt::format("{:08x}{:08x}", random(), random());
  }();
  return kMark;
}

class StreamHandler final : public Handler {
 public:
  StreamHandler(StreamAnswer answer, StreamLedger& ledger) : answer_(answer), ledger_(ledger) {}

  rw_verdict handle(rw_channel* channel, const rw_message* message) override {
    const auto payload = payload_of(message);
    const bool is_call = (rw_message_flags(message) & RW_FLAG_CALL) != 0;
    std::uint64_t stream = 0;
    if (is_call && is_question(payload, stream)) return answer_question(channel, message, stream);
    const CheckedStamp checked = check_stamp(payload);
    if (checked.verdict != StampVerdict::kUnstamped) note(message, checked);
    if (checked.verdict == StampVerdict::kDamaged) return RW_REFUSE;
    if (!is_call || answer_ == StreamAnswer::kNothing) return RW_DONE;
    return reply_to(channel, message, payload.data(), payload.size()) == RW_OK ? RW_DONE : RW_RETRY;
  }

 private:
  void note(const rw_message* message, const CheckedStamp& checked) {
    const bool again = (rw_message_flags(message) & RW_FLAG_REDELIVERED) != 0;
    ledger_.note(checked,
                 again ? StreamLedger::Delivery::kRedelivered : StreamLedger::Delivery::kFirst);
  }

  rw_verdict answer_question(rw_channel* channel, const rw_message* message,
                             std::uint64_t stream) const {
    const StreamCounts counts = ledger_.counts_of(stream);
    const std::string text = nlohmann::json{
        {"receiver", process_mark()},
        {"received", counts.received},
        {"duplicated", counts.duplicated},
        {"damaged", counts.damaged},
        {"redelivered",
         counts.redelivered}}.dump();
    return reply_to(channel, message, text.data(), text.size()) == RW_OK ? RW_DONE : RW_RETRY;
  }

  StreamAnswer answer_;
  StreamLedger& ledger_;
};

}  // namespace

int reply_to(rw_channel* channel, const rw_message* message, const void* data, std::size_t bytes) {
  rw_ticket ticket = 0;
  return rw_reply(channel, message, data, bytes, nullptr, &ticket);
}

std::unique_ptr<Handler> make_stream_handler(StreamAnswer answer, StreamLedger& ledger) {
  return std::make_unique<StreamHandler>(answer, ledger);
}

}  // namespace ringwire::cli
