#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "plait/export.h"

namespace plait::io {

/// A file open for reading at any position. Movable; closed at the end.
///
/// Errors: FileError naming `op` and the path: no such file, no regular file, a read that fails or comes short.
class PLAIT_API InputFile {
 public:
  InputFile(std::string_view op, std::string path);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  const std::string& path() const { return path_; }
  /// Bytes it had when it was opened.
  uint64_t size() const { return size_; }
  void read(uint64_t at, void* to, uint64_t bytes) const;

 private:
  std::string op_, path_;
  int fd_ = -1;
  uint64_t size_ = 0;
};

/// A file that comes to be whole or not at all: what is written goes to a file beside it, which `commit` puts in its
/// place. Until then an old file of that name stays as it is, and without it nothing is left behind.
///
/// Errors: FileError naming `op` and the path.
class PLAIT_API OutputFile {
 public:
  OutputFile(std::string_view op, const std::string& path);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  void write(uint64_t at, const void* data, uint64_t bytes);
  /// Waits until the disk has the bytes, then takes the name.
  void commit();

 private:
  std::string op_, path_, beside_;
  int fd_ = -1;
};

}  // namespace plait::io
