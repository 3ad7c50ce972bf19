#include "io/reading.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/interrupt.h"
#include "base/parallel.h"

namespace plait::io {
namespace {

static_assert(std::endian::native == std::endian::little, "files are little-endian, and read as they are");

constexpr uint64_t kPiece = uint64_t{8} << 20;
constexpr size_t kMostAxes = 64;

/// Calls `body(begin, end)` for pieces, and answers interrupts.
template <class Body>
void in_pieces(uint64_t bytes, Body body) {
  parallel_for(static_cast<int64_t>(bytes), static_cast<int64_t>(kPiece),
               [&](int64_t begin, int64_t end) { body(static_cast<uint64_t>(begin), static_cast<uint64_t>(end)); });
}

template <class T>
void swap_all(char* data, uint64_t begin, uint64_t end) {
  for (uint64_t at = begin; at < end; at += sizeof(T)) {
    T v;
    std::memcpy(&v, data + at, sizeof v);
    if constexpr (sizeof(T) == 2) v = __builtin_bswap16(v);
    if constexpr (sizeof(T) == 4) v = __builtin_bswap32(v);
    if constexpr (sizeof(T) == 8) v = __builtin_bswap64(v);
    std::memcpy(data + at, &v, sizeof v);
  }
}

}  // namespace

void Reading::reject(std::string_view got, std::string accepts, std::string hint) const {
  constexpr size_t kShown = 200;
  std::string shown(got.substr(0, kShown));
  if (got.size() > kShown) shown += "...";
  for (char& c : shown)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  if (hint.empty()) hint = "the file is damaged, or not of this format";
  throw FileError({.op = op, .got = file + ": " + shown, .accepts = std::move(accepts), .hint = std::move(hint)});
}

uint64_t checked_bytes(const Reading& reading, std::string_view what, const std::vector<uint64_t>& extents,
                       int element_bytes) {
  if (extents.size() > kMostAxes)
    reading.reject(std::string(what) + " of " + std::to_string(extents.size()) + " axes",
                   "at most " + std::to_string(kMostAxes));
  int64_t span = element_bytes, bytes = element_bytes;
  bool fits = true;
  for (const uint64_t extent : extents) {
    fits &= !__builtin_mul_overflow(span, std::max<uint64_t>(extent, 1), &span);
    if (fits) bytes *= static_cast<int64_t>(extent);
  }
  if (!fits) reading.reject(std::string(what) + " of 2^63 bytes or more", "arrays that a file can hold");
  return static_cast<uint64_t>(bytes);
}

Shape shape_of(const std::vector<uint64_t>& extents) {
  Shape shape;
  for (const uint64_t extent : extents) shape.push_back(static_cast<int64_t>(extent));
  return shape;
}

void read_bytes(const ByteSource& source, uint64_t at, char* to, uint64_t bytes) {
  if (source.lasting()) {
    in_pieces(bytes, [&](uint64_t begin, uint64_t end) { source.read(at + begin, to + begin, end - begin); });
    return;
  }
  for (uint64_t done = 0; done < bytes; done += kPiece) {
    poll_interrupt();
    source.read(at + done, to + done, std::min(kPiece, bytes - done));
  }
}

std::string read_text(const ByteSource& source, uint64_t at, uint64_t bytes) {
  std::string text(bytes, '\0');
  read_bytes(source, at, text.data(), bytes);
  return text;
}

void swap_bytes(char* data, uint64_t bytes, int component_bytes) {
  in_pieces(bytes, [&](uint64_t begin, uint64_t end) {
    if (component_bytes == 2) swap_all<uint16_t>(data, begin, end);
    if (component_bytes == 4) swap_all<uint32_t>(data, begin, end);
    if (component_bytes == 8) swap_all<uint64_t>(data, begin, end);
  });
}

void settle_bools(char* data, uint64_t bytes) {
  in_pieces(bytes, [&](uint64_t begin, uint64_t end) {
    for (uint64_t at = begin; at < end; ++at) data[at] = static_cast<char>(data[at] != 0);
  });
}

bool is_utf8(std::string_view text) {
  const auto byte = [&](size_t i) { return i < text.size() ? static_cast<uint8_t>(text[i]) : uint8_t{0}; };
  for (size_t i = 0; i < text.size();) {
    const uint8_t lead = byte(i);
    if (lead < 0x80) {
      ++i;
      continue;
    }
    // How many bytes follow, and what the first of them may be: no longer forms, no surrogates, nothing past U+10FFFF.
    const int follow = lead >= 0xC2 && lead <= 0xDF   ? 1
                       : lead >= 0xE0 && lead <= 0xEF ? 2
                       : lead >= 0xF0 && lead <= 0xF4 ? 3
                                                      : 0;
    if (follow == 0) return false;
    const uint8_t least = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    const uint8_t most = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    if (byte(i + 1) < least || byte(i + 1) > most) return false;
    for (int k = 2; k <= follow; ++k)
      if (byte(i + static_cast<size_t>(k)) < 0x80 || byte(i + static_cast<size_t>(k)) > 0xBF) return false;
    i += static_cast<size_t>(follow) + 1;
  }
  return true;
}

}  // namespace plait::io
