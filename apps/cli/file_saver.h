// Writes whole files into one directory, each appearing under its name only when it is complete
// and, if asked, on the disk. A crash at any moment leaves the old file or the new one, and at most
// one
// ".part" beside it. One saver per thread; cold.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "apps/cli/payload_file.h"

namespace ringwire::cli {

class FileSaver {
 public:
  enum class Sync { kOff, kOn };

  /// Make the directory if it is not there, and open it. `part_name` is the name of unfinished
  /// files: no two savers of a directory may share it, and it must be no name that is ever saved.
  /// Throws CommandError.
  FileSaver(const std::string& directory, std::string part_name, Sync sync);

  /// Save a file, replacing one of that name. Throws std::system_error; then the old file is as it
  /// was and the unfinished one is gone.
  void save(const std::string& name, std::span<const std::byte> contents);

  [[nodiscard]] const std::string& directory() const { return path_; }

 private:
  void write_part(std::span<const std::byte> contents);
  void publish(const std::string& name);

  std::string path_;
  std::string part_name_;
  Sync sync_;
  OwnedFd directory_;
};

}  // namespace ringwire::cli
