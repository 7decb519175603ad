// `ringwire send`: files or standard input as messages, their outcomes, and the replies to calls.
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "apps/cli/admin.h"
#include "apps/cli/delivery_options.h"
#include "apps/cli/link.h"
#include "apps/cli/payload_file.h"
#include "apps/cli/progress.h"
#include "apps/cli/send_report.h"
#include "apps/cli/terminal.h"
#include "apps/cli/units.h"
#include "base/time.h"

namespace ringwire::cli {
namespace {

// Messages under way at once: enough to hide a round trip for small files, few enough that an
// interrupted run leaves little in doubt.
constexpr std::size_t kWindow = 64;
// More targets than the largest cluster has server nodes.
constexpr int kMaxTargets = 1'024;
constexpr std::int64_t kProgressNs = 100 * kMillisecondNs;

struct SendOptions {
  std::optional<std::string> key;
  std::optional<std::uint64_t> hash;
  bool key_name = false;
  bool random = false;
  bool broadcast = false;
  bool replicas = false;
  bool call = false;
  bool no_wait = false;
  bool exclude_self = false;
  std::string node;
  std::string service;
  std::uint32_t level = RW_LEVEL_DEFAULT;
  std::uint32_t require = RW_REQUIRE_ALL;
  std::uint32_t order = RW_ORDER_KEY;
  std::int64_t timeout_ns = 0;
  std::vector<std::string> files;
};

class Sender {
 public:
  Sender(const Shell& shell, const SendOptions& options)
      : shell_(shell),
        options_(options),
        client_(attach(shell, 0)),
        channel_(open_channel(client_.get())),
        progress_(shell.json ? Progress::Show::kNever : Progress::Show::kOnTerminal) {}

  std::vector<Sent> run();
  ExitCode run_call();

 private:
  rw_target target_for(const std::string& key) const;
  rw_send_options send_options() const;
  std::string key_for(const std::string& file) const;
  void start(const std::string& file);
  void finish_oldest();
  void show_progress(const std::string& label);

