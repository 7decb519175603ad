// The seal of an origin token: SipHash-1-3 (Aumasson and Bernstein 2012, section 2: SipHash-c-d) of
// its other bytes under a secret of this engine that lives as long as it does, so that a program
// can answer only what it was given. Pure; hot; one thread.
#pragma once

#include <bit>
#include <cstdint>

#include "ipc/layout.h"

namespace ringwire::worker {

class OriginSeal {
 public:
  /// The workers of an engine share `secret`: each accepts what another sealed.
  explicit OriginSeal(const std::uint64_t (&secret)[2])
      : start_{secret[0] ^ 0x736f6d6570736575ULL, secret[1] ^ 0x646f72616e646f6dULL,
               secret[0] ^ 0x6c7967656e657261ULL, secret[1] ^ 0x7465646279746573ULL},
        after_last_(start_.and_all_of(last_)),
        any_of_last_(after_last_.end(0)) {}

  /// token.seal itself does not count; nor does the sequence of a message that is no call: it has
  /// no answer (Outbound::fill), and who may write to its channel may do so whatever came from it.
  [[nodiscard]] std::uint64_t operator()(const ipc::OriginToken& token) {
    const Channel channel{
        token.attachment_high,
        token.attachment_low,
        token.node_incarnation,
        std::uint64_t{token.node} << 32 | token.channel,
        std::uint64_t{token.reserved} << 48 | std::uint64_t{token.home_worker} << 32 | token.flags,
        token.reserved2};
    if (channel != last_) {
      last_ = channel;
      after_last_ = start_.and_all_of(channel);
      any_of_last_ = after_last_.end(0);
    }
    return token.flags == 0 ? any_of_last_ : after_last_.end(token.sequence);
  }

 private:
  /// All but the sequence: the messages of one channel come together, and differ in that alone.
  struct Channel {
    std::uint64_t attachment_high;
    std::uint64_t attachment_low;
    std::uint64_t incarnation;
    std::uint64_t place;
    std::uint64_t kind;
    std::uint64_t rest;
    bool operator==(const Channel&) const = default;
  };
  struct Sip {
    std::uint64_t v0, v1, v2, v3;

    void round() {
      v0 += v1;
      v1 = std::rotl(v1, 13) ^ v0;
      v0 = std::rotl(v0, 32);
      v2 += v3;
      v3 = std::rotl(v3, 16) ^ v2;
      v0 += v3;
      v3 = std::rotl(v3, 21) ^ v0;
      v2 += v1;
      v1 = std::rotl(v1, 17) ^ v2;
      v2 = std::rotl(v2, 32);
    }
    void absorb(std::uint64_t word) {
      v3 ^= word;
      round();
      v0 ^= word;
    }
    /// The sequence, and the length, which is last.
    [[nodiscard]] std::uint64_t end(std::uint64_t sequence) const {
      Sip sip = *this;
      sip.absorb(sequence);
      sip.absorb(std::uint64_t{sizeof(Channel) + sizeof sequence} << 56);
      sip.v2 ^= 0xff;
      for (int count = 0; count < 3; ++count) sip.round();
      return sip.v0 ^ sip.v1 ^ sip.v2 ^ sip.v3;
    }
    [[nodiscard]] Sip and_all_of(const Channel& channel) const {
      Sip sip = *this;
      sip.absorb(channel.attachment_high);
      sip.absorb(channel.attachment_low);
      sip.absorb(channel.incarnation);
      sip.absorb(channel.place);
      sip.absorb(channel.kind);
      sip.absorb(channel.rest);
      return sip;
    }
  };

  const Sip start_;
  Channel last_{};
  Sip after_last_;
  std::uint64_t any_of_last_;
};

}  // namespace ringwire::worker
