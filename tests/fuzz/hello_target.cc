// One end of a control connection against a peer that says what it likes when it likes. Oracle: it
// ends at most once and says why; it is established only with both acceptances; what it holds back
// for a peer that does not read is bounded; a dead connection does nothing more; and an honest
// connection beside it is still established.
#include <algorithm>
#include <vector>

#include "base/check.h"
#include "engine/control/admission.h"
#include "engine/control/peer_control.h"
#include "tests/engine/control/samples.h"
#include "tests/fuzz/input.h"

namespace {

using namespace ringwire;
using namespace ringwire::control;
using fuzz::Input;

class Story {
 public:
  explicit Story(Input input)
      : input_(input),
        control_({input_.flag() ? Direction::kDialled : Direction::kAccepted,
                  sample_hello("a", input_.flag() ? 1 : 3)}) {}

  void tell() {
    control_.on_connected(now_);
    for (int step = 0; step < 100 && !input_.empty(); ++step) {
      act();
      read_events();
      RW_CHECK(control_.output().size() <= kMaxOutputBytes);
      RW_CHECK(control_.state() != PeerControl::State::kClosed || endings_ == 1);
      if (control_.wants_close()) break;
    }
    if (control_.wants_close()) {
      // What comes after the end changes nothing.
      control_.on_bytes(now_, input_.rest());
      control_.on_timer(now_ + kSecondNs * 100);
      RW_CHECK(control_.take_events().empty());
      RW_CHECK(control_.next_deadline_ns() == kNeverNs);
    }
    RW_CHECK(endings_ <= 1);
    RW_CHECK(established_ <= 1);
  }

 private:
  void act() {
    switch (input_.below(10)) {
      case 0:
        now_ += DurationNs{input_.u16()} * kMillisecondNs;
        if (control_.next_deadline_ns() <= now_) control_.on_timer(now_);
        return;
      case 1:
        return control_.consume_output(
            std::min<std::size_t>(control_.output().size(), input_.u16()));
      case 2:
        if (control_.state() == PeerControl::State::kJudging)
          control_.accept(
              now_,
              sample_sessions(2, static_cast<std::uint8_t>(control_.peer()->worker_count()), 100));
        return;
      case 3:
        if (input_.below(8) == 0) control_.refuse(now_, RefuseReason::kMembers, "no");
        return;
      case 4:
        return control_.challenge(now_, input_.u8());
      case 5: {
        const auto state = control_.state();
        RW_CHECK(control_.send_heartbeat(now_) == (state == PeerControl::State::kEstablished));
        return;
      }
      case 6:
        return feed(input_.raw(input_.u8()));
      default:
        return say();
    }
  }

  // A message of any kind, nearly right.
  void say() {
    Message message;
    switch (input_.below(11)) {
      case 0:
      case 1: {
        Hello hello = sample_hello("b", 2);
        if (const std::uint32_t lie = input_.below(12); lie < 5) {
          if (lie == 0) hello.data_endpoints.resize(1 + input_.below(kMaxWorkers));
          if (lie == 1) hello.max_packet_bytes = input_.u32();
          if (lie == 2) hello.receive_queue_bytes = input_.u64();
          if (lie == 3) hello.message_slots = input_.u32();
          if (lie == 4) hello.incarnation = {input_.below(4), 1};
        }
        message = hello;
        break;
      }
      case 2:
      case 3: {
        const auto own = static_cast<std::uint8_t>(input_.below(8) == 0 ? input_.below(5) : 2);
        message = sample_sessions(own, 2, 1 + input_.below(2));
        break;
      }
      case 4:
        message = HelloRefuse{static_cast<RefuseReason>(1 + input_.below(kRefuseReasonCount)), "x"};
        break;
      case 5:
        message = Heartbeat{input_.u8(), static_cast<TimeNs>(input_.u64())};
        break;
      case 6:
        message = HeartbeatAck{input_.near(1), static_cast<TimeNs>(input_.near(0))};
        break;
      case 7:
        message = NodeState{static_cast<NodeCondition>(1 + input_.below(6)), input_.u64()};
        break;
      case 8:
        message = Goodbye{static_cast<GoodbyeReason>(1 + input_.below(2))};
        break;
      case 9:
        message = Challenge{input_.u8()};
        break;
      default:
        message = ChallengeAnswer{input_.u8()};
        break;
    }
    std::vector<std::byte> bytes;
    encode(message, bytes);
    feed(bytes);
  }

  void feed(std::span<const std::byte> bytes) {
    const bool cut = input_.flag();
    if (cut) control_.on_bytes(now_, bytes.first(bytes.size() / 2));
    control_.on_bytes(now_, cut ? bytes.subspan(bytes.size() / 2) : bytes);
  }

  void read_events() {
    for (const ControlEvent& event : control_.take_events()) {
      RW_CHECK(endings_ == 0);  // nothing follows the end
      if (const auto* hello = std::get_if<HelloArrived>(&event)) {
        RW_CHECK(!find_refusal(sample_hello("a", 1), hello->hello) ||
                 !find_refusal(sample_hello("a", 3), hello->hello));
        // What sessions are made of was checked on the way in.
        RW_CHECK(hello->hello.worker_count() >= 1);
        RW_CHECK(hello->hello.worker_count() <= kMaxWorkers);
        RW_CHECK(hello->hello.message_slots >= 128);
        RW_CHECK(hello->hello.message_slots <= 65'536);
        RW_CHECK(hello->hello.max_packet_bytes >= 1'200);
      }
      if (const auto* both = std::get_if<Established>(&event)) {
        ++established_;
        RW_CHECK(both->peer.own_workers == control_.peer()->worker_count());
        RW_CHECK(both->peer.peer_workers == 2);
        RW_CHECK(std::ranges::count(both->peer.connection_ids, 0U) == 0);
      }
      if (const auto* rtt = std::get_if<RttMeasured>(&event)) RW_CHECK(rtt->rtt_ns >= 0);
      if (std::holds_alternative<Refused>(event) || std::holds_alternative<Lost>(event)) ++endings_;
    }
  }

  Input input_;
  PeerControl control_;
  TimeNs now_ = kSecondNs;
  int endings_ = 0;
  int established_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Story(Input(data, size)).tell();
  return 0;
}
