// The attach socket of a running engine (docs/segment.md S-30 to S-35): a caller sends any
// datagrams with any descriptors. Oracle: every answer repeats its request and has a status of the
// protocol; the engine ends an attachment only with a reason, and hangs up after it; and a caller
// that keeps the rules is still welcomed.
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include <spdlog/spdlog.h>

#include "base/check.h"
#include "engine/node/config.h"
#include "engine/node/engine.h"
#include "tests/engine/node/attach_caller.h"
#include "tests/fuzz/input.h"

namespace {

using namespace ringwire;
using namespace ringwire::node;
using fuzz::Input;
using ipc::AttachStatus;
using ipc::AttachType;

// One engine for all stories, in a folder of its own; it ends with the process.
const std::string& engine_socket() {
  static const std::string path = [] {
    spdlog::set_level(spdlog::level::off);
    char folder[] = "/tmp/ringwire-fuzz-XXXXXX";
    RW_CHECK(::mkdtemp(folder) != nullptr);
    const std::string base = folder;
    const std::string socket = base + "/a.sock";
    auto config = load_config(std::nullopt, {},
                              {"node.name=a", "node.state=" + base + "/a", "node.socket=" + socket,
                               "node.control=127.0.0.1:0", "port.address=127.0.0.1",
                               "port.udp_base=0", "limits.memory=512MiB"});
    RW_CHECK(config.ok());
    static Engine engine(config.value());
    engine.start([](const std::string&) {}, [] {});
    static const struct Folder {
      std::string path;
      ~Folder() {
        std::error_code ignored;
        std::filesystem::remove_all(path, ignored);
      }
    } cleaned{base};
    return socket;
  }();
  return path;
}

class Story {
 public:
  explicit Story(Input input) : input_(input), caller_(engine_socket()) {}

  void tell() {
    RW_CHECK(caller_.connected());
    // Ids of attachments are never used twice here: the one before may not be gone yet.
    static std::uint64_t next_id = 1;
    if (input_.below(8) != 0) caller_.request(AttachType::kHello, AttachCaller::hello(++next_id));
    int requests = 1;
    for (; requests < 40 && !input_.empty(); ++requests) act();
    // The last one is understood in every state: its answer, or the end, comes.
    constexpr std::string_view kAsk = R"({"verb":"nodes"})";
    auto header = AttachCaller::header(AttachType::kAdmin, kAsk.size());
    header.request = kLast;
    caller_.send(header, as_bytes(kAsk));
    read_answers();
    if (++stories % 64 != 0) return;
    AttachCaller honest(engine_socket());
    const auto welcome = honest.attach(++next_id);
    RW_CHECK(welcome.has_value());
    RW_CHECK(welcome->status() == AttachStatus::kOk);
  }

 private:
  static constexpr std::uint64_t kLast = 999'999;

  void act() {
    const std::uint32_t channel = input_.below(8) == 0 ? input_.u32() : input_.below(3);
    switch (input_.below(10)) {
      case 0: {
        ipc::ChannelOpenRequest open{};
        open.channel = channel;
        open.submission_entries = open.release_entries = open.delivery_entries = 16;
        if (input_.below(4) == 0)
          open.delivery_entries = static_cast<std::uint32_t>(input_.near(16));
        open.up_file_bytes = ipc::up_file_bytes(16, 16, 1);
        if (input_.below(8) == 0) open.up_file_bytes = input_.near(open.up_file_bytes);
        open.next_sequence = input_.below(4);
        const ipc::UpHeader up{ipc::kUpMagic, ipc::kLayoutVersion, 1, open.up_file_bytes, 16, 16};
        const Descriptor file = make_memory(ipc::up_file_bytes(16, 16, 1),
                                            input_.below(4) == 0 ? 0 : F_SEAL_SHRINK | F_SEAL_GROW);
        RW_CHECK(::pwrite(file.get(), &up, sizeof up, 0) == sizeof up);
        const int number = file.get();
        return caller_.request(AttachType::kChannelOpen, open,
                               std::span(&number, input_.below(8) == 0 ? 0 : 1));
      }
      case 1:
        return caller_.request(AttachType::kChannelClose, ipc::ChannelRequest{channel, 0});
      case 2: {
        const Descriptor file = make_memory(4'096);
        const int number = file.get();
        const std::uint64_t bytes = input_.below(4) == 0 ? input_.near(4'096) : 4'096;
        return caller_.request(AttachType::kAdopt,
                               ipc::FileRequest{channel, input_.below(4), bytes},
                               std::span(&number, 1));
      }
      case 3:
        return caller_.request(AttachType::kDrop, ipc::FileRequest{channel, input_.below(4), 0});
      case 4:
        return caller_.request(
            AttachType::kMap,
            ipc::FileRequest{channel, static_cast<std::uint32_t>(input_.near(1)), 0});
      case 5: {
        ipc::ServiceRequest service{};
        const auto name = input_.raw(input_.below(4));
        if (!name.empty()) std::memcpy(service.name, name.data(), name.size());
        if (input_.below(16) == 0) std::memset(service.name, 'x', sizeof service.name);
        return caller_.request(AttachType::kService, service);
      }
      case 6: {
        const auto order = static_cast<std::uint16_t>(input_.below(3));
        const ipc::ServeRequest serve{channel, input_.below(4), order, input_.u16(), input_.u16()};
        return caller_.request(input_.flag() ? AttachType::kServe : AttachType::kUnserve, serve);
      }
      case 7: {
        const auto text = input_.raw(input_.u8());
        return caller_.send(
            AttachCaller::header(AttachType::kAdmin, static_cast<std::uint32_t>(text.size())),
            text);
      }
      case 8: {
        auto header = AttachCaller::header(static_cast<AttachType>(input_.below(14)), 0);
        const auto body = input_.raw(input_.u8());
        header.body_bytes = static_cast<std::uint32_t>(body.size() + input_.below(3) / 2);
        header.request = input_.below(4);
        if (input_.below(8) == 0) header.magic ^= 1;
        const std::array<int, 3> standard{0, 1, 2};
        return caller_.send(header, body, std::span(standard).first(input_.below(4)));
      }
      default:
        return caller_.send_bytes(input_.raw(input_.u8()));
    }
  }

  void read_answers() {
    for (;;) {
      const auto answer = caller_.receive();
      if (!answer) return;  // hung up
      RW_CHECK(answer->header.magic == ipc::kAttachMagic);
      RW_CHECK(answer->header.body_bytes == answer->body.size());
      RW_CHECK(answer->header.status <= static_cast<std::uint32_t>(AttachStatus::kInternal));
      if (answer->type() == AttachType::kClosing) {
        RW_CHECK(answer->status() != AttachStatus::kOk);
        RW_CHECK(answer->as<ipc::ClosingNotice>().text[0] != 0);
        RW_CHECK(!caller_.receive().has_value());
        return;
      }
      ipc::AdminAnswer head{};
      if (answer->header.request != kLast) continue;
      RW_CHECK(answer->body.size() >= sizeof head);
      std::memcpy(&head, answer->body.data(), sizeof head);
      if (head.more == 0) return;
    }
  }

  static inline std::uint64_t stories = 0;
  Input input_;
  AttachCaller caller_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Story(Input(data, size)).tell();
  return 0;
}
