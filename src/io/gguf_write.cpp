#include "io/bytes.h"
#include "io/gguf_format.h"
#include "io/writing.h"

namespace plait::io {
namespace {

using namespace gguf;

constexpr const char* kOp = "save_gguf";
constexpr uint32_t kMostAlignment = 1 << 20;

void text(ByteWriter& to, std::string_view text) {
  to.u64(text.size());
  to.append(text);
}

const TensorType& type_of(const std::string& name, const Array& array) {
  for (const TensorType& type : kTensorTypes)
    if (type.becomes == Becomes::elements && type.dtype == array.dtype() &&
        is_in(type.dtype, dtype_bit(DType::float32) | dtype_bit(DType::float16) | dtype_bit(DType::int8) |
                              dtype_bit(DType::int16) | dtype_bit(DType::int32)))
      return type;
  throw FileError({.op = kOp,
                   .got = "the array " + name + " of dtype " + std::string(name_of(array.dtype())),
                   .accepts = "float32, float16, int8, int16, int32",
                   .hint = "convert it with astype first, or use save_safetensors"});
}

uint32_t type_of_value(const std::string& key, const Array& value) {
  if (value.rank() > 1)
    throw FileError({.op = kOp,
                     .got = "the value " + key + " of shape " + to_string(value.shape()),
                     .accepts = "arrays of at most one axis as metadata"});
  for (const ValueType& type : kValueTypes)
    if (type.dtype == value.dtype() && type.dtype != DType::float64) return type.code;
  throw DTypeError({.op = kOp,
                    .got = "the value " + key + " of dtype " + std::string(name_of(value.dtype())),
                    .accepts = "bool, integers and float32 as metadata"});
}

void write_value(ByteWriter& to, const std::string& key, const MetadataValue& value) {
  text(to, key);
  if (const auto* one = std::get_if<std::string>(&value)) {
    to.u32(kString);
    text(to, *one);
  } else if (const auto* list = std::get_if<std::vector<std::string>>(&value)) {
    to.u32(kArray);
    to.u32(kString);
    to.u64(list->size());
    for (const std::string& element : *list) text(to, element);
  } else {
    const Array array = ready(std::get<Array>(value));
    const uint32_t type = type_of_value(key, array);
    const auto elements = elements_of(array);
    if (array.rank() == 1) to.u32(kArray);
    to.u32(type);
    if (array.rank() == 1) to.u64(static_cast<uint64_t>(array.size()));
    to.append({elements.data(), elements.size()});
  }
}

uint64_t alignment_of(const Metadata& metadata) {
  const auto found = metadata.find(std::string(kAlignmentKey));
  if (found == metadata.end()) return kAlignment;
  const Array* given = std::get_if<Array>(&found->second);
  const uint32_t unit =
      given != nullptr && given->rank() == 0 && given->dtype() == DType::uint32 ? given->item<uint32_t>() : 0;
  if (unit == 0 || unit > kMostAlignment || (unit & (unit - 1)) != 0)
    throw ArgumentError({.op = kOp,
                         .got = "a general.alignment that is none",
                         .accepts = "a power of two of at most 2^20, as one uint32"});
  return unit;
}

uint64_t padding(uint64_t at, uint64_t unit) { return (unit - at % unit) % unit; }

}  // namespace

void write_gguf(ByteSink& to, const NamedArrays& arrays, const Metadata& metadata) {
  const uint64_t unit = alignment_of(metadata);
  ByteWriter header;
  header.u32(kMagic);
  header.u32(kVersion);
  header.u64(arrays.size());
  header.u64(metadata.size());
  for (const auto& [key, value] : metadata) write_value(header, key, value);
  uint64_t offset = 0;
  for (const auto& [name, array] : arrays) {
    text(header, name);
    header.u32(static_cast<uint32_t>(array.rank()));
    for (int axis = array.rank(); axis-- > 0;) header.i64(array.dim(axis).value());
    header.u32(type_of(name, array).code);
    header.u64(offset);
    offset += static_cast<uint64_t>(array.nbytes());
    offset += padding(offset, unit);
  }
  const std::string zeros(unit, '\0');
  to.write(header.bytes().data(), header.size());
  to.write(zeros.data(), padding(header.size(), unit));
  for (const auto& [name, array] : arrays) {
    const auto elements = elements_of(array);
    to.write(elements.data(), elements.size());
    to.write(zeros.data(), padding(elements.size(), unit));
  }
}

}  // namespace plait::io
