#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "plait/dtype.h"
#include "plait/scalar.h"

/// What is asked about dtypes.
namespace plait {

/// Limits of a dtype of floats; complex64 has those of float32. Errors: DTypeError for another dtype.
struct PLAIT_API finfo {
  explicit finfo(DType d);
  DType dtype;
  int bits = 0;
  double min = 0, max = 0, eps = 0, smallest_normal = 0;
};

/// Limits of a dtype of integers. Errors: DTypeError for another dtype.
struct PLAIT_API iinfo {
  explicit iinfo(DType d);
  DType dtype;
  int64_t min = 0;
  uint64_t max = 0;
};

/// Whether a dtype or a set of them (plait::dtypes) lies within a set.
constexpr bool issubdtype(DType d, DTypes set) { return is_in(d, set); }
constexpr bool issubdtype(DTypes a, DTypes b) { return (a & ~b) == 0; }
/// Whether a dtype is of a kind, as the array API standard names them: "integral", "real floating", ... Errors: ArgumentError.
PLAIT_API bool isdtype(DType d, std::string_view kind);
/// Whether every value of one dtype has a place in another, as promotion sees it.
PLAIT_API bool can_cast(DType from, DType to);
/// The dtype that all of them meet in: that of their sum. Numbers follow that of the others. Errors: ArgumentError without dtypes.
PLAIT_API DType result_type(std::span<const DType> of, std::span<const Scalar> numbers = {});

}  // namespace plait
