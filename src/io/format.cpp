#include <atomic>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <ostream>

#include "graph/node.h"
#include "plait/print.h"

namespace plait {
namespace {

constexpr int64_t kEdge = 3;  // entries shown at either end of an axis that is longer than two edges

std::atomic<int> default_precision{-1};

template <class T>
T read(const char* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

void append_float(std::string& out, double value, int precision) {
  char text[400];
  const int length = precision < 0 ? std::snprintf(text, sizeof text, "%g", value)
                                   : std::snprintf(text, sizeof text, "%.*f", precision, value);
  out.append(text, static_cast<size_t>(std::min<int>(length, sizeof text - 1)));
}

void append_complex(std::string& out, complex64_t value, int precision) {
  append_float(out, value.re, precision);
  std::string imaginary;
  append_float(imaginary, value.im, precision);
  if (imaginary[0] != '-') out += '+';
  out += imaginary + 'j';
}

void append_element(std::string& out, DType dtype, const char* at, int precision) {
  switch (dtype) {
    case DType::bool_: out += *at != 0 ? "True" : "False"; break;
    case DType::uint8: out += std::to_string(read<uint8_t>(at)); break;
    case DType::uint16: out += std::to_string(read<uint16_t>(at)); break;
    case DType::uint32: out += std::to_string(read<uint32_t>(at)); break;
    case DType::uint64: out += std::to_string(read<uint64_t>(at)); break;
    case DType::int8: out += std::to_string(read<int8_t>(at)); break;
    case DType::int16: out += std::to_string(read<int16_t>(at)); break;
    case DType::int32: out += std::to_string(read<int32_t>(at)); break;
    case DType::int64: out += std::to_string(read<int64_t>(at)); break;
    case DType::float16: append_float(out, static_cast<float>(read<float16_t>(at)), precision); break;
    case DType::bfloat16: append_float(out, static_cast<float>(read<bfloat16_t>(at)), precision); break;
    case DType::float32: append_float(out, read<float>(at), precision); break;
    case DType::float64: append_float(out, read<double>(at), precision); break;
    case DType::complex64: append_complex(out, read<complex64_t>(at), precision); break;
  }
}

struct Printer {
  const Storage& storage;
  const Shape& shape;
  DType dtype;
  int precision;
  std::string out;

  void print(int axis, const char* at) {
    if (axis == shape.rank()) {
      append_element(out, dtype, at, precision);
      return;
    }
    const int64_t count = shape[static_cast<size_t>(axis)].value();
    const int64_t step = storage.strides[static_cast<size_t>(axis)] * size_of(dtype);
    const bool innermost = axis + 1 == shape.rank();
    const std::string separator = innermost ? ", " : ",\n" + std::string(static_cast<size_t>(axis) + 7, ' ');
    const bool shortened = count > 2 * kEdge;
    out += '[';
    for (int64_t i = 0; i < count; ++i) {
      if (shortened && i == kEdge) {
        out += separator + "...";
        i = count - kEdge;
      }
      if (i > 0) out += separator;
      print(axis + 1, at + i * step);
    }
    out += ']';
  }
};

}  // namespace

PrintOptions print_options() { return {default_precision.load()}; }
void set_print_options(PrintOptions options) { default_precision.store(options.precision); }

std::string to_string(const Array& array) { return to_string(array, print_options()); }

std::string to_string(const Array& array, PrintOptions options) {
  const Storage& storage = evaluated_storage(array);
  Printer printer{storage, array.shape(), array.dtype(), std::min(options.precision, 60), "array("};
  printer.print(0, storage.data());
  return printer.out + ", dtype=" + std::string(name_of(array.dtype())) + ")";
}

std::ostream& operator<<(std::ostream& out, const Array& array) { return out << to_string(array); }

}  // namespace plait
