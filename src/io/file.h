#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "plait/export.h"
#include "plait/io.h"

namespace plait::io {

/// A file open for reading at any position; closed at the end.
///
/// It is read, never mapped: where another program shortens a mapped file, those that look at it are killed.
/// Errors: FileError naming `op` and the path: no such file, no regular file, a read that fails or comes short.
class PLAIT_API InputFile final : public ByteSource {
 public:
  InputFile(std::string_view op, std::string path);
  ~InputFile() override;
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  std::string name() const override { return path_; }
  /// Bytes it had when it was opened.
  uint64_t size() const override { return size_; }
  void read(uint64_t at, void* to, uint64_t bytes) const override;
  bool lasting() const override { return true; }
  /// Errors: FileError when it was written to after it had been opened.
  void check_unchanged() const;

 private:
  std::string op_, path_;
  int fd_ = -1;
  uint64_t size_ = 0;
  int64_t changed_s_ = 0, changed_ns_ = 0;
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

/// An output file that is written from its start to its end, answering interrupts.
class FileSink final : public ByteSink {
 public:
  FileSink(std::string_view op, const std::string& path) : file_(op, path) {}
  void write(const void* data, uint64_t bytes) override;
  void commit() { file_.commit(); }

 private:
  OutputFile file_;
  uint64_t at_ = 0;
};

}  // namespace plait::io
