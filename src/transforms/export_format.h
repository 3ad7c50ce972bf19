#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "io/bytes.h"
#include "transforms/exported.h"

/// The file of an exported function; docs/export.md has it byte by byte.
namespace plait::export_format {

inline constexpr std::string_view kMagic("\x89PLTF\r\n\x1a", 8);
inline constexpr uint32_t kVersion = 1;
inline constexpr uint64_t kHeaderBytes = 64;
inline constexpr uint64_t kAlignment = 64;  // of tensors in the file, so that they can be mapped

inline uint64_t aligned(uint64_t at) { return (at + kAlignment - 1) / kAlignment * kAlignment; }

/// The code of a type of attribute field. Errors: TransformError for a type that files do not know.
uint8_t code_of(const OpDef& op, const AttrField& field);

/// A file to be read, whatever it lies in.
struct Source {
  std::string name;
  uint64_t size = 0;
  std::function<void(uint64_t at, void* to, uint64_t bytes)> read;
};

/// Errors: FileError as plait::io::OutputFile has it; whatever evaluating a constant raises.
void write(const ExportedFunction& function, const std::string& path);

/// Errors: FileError for anything that `write` does not write, and for traces whose own example an op refuses; OutOfMemory.
ExportedFunction read(const Source& source);

}  // namespace plait::export_format
