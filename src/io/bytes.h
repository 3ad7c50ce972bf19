#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace plait::io {

/// Values in little-endian order, one behind the other.
class ByteWriter {
 public:
  void u8(uint8_t v) { bytes_.push_back(static_cast<char>(v)); }
  void u16(uint16_t v) { number(v, 2); }
  void u32(uint32_t v) { number(v, 4); }
  void u64(uint64_t v) { number(v, 8); }
  void i64(int64_t v) { number(static_cast<uint64_t>(v), 8); }
  void f64(double v);
  /// Its length in 32 bits, then its bytes. Errors: ArgumentError for one longer than that.
  void string(std::string_view text);
  void append(const ByteWriter& other) { bytes_ += other.bytes_; }
  void append(std::string_view bytes) { bytes_ += bytes; }
  void zeros(size_t count) { bytes_.append(count, '\0'); }

  size_t size() const { return bytes_.size(); }
  const std::string& bytes() const { return bytes_; }

 private:
  void number(uint64_t v, int bytes);
  std::string bytes_;
};

/// The same values read back from memory that may hold anything.
///
/// Errors: FileError, naming `file` and the position, where bytes are missing or a value is none that the writer makes.
class ByteReader {
 public:
  ByteReader(std::string_view op, std::string_view file, std::span<const char> bytes, uint64_t base = 0)
      : op_(op), file_(file), bytes_(bytes), base_(base) {}

  uint8_t u8() { return static_cast<uint8_t>(number(1)); }
  uint16_t u16() { return static_cast<uint16_t>(number(2)); }
  uint32_t u32() { return static_cast<uint32_t>(number(4)); }
  uint64_t u64() { return number(8); }
  int64_t i64() { return static_cast<int64_t>(number(8)); }
  double f64();
  bool boolean();
  std::string string();
  /// The next `bytes` bytes.
  std::string text(uint64_t bytes);
  /// A number of things that take at least `each` bytes: never more than can follow.
  uint32_t count(size_t each);
  /// A reader of the next `bytes` bytes alone; this one goes on behind them.
  ByteReader part(uint64_t bytes);

  size_t left() const { return bytes_.size() - at_; }
  /// Nothing may be left.
  void finish() const;
  [[noreturn]] void reject(const std::string& got, std::string accepts) const;

 private:
  uint64_t number(size_t bytes);
  void need(uint64_t bytes) const;

  std::string_view op_, file_;
  std::span<const char> bytes_;
  uint64_t base_;  // where the bytes lie in the file
  size_t at_ = 0;
};

}  // namespace plait::io
