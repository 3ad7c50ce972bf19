#include "io/npy.h"

#include <algorithm>
#include <array>
#include <optional>

#include "io/npy_header.h"

namespace plait::io {
namespace {

constexpr std::string_view kMagic("\x93NUMPY", 6);
constexpr uint64_t kAlignment = 64;
constexpr uint64_t kLongestHeader = uint64_t{1} << 20;

struct Descr {
  DType dtype;
  std::string_view text;
};
// bfloat16, which NumPy does not know, is written as raw elements of two bytes.
constexpr Descr kDescrs[] = {
    {DType::bool_, "b1"},   {DType::uint8, "u1"},     {DType::uint16, "u2"},   {DType::uint32, "u4"},
    {DType::uint64, "u8"},  {DType::int8, "i1"},      {DType::int16, "i2"},    {DType::int32, "i4"},
    {DType::int64, "i8"},   {DType::float16, "f2"},   {DType::bfloat16, "V2"}, {DType::float32, "f4"},
    {DType::float64, "f8"}, {DType::complex64, "c8"},
};

[[noreturn]] void reject_dtype(const Reading& reading, const std::string& descr) {
  const bool wide = descr.ends_with("c16");
  throw DTypeError(
      {.op = reading.op,
       .got = reading.file + ": elements of NumPy's type '" + descr + "'",
       .accepts = "bool, integers and floats of at most 8 bytes, complex64, and V2, which is read as bfloat16",
       .hint = wide ? "complex128: convert it with NumPy's astype('complex64') first"
                    : "convert it with NumPy's astype first"});
}

struct Elements {
  DType dtype;
  bool swapped;
};

Elements elements_of(const Reading& reading, const std::string& descr) {
  const std::string_view order = "<>|=";
  if (descr.size() >= 2 && order.find(descr[0]) != std::string_view::npos)
    for (const Descr& known : kDescrs)
      if (descr.substr(1) == known.text) return {known.dtype, descr[0] == '>' && size_of(known.dtype) > 1};
  reject_dtype(reading, descr);
}

Strides column_major_strides(const Shape& shape) {
  Strides strides(shape.size());
  int64_t step = 1;
  for (size_t i = 0; i < shape.size(); ++i) {
    strides[i] = step;
    step *= std::max<int64_t>(shape[i].value(), 1);
  }
  return strides;
}

}  // namespace

ReadNpy read_npy(const Reading& reading, uint64_t available, FunctionRef<void(char* to, uint64_t bytes)> next) {
  std::array<char, 12> start{};
  const auto number = [&](size_t at, size_t bytes) {
    uint64_t v = 0;
    for (size_t i = 0; i < bytes; ++i) v |= uint64_t{static_cast<uint8_t>(start[at + i])} << (8 * i);
    return v;
  };
  if (available < 10)
    reading.reject(std::to_string(available) + " bytes", "a file in npy format, of 10 bytes and more");
  next(start.data(), 8);
  if (std::string_view(start.data(), 6) != kMagic)
    reading.reject("no npy file: it begins otherwise", "files that begin with \\x93NUMPY");
  const auto version = static_cast<uint8_t>(start[6]);
  if (version < 1 || version > 3)
    reading.reject("version " + std::to_string(version) + " of the npy format", "versions 1, 2 and 3");
  const uint64_t length_bytes = version == 1 ? 2 : 4;
  if (available < 8 + length_bytes) reading.reject("the end within the length of the header", "whole files");
  next(start.data() + 8, length_bytes);
  const uint64_t length = number(8, length_bytes), header_end = 8 + length_bytes + length;
  if (length > kLongestHeader || header_end > available)
    reading.reject("a header of " + std::to_string(length) + " bytes",
                   "one that the file holds, and at most " + std::to_string(kLongestHeader) + " bytes");
  std::string text(length, '\0');
  next(text.data(), length);

  const NpyHeader header = parse_npy_header(reading, text);
  if (header.structured) reject_dtype(reading, header.descr);
  const Elements elements = elements_of(reading, header.descr);
  const uint64_t bytes = checked_bytes(reading, "an array", header.extents, size_of(elements.dtype));
  if (bytes > available - header_end)
    reading.reject(std::to_string(available - header_end) + " bytes of elements",
                   std::to_string(bytes) + ", which the header announces");
  const Aval aval{shape_of(header.extents), elements.dtype};
  Storage storage = allocate_storage(aval);
  next(storage.data(), bytes);
  if (elements.swapped)
    swap_bytes(storage.data(), bytes, elements.dtype == DType::complex64 ? 4 : size_of(elements.dtype));
  if (elements.dtype == DType::bool_) settle_bools(storage.data(), bytes);
  if (header.fortran_order) {
    storage.strides = column_major_strides(aval.shape);
    storage.row_major = is_row_major(aval.shape, storage.strides);
  }
  return {make_evaluated(std::move(storage), aval), header_end + bytes};
}

std::string npy_header(const Aval& aval) {
  std::string descr;
  for (const Descr& known : kDescrs)
    if (known.dtype == aval.dtype) descr = std::string(size_of(aval.dtype) == 1 ? "|" : "<") + std::string(known.text);
  std::string shape = "(";
  for (size_t i = 0; i < aval.shape.size(); ++i) shape += (i > 0 ? ", " : "") + std::to_string(aval.shape[i].value());
  shape += aval.shape.size() == 1 ? ",)" : ")";
  std::string text = "{'descr': '" + descr + "', 'fortran_order': False, 'shape': " + shape + ", }";
  text.append(kAlignment - (10 + text.size() + 1) % kAlignment, ' ');
  text += '\n';
  std::string out(kMagic);
  out += {'\1', '\0', static_cast<char>(text.size()), static_cast<char>(text.size() >> 8)};
  return out + text;  // 64 axes fit into 16 bits of length
}

}  // namespace plait::io
