#pragma once

#include <cstdint>
#include <memory>

#include "io/reading.h"

/// Compression as zip archives have it. zlib stands behind this file alone.
namespace plait::io {

/// Bytes that lie deflated in `packed` bytes of a source from `at`.
class Inflater {
 public:
  Inflater(const Reading& reading, const ByteSource& source, uint64_t at, uint64_t packed);
  ~Inflater();
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  /// The next `bytes` bytes. Errors: FileError where there are fewer, and for damaged ones.
  void next(char* to, uint64_t bytes);
  /// Errors: FileError unless both sides are at their ends.
  void finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Deflates what it is given, and hands on what comes of it. Nothing may follow `finish`.
class Deflater {
 public:
  explicit Deflater(ByteSink& to);
  ~Deflater();
  Deflater(const Deflater&) = delete;
  Deflater& operator=(const Deflater&) = delete;
  void write(const char* data, uint64_t bytes);
  void finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// No fewer bytes than so many deflated ones can become, and the other way round.
uint64_t most_inflated(uint64_t packed);
uint64_t most_deflated(uint64_t bytes);

}  // namespace plait::io
