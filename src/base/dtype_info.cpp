#include "plait/dtype_info.h"

#include <cmath>
#include <string>
#include <utility>

#include "plait/error.h"

namespace plait {
namespace {

constexpr std::pair<std::string_view, DTypes> kKinds[] = {
    {"bool", dtypes::boolean},
    {"signed integer", dtypes::signed_integer},
    {"unsigned integer", dtypes::unsigned_integer},
    {"integral", dtypes::integer},
    {"real floating", dtypes::floating},
    {"complex floating", dtypes::complex},
    {"numeric", dtypes::numeric},
};

}  // namespace

finfo::finfo(DType d) : dtype(d == DType::complex64 ? DType::float32 : d), bits(8 * size_of(dtype)) {
  const auto set = [this](double largest, int digits, int lowest) {
    min = -largest;
    max = largest;
    eps = std::ldexp(1.0, -digits);
    smallest_normal = std::ldexp(1.0, lowest);
  };
  switch (dtype) {
    case DType::float16: set(65504, 10, -14); break;
    case DType::bfloat16: set(std::ldexp(255.0 / 128, 127), 7, -126); break;
    case DType::float32: set(static_cast<double>(3.402823466385288598e+38f), 23, -126); break;
    case DType::float64: set(1.7976931348623157e+308, 52, -1022); break;
    default:
      throw DTypeError({.op = "finfo",
                        .got = "dtype " + std::string(name_of(d)),
                        .accepts = "a dtype of floats or complex numbers",
                        .hint = "iinfo describes integers"});
  }
}

iinfo::iinfo(DType d) : dtype(d) {
  if (!is_integer(d))
    throw DTypeError({.op = "iinfo",
                      .got = "dtype " + std::string(name_of(d)),
                      .accepts = "a dtype of integers",
                      .hint = "finfo describes floats"});
  const bool is_signed = is_in(d, dtypes::signed_integer);
  const int digits = 8 * size_of(d) - (is_signed ? 1 : 0);
  max = ~uint64_t{0} >> (64 - digits);
  if (is_signed) min = -1 - static_cast<int64_t>(max);
}

bool isdtype(DType d, std::string_view kind) {
  std::string names;
  for (const auto& [name, set] : kKinds) {
    if (name == kind) return is_in(d, set);
    names += (names.empty() ? "" : ", ") + std::string(name);
  }
  throw ArgumentError({.op = "isdtype", .got = "the kind '" + std::string(kind) + "'", .accepts = names});
}

bool can_cast(DType from, DType to) { return promote(from, to) == to; }

DType result_type(std::span<const DType> of, std::span<const Scalar> numbers) {
  if (of.empty())
    throw ArgumentError({.op = "result_type",
                         .got = numbers.empty() ? "no argument" : "numbers alone",
                         .accepts = "at least one array or Dtype"});
  DType common = of[0];
  for (const DType d : of) common = promote(common, d);
  for (const Scalar& s : numbers) common = s.dtype_with(common);
  return common;
}

}  // namespace plait
