// One caller at the attach socket: its requests in, its answers out, until it hangs up, dies or
// breaks a rule. Belongs to attach_server. Ring manager only; cold.
#pragma once

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "engine/node/attach_server.h"

namespace ringwire::node {

class AttachConnection : public std::enable_shared_from_this<AttachConnection> {
 public:
  struct Caller {
    std::uint64_t pid = 0;
    std::uint32_t uid = 0;
  };

  AttachConnection(AttachServer& server, Descriptor socket, const Caller& caller);

  void start();
  /// Say why, hang up, and let go of all that the program had.
  void end(ipc::AttachStatus status, std::string_view sentence);

  [[nodiscard]] AttachmentId attachment() const { return attachment_; }
  [[nodiscard]] UserId uid() const { return caller_.uid; }
  /// Connected, and owes the engine its hello or a request.
  [[nodiscard]] bool silent() const { return !hello_seen_ && !at_work_ && answers_.empty(); }
  /// Has answers that its socket does not take.
  [[nodiscard]] bool unread() const { return !answers_.empty(); }
  /// When it last asked for something, or came.
  [[nodiscard]] TimeNs heard_ns() const { return heard_ns_; }

 private:
  using Status = ipc::AttachStatus;

  void await_requests();
  void ask_turn();
  void take_request();
  /// Answers wait to be read: looks again a little later.
  void await_reader();
  void await_room();
  void watch_process(Descriptor process);
  void await_end_of_process();

  /// False: the connection was ended.
  bool handle(Request& request);
  bool on_hello(Request& request);
  bool refuse_version(const ipc::AttachHeader& header);
  void finish_hello(const ipc::AttachHeader& header, const ipc::HelloRequest& hello,
                    worker::DomainIndex domain);
  bool on_channel_open(Request& request);
  bool on_channel_close(const Request& request);
  bool on_adopt(Request& request);
  bool on_drop(const Request& request);
  bool on_map(const Request& request);
  bool on_service(const Request& request);
  bool on_serve(const Request& request);
  bool on_admin(const Request& request);

  bool malformed(std::string_view sentence);
  bool answer(const ipc::AttachHeader& header, Status status, std::span<const std::byte> body = {},
              std::span<const int> descriptors = {});
  template <typename Body>
  bool answer_body(const ipc::AttachHeader& header, const Body& body,
                   std::span<const int> descriptors = {}) {
    return answer(header, Status::kOk, std::as_bytes(std::span(&body, 1)), descriptors);
  }
  /// An answer that is given later, if the connection is still there.
  [[nodiscard]] Attachments::Answer answer_later(const ipc::AttachHeader& header);
  /// The same of a request that another thread works at: no other is taken before it is answered.
  [[nodiscard]] Attachments::Answer answer_after_work(const ipc::AttachHeader& header);
  void end_work();
  void close();

  AttachServer& server_;
  Caller caller_;
  boost::asio::posix::stream_descriptor socket_;
  boost::asio::posix::stream_descriptor process_;  ///< pidfd: readable when the program is dead
  boost::asio::steady_timer reader_timer_;
  AnswerQueue answers_;
  AttachmentId attachment_ = 0;  ///< 0: no hello yet
  TimeNs heard_ns_;
  DurationNs reader_pause_ns_ = 0;
  bool hello_seen_ = false;
  bool awaits_turn_ = false;
  bool at_work_ = false;
  bool awaits_room_ = false;
  bool closed_ = false;
};

}  // namespace ringwire::node
