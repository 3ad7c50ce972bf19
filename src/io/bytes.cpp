#include "io/bytes.h"

#include <bit>

#include "plait/error.h"

namespace plait::io {

void ByteWriter::number(uint64_t v, int bytes) {
  for (int i = 0; i < bytes; ++i) bytes_.push_back(static_cast<char>(v >> (8 * i)));
}

void ByteWriter::f64(double v) { u64(std::bit_cast<uint64_t>(v)); }

void ByteWriter::string(std::string_view text) {
  if (text.size() > UINT32_MAX)
    throw ArgumentError({.op = "write", .got = "a text of 4 GiB or more", .accepts = "shorter ones"});
  u32(static_cast<uint32_t>(text.size()));
  bytes_.append(text);
}

uint64_t ByteReader::number(size_t bytes) {
  need(bytes);
  uint64_t v = 0;
  for (size_t i = 0; i < bytes; ++i) v |= uint64_t{static_cast<uint8_t>(bytes_[at_ + i])} << (8 * i);
  at_ += bytes;
  return v;
}

double ByteReader::f64() { return std::bit_cast<double>(u64()); }

bool ByteReader::boolean() {
  const uint8_t v = u8();
  if (v > 1) reject("a flag of " + std::to_string(v), "0 or 1");
  return v == 1;
}

std::string ByteReader::string() { return text(u32()); }

std::string ByteReader::text(uint64_t bytes) {
  need(bytes);
  std::string out(bytes_.data() + at_, bytes);
  at_ += bytes;
  return out;
}

uint32_t ByteReader::count(size_t each) {
  const uint32_t n = u32();
  if (uint64_t{n} * each > left())
    reject("a count of " + std::to_string(n),
           "at most " + std::to_string(left() / each) + ", which the bytes left hold");
  return n;
}

ByteReader ByteReader::part(uint64_t bytes) {
  need(bytes);
  ByteReader out(op_, file_, bytes_.subspan(at_, bytes), base_ + at_);
  at_ += bytes;
  return out;
}

void ByteReader::finish() const {
  if (left() != 0) reject(std::to_string(left()) + " bytes too many", "the end");
}

void ByteReader::need(uint64_t bytes) const {
  if (bytes > left())
    reject("the end, or a length that goes beyond it",
           std::to_string(bytes) + " more bytes, of which there are " + std::to_string(left()));
}

void ByteReader::reject(const std::string& got, std::string accepts) const {
  constexpr size_t kShown = 200;
  std::string shown;  // it may quote the file
  for (const char c : got.substr(0, kShown)) shown += c < 0x20 || c == 0x7f ? '?' : c;
  throw FileError({.op = std::string(op_),
                   .got = std::string(file_) + ", byte " + std::to_string(base_ + at_) + ": " + shown,
                   .accepts = std::move(accepts),
                   .hint = "the file is damaged, or not of this format"});
}

}  // namespace plait::io
