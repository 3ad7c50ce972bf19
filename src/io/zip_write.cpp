#include <algorithm>

#include "io/bytes.h"
#include "io/crc32.h"
#include "io/deflate.h"
#include "io/zip.h"
#include "io/zip_format.h"

namespace plait::io {
namespace {

using namespace zip_format;

constexpr uint16_t kVersion = 20, kVersionLarge = 45;
constexpr uint32_t kFirstDay = 0x00210000;  // 1980-01-01, no time

uint32_t number32(uint64_t v, bool large) { return large ? kLarge : static_cast<uint32_t>(v); }

uint16_t flags_of(const ZipMember& m) {
  const bool ascii = std::all_of(m.name.begin(), m.name.end(), [](char c) { return static_cast<uint8_t>(c) < 0x80; });
  return static_cast<uint16_t>((m.deflated ? kHasDescriptor : 0) | (ascii ? 0 : kUtf8));
}

class CountingSink final : public ByteSink {
 public:
  explicit CountingSink(ByteSink& to) : to_(to) {}
  void write(const void* data, uint64_t bytes) override {
    to_.write(data, bytes);
    count_ += bytes;
  }
  uint64_t count() const { return count_; }

 private:
  ByteSink& to_;
  uint64_t count_ = 0;
};

}  // namespace

void ZipWriter::write(const std::string& bytes) {
  to_.write(bytes.data(), bytes.size());
  at_ += bytes.size();
}

uint64_t ZipWriter::write_content(const std::string& head, const char* data, uint64_t bytes, bool deflated) {
  CountingSink counted(to_);
  if (deflated) {
    Deflater deflater(counted);
    deflater.write(head.data(), head.size());
    deflater.write(data, bytes);
    deflater.finish();
  } else {
    counted.write(head.data(), head.size());
    counted.write(data, bytes);
  }
  return counted.count();
}

// How long deflated bytes will be is not known in front of them: it follows them, and stands in the directory.
void ZipWriter::add(const std::string& name, const std::string& head, const char* data, uint64_t bytes, bool deflated) {
  if (name.size() > 0xFFFF)
    throw FileError({.op = "savez",
                     .got = "a name of " + std::to_string(name.size()) + " bytes",
                     .accepts = "at most " + std::to_string(0xFFFF)});
  Entry e;
  e.member = {name, deflated, crc32(data, bytes, crc32(head.data(), head.size())), 0, head.size() + bytes, 0};
  e.header_at = at_;
  e.large = (deflated ? most_deflated(e.member.size) : e.member.size) >= kLarge;
  const ZipMember& m = e.member;
  const uint64_t packed = deflated ? 0 : m.size, size = deflated ? 0 : m.size;
  ByteWriter header;
  header.u32(kHeader);
  header.u16(e.large ? kVersionLarge : kVersion);
  header.u16(flags_of(m));
  header.u16(deflated ? kDeflated : kStored);
  header.u32(kFirstDay);
  header.u32(deflated ? 0 : m.crc);
  header.u32(number32(packed, e.large));
  header.u32(number32(size, e.large));
  header.u16(static_cast<uint16_t>(name.size()));
  header.u16(e.large ? 20 : 0);
  header.append(name);
  if (e.large) {
    header.u16(kLargeNumbers);
    header.u16(16);
    header.u64(size);
    header.u64(packed);
  }
  write(header.bytes());
  e.member.packed = write_content(head, data, bytes, deflated);
  at_ += e.member.packed;
  if (deflated) {
    ByteWriter descriptor;
    descriptor.u32(kDescriptor);
    descriptor.u32(m.crc);
    for (const uint64_t v : {m.packed, m.size}) e.large ? descriptor.u64(v) : descriptor.u32(static_cast<uint32_t>(v));
    write(descriptor.bytes());
  }
  entries_.push_back(std::move(e));
}

void ZipWriter::finish() {
  const uint64_t directory_at = at_;
  for (const Entry& e : entries_) {
    const ZipMember& m = e.member;
    const bool size = m.size >= kLarge, packed = m.packed >= kLarge, far = e.header_at >= kLarge;
    ByteWriter extra;
    if (size) extra.u64(m.size);
    if (packed) extra.u64(m.packed);
    if (far) extra.u64(e.header_at);
    ByteWriter entry;
    entry.u32(kEntry);
    entry.u16(kVersionLarge);
    entry.u16(extra.size() > 0 || e.large ? kVersionLarge : kVersion);
    entry.u16(flags_of(m));
    entry.u16(m.deflated ? kDeflated : kStored);
    entry.u32(kFirstDay);
    entry.u32(m.crc);
    entry.u32(number32(m.packed, packed));
    entry.u32(number32(m.size, size));
    entry.u16(static_cast<uint16_t>(m.name.size()));
    entry.u16(static_cast<uint16_t>(extra.size() > 0 ? extra.size() + 4 : 0));
    entry.zeros(10);  // no comment, one file, no attributes
    entry.u32(number32(e.header_at, far));
    entry.append(m.name);
    if (extra.size() > 0) {
      entry.u16(kLargeNumbers);
      entry.u16(static_cast<uint16_t>(extra.size()));
      entry.append(extra);
    }
    write(entry.bytes());
  }
  const uint64_t count = entries_.size(), end_at = at_, bytes = end_at - directory_at;
  const bool large = count >= 0xFFFF || bytes >= kLarge || directory_at >= kLarge;
  ByteWriter end;
  if (large) {
    end.u32(kLargeEnd);
    end.u64(kLargeEndBytes - 12);
    end.u16(kVersionLarge);
    end.u16(kVersionLarge);
    end.zeros(8);
    for (const uint64_t v : {count, count, bytes, directory_at}) end.u64(v);
    end.u32(kLocator);
    end.u32(0);
    end.u64(end_at);
    end.u32(1);
  }
  end.u32(kEnd);
  end.u32(0);
  for (int i = 0; i < 2; ++i) end.u16(static_cast<uint16_t>(count >= 0xFFFF ? 0xFFFF : count));
  end.u32(number32(bytes, bytes >= kLarge));
  end.u32(number32(directory_at, directory_at >= kLarge));
  end.u16(0);
  write(end.bytes());
}

}  // namespace plait::io
