// A program that speaks the attach protocol by itself and owns every byte of its channel: attaches,
// opens a channel, and writes what it likes where it likes. For tests/system/hostile_program.cc;
// one thread, but for tear().
#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <random>
#include <string>
#include <thread>

#include "ipc/layout.h"
#include "tests/engine/node/attach_caller.h"

namespace ringwire::hostile {

/// A file that is mapped, or not.
struct Map {
  std::byte* data = nullptr;
  std::uint64_t bytes = 0;

  Map() = default;
  Map(int file, std::uint64_t size, int protection) : bytes(size) {
    void* at = ::mmap(nullptr, size, protection, MAP_SHARED, file, 0);
    data = at == MAP_FAILED ? nullptr : static_cast<std::byte*>(at);
  }
  ~Map() {
    if (data != nullptr) ::munmap(data, bytes);
  }
  Map(Map&& other) noexcept { swap(other); }
  Map& operator=(Map&& other) noexcept {
    swap(other);
    return *this;
  }
  void swap(Map& other) noexcept {
    std::swap(data, other.data);
    std::swap(bytes, other.bytes);
  }
};

class HostileChannel {
 public:
  static constexpr std::uint32_t kEntries = 64;
  static constexpr std::uint64_t kTransmitBytes = 1 << 20;

  explicit HostileChannel(const std::string& socket) : caller_(socket) {}

  /// Attach, open channel 0, adopt file 1. False when the engine refused any of it.
  bool open(std::uint64_t id) {
    const auto welcome = caller_.attach(id);
    if (!welcome || welcome->status() != ipc::AttachStatus::kOk) return false;
    workers_ = welcome->as<ipc::WelcomeAnswer>().worker_count;
    const std::uint64_t up_bytes = ipc::up_file_bytes(kEntries, kEntries, workers_);
    up_file_ = node::make_memory(up_bytes);
    up_ = Map(up_file_.get(), up_bytes, PROT_READ | PROT_WRITE);
    const ipc::UpHeader header{ipc::kUpMagic, ipc::kLayoutVersion, workers_, up_bytes, kEntries,
                               kEntries};
    std::memcpy(up_.data, &header, sizeof header);
    ipc::ChannelOpenRequest request{};
    request.submission_entries = request.release_entries = request.delivery_entries = kEntries;
    request.up_file_bytes = up_bytes;
    request.next_sequence = 1;
    int number = up_file_.get();
    const auto opened = caller_.ask(ipc::AttachType::kChannelOpen, request, std::span(&number, 1));
    if (!opened || opened->status() != ipc::AttachStatus::kOk) return false;
    const auto body = opened->as<ipc::ChannelOpenAnswer>();
    down_ = Map(opened->descriptors.at(0).get(), body.down_file_bytes, PROT_READ);
    for (std::size_t at = 2; at < opened->descriptors.size(); ++at)
      bells_.emplace_back(::dup(opened->descriptors[at].get()));
    transmit_file_ = node::make_memory(kTransmitBytes);
    transmit_ = Map(transmit_file_.get(), kTransmitBytes, PROT_READ | PROT_WRITE);
    number = transmit_file_.get();
    const auto adopted = caller_.ask(ipc::AttachType::kAdopt,
                                     ipc::FileRequest{0, 1, kTransmitBytes}, std::span(&number, 1));
    return adopted && adopted->status() == ipc::AttachStatus::kOk && up_.data != nullptr &&
           down_.data != nullptr;
  }
  /// Become a consumer of a service, and remember its number for what is submitted.
  bool serve(const std::string& name) {
    ipc::ServiceRequest request{};
    std::memcpy(request.name, name.data(), name.size());
    const auto answer = caller_.ask(ipc::AttachType::kService, request);
    if (!answer || answer->status() != ipc::AttachStatus::kOk) return false;
    service_ = static_cast<std::uint16_t>(answer->as<ipc::ServiceAnswer>().handle);
    const auto serves =
        caller_.ask(ipc::AttachType::kServe, ipc::ServeRequest{0, service_, 0, 0, kEntries});
    return serves && serves->status() == ipc::AttachStatus::kOk;
  }

  [[nodiscard]] node::AttachCaller& caller() { return caller_; }

