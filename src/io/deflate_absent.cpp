// Takes the place of deflate.cpp in a build without zlib.
#include "io/deflate.h"

namespace plait::io {
namespace {

[[noreturn]] void absent(std::string op, std::string what) {
  throw FileError({.op = std::move(op),
                   .got = std::move(what),
                   .accepts = "archives that are not compressed, as savez writes them",
                   .hint = "build plait with -DPLAIT_ZLIB=ON, or have NumPy read the file and savez it"});
}

}  // namespace

struct Inflater::State {};
struct Deflater::State {};

Inflater::Inflater(const Reading& reading, const ByteSource&, uint64_t, uint64_t) {
  absent(reading.op, reading.file + ": deflated bytes");
}
Inflater::~Inflater() = default;
void Inflater::next(char*, uint64_t) {}
void Inflater::finish() {}

Deflater::Deflater(ByteSink&) { absent("savez_compressed", "an archive to be compressed"); }
Deflater::~Deflater() = default;
void Deflater::write(const char*, uint64_t) {}
void Deflater::finish() {}

uint64_t most_inflated(uint64_t) { return UINT64_MAX; }
uint64_t most_deflated(uint64_t bytes) { return bytes; }

}  // namespace plait::io
