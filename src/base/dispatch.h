// The one switch over dtypes.
#pragma once

#include <complex>
#include <cstdint>

#include "plait/dtype.h"
#include "plait/error.h"

namespace plait {

/// Calls `f.template operator()<T>()` with the C++ type that holds an element of `d`: float16_t and bfloat16_t for the 16-bit
/// floats, std::complex<float> for complex64.
template <class F>
decltype(auto) dispatch(DType d, F&& f) {
  switch (d) {
    case DType::bool_: return f.template operator()<bool>();
    case DType::uint8: return f.template operator()<uint8_t>();
    case DType::uint16: return f.template operator()<uint16_t>();
    case DType::uint32: return f.template operator()<uint32_t>();
    case DType::uint64: return f.template operator()<uint64_t>();
    case DType::int8: return f.template operator()<int8_t>();
    case DType::int16: return f.template operator()<int16_t>();
    case DType::int32: return f.template operator()<int32_t>();
    case DType::int64: return f.template operator()<int64_t>();
    case DType::float16: return f.template operator()<float16_t>();
    case DType::bfloat16: return f.template operator()<bfloat16_t>();
    case DType::float32: return f.template operator()<float>();
    case DType::float64: return f.template operator()<double>();
    case DType::complex64: return f.template operator()<std::complex<float>>();
  }
  throw InternalError("dispatch: not a dtype");
}

}  // namespace plait
