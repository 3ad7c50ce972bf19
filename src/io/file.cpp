#include "io/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <random>

#include "base/interrupt.h"
#include "plait/error.h"

namespace plait::io {
namespace {

[[noreturn]] void fail(const std::string& op, const std::string& path, const std::string& what,
                       std::string accepts = {}) {
  throw FileError({.op = op, .got = path + ": " + what, .accepts = std::move(accepts)});
}

std::string reason(int error) { return std::strerror(error); }  // NOLINT: glibc's is thread safe

/// The name of the file that a link leads to: replacing the link itself would leave the file behind.
std::string followed(const std::string& path) {
  char* real = ::realpath(path.c_str(), nullptr);
  if (real == nullptr) return path;
  std::string out(real);
  std::free(real);
  return out;
}

std::string folder_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

// One call moves at most about 2 GiB.
constexpr uint64_t kMostAtOnce = uint64_t{1} << 30;

}  // namespace

InputFile::InputFile(std::string_view op, std::string path) : op_(op), path_(std::move(path)) {
  if (path_.find('\0') != std::string::npos) fail(op_, path_.c_str(), "a name with a zero byte");
  do
    fd_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);  // a pipe without writers must not block
  while (fd_ < 0 && errno == EINTR);
  if (fd_ < 0) fail(op_, path_, reason(errno), "a file that can be read");
  struct stat info{};
  const bool known = ::fstat(fd_, &info) == 0;
  if (!known || !S_ISREG(info.st_mode)) {
    ::close(fd_);
    fail(op_, path_, "not a regular file", "a file that was written before");
  }
  size_ = static_cast<uint64_t>(info.st_size);
  changed_s_ = info.st_mtim.tv_sec;
  changed_ns_ = info.st_mtim.tv_nsec;
}

InputFile::~InputFile() { ::close(fd_); }

void InputFile::read(uint64_t at, void* to, uint64_t bytes) const {
  auto* next = static_cast<char*>(to);
  while (bytes > 0) {
    const ssize_t n = ::pread(fd_, next, std::min(bytes, kMostAtOnce), static_cast<off_t>(at));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail(op_, path_, reason(errno));
    if (n == 0) fail(op_, path_, "the file became shorter while it was read");
    next += n;
    at += static_cast<uint64_t>(n);
    bytes -= static_cast<uint64_t>(n);
  }
}

void InputFile::check_unchanged() const {
  struct stat info{};
  if (::fstat(fd_, &info) != 0) fail(op_, path_, reason(errno));
  if (static_cast<uint64_t>(info.st_size) != size_ || info.st_mtim.tv_sec != changed_s_ ||
      info.st_mtim.tv_nsec != changed_ns_)
    fail(op_, path_, "the file was changed after it had been opened",
         "a file that stays as it is until its arrays are read; replacing it by another is no change");
}

OutputFile::OutputFile(std::string_view op, const std::string& path) : op_(op), path_(followed(path)) {
  if (path.empty() || path.find('\0') != std::string::npos) fail(op_, path.c_str(), "no name of a file");
  struct stat info{};
  const bool exists = ::stat(path_.c_str(), &info) == 0;
  if (exists && !S_ISREG(info.st_mode)) fail(op_, path_, "not a regular file", "the name of a file");
  static std::atomic<uint32_t> serial{std::random_device()()};
  for (int attempt = 0; fd_ < 0; ++attempt) {
    beside_ = folder_of(path_) + "/.plait-" + std::to_string(::getpid()) + "-" + std::to_string(serial.fetch_add(1));
    fd_ = ::open(beside_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd_ < 0 && errno != EINTR && (errno != EEXIST || attempt > 100))
      fail(op_, path_, reason(errno), "a folder that can be written to");
  }
  if (exists) (void)::fchmod(fd_, info.st_mode & 07777);
}

OutputFile::~OutputFile() {
  if (fd_ < 0) return;
  ::close(fd_);
  ::unlink(beside_.c_str());
}

void OutputFile::write(uint64_t at, const void* data, uint64_t bytes) {
  const auto* next = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t n = ::pwrite(fd_, next, std::min(bytes, kMostAtOnce), static_cast<off_t>(at));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail(op_, path_, reason(errno));
    next += n;
    at += static_cast<uint64_t>(n);
    bytes -= static_cast<uint64_t>(n);
  }
}

void OutputFile::commit() {
  if (::fsync(fd_) != 0) fail(op_, path_, reason(errno));
  if (::rename(beside_.c_str(), path_.c_str()) != 0) fail(op_, path_, reason(errno));
  ::close(fd_);
  fd_ = -1;
  // The name itself reaches the disk with the folder; where that cannot be asked for, it will by itself.
  if (const int folder = ::open(folder_of(path_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); folder >= 0) {
    (void)::fsync(folder);
    ::close(folder);
  }
}

void FileSink::write(const void* data, uint64_t bytes) {
  constexpr uint64_t kPiece = uint64_t{16} << 20;
  const auto* from = static_cast<const char*>(data);
  for (uint64_t done = 0; done < bytes; done += kPiece) {
    poll_interrupt();
    const uint64_t piece = std::min(kPiece, bytes - done);
    file_.write(at_, from + done, piece);
    at_ += piece;
  }
}

}  // namespace plait::io
