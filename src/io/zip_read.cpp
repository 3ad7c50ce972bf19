#include <algorithm>
#include <set>

#include "base/interrupt.h"
#include "io/bytes.h"
#include "io/deflate.h"
#include "io/zip.h"
#include "io/zip_format.h"

namespace plait::io {
namespace {

using namespace zip_format;

class Reader {
 public:
  Reader(const Reading& reading, const ByteSource& source) : reading_(reading), source_(source) {}

  std::vector<ZipMember> read() {
    find_directory();
    const std::string text = read_text(source_, directory_at_, directory_bytes_);
    ByteReader from = fields(text);
    std::set<std::string> names;
    std::vector<Extent> extents;
    for (uint64_t i = 0; i < count_; ++i) {
      poll_interrupt();
      extents.push_back(member(from));
      if (!names.insert(members_.back().name).second)
        reading_.reject("two members of the name " + members_.back().name, "each name once");
    }
    if (from.left() != 0) reading_.reject("a directory longer than its entries", "as long as they are");
    check_apart(extents);
    return std::move(members_);
  }

 private:
  struct Extent {
    uint64_t begin, end;
  };

  ByteReader fields(std::string_view text) const { return {reading_.op, reading_.file, {text.data(), text.size()}}; }

  // The record at the end of the file says where the directory is. A comment of at most 2^16 bytes may follow it.
  void find_directory() {
    const uint64_t size = source_.size();
    if (size < kEndBytes) reading_.reject(std::to_string(size) + " bytes", "a zip archive, of 22 bytes and more");
    const uint64_t from = size - std::min<uint64_t>(size, kEndBytes + 0xFFFF);
    const std::string tail = read_text(source_, from, size - from);
    for (size_t at = tail.size() - kEndBytes + 1; at-- > 0;) {
      ByteReader end = fields(std::string_view(tail).substr(at));
      if (end.u32() != kEnd) continue;
      const uint32_t disk = end.u16(), directory_disk = end.u16(), here = end.u16();
      count_ = end.u16();
      directory_bytes_ = end.u32();
      directory_at_ = end.u32();
      if (end.u16() != end.left()) continue;  // what looks like the record, within the comment
      uint64_t directory_end = from + at;
      if (count_ == 0xFFFF || directory_bytes_ == kLarge || directory_at_ == kLarge)
        directory_end = large_end(from + at, directory_end);
      else if (disk != 0 || directory_disk != 0 || here != count_)
        reading_.reject("a part of an archive in several files", "archives in one file");
      if (directory_at_ > directory_end || directory_bytes_ != directory_end - directory_at_)
        reading_.reject(
            "a directory of " + std::to_string(directory_bytes_) + " bytes at byte " + std::to_string(directory_at_),
            "one that ends at byte " + std::to_string(directory_end));
      if (count_ > directory_bytes_ / kEntryBytes)
        reading_.reject(std::to_string(count_) + " members", "as many as the directory has room for");
      return;
    }
    reading_.reject("no directory at its end", "whole zip archives");
  }

  /// Reads the record for large archives, if it is there; says where the directory has to end.
  uint64_t large_end(uint64_t end_at, uint64_t otherwise) {
    if (end_at < kLocatorBytes + kLargeEndBytes) return otherwise;
    const std::string locator = read_text(source_, end_at - kLocatorBytes, kLocatorBytes);
    ByteReader from = fields(locator);
    if (from.u32() != kLocator) return otherwise;
    const uint32_t disk = from.u32();
    const uint64_t at = from.u64();
    if (disk != 0 || from.u32() > 1 || at > end_at - kLocatorBytes - kLargeEndBytes)
      reading_.reject("a wrong position of the record of a large archive", "one in front of the end");
    const std::string record = read_text(source_, at, kLargeEndBytes);
    ByteReader large = fields(record);
    if (large.u32() != kLargeEnd || large.u64() != end_at - kLocatorBytes - at - 12)
      reading_.reject("no record of a large archive where it should be", "whole zip archives");
    large.u32();  // versions
    const uint32_t this_disk = large.u32(), directory_disk = large.u32();
    const uint64_t here = large.u64();
    count_ = large.u64();
    directory_bytes_ = large.u64();
    directory_at_ = large.u64();
    if (this_disk != 0 || directory_disk != 0 || here != count_)
      reading_.reject("a part of an archive in several files", "archives in one file");
    return at;
  }

