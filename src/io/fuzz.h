#pragma once

// What the test of hostile files and the fuzz targets share: valid files to begin with, and what is done with a file.

#include <cstring>
#include <string>
#include <vector>

#include "plait/io.h"
#include "plait/ops.h"

namespace plait::fuzz {

class TextSink final : public ByteSink {
 public:
  void write(const void* data, uint64_t bytes) override { text.append(static_cast<const char*>(data), bytes); }
  std::string text;
};

class TextSource final : public ByteSource {
 public:
  explicit TextSource(std::string text, bool lasting = false) : text_(std::move(text)), lasting_(lasting) {}
  std::string name() const override { return "bytes"; }
  uint64_t size() const override { return text_.size(); }
  void read(uint64_t at, void* to, uint64_t bytes) const override {
    check_internal(at <= text_.size() && bytes <= text_.size() - at, "a reader looked beyond the end");
    if (bytes > 0) std::memcpy(to, text_.data() + at, bytes);
  }
  bool lasting() const override { return lasting_; }

 private:
  std::string text_;
  bool lasting_;
};

inline Loaded load_text(const std::string& text, FileFormat format, bool lasting = false) {
  return load(std::make_shared<TextSource>(text, lasting), format);
}

inline std::string saved(const Loaded& all, FileFormat format, bool deflated = false) {
  TextSink to;
  TextMetadata texts;
  switch (format) {
    case FileFormat::npy: save(to, *all.array); break;
    case FileFormat::npz: deflated ? savez_compressed(to, all.arrays) : savez(to, all.arrays); break;
    case FileFormat::safetensors:
      for (const auto& [key, value] : all.metadata) texts[key] = std::get<std::string>(value);
      save_safetensors(to, all.arrays, texts);
      break;
    case FileFormat::gguf: save_gguf(to, all.arrays, all.metadata); break;
  }
  return to.text;
}

/// Whether this build compresses: -DPLAIT_ZLIB=OFF leaves that out.
inline bool deflates() {
  TextSink to;
  try {
    savez_compressed(to, {{"x", Array(true)}});
  } catch (const FileError&) {
    return false;
  }
  return true;
}

/// Valid files of a format that together hold most of what it has.
inline std::vector<std::string> seed_files(FileFormat format) {
  const Array m = Array::from<float>(std::vector<float>{1, 2, 3, 4, 5, 6}, {2, 3});
  const Array none = Array::from<int8_t>(std::vector<int8_t>{}, {0, 2});
  if (format == FileFormat::npy) {
    std::vector<std::string> out;
    for (const DType d : {DType::bool_, DType::float32, DType::bfloat16, DType::complex64})
      out.push_back(saved({.array = astype(m, d)}, format));
    const std::string elements(24, '\1');
    for (const char* text : {"{'descr': '>f4', 'fortran_order': True, 'shape': (2, 3), }\n",
                             "{\"shape\":(3L,),'descr':'>c8','fortran_order':False}", "{'descr': [('a', '<i4')]}"})
      for (const char version : {'\1', '\2', '\3'}) {
        std::string file("\x93NUMPY");
        file += {version, '\0', static_cast<char>(std::strlen(text)), '\0'};
        if (version > 1) file += {'\0', '\0'};
        out.push_back(file + text + elements);
      }
    return out;
  }
  if (format == FileFormat::gguf) {
    const Metadata metadata{{"text", "value"},
                            {"list", std::vector<std::string>{"a", ""}},
                            {"number", Array(1.5f)},
                            {"numbers", Array::from<uint8_t>(std::vector<uint8_t>{1, 2}, {2})},
                            {"general.alignment", Array(Scalar(8), DType::uint32)}};
    std::string blocks =
        saved({.arrays = {{"a.weight", Array::from<int8_t>(std::vector<int8_t>(288, 1), {288})}}}, format);
    std::vector<std::string> out{saved({.arrays = {{"m", m}, {"none", none}}, .metadata = metadata}, format)};
    // The tensor's first extent becomes that of one row of blocks, and its type each of those with blocks.
    const size_t extent_at = blocks.find("a.weight") + 12, type_at = extent_at + 8;
    for (const char type : {2, 3, 6, 7, 8, 10, 11, 12, 13, 14}) {
      const uint64_t extent = type < 10 ? 64 : 256;
      std::memcpy(blocks.data() + extent_at, &extent, sizeof extent);
      blocks[type_at] = type;
      out.push_back(blocks);
    }
    return out;
  }
  const NamedArrays arrays{{"m", m}, {"none", none}, {"half", astype(m, DType::float16)}, {"one", Array(true)}};
  if (format == FileFormat::npz)
    return {saved({.arrays = arrays}, format), saved({.arrays = arrays}, format, deflates()), saved({}, format)};
  return {saved({.arrays = arrays, .metadata = {{"key", "a \"text\"\n"}}}, format), saved({}, format)};
}

/// Reads a file that may hold anything. True when it was one of the format: then what is read is written again and read to be
/// the same. Errors: InternalError and what is none of plait's, which are defects.
inline bool try_file(const std::string& text, FileFormat format) {
  Loaded first;
  try {
    first = load_text(text, format, true);
    for (const auto& [name, array] : first.arrays) array.eval();
    (void)load_text(text, format, false);
  } catch (const UserError&) {
    return false;
  }
  std::string again;
  try {
    again = saved(first, format);
  } catch (const UserError&) {
    return true;  // what GGUF holds in other types
  }
  check_internal(again == saved(load_text(again, format), format), "a file was not read as it was written");
  return true;
}

}  // namespace plait::fuzz
