// Packed numbers on the device: unpacking, and products of few rows with packed matrices in place.
#pragma once

#include <cstdint>

#include "backends/cuda/kernels/launch.h"
#include "backends/packed_numbers.h"

namespace plait::cuda {

/// Calls f.template operator()<Codes, bits>() with the format's.
template <class F>
decltype(auto) dispatch_format(const packed::Format& format, F&& f) {
  using packed::Codes;
  switch (format.codes) {
    case Codes::mxfp4: return f.template operator()<Codes::mxfp4, 4>();
    case Codes::mxfp8: return f.template operator()<Codes::mxfp8, 8>();
    case Codes::nvfp4: return f.template operator()<Codes::nvfp4, 4>();
    default: break;
  }
  switch (format.bits) {
    case 2: return f.template operator()<Codes::affine, 2>();
    case 3: return f.template operator()<Codes::affine, 3>();
    case 4: return f.template operator()<Codes::affine, 4>();
    case 5: return f.template operator()<Codes::affine, 5>();
    case 6: return f.template operator()<Codes::affine, 6>();
    default: return f.template operator()<Codes::affine, 8>();
  }
}

/// Rows of packed numbers, `words_row` words and `groups_row` scales behind each other; of the matrix whose number the device finds
/// at `pick` (null: the first), each of `matrix_rows` rows. A number below 0 stands for zeros.
struct PackedRows {
  const uint32_t* words = nullptr;
  const void *scales = nullptr, *biases = nullptr;
  int64_t words_row = 0, groups_row = 0;
  const int64_t* pick = nullptr;
  int64_t matrix_rows = 0;
};

/// How numbers of mode affine are rounded to 16 bits: the product before the bias is added as well, or once.
enum class Rounding : uint8_t { twice, once };

/// The first n numbers (a multiple of 8) of `rows` rows, row-major; `dtype` is theirs, and of scales and biases in affine mode.
/// `overflowed`, where it is not null, becomes 1 when float16 does not hold one of them, which is infinite then.
void unpack(const Work& work, const packed::Format& format, DType dtype, const PackedRows& from, int64_t rows,
            int64_t n, void* to, Rounding rounding, int* overflowed = nullptr);

/// Positions of x and of packed matrices, -1 for what lies outside; on the device.
struct Picks {
  const int64_t *lhs = nullptr, *rhs = nullptr;
};
/// The last two inputs as positions in axes of so many matrices; what lies outside is noted.
Picks read_picks(Work& work, const KernelArgs& args, int64_t matrices_of_x, int64_t packed_matrices);
/// A copy of the matrix of so many bytes that *pick names; zeros for -1.
void copy_picked(const Work& work, void* to, const void* from, const int64_t* pick, int64_t bytes);

/// Matrices that meet in a product. Addresses of the first; axes of the batch, innermost first, whose steps count bytes. Of picked ones
/// there is one axis, that of all matrices.
struct Operands {
  const char *x = nullptr, *words = nullptr, *scales = nullptr, *biases = nullptr;
};
struct Meeting {
  static constexpr int kMostAxes = 6;
  int rank = 0;
  int64_t count = 1;
  int64_t extent[kMostAxes] = {};
  int64_t x[kMostAxes] = {}, words[kMostAxes] = {}, scales[kMostAxes] = {}, biases[kMostAxes] = {};
};

/// Products of m rows of x, each k long and `x_row` elements behind the one before, with packed matrices whose rows are row-major.
struct FewRows {
  Operands first;
  Meeting meeting;
  Picks picks;  // for each product of the batch, or none
  char* out = nullptr;  // (batch, m, n), row-major
  int64_t m = 0, n = 0, k = 0, x_row = 0;
  int64_t words_row = 0, groups_row = 0;
  int group = 64;
  DType dtype = DType::float32;  // of x and the result, of scales and biases in affine mode
};

/// Axes of the batch along which operands move: that of all matrices where they are picked.
inline int axes_of(const FewRows& p) { return p.picks.rhs ? 1 : p.meeting.rank; }

/// The most rows of x for which packed numbers are multiplied in place: of 16-bit floats, and of float32, which loses nothing when
/// numbers are unpacked to it.
inline constexpr int64_t kMostHalfRows = 32, kMostFloatRows = 8;
/// The longest single row that waits in a multiprocessor's shared memory.
inline constexpr int64_t kMostRowColumns = 40 << 10;

/// out = x w^T, w (n, k), by tensor cores, m up to kMostHalfRows: x of a 16-bit float begins with 16 aligned bytes, and so do its
/// rows.
void multiply_rows_float16(const Work& work, const packed::Format& format, const FewRows& p);
void multiply_rows_bfloat16(const Work& work, const packed::Format& format, const FewRows& p);
/// The same for one row of x, much faster; see takes_one_row().
void multiply_row_float16(const Work& work, const packed::Format& format, const FewRows& p);
void multiply_row_bfloat16(const Work& work, const packed::Format& format, const FewRows& p);
/// Without tensor cores, x of float32, neighbouring elements of its rows together.
void multiply_rows_plain(const Work& work, const packed::Format& format, const FewRows& p);
/// out = x w, w (k, n). Neighbouring elements of the rows of x lie together.
void multiply_columns(Work& work, const packed::Format& format, const FewRows& p);
/// Where *overflowed is not 0: what is not finite of products of any number of rows, float16, once more, by plain loops in float.
void multiply_again(const Work& work, const packed::Format& format, const FewRows& p, bool transpose,
                    const int* overflowed);

}  // namespace plait::cuda
