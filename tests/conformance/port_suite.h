// The rules that every port::Port must keep, run over lanes: a lane is one kind of port, as a
// connected pair a <-> b and a way to let time pass. A lane that cannot run on this machine fails
// with the reason, unless the environment variable ALLOW_SKIP names it (comma separated).
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "engine/port/port.h"

namespace ringwire::port::conformance {

/// What each lane's ports are built with, so that limits are reached fast.
inline constexpr std::uint32_t kTxBuffers = 160;
inline constexpr std::uint32_t kDestinations = 4;
inline constexpr std::uint32_t kReceiveBufferBytes = 256U << 10;

/// Ports may be used by several tests in turn: each leaves no packet under way, no destination
/// open.
class Lane {
 public:
  virtual ~Lane() = default;
  virtual Port& a() = 0;
  virtual Port& b() = 0;
  /// Lets a little time pass: virtual time in a simulation, one poll of the device elsewhere.
  virtual void step() = 0;
};

struct LaneOrReason {
  std::unique_ptr<Lane> lane;
  std::string reason;  ///< why there is no lane
};

struct LaneMaker {
  std::string name;
  std::function<LaneOrReason()> make;
};

inline void PrintTo(const LaneMaker& maker, std::ostream* out) { *out << maker.name; }

/// A lane of two ports that are owned here; `step` may be empty.
template <typename PortType>
class OwningLane final : public Lane {
 public:
  OwningLane(std::unique_ptr<PortType> a, std::unique_ptr<PortType> b, std::function<void()> step)
      : a_(std::move(a)), b_(std::move(b)), step_(std::move(step)) {}
  Port& a() override { return *a_; }
  Port& b() override { return *b_; }
  void step() override {
    if (step_) step_();
  }

 private:
  std::unique_ptr<PortType> a_;
  std::unique_ptr<PortType> b_;
  std::function<void()> step_;
};

class PortConformance : public testing::TestWithParam<LaneMaker> {
 protected:
  void SetUp() override;

  std::unique_ptr<Lane> lane_;
};

}  // namespace ringwire::port::conformance