  const Shell& shell_;
  const SendOptions& options_;
  Client client_;
  Channel channel_;
  Progress progress_;
  std::deque<Sent> pending_;
  std::vector<Sent> finished_;
  std::uint64_t started_bytes_ = 0;
  std::uint64_t finished_bytes_ = 0;
};

rw_target Sender::target_for(const std::string& key) const {
  rw_target target{};
  if (!options_.node.empty()) {
    target = rw_target_node(options_.node.c_str());
  } else if (options_.broadcast) {
    target = rw_target_broadcast();
  } else if (options_.random) {
    target = rw_target_random();
  } else if (options_.hash) {
    target = options_.replicas ? rw_target_replicas_hash(*options_.hash)
                               : rw_target_hash(*options_.hash);
  } else {
    target = options_.replicas ? rw_target_replicas(key.data(), key.size())
                               : rw_target_key(key.data(), key.size());
  }
  // A key names the message for its receiver also where it does not choose the node.
  if (target.key == nullptr && !key.empty()) {
    target.key = key.data();
    target.key_bytes = key.size();
    if (!options_.hash) target.hash = rw_hash(key.data(), key.size());
  }
  target.service = options_.service.c_str();
  target.exclude_self = options_.exclude_self ? 1 : 0;
  return target;
}

rw_send_options Sender::send_options() const {
  auto options = options_of<rw_send_options>();
  options.level = options_.level;
  options.require = options_.require;
  options.order = options_.order;
  options.timeout_ns = options_.timeout_ns;
  options.no_wait = options_.no_wait ? 1 : 0;
  return options;
}

std::string Sender::key_for(const std::string& file) const {
  return options_.key_name ? file : options_.key.value_or("");
}

void Sender::show_progress(const std::string& label) {
  progress_.update(label, finished_bytes_, started_bytes_, now_ns());
}

void Sender::start(const std::string& file) {
  Sent sent;
  sent.key = key_for(file);
  PayloadFile payload(file);
  sent.payload_bytes = payload.payload_bytes();
  sent.started_ns = now_ns();
  started_bytes_ += sent.payload_bytes;
  show_progress(file);
  const rw_target target = target_for(sent.key);
  const rw_send_options options = send_options();
  int result = RW_OK;
  if (payload.is_range()) {
    result = rw_send_file(channel_.get(), &target, payload.fd(), payload.offset_bytes(),
                          payload.payload_bytes(), &options, &sent.ticket);
  } else {
    const auto bytes = payload.contents();
    result = rw_send(channel_.get(), &target, bytes.data(), bytes.size(), &options, &sent.ticket);
  }
  if (result == RW_OK) {
    pending_.push_back(std::move(sent));
    return;
  }
  const CommandError error = library_error(shell_, result, "cannot send " + file);
  if (error.code() == ExitCode::kNoEngine || error.code() == ExitCode::kUsage) throw error;
  sent.error = error.what();
  finished_.push_back(std::move(sent));
}

void Sender::finish_oldest() {
  Sent& sent = pending_.front();
  for (;;) {
    show_progress(sent.key);
    const int result = rw_wait(channel_.get(), sent.ticket, kProgressNs, &sent.outcome);
    if (result == RW_OK) break;
    if (result == RW_ETIMEOUT || result == RW_EAGAIN) continue;
    sent.error = library_error(shell_, result, "no outcome").what();
    break;
  }
  sent.elapsed_ns = now_ns() - sent.started_ns;
  finished_bytes_ += sent.payload_bytes;
  if (sent.error.empty() && (options_.broadcast || options_.replicas)) {
    sent.targets.resize(kMaxTargets);
    const int count =
        rw_outcome_targets(channel_.get(), sent.ticket, sent.targets.data(), kMaxTargets);
    sent.targets.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
  }
  finished_.push_back(std::move(sent));
  pending_.pop_front();
}

std::vector<Sent> Sender::run() {
  for (const std::string& file : options_.files) {
    if (pending_.size() >= kWindow) finish_oldest();
    start(file);
  }
  while (!pending_.empty()) finish_oldest();
  progress_.clear();
  return std::move(finished_);
}

void write_all(int fd, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t wrote = ::write(fd, bytes.data(), bytes.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) {
      throw CommandError(ExitCode::kFailed,
                         fmt::format("cannot write the reply: {}", std::strerror(errno)));
    }
    bytes = bytes.subspan(static_cast<std::size_t>(wrote));
  }
}

ExitCode Sender::run_call() {
  const std::string key = key_for(options_.files.front());
  PayloadFile payload(options_.files.front());
  const auto bytes = payload.contents();
  const rw_target target = target_for(key);
  const rw_send_options options = send_options();
  Sent sent;
  sent.key = key;
  sent.payload_bytes = payload.payload_bytes();
  sent.is_call = true;
  sent.started_ns = now_ns();
  rw_message* reply = nullptr;
  const int result =
      rw_call(channel_.get(), &target, bytes.data(), bytes.size(), &options, &reply, &sent.outcome);
  sent.elapsed_ns = now_ns() - sent.started_ns;
  const bool has_ended =
      result == RW_OK || result == RW_EFAILED || result == RW_EUNKNOWN || result == RW_ENOREPLY;
  if (!has_ended) throw library_error(shell_, result, "the call failed");
  if (reply != nullptr) {
    const auto answer = payload_of(reply);
    if (shell_.json) {
      sent.reply.emplace(reinterpret_cast<const char*>(answer.data()), answer.size());
    } else {
      sent.reply.emplace();  // the bytes themselves may be large, and go out from where they are
      write_all(STDOUT_FILENO, answer);
    }
    rw_release(channel_.get(), reply, RW_DONE);
  }
  const ExitCode code = code_for({sent}, {options_.timeout_ns, options_.require});
  if (shell_.json) {
    print_json({sent});
    return code;
  }
  if (result == RW_ENOREPLY) {
    throw CommandError(code, "the call was processed, but nothing was replied",
                       "a server program that replies", "ringwire serve --echo");
  }
  if (code != ExitCode::kDone) {
    throw CommandError(code,
                       fmt::format("the call ended {} after {} attempt{}", headline(sent),
                                   sent.outcome.attempts, sent.outcome.attempts == 1 ? "" : "s"));
  }
  return code;
}

ExitCode run_send(const Shell& shell, const SendOptions& options) {
  Sender sender(shell, options);
  if (options.call) return sender.run_call();
  const std::int64_t start_ns = now_ns();
  const std::vector<Sent> all = sender.run();
  const SendTerms terms{options.timeout_ns, options.require};
  if (shell.json) {
    print_json(all);
  } else {
    print_for_person(all, terms, now_ns() - start_ns);
  }
  return code_for(all, terms);
}

void check_options(SendOptions& options) {
  if (options.files.empty()) options.files.emplace_back("-");
  const bool has_key = options.key.has_value() || options.key_name;
  if (!has_key && !options.hash && !options.random && !options.broadcast && options.node.empty()) {
    throw CLI::RequiredError("--key, --key-name, --hash, --random, --broadcast or --node");
  }
  if (has_key && options.hash) {
    throw CLI::ValidationError("--hash", "stands in place of a key: not both");
  }
  if (options.files.size() > 1 && !options.key_name) {
    throw CLI::ValidationError("FILE", "several files need --key-name: each is keyed by its path");
  }
  if (options.call && options.files.size() > 1) {
    throw CLI::ValidationError("--call", "takes one file");
  }
  if (options.call && options.level != RW_LEVEL_DEFAULT && options.level != RW_LEVEL_PROCESSED) {
    throw CLI::ValidationError("--ack", "is for one way: a call is done when its reply is here");
  }
  const int ways = (options.random ? 1 : 0) + (options.broadcast ? 1 : 0) +
                   (options.replicas ? 1 : 0) + (options.node.empty() ? 0 : 1);
  if (ways > 1) {
    throw CLI::ValidationError("send", "only one of --random, --broadcast, --replicas, --node");
  }
  const std::size_t key_bytes = options.key.value_or("").size();
  if (key_bytes > RW_MAX_KEY_BYTES) {
    throw CLI::ValidationError(
        "--key", fmt::format("{} bytes, but a key has {} at most", key_bytes, RW_MAX_KEY_BYTES));
  }
}

void add_target_options(CLI::App& command, SendOptions& options) {
  command
      .add_option_function<std::string>(
          "--key", [&options](const std::string& text) { options.key = text; },
          "The message's key: chooses the node in a hash cluster")
      ->type_name("K");
  command.add_flag("--key-name", options.key_name, "Key each file by its path as given");
  command
      .add_option_function<std::string>(
          "--hash",
          [&options](const std::string& text) {
            options.hash = parse_number(text);
            if (!options.hash)
              throw CLI::ValidationError("--hash", "\"" + text + "\" is no number");
          },
          "A hash in place of a key, decimal or 0x...")
      ->type_name("N");
  command.add_flag("--random", options.random, "To any serving node");
  command.add_flag("--broadcast", options.broadcast, "To all server nodes");
  command.add_flag("--replicas", options.replicas, "To all replicas of the key");
  command.add_option("--node", options.node, "To this node")->type_name("NAME");
  command.add_flag("--exclude-self", options.exclude_self,
                   "With several targets: not to this node");
  add_service_option(command, options.service);
}

}  // namespace

void add_send(CLI::App& app, Shell& shell) {
  CLI::App* command = app.add_subcommand("send", "Send files or standard input as messages");
  auto options = std::make_shared<SendOptions>();
  add_engine_options(*command, shell);
  add_target_options(*command, *options);
  add_ack_option(*command, options->level);
  add_require_option(*command, options->require);
  add_order_option(*command, options->order);
  add_duration_option(*command, "--timeout", options->timeout_ns,
                      "Of each message, until its outcome; 0: as long as it takes [0]");
  command->add_flag("--no-wait", options->no_wait,
                    "Fail at once when no node serves it or a queue is full");
  command->add_flag("--call", options->call, "Wait for the reply and write it to standard output");
  command->add_option("FILE", options->files, "What to send; - or none: standard input");
  command->callback([&shell, options] {
    check_options(*options);
    shell.command = [&shell, options] { return run_send(shell, *options); };
  });
}

}  // namespace ringwire::cli
