#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "plait/array.h"
#include "plait/named_arrays.h"

/// Arrays as files: npy and npz of NumPy, safetensors, GGUF. docs/files.md says what each format holds.
///
/// Files may come from anywhere: one that is damaged or was made to harm raises. Arrays that are written are computed
/// first, and come from the memory of any device. A file of the name that is written to is replaced when the new one is
/// complete, or stays as it was.
///
/// Threads: any. Errors: FileError for a file that cannot be read or written, or that is none of its format, and for what
/// a format cannot hold; DTypeError for elements that no array has; ArgumentError; OutOfMemory.
namespace plait {

/// Bytes that are read at any position, such as a file of another library.
class PLAIT_API ByteSource {
 public:
  virtual ~ByteSource() = default;
  /// For messages.
  virtual std::string name() const = 0;
  virtual uint64_t size() const = 0;
  /// All of `bytes` bytes from `at`, which lie within `size`. Threads: as `lasting` says. Errors: what it throws leaves `load`.
  virtual void read(uint64_t at, void* to, uint64_t bytes) const = 0;
  /// Whether it may be read after `load` has returned, by several threads at once.
  virtual bool lasting() const { return false; }
};

/// Where bytes go, one behind the other.
class PLAIT_API ByteSink {
 public:
  virtual ~ByteSink() = default;
  virtual void write(const void* data, uint64_t bytes) = 0;
};

enum class FileFormat : uint8_t { npy, npz, safetensors, gguf };

/// The format of this name ("npz"), or of the ending of a file's name. Errors: ArgumentError.
PLAIT_API FileFormat file_format(std::string_view name);
PLAIT_API FileFormat file_format_of_path(std::string_view path);

/// What stands beside the arrays of a file: texts in safetensors, texts, lists of texts and arrays of at most one axis in GGUF.
using MetadataValue = std::variant<std::string, std::vector<std::string>, Array>;
using Metadata = std::map<std::string, MetadataValue>;
using TextMetadata = std::map<std::string, std::string>;

struct Loaded {
  std::optional<Array> array = {};  // of npy alone
  NamedArrays arrays = {};  // of all others
  Metadata metadata = {};
};

/// Reads a file, of the format that its ending names unless one is given. Elements of safetensors and GGUF stay in the
/// file until they are needed; FileError is raised then when it was changed meanwhile. Replacing the file by another of its
/// name, as `save` does, is no change.
PLAIT_API Loaded load(const std::string& path, std::optional<FileFormat> format = std::nullopt);
/// The same for other bytes. Of npy the first array is read, and bytes behind it are left.
PLAIT_API Loaded load(const std::shared_ptr<const ByteSource>& source, FileFormat format);

/// Writes one array in NumPy's format; ".npy" is added to a path that does not end so. All dtypes.
PLAIT_API void save(const std::string& path, const Array& array);
PLAIT_API void save(ByteSink& to, const Array& array);

/// Writes arrays as a zip archive of npy files; ".npz" is added to a path that does not end so. All dtypes.
PLAIT_API void savez(const std::string& path, const NamedArrays& arrays);
PLAIT_API void savez(ByteSink& to, const NamedArrays& arrays);
/// The same, deflated.
PLAIT_API void savez_compressed(const std::string& path, const NamedArrays& arrays);
PLAIT_API void savez_compressed(ByteSink& to, const NamedArrays& arrays);

/// Writes arrays and texts in the safetensors format; ".safetensors" is added to a path that does not end so. All dtypes.
PLAIT_API void save_safetensors(const std::string& path, const NamedArrays& arrays, const TextMetadata& metadata = {});
PLAIT_API void save_safetensors(ByteSink& to, const NamedArrays& arrays, const TextMetadata& metadata = {});

/// Writes arrays and metadata in the GGUF format, version 3; ".gguf" is added to a path that does not end so.
///
/// Dtypes: float32, float16, int8, int16, int32; of metadata all but 16-bit floats, float64 and complex64. Errors:
/// ArgumentError for metadata of another dtype.
PLAIT_API void save_gguf(const std::string& path, const NamedArrays& arrays, const Metadata& metadata = {});
PLAIT_API void save_gguf(ByteSink& to, const NamedArrays& arrays, const Metadata& metadata = {});

}  // namespace plait
