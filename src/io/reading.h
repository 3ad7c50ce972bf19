#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "graph/node.h"
#include "plait/io.h"

/// What readers of all formats share. They trust nothing: each count, length and position is held against the bytes there
/// are before anything is made of it.
namespace plait::io {

/// Which file is read, for messages.
struct Reading {
  std::string op;
  std::string file;

  /// Errors: FileError, always. `got` may quote the file: it is shortened, and control characters become '?'.
  [[noreturn]] void reject(std::string_view got, std::string accepts, std::string hint = {}) const;
};

/// What a file may say of an array of one dtype, as a number of bytes. Errors: FileError for more axes than 64, and where
/// the bytes of all elements, or what strides would count, reach 2^63.
uint64_t checked_bytes(const Reading& reading, std::string_view what, const std::vector<uint64_t>& extents,
                       int element_bytes);
Shape shape_of(const std::vector<uint64_t>& extents);

/// All bytes, in pieces between which interrupts are answered; by several threads from a source that allows it.
void read_bytes(const ByteSource& source, uint64_t at, char* to, uint64_t bytes);
std::string read_text(const ByteSource& source, uint64_t at, uint64_t bytes);

/// What makes elements out of bytes as a file has them, in place: other byte order (`component_bytes` apiece), bools that
/// are neither 0 nor 1.
void swap_bytes(char* data, uint64_t bytes, int component_bytes);
void settle_bools(char* data, uint64_t bytes);

bool is_utf8(std::string_view text);

}  // namespace plait::io
