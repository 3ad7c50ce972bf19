#include "io/deflate.h"

#define ZLIB_CONST
#include <zlib.h>

#include <algorithm>
#include <array>

#include "base/interrupt.h"

namespace plait::io {
namespace {

constexpr uint64_t kPiece = uint64_t{1} << 18;
constexpr int kWindowBits = -15;  // no header of zlib's own around the bytes

void check(int status) {
  if (status == Z_MEM_ERROR) throw std::bad_alloc();
  check_internal(status == Z_OK, "zlib was called in a wrong way");
}

Bytef* bytes_of(char* data) { return reinterpret_cast<Bytef*>(data); }
const Bytef* bytes_of(const char* data) { return reinterpret_cast<const Bytef*>(data); }

}  // namespace

// ---- reading --------------------------------------------------------------------------------------------------------

struct Inflater::State {
  const Reading& reading;
  const ByteSource& source;
  uint64_t at;  // of the bytes not yet read
  uint64_t left;  // of them
  z_stream stream{};
  bool ended = false;
  std::array<char, kPiece> buffer;

  void refill() {
    const uint64_t n = std::min(left, kPiece);
    source.read(at, buffer.data(), n);
    at += n;
    left -= n;
    stream.next_in = bytes_of(static_cast<const char*>(buffer.data()));
    stream.avail_in = static_cast<uInt>(n);
  }
};

Inflater::Inflater(const Reading& reading, const ByteSource& source, uint64_t at, uint64_t packed)
    : state_(new State{reading, source, at, packed, {}, false, {}}) {
  check(inflateInit2(&state_->stream, kWindowBits));
}

Inflater::~Inflater() { inflateEnd(&state_->stream); }

void Inflater::next(char* to, uint64_t bytes) {
  State& s = *state_;
  while (bytes > 0) {
    poll_interrupt();
    if (s.stream.avail_in == 0 && s.left > 0) s.refill();
    const auto room = static_cast<uInt>(std::min(bytes, kPiece));
    s.stream.next_out = bytes_of(to);
    s.stream.avail_out = room;
    const int status = s.ended ? Z_STREAM_END : inflate(&s.stream, Z_NO_FLUSH);
    if (status == Z_MEM_ERROR) throw std::bad_alloc();
    const uint64_t got = room - s.stream.avail_out;
    s.ended |= status == Z_STREAM_END;
    if ((status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR) ||
        (got == 0 && (s.ended || (s.stream.avail_in == 0 && s.left == 0))))
      s.reading.reject("deflated bytes that are damaged or end early", "those that the archive announces");
    to += got;
    bytes -= got;
  }
}

void Inflater::finish() {
  State& s = *state_;
  char more = 0;
  while (!s.ended) {  // the mark of the end may stand behind the last byte
    if (s.stream.avail_in == 0 && s.left > 0) s.refill();
    s.stream.next_out = bytes_of(&more);
    s.stream.avail_out = 1;
    const uInt before = s.stream.avail_in;
    const int status = inflate(&s.stream, Z_NO_FLUSH);
    s.ended = status == Z_STREAM_END;
    if (s.stream.avail_out == 0 || (!s.ended && (status != Z_OK || before == s.stream.avail_in)))
      s.reading.reject("deflated bytes that do not end where the archive says", "whole ones");
  }
  if (s.stream.avail_in > 0 || s.left > 0) s.reading.reject("bytes behind the end of deflated ones", "none");
}

// ---- writing --------------------------------------------------------------------------------------------------------

struct Deflater::State {
  ByteSink& to;
  z_stream stream{};
  std::array<char, kPiece> buffer;

  void run(int flush) {
    do {
      stream.next_out = bytes_of(buffer.data());
      stream.avail_out = static_cast<uInt>(kPiece);
      const int status = deflate(&stream, flush);
      check_internal(status == Z_OK || status == Z_STREAM_END || status == Z_BUF_ERROR, "deflate failed");
      if (const uint64_t n = kPiece - stream.avail_out) to.write(buffer.data(), n);
    } while (stream.avail_out == 0);
  }
};

Deflater::Deflater(ByteSink& to) : state_(new State{to, {}, {}}) {
  check(deflateInit2(&state_->stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, kWindowBits, 8, Z_DEFAULT_STRATEGY));
}

Deflater::~Deflater() { deflateEnd(&state_->stream); }

void Deflater::write(const char* data, uint64_t bytes) {
  for (uint64_t done = 0; done < bytes; done += kPiece) {
    poll_interrupt();
    state_->stream.next_in = bytes_of(data + done);
    state_->stream.avail_in = static_cast<uInt>(std::min(kPiece, bytes - done));
    state_->run(Z_NO_FLUSH);
  }
}

void Deflater::finish() { state_->run(Z_FINISH); }

// ---- sizes ----------------------------------------------------------------------------------------------------------

// A code of two bits makes 258 bytes, and nothing does better: at most 1032 to 1.
uint64_t most_inflated(uint64_t packed) {
  uint64_t most = 0;
  return __builtin_mul_overflow(packed, uint64_t{1032}, &most) ? UINT64_MAX : most;
}

// Bytes that do not shrink are stored in blocks of which the least has 2^12 bytes and costs 5 more.
uint64_t most_deflated(uint64_t bytes) { return bytes + bytes / 512 + 64; }

}  // namespace plait::io
