#pragma once

#include <string>
#include <vector>

#include "io/reading.h"

/// Archives of named bytes, stored or deflated, with 64-bit sizes where they need them (APPNOTE 6.3.10 of PKWARE).
namespace plait::io {

struct ZipMember {
  std::string name;
  bool deflated = false;
  uint32_t crc = 0;
  uint64_t packed = 0;  // bytes in the file
  uint64_t size = 0;    // bytes of the content
  uint64_t at = 0;      // where the former begin
};

/// What an archive holds. Errors: FileError, also for two members of one name or that share bytes, and for what is encrypted,
/// compressed in another way or spread over several files.
std::vector<ZipMember> zip_members(const Reading& reading, const ByteSource& source);

/// Writes an archive from its start to its end. Dates are those of 1980: the same arrays are the same bytes.
class ZipWriter {
 public:
  explicit ZipWriter(ByteSink& to) : to_(to) {}
  /// A member whose content is `head` and `bytes` bytes from `data`.
  void add(const std::string& name, const std::string& head, const char* data, uint64_t bytes, bool deflated);
  void finish();

 private:
  struct Entry {
    ZipMember member;
    uint64_t header_at = 0;
    bool large = false;
  };
  void write(const std::string& bytes);
  uint64_t write_content(const std::string& head, const char* data, uint64_t bytes, bool deflated);

  ByteSink& to_;
  uint64_t at_ = 0;
  std::vector<Entry> entries_;
};

}  // namespace plait::io
