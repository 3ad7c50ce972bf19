#include "io/crc32.h"

#include <algorithm>
#include <array>

#include "base/interrupt.h"

namespace plait::io {
namespace {

// Table k gives what a byte becomes when k more bytes follow it, so that eight bytes are looked up side by side
// (Kounavis and Berry, 2005, "A systematic approach to building high performance software-based CRC generators").
constexpr auto kTables = [] {
  std::array<std::array<uint32_t, 256>, 8> tables{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t c = i;
    for (int bit = 0; bit < 8; ++bit) c = (c >> 1) ^ ((c & 1) ? 0xEDB88320u : 0);
    tables[0][i] = c;
  }
  for (uint32_t i = 0; i < 256; ++i)
    for (size_t k = 1; k < 8; ++k) tables[k][i] = (tables[k - 1][i] >> 8) ^ tables[0][tables[k - 1][i] & 0xff];
  return tables;
}();

uint32_t crc_of_piece(const uint8_t* p, size_t bytes, uint32_t before) {
  uint32_t c = ~before;
  for (; bytes >= 8; bytes -= 8, p += 8) {
    const uint32_t low = c ^ (p[0] | uint32_t{p[1]} << 8 | uint32_t{p[2]} << 16 | uint32_t{p[3]} << 24);
    c = kTables[7][low & 0xff] ^ kTables[6][low >> 8 & 0xff] ^ kTables[5][low >> 16 & 0xff] ^ kTables[4][low >> 24] ^
        kTables[3][p[4]] ^ kTables[2][p[5]] ^ kTables[1][p[6]] ^ kTables[0][p[7]];
  }
  for (; bytes > 0; --bytes, ++p) c = (c >> 8) ^ kTables[0][(c ^ *p) & 0xff];
  return ~c;
}

}  // namespace

uint32_t crc32(const void* data, size_t bytes, uint32_t before) {
  constexpr size_t kPiece = size_t{16} << 20;
  const auto* p = static_cast<const uint8_t*>(data);
  for (size_t done = 0; done < bytes; done += kPiece) {
    if (done > 0) poll_interrupt();
    before = crc_of_piece(p + done, std::min(kPiece, bytes - done), before);
  }
  return before;
}

}  // namespace plait::io