  Extent member(ByteReader& from) {
    if (from.u32() != kEntry) reading_.reject("a damaged directory", "entries one behind the other");
    from.u32();  // versions
    const uint32_t flags = from.u16(), method = from.u16();
    from.u32();  // date
    ZipMember m;
    m.crc = from.u32();
    m.packed = from.u32();
    m.size = from.u32();
    const uint32_t name = from.u16(), extra = from.u16(), comment = from.u16(), disk = from.u16();
    from.u16(), from.u32();  // attributes
    uint64_t header_at = from.u32();
    m.name = from.text(name);
    large_numbers(from.part(extra), m, header_at);
    from.text(comment);
    if (flags & kEncrypted) reading_.reject("the encrypted member " + m.name, "archives without encryption");
    if (method != kStored && method != kDeflated)
      reading_.reject("the member " + m.name + ", compressed by method " + std::to_string(method),
                      "stored and deflated members");
    if ((flags & kUtf8) && !is_utf8(m.name))
      reading_.reject("a name that is no UTF-8: " + m.name, "UTF-8, as the archive says");
    if (disk != 0) reading_.reject("a part of an archive in several files", "archives in one file");
    m.deflated = method == kDeflated;
    if (m.deflated ? m.size > most_inflated(m.packed) : m.size != m.packed)
      reading_.reject(
          "the member " + m.name + " of " + std::to_string(m.size) + " bytes in " + std::to_string(m.packed),
          "sizes that fit each other");
    m.at = content_at(m, header_at);
    members_.push_back(std::move(m));
    return {header_at, members_.back().at + members_.back().packed};
  }

  // Numbers too large for the entry stand in an extra field of kind 1, those alone, in this order.
  void large_numbers(ByteReader from, ZipMember& m, uint64_t& header_at) const {
    bool missing = m.size == kLarge || m.packed == kLarge || header_at == kLarge;
    while (missing && from.left() >= 4) {
      const uint32_t kind = from.u16(), bytes = from.u16();
      ByteReader field = from.part(bytes);
      if (kind != kLargeNumbers) continue;
      if (m.size == kLarge) m.size = field.u64();
      if (m.packed == kLarge) m.packed = field.u64();
      if (header_at == kLarge) header_at = field.u64();
      missing = false;
    }
  }

  /// Where the content begins: behind a header of its own that repeats the name.
  uint64_t content_at(const ZipMember& m, uint64_t header_at) const {
    const auto outside = [&] {
      reading_.reject("the member " + m.name + " outside of the archive", "members in front of the directory");
    };
    if (header_at > directory_at_ || directory_at_ - header_at < kHeaderBytes) outside();
    const std::string text = read_text(source_, header_at, kHeaderBytes);
    ByteReader header = fields(text);
    if (header.u32() != kHeader)
      reading_.reject("no header of the member " + m.name + " where it should be", "whole archives");
    header.text(22);
    const uint64_t name = header.u16(), extra = header.u16(), at = header_at + kHeaderBytes + name + extra;
    if (at > directory_at_ || m.packed > directory_at_ - at) outside();
    if (read_text(source_, header_at + kHeaderBytes, name) != m.name)
      reading_.reject("two names of one member: " + m.name + " is another in its own header",
                      "the same name in both places");
    return at;
  }

  // Many members over the same bytes are how a small file becomes an endless one.
  void check_apart(std::vector<Extent>& extents) const {
    std::sort(extents.begin(), extents.end(), [](const Extent& a, const Extent& b) { return a.begin < b.begin; });
    for (size_t i = 1; i < extents.size(); ++i)
      if (extents[i].begin < extents[i - 1].end)
        reading_.reject("members that share bytes", "members one behind the other");
  }

  const Reading& reading_;
  const ByteSource& source_;
  uint64_t count_ = 0, directory_at_ = 0, directory_bytes_ = 0;
  std::vector<ZipMember> members_;
};

}  // namespace

std::vector<ZipMember> zip_members(const Reading& reading, const ByteSource& source) {
  return Reader(reading, source).read();
}

}  // namespace plait::io
