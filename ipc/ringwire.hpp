// Ringwire: the C++20 face of the client library. Header-only over the C ABI (ringwire.h); throws
// nothing and compiles with -fno-exceptions. Handles own what they name and are moved, not copied.
// A Client may be used by several threads; a Channel, and all that came from it, by one at a time.
//
//   auto client = rw::Client::open();
//   auto channel = client->open_channel();
//   auto ticket = channel->send(rw::to_key("order-7"), "hello");
//   auto outcome = channel->wait(*ticket);
//
// A Client must outlive its Channels, a Channel its Messages and Loans.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#if __has_include("ipc/ringwire.h")
#include "ipc/ringwire.h"
#else
#include <ringwire.h>
#endif

namespace rw {

using Bytes = std::span<const std::byte>;
using Ticket = rw_ticket;
using Origin = rw_origin;

/// A wait: a duration, or for ever.
using Wait = std::chrono::nanoseconds;
inline constexpr Wait kForever{-1};
inline constexpr Wait kNoWait{0};

/// An error of the library: RW_E... and the sentence of the moment it happened.
class Error {
 public:
  explicit Error(int code) : code_(code), sentence_(rw_last_error()) {}
  [[nodiscard]] int code() const { return code_; }
  [[nodiscard]] const char* name() const { return rw_error_name(code_); }
  [[nodiscard]] const std::string& sentence() const { return sentence_; }

 private:
  int code_;
  std::string sentence_;
};

/// A value or an Error. Looking at the one that is not there ends the program.
template <typename T>
class [[nodiscard]] Expected {
 public:
  Expected(T value) : value_(std::move(value)) {}
  Expected(Error error) : error_(std::move(error)) {}

  [[nodiscard]] bool ok() const { return value_.has_value(); }
  explicit operator bool() const { return ok(); }
  T& operator*() { return *checked(); }
  const T& operator*() const { return *const_cast<Expected*>(this)->checked(); }
  T* operator->() { return checked(); }
  /// RW_OK when there is a value.
  [[nodiscard]] int code() const { return error_ ? error_->code() : int{RW_OK}; }
  [[nodiscard]] const Error& error() const {
    if (!error_) std::abort();
    return *error_;
  }

