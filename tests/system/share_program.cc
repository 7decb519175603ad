// A program for share_test.py, told what to do by lines on its input; one line of answer for each.
//
//   serve SERVICE SHARE          become a consumer
//   send SERVICE BYTES LEVEL C   loan, fill with the character C, send with share; answers its
//   ticket write TICKET C               write into what was sent: what no program should do wait
//   TICKET                  answers how it ended receive                      answers "shared" or
//   "copied", the length, and what() of it look                         answers what() of the
//   message that is held release                      hands it back
//
// what(): the one character that all of its bytes are, or "mixed".
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iostream>
#include <map>
#include <sstream>
#include <string>

#include "ipc/ringwire.h"

namespace {

constexpr std::int64_t kPatienceNs = 60'000'000'000;

class Program {
 public:
  Program() {
    open_ = rw_client_open(nullptr, &client_) == RW_OK &&
            rw_channel_open(client_, nullptr, &channel_) == RW_OK;
  }
  ~Program() {
    if (client_ != nullptr) rw_client_close(client_);
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  std::string obey(const std::string& line) {
    std::istringstream words(line);
    std::string verb;
    words >> verb;
    if (!open_) return rw_last_error();
    if (verb == "serve") return serve(words);
    if (verb == "send") return send(words);
    if (verb == "write") return write(words);
    if (verb == "wait") return wait(words);
    if (verb == "receive") return receive();
    if (verb == "look") return what();
    if (verb == "release") return answer(rw_release(channel_, held_, RW_DONE));
    return "unknown verb";
  }

 private:
  static std::string answer(int result) { return result < 0 ? rw_last_error() : "ok"; }

  std::string serve(std::istringstream& words) {
    std::string service;
    rw_serve_options options = RW_OPTIONS(rw_serve_options);
    words >> service >> options.share;
    options.service = service.c_str();
    return answer(rw_serve(channel_, &options));
  }

  std::string send(std::istringstream& words) {
    std::string service;
    std::size_t bytes = 0;
    char fill = 0;
    rw_send_options options = RW_OPTIONS(rw_send_options);
    words >> service >> bytes >> options.level >> fill;
    options.share = 1;
    rw_loan_t loan{};
    if (rw_loan(channel_, bytes, &loan) != RW_OK) return rw_last_error();
    std::memset(loan.data, fill, bytes);
    void* const data = loan.data;
    rw_target target = rw_target_key("key", 3);
    target.service = service.c_str();
    rw_ticket ticket = 0;
    if (rw_send_loan(channel_, &target, &loan, &options, &ticket) != RW_OK) return rw_last_error();
    sent_[ticket] = {data, bytes};
    return std::to_string(ticket);
  }

  std::string write(std::istringstream& words) {
    rw_ticket ticket = 0;
    char fill = 0;
    words >> ticket >> fill;
    std::memset(sent_.at(ticket).first, fill, sent_.at(ticket).second);
    return "ok";
  }

  std::string wait(std::istringstream& words) {
    rw_ticket ticket = 0;
    words >> ticket;
    rw_outcome outcome{};
    if (rw_wait(channel_, ticket, kPatienceNs, &outcome) != RW_OK) return rw_last_error();
    return rw_ending_name(outcome.ending);
  }

  std::string receive() {
    if (rw_receive(channel_, kPatienceNs, &held_) != RW_OK) return rw_last_error();
    const bool shared = (rw_message_flags(held_) & RW_FLAG_SHARED) != 0;
    return std::string(shared ? "shared " : "copied ") + std::to_string(rw_message_bytes(held_)) +
           " " + what();
  }

  [[nodiscard]] std::string what() const {
    const auto* data = static_cast<const char*>(rw_message_data(held_));
    const char first = data[0];
    const bool all = std::all_of(data, data + rw_message_bytes(held_),
                                 [first](char byte) { return byte == first; });
    return all ? std::string(1, first) : "mixed";
  }

  rw_client* client_ = nullptr;
  rw_channel* channel_ = nullptr;
  bool open_ = false;
  rw_message* held_ = nullptr;
  std::map<rw_ticket, std::pair<void*, std::size_t>> sent_;
};

}  // namespace

int main() {
  Program program;
  for (std::string line; std::getline(std::cin, line);)
    std::cout << program.obey(line) << std::endl;
  return 0;
}
