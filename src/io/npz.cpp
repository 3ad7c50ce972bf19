#include "io/npz.h"

#include <optional>

#include "io/crc32.h"
#include "io/deflate.h"
#include "io/npy.h"
#include "io/zip.h"

namespace plait::io {
namespace {

constexpr std::string_view kEnding = ".npy";

Array read_member(const Reading& archive, const ByteSource& source, const ZipMember& member) {
  const Reading reading{archive.op, archive.file + "[" + member.name + "]"};
  std::optional<Inflater> inflater;
  if (member.deflated) inflater.emplace(reading, source, member.at, member.packed);
  uint64_t at = member.at;
  uint32_t crc = 0;
  const ReadNpy read = read_npy(reading, member.size, [&](char* to, uint64_t bytes) {
    if (inflater)
      inflater->next(to, bytes);
    else
      read_bytes(source, at, to, bytes);
    at += bytes;
    crc = crc32(to, bytes, crc);
  });
  if (read.bytes != member.size)
    reading.reject(std::to_string(member.size - read.bytes) + " bytes behind the array", "none");
  if (inflater) inflater->finish();
  if (crc != member.crc) reading.reject("another check sum than the one written with it", "whole members");
  return read.array;
}

}  // namespace

NamedArrays read_npz(const Reading& reading, const ByteSource& source) {
  NamedArrays out;
  for (const ZipMember& member : zip_members(reading, source)) {
    std::string name = member.name;
    if (name.ends_with(kEnding)) name.resize(name.size() - kEnding.size());
    if (!out.emplace(name, read_member(reading, source, member)).second)
      reading.reject("two arrays of the name " + name, "each name once");
  }
  return out;
}

}  // namespace plait::io