 private:
  T* checked() {
    if (!value_) std::abort();
    return &*value_;
  }
  std::optional<T> value_;
  std::optional<Error> error_;
};

/// The value of a call that gives none.
struct Nothing {};
using Status = Expected<Nothing>;

[[nodiscard]] inline Bytes bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}
[[nodiscard]] inline std::string_view text_of(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// Where to. Refers to the caller's key and names: they must live until the send returns.
class Target {
 public:
  explicit Target(rw_target target) : target_(target) {}
  /// The service at the target; default "". NUL-terminated.
  [[nodiscard]] Target service(const char* name) const {
    Target changed = *this;
    changed.target_.service = name;
    return changed;
  }
  /// Multi-target sends leave this node out.
  [[nodiscard]] Target without_self() const {
    Target changed = *this;
    changed.target_.exclude_self = 1;
    return changed;
  }
  [[nodiscard]] const rw_target* get() const { return &target_; }

 private:
  rw_target target_;
};

[[nodiscard]] inline Target to_key(std::string_view key) {
  return Target(rw_target_key(key.data(), key.size()));
}
[[nodiscard]] inline Target to_key(Bytes key) {
  return Target(rw_target_key(key.data(), key.size()));
}
[[nodiscard]] inline Target to_hash(std::uint64_t hash) { return Target(rw_target_hash(hash)); }
[[nodiscard]] inline Target to_random() { return Target(rw_target_random()); }
[[nodiscard]] inline Target to_all() { return Target(rw_target_broadcast()); }
[[nodiscard]] inline Target to_replicas(std::string_view key) {
  return Target(rw_target_replicas(key.data(), key.size()));
}
[[nodiscard]] inline Target to_replicas_of_hash(std::uint64_t hash) {
  return Target(rw_target_replicas_hash(hash));
}
[[nodiscard]] inline Target to_node(const char* name) { return Target(rw_target_node(name)); }
[[nodiscard]] inline Target to_origin(const Origin& origin) {
  return Target(rw_target_origin(&origin));
}

enum class Level : std::uint32_t {
  kDefault = RW_LEVEL_DEFAULT,
  kNone = RW_LEVEL_NONE,
  kAccepted = RW_LEVEL_ACCEPTED,
  kProcessed = RW_LEVEL_PROCESSED,
};
enum class Require : std::uint32_t {
  kAll = RW_REQUIRE_ALL,
  kMajority = RW_REQUIRE_MAJORITY,
  kOne = RW_REQUIRE_ONE,
};
enum class Order : std::uint32_t { kKey = RW_ORDER_KEY, kNone = RW_ORDER_NONE };
enum class Verdict : int { kDone = RW_DONE, kRetry = RW_RETRY, kRefuse = RW_REFUSE };
enum class Ending : std::uint32_t {
  kDone = RW_ENDING_DONE,
  kFailed = RW_ENDING_FAILED,
  kUnknown = RW_ENDING_UNKNOWN,
};

struct ClientOptions {
  const char* socket = nullptr;  ///< default: RINGWIRE_SOCKET, else the only engine there is
  const char* label = nullptr;   ///< default: the program's name
  Wait connect_timeout = kNoWait;
  Wait reconnect{};  ///< 0: 30 s
};
struct ChannelOptions {
  std::uint32_t submission_entries = 0;
  std::uint32_t delivery_entries = 0;
  std::uint32_t release_entries = 0;
  bool batch = false;  ///< show the engine up to 32 sends and releases at a time; see flush()
  Wait spin{};
};
struct SendOptions {
  Level level = Level::kDefault;
  Require require = Require::kAll;
  Order order = Order::kKey;
  std::uint8_t priority = 0;
  Wait timeout{};                      ///< of the message; 0: none
  std::optional<Wait> room_wait = {};  ///< how long the call may wait for room; none: for ever
  bool no_wait = false;                ///< fail at once when no node serves it
  bool share = false;                  ///< may be read in place by a consumer that asks for it

  [[nodiscard]] rw_send_options get() const {
    rw_send_options options{};
    options.struct_bytes = sizeof options;
    options.level = static_cast<std::uint32_t>(level);
    options.require = static_cast<std::uint32_t>(require);
    options.order = static_cast<std::uint32_t>(order);
    options.priority = priority;
    options.timeout_ns = timeout.count();
    if (room_wait) options.wait_ns = room_wait->count() == 0 ? -1 : room_wait->count();
    if (room_wait && *room_wait == kForever) options.wait_ns = 0;
    options.no_wait = no_wait ? 1 : 0;
    options.share = share ? 1 : 0;
    return options;
  }
};
struct ServeOptions {
  const char* service = nullptr;
  Order order = Order::kKey;
  std::uint32_t prefetch = 0;
  bool share = false;  ///< payloads that senders share are read where those have them
};

/// How a send ended.
struct Outcome : rw_outcome {
  [[nodiscard]] bool done() const { return ending == RW_ENDING_DONE; }
  [[nodiscard]] const char* reason_name() const { return rw_reason_name(reason); }
};

/// A received message: read in place; released by `release`, or as retry when it is dropped.
class Message {
 public:
  Message() = default;
  Message(rw_channel* channel, rw_message* message) : channel_(channel), message_(message) {}
  ~Message() { drop(); }
  Message(Message&& other) noexcept
      : channel_(other.channel_), message_(std::exchange(other.message_, nullptr)) {}
  Message& operator=(Message&& other) noexcept {
    if (this != &other) {
      drop();
      channel_ = other.channel_;
      message_ = std::exchange(other.message_, nullptr);
    }
    return *this;
  }

  explicit operator bool() const { return message_ != nullptr; }
  [[nodiscard]] Bytes data() const {
    return {static_cast<const std::byte*>(rw_message_data(message_)), rw_message_bytes(message_)};
  }
  [[nodiscard]] std::string_view text() const { return text_of(data()); }
  [[nodiscard]] Bytes key() const {
    std::size_t bytes = 0;
    const void* at = rw_message_key(message_, &bytes);
    return {static_cast<const std::byte*>(at), bytes};
  }
  [[nodiscard]] std::string_view key_text() const { return text_of(key()); }
  [[nodiscard]] std::uint64_t hash() const { return rw_message_hash(message_); }
  [[nodiscard]] std::uint32_t flags() const { return rw_message_flags(message_); }
  [[nodiscard]] bool is_reply() const { return (flags() & RW_FLAG_REPLY) != 0; }
  [[nodiscard]] bool is_call() const { return (flags() & RW_FLAG_CALL) != 0; }
  [[nodiscard]] bool redelivered() const { return (flags() & RW_FLAG_REDELIVERED) != 0; }
  [[nodiscard]] bool shared() const { return (flags() & RW_FLAG_SHARED) != 0; }
  [[nodiscard]] std::uint32_t attempt() const { return rw_message_attempt(message_); }
  [[nodiscard]] Ticket ticket() const { return rw_message_ticket(message_); }
  [[nodiscard]] Origin origin() const { return rw_message_origin(message_); }
  [[nodiscard]] const char* origin_node() const { return rw_message_origin_node(message_); }
  [[nodiscard]] const char* service() const { return rw_message_service(message_); }

  /// Answer a call; the message is still to be released.
  Expected<Ticket> reply(Bytes data, const SendOptions& options = {}) const {
    const rw_send_options given = options.get();
    Ticket ticket = 0;
    const int code = rw_reply(channel_, message_, data.data(), data.size(), &given, &ticket);
    if (code != RW_OK) return Error(code);
    return ticket;
  }
  Expected<Ticket> reply(std::string_view data, const SendOptions& options = {}) const {
    return reply(bytes_of(data), options);
  }
  Status release(Verdict verdict = Verdict::kDone) {
    const int code =
        rw_release(channel_, std::exchange(message_, nullptr), static_cast<int>(verdict));
    if (code != RW_OK) return Error(code);
    return Nothing{};
  }

 private:
  // Not said to be done: somebody else must get it.
  void drop() {
    if (message_ != nullptr) rw_release(channel_, std::exchange(message_, nullptr), RW_RETRY);
  }
  rw_channel* channel_ = nullptr;
  rw_message* message_ = nullptr;
};

/// Memory to write a payload into, and then to send without a copy.
class Loan {
 public:
  Loan(rw_channel* channel, rw_loan_t loan) : channel_(channel), loan_(loan) {}
  ~Loan() {
    if (loan_.data != nullptr) rw_loan_cancel(channel_, &loan_);
  }
  Loan(Loan&& other) noexcept
      : channel_(other.channel_), loan_(std::exchange(other.loan_, rw_loan_t{})) {}
  Loan& operator=(Loan&& other) noexcept {
    std::swap(channel_, other.channel_);
    std::swap(loan_, other.loan_);
    return *this;
  }

  [[nodiscard]] std::span<std::byte> data() {
    return {static_cast<std::byte*>(loan_.data), loan_.bytes};
  }
  /// Send only the first `bytes` of it.
  void shorten(std::size_t bytes) {
    if (bytes < loan_.bytes) loan_.bytes = bytes;
  }
  Expected<Ticket> send(const Target& target, const SendOptions& options = {}) {
    const rw_send_options given = options.get();
    Ticket ticket = 0;
    const int code = rw_send_loan(channel_, target.get(), &loan_, &given, &ticket);
    if (code != RW_OK) return Error(code);
    return ticket;
  }

 private:
  rw_channel* channel_;
  rw_loan_t loan_;
};

class Channel {
 public:
  explicit Channel(rw_channel* channel) : channel_(channel) {}
  ~Channel() { rw_channel_close(channel_); }
  Channel(Channel&& other) noexcept : channel_(std::exchange(other.channel_, nullptr)) {}
  Channel& operator=(Channel&& other) noexcept {
    std::swap(channel_, other.channel_);
    return *this;
  }
  [[nodiscard]] rw_channel* get() const { return channel_; }

  Expected<Ticket> send(const Target& target, Bytes data, const SendOptions& options = {}) {
    const rw_send_options given = options.get();
    Ticket ticket = 0;
    const int code = rw_send(channel_, target.get(), data.data(), data.size(), &given, &ticket);
    if (code != RW_OK) return Error(code);
    return ticket;
  }
  Expected<Ticket> send(const Target& target, std::string_view data,
                        const SendOptions& options = {}) {
    return send(target, bytes_of(data), options);
  }
  Expected<Loan> loan(std::size_t bytes) {
    rw_loan_t loan{};
    const int code = rw_loan(channel_, bytes, &loan);
    if (code != RW_OK) return Error(code);
    return Loan(channel_, loan);
  }
  /// The range of a file as one message; from where it stands, if it cannot seek and offset is 0.
  Expected<Ticket> send_file(const Target& target, int fd, std::uint64_t offset,
                             std::uint64_t bytes, const SendOptions& options = {}) {
    const rw_send_options given = options.get();
    Ticket ticket = 0;
    const int code = rw_send_file(channel_, target.get(), fd, offset, bytes, &given, &ticket);
    if (code != RW_OK) return Error(code);
    return ticket;
  }

  Expected<Outcome> wait(Ticket ticket, Wait timeout = kForever) {
    Outcome outcome{};
    const int code = rw_wait(channel_, ticket, timeout.count(), &outcome);
    if (code != RW_OK) return Error(code);
    return outcome;
  }
  /// Outcomes that are there, up to `max`.
  Expected<std::vector<Outcome>> poll(std::size_t max = 64) {
    return collect(max, [&](rw_outcome* to, int room) { return rw_poll(channel_, to, room); });
  }
  /// The targets of the multi-target send whose outcome came last.
  Expected<std::vector<Outcome>> targets(Ticket ticket, std::size_t max = 1'024) {
    return collect(max, [&](rw_outcome* to, int room) {
      return rw_outcome_targets(channel_, ticket, to, room);
    });
  }
  Status cancel(Ticket ticket) { return status(rw_cancel(channel_, ticket)); }
  Expected<std::size_t> outstanding() const { return count(rw_outstanding(channel_)); }

  /// Send and wait for the reply. `outcome`, if given, tells how it ended also when this fails.
  Expected<Message> call(const Target& target, Bytes data, const SendOptions& options = {},
                         Outcome* outcome = nullptr) {
    const rw_send_options given = options.get();
    rw_message* reply = nullptr;
    const int code =
        rw_call(channel_, target.get(), data.data(), data.size(), &given, &reply, outcome);
    if (code != RW_OK) return Error(code);
    return Message(channel_, reply);
  }
  Expected<Message> call(const Target& target, std::string_view data,
                         const SendOptions& options = {}, Outcome* outcome = nullptr) {
    return call(target, bytes_of(data), options, outcome);
  }
  /// Send as a call; the reply comes by receive(), with this ticket.
  Expected<Ticket> start_call(const Target& target, Bytes data, const SendOptions& options = {}) {
    const rw_send_options given = options.get();
    Ticket ticket = 0;
    const int code =
        rw_call_start(channel_, target.get(), data.data(), data.size(), &given, &ticket);
    if (code != RW_OK) return Error(code);
    return ticket;
  }

  Status serve(const ServeOptions& options = {}) {
    rw_serve_options given{};
    given.struct_bytes = sizeof given;
    given.service = options.service;
    given.order = static_cast<std::uint32_t>(options.order);
    given.prefetch = options.prefetch;
    given.share = options.share ? 1 : 0;
    return status(rw_serve(channel_, &given));
  }
  Status flush() { return status(rw_flush(channel_)); }
  Status unserve(const char* service = "") { return status(rw_unserve(channel_, service)); }
  Expected<Message> receive(Wait timeout = kForever) {
    rw_message* message = nullptr;
    const int code = rw_receive(channel_, timeout.count(), &message);
    if (code != RW_OK) return Error(code);
    return Message(channel_, message);
  }
  Expected<std::vector<Message>> receive_many(Wait timeout, std::size_t max) {
    std::vector<rw_message*> raw(max);
    const int code = rw_receive_many(channel_, timeout.count(), raw.data(), static_cast<int>(max));
    if (code < 0) return Error(code);
    std::vector<Message> messages;
    messages.reserve(static_cast<std::size_t>(code));
    for (std::size_t index = 0; index < static_cast<std::size_t>(code); ++index)
      messages.emplace_back(channel_, raw[index]);
    return messages;
  }
  /// For poll and epoll; the channel's.
  Expected<int> descriptor() {
    const int code = rw_fd(channel_);
    if (code < 0) return Error(code);
    return code;
  }

 private:
  static Status status(int code) {
    if (code < 0) return Error(code);
    return Nothing{};
  }
  static Expected<std::size_t> count(int code) {
    if (code < 0) return Error(code);
    return static_cast<std::size_t>(code);
  }
  template <typename Call>
  static Expected<std::vector<Outcome>> collect(std::size_t max, Call call) {
    std::vector<rw_outcome> raw(max);
    const int code = call(raw.data(), static_cast<int>(max));
    if (code < 0) return Error(code);
    std::vector<Outcome> outcomes(static_cast<std::size_t>(code));
    for (std::size_t index = 0; index < outcomes.size(); ++index)
      static_cast<rw_outcome&>(outcomes[index]) = raw[index];
    return outcomes;
  }
  rw_channel* channel_;
};

class Client {
 public:
  static Expected<Client> open(const ClientOptions& options = {}) {
    rw_client_options given{};
    given.struct_bytes = sizeof given;
    given.socket = options.socket;
    given.label = options.label;
    given.connect_timeout_ns = options.connect_timeout.count();
    given.reconnect_ns = options.reconnect.count();
    rw_client* client = nullptr;
    const int code = rw_client_open(&given, &client);
    if (code != RW_OK) return Error(code);
    return Client(client);
  }
  ~Client() { rw_client_close(client_); }
  Client(Client&& other) noexcept : client_(std::exchange(other.client_, nullptr)) {}
  Client& operator=(Client&& other) noexcept {
    std::swap(client_, other.client_);
    return *this;
  }
  [[nodiscard]] rw_client* get() const { return client_; }

  Expected<Channel> open_channel(const ChannelOptions& options = {}) {
    rw_channel_options given{};
    given.struct_bytes = sizeof given;
    given.submission_entries = options.submission_entries;
    given.delivery_entries = options.delivery_entries;
    given.release_entries = options.release_entries;
    given.batch = options.batch ? 1 : 0;
    given.spin_ns = options.spin.count();
    rw_channel* channel = nullptr;
    const int code = rw_channel_open(client_, &given, &channel);
    if (code != RW_OK) return Error(code);
    return Channel(channel);
  }
  Expected<rw_status_t> status() {
    rw_status_t status{};
    status.struct_bytes = sizeof status;
    const int code = rw_status(client_, &status);
    if (code != RW_OK) return Error(code);
    return status;
  }
  Expected<std::vector<rw_node_status>> nodes(std::size_t max = 1'024) {
    std::vector<rw_node_status> nodes(max);
    const int code = rw_status_nodes(client_, nodes.data(), static_cast<int>(max));
    if (code < 0) return Error(code);
    nodes.resize(static_cast<std::size_t>(code));
    return nodes;
  }

 private:
  explicit Client(rw_client* client) : client_(client) {}
  rw_client* client_;
};

struct AdminAnswer {
  std::string text;  ///< JSON
  int exit_code = 0;
};
/// Ask the engine at a socket path (empty: the default one).
[[nodiscard]] inline Expected<AdminAnswer> admin(const char* socket, const char* request) {
  char* text = nullptr;
  AdminAnswer answer;
  const int code = rw_admin(socket, request, &text, &answer.exit_code);
  if (code != RW_OK) return Error(code);
  answer.text = text;
  rw_free(text);
  return answer;
}

[[nodiscard]] inline std::uint64_t hash(Bytes data) { return rw_hash(data.data(), data.size()); }
[[nodiscard]] inline std::string_view version() { return rw_version(); }
[[nodiscard]] inline std::string default_socket() {
  char buffer[4'096];
  return rw_default_socket(buffer, sizeof buffer);
}

}  // namespace rw