  /// One that the engine accepts: a few bytes for the own service.
  [[nodiscard]] ipc::Submission good() {
    ipc::Submission entry{};
    entry.sequence = ++sequence_;
    entry.hash = sequence_;
    entry.target = static_cast<std::uint8_t>(ipc::TargetKind::kKey);
    entry.level = static_cast<std::uint8_t>(Level::kProcessed);
    entry.service = service_;
    entry.payload_bytes = 32;
    return entry;
  }
  /// False when the queue is full.
  bool submit(const ipc::Submission& entry) {
    if (tail_ - load<std::uint64_t>(down_, ipc::kDownSubmissionHeadOffset) >= kEntries)
      return false;
    std::memcpy(up_.data + ipc::kHeaderBytes + tail_ % kEntries * sizeof entry, &entry,
                sizeof entry);
    set_tail(tail_ + 1);
    ring();
    return true;
  }
  void set_tail(std::uint64_t tail) {
    tail_ = tail;
    store(ipc::kUpSubmissionTailOffset, tail);
  }
  [[nodiscard]] std::uint64_t tail() const { return tail_; }
  /// To worker 0.
  void release(std::uint64_t token, std::uint32_t verdict = 0) {
    if (releases_ - load<std::uint64_t>(down_, ipc::kDownReleaseHeadOffset) >= kEntries) return;
    const ipc::Release entry{token, verdict, 0};
    std::memcpy(up_.data + ipc::up_release_offset(kEntries, kEntries, 0) +
                    releases_ % kEntries * sizeof entry,
                &entry, sizeof entry);
    store(ipc::kUpReleaseTailOffset, ++releases_);
    ring();
  }
  /// The next delivery of worker 0; nothing when there is none.
  std::optional<ipc::Delivery> take() {
    if (deliveries_ >= load<std::uint64_t>(down_, ipc::kDownDeliveryTailOffset))
      return std::nullopt;
    ipc::Delivery entry;
    std::memcpy(
        &entry,
        down_.data + ipc::down_delivery_offset(kEntries, 0) + deliveries_ % kEntries * sizeof entry,
        sizeof entry);
    store(ipc::kUpDeliveryHeadOffset, ++deliveries_);
    return entry;
  }
  template <typename Value>
  void store(std::uint64_t offset, Value value) {
    std::atomic_ref(*reinterpret_cast<Value*>(up_.data + offset)).store(value);
  }
  [[nodiscard]] Map& up() { return up_; }
  [[nodiscard]] Map& transmit() { return transmit_; }
  [[nodiscard]] int up_file() const { return up_file_.get(); }
  [[nodiscard]] int transmit_file() const { return transmit_file_.get(); }

  void ring() {
    const std::uint64_t one = 1;
    for (const node::Descriptor& bell : bells_)
      static_cast<void>(!::write(bell.get(), &one, sizeof one));
  }
  /// While `act` runs, another thread changes words of entries and payloads as fast as it can.
  void tear(std::uint64_t seed, const std::function<void()>& act) {
    std::atomic<bool> goes_on{true};
    std::thread racer([&] {
      std::mt19937_64 random(seed);
      while (goes_on) {
        Map& map = random() % 4 == 0 ? transmit_ : up_;
        const std::uint64_t from = &map == &up_ ? ipc::kHeaderBytes : 0;
        const std::uint64_t at = from + random() % ((map.bytes - from) / 8) * 8;
        std::atomic_ref(*reinterpret_cast<std::uint64_t*>(map.data + at))
            .store(random() >> random() % 64);
      }
    });
    act();
    goes_on = false;
    racer.join();
  }

 private:
  template <typename Value>
  [[nodiscard]] static Value load(const Map& map, std::uint64_t offset) {
    return std::atomic_ref(*reinterpret_cast<Value*>(map.data + offset)).load();
  }

  node::AttachCaller caller_;
  node::Descriptor up_file_;
  node::Descriptor transmit_file_;
  std::vector<node::Descriptor> bells_;
  Map up_;
  Map down_;
  Map transmit_;
  std::uint32_t workers_ = 1;
  std::uint16_t service_ = 0;
  std::uint64_t sequence_ = 0;
  std::uint64_t tail_ = 0;
  std::uint64_t releases_ = 0;
  std::uint64_t deliveries_ = 0;
};

}  // namespace ringwire::hostile
