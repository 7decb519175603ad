// One caller at the attach socket: its requests in, its answers out, until it hangs up, dies or
// breaks a rule. Belongs to attach_server. Ring manager only; cold.
#pragma once

#include <boost/asio/posix/stream_descriptor.hpp>
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
  [[nodiscard]] std::uint32_t uid() const { return caller_.uid; }

 private:
  using Status = ipc::AttachStatus;

  void await_requests();
  void take_requests();
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
  void close();

  AttachServer& server_;
  Caller caller_;
  boost::asio::posix::stream_descriptor socket_;
  boost::asio::posix::stream_descriptor process_;  ///< pidfd: readable when the program is dead
  AnswerQueue answers_;
  AttachmentId attachment_ = 0;  ///< 0: no hello yet
  bool hello_seen_ = false;
  bool awaits_room_ = false;
  bool closed_ = false;
};

}  // namespace ringwire::node
