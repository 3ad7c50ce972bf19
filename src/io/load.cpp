#include "io/file.h"
#include "io/gguf.h"
#include "io/npy.h"
#include "io/npz.h"
#include "io/reading.h"
#include "io/safetensors.h"
#include "io/writing.h"

namespace plait {
namespace {

using io::Reading;

constexpr const char* kFormats = "npy, npz, safetensors, gguf";

Array first_array(const Reading& reading, const ByteSource& source, bool alone) {
  uint64_t at = 0;
  const io::ReadNpy read = io::read_npy(reading, source.size(), [&](char* to, uint64_t bytes) {
    io::read_bytes(source, at, to, bytes);
    at += bytes;
  });
  if (alone && read.bytes != source.size())
    reading.reject(std::to_string(source.size() - read.bytes) + " bytes behind the array", "none",
                   "a file that holds several arrays has to be opened, and each of them loaded from it");
  return read.array;
}

Loaded loaded(const Reading& reading, const std::shared_ptr<const ByteSource>& source, FileFormat format, bool alone) {
  switch (format) {
    case FileFormat::npy: return {.array = first_array(reading, *source, alone)};
    case FileFormat::npz: return {.arrays = io::read_npz(reading, *source)};
    case FileFormat::safetensors: return io::read_safetensors(reading, source);
    case FileFormat::gguf: return io::read_gguf(reading, source);
  }
  throw InternalError("a format without a name");
}

/// Writes to the file, which takes its name at the end.
template <class Write>
void write_file(std::string_view op, std::string path, std::string_view ending, Write write) {
  if (!path.ends_with(ending)) path += ending;
  io::FileSink sink(op, path);
  write(sink);
  sink.commit();
}

}  // namespace

FileFormat file_format(std::string_view name) {
  if (name == "npy") return FileFormat::npy;
  if (name == "npz") return FileFormat::npz;
  if (name == "safetensors") return FileFormat::safetensors;
  if (name == "gguf") return FileFormat::gguf;
  throw ArgumentError({.op = "load", .got = "the format '" + std::string(name) + "'", .accepts = kFormats});
}

FileFormat file_format_of_path(std::string_view path) {
  const size_t dot = path.rfind('.');
  if (dot == std::string_view::npos || path.find('/', dot) != std::string_view::npos)
    throw ArgumentError({.op = "load",
                         .got = "a name without an ending: " + std::string(path),
                         .accepts = std::string("the endings ") + kFormats,
                         .hint = "format='npy' says what a file holds whose name does not"});
  return file_format(path.substr(dot + 1));
}

Loaded load(const std::string& path, std::optional<FileFormat> format) {
  if (!format) format = file_format_of_path(path);
  const auto file = std::make_shared<io::InputFile>("load", path);
  Loaded out = loaded({"load", path}, file, *format, true);
  file->check_unchanged();
  return out;
}

Loaded load(const std::shared_ptr<const ByteSource>& source, FileFormat format) {
  return loaded({"load", source->name()}, source, format, false);
}

void save(ByteSink& to, const Array& array) { io::write_npy(to, io::ready(array)); }
void save(const std::string& path, const Array& array) {
  write_file("save", path, ".npy", [ready = io::ready(array)](ByteSink& to) { io::write_npy(to, ready); });
}

void savez(ByteSink& to, const NamedArrays& arrays) { io::write_npz(to, io::ready(arrays), false); }
void savez(const std::string& path, const NamedArrays& arrays) {
  write_file("savez", path, ".npz", [ready = io::ready(arrays)](ByteSink& to) { io::write_npz(to, ready, false); });
}

void savez_compressed(ByteSink& to, const NamedArrays& arrays) { io::write_npz(to, io::ready(arrays), true); }
void savez_compressed(const std::string& path, const NamedArrays& arrays) {
  write_file("savez_compressed", path, ".npz",
             [ready = io::ready(arrays)](ByteSink& to) { io::write_npz(to, ready, true); });
}

void save_safetensors(ByteSink& to, const NamedArrays& arrays, const TextMetadata& metadata) {
  io::write_safetensors(to, io::ready(arrays), metadata);
}
void save_safetensors(const std::string& path, const NamedArrays& arrays, const TextMetadata& metadata) {
  write_file("save_safetensors", path, ".safetensors",
             [ready = io::ready(arrays), &metadata](ByteSink& to) { io::write_safetensors(to, ready, metadata); });
}

void save_gguf(ByteSink& to, const NamedArrays& arrays, const Metadata& metadata) {
  io::write_gguf(to, io::ready(arrays), metadata);
}
void save_gguf(const std::string& path, const NamedArrays& arrays, const Metadata& metadata) {
  write_file("save_gguf", path, ".gguf",
             [ready = io::ready(arrays), &metadata](ByteSink& to) { io::write_gguf(to, ready, metadata); });
}

}  // namespace plait
