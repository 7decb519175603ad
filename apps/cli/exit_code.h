// How a command ends: the exit codes that scripts rely on (docs/cli.md), and the one exception that
// carries them from any depth of a command up to main. Any thread; cold.
#pragma once

#include <stdexcept>
#include <string>
#include <utility>

namespace ringwire::cli {

enum class ExitCode : int {
  kDone = 0,
  kFailed = 1,    ///< the operation failed
  kUsage = 2,     ///< wrong usage or configuration
  kNoEngine = 3,  ///< no engine to talk to
  kTimedOut = 4,
};

/// A command that cannot go on. what() says what was found; `needed` what is needed instead; `mend`
/// is the command that mends it. The last two may be empty.
class CommandError : public std::runtime_error {
 public:
  CommandError(ExitCode code, const std::string& found, std::string needed = {},
               std::string mend = {})
      : std::runtime_error(found),
        code_(code),
        needed_(std::move(needed)),
        mend_(std::move(mend)) {}

  [[nodiscard]] ExitCode code() const { return code_; }
  [[nodiscard]] const std::string& needed() const { return needed_; }
  [[nodiscard]] const std::string& mend() const { return mend_; }

 private:
  ExitCode code_;
  std::string needed_;
  std::string mend_;
};

}  // namespace ringwire::cli
