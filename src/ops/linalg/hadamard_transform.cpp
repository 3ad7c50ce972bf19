#include <array>
#include <bit>
#include <cmath>
#include <string_view>

#include "ops/prelude.h"

namespace plait {
namespace {

using Signs = std::vector<float>;  // n x n

/// Sylvester's: n is a power of two.
Signs sylvester(int64_t n) {
  Signs h;
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < n; ++j) h.push_back(std::popcount(static_cast<uint64_t>(i & j)) % 2 ? -1.0f : 1.0f);
  return h;
}

/// Paley's second construction with q = 5: blocks of 2 x 2 in the pattern of a conference matrix of order 6.
Signs paley_12() {
  constexpr std::string_view residues = "0+--+";  // of i - j modulo 5
  Signs h;
  for (int i = 0; i < 12; ++i)
    for (int j = 0; j < 12; ++j) {
      const int p = i / 2, q = j / 2;
      const bool both = i % 2 && j % 2;
      if (p == q)
        h.push_back(i % 2 == 0 && j % 2 == 0 ? 1.0f : -1.0f);
      else
        h.push_back((p == 0 || q == 0 || residues[static_cast<size_t>(p - q + 5) % 5] == '+') != both ? 1.0f : -1.0f);
    }
  return h;
}

/// Williamson's form: four by four blocks, each given by its first row, which moves right by one from row to row.
Signs of_circulants(const std::array<std::string_view, 16>& blocks) {
  const size_t w = blocks[0].size(), n = 4 * w;
  Signs h;
  for (size_t i = 0; i < n; ++i)
    for (size_t j = 0; j < n; ++j)
      h.push_back(blocks[i / w * 4 + j / w][(j % w + w - i % w) % w] == '+' ? 1.0f : -1.0f);
  return h;
}

Signs matrix_of(int64_t m) {
  switch (m) {
    case 12: return paley_12();
    case 20:
      return of_circulants({"+----", "+----", "++--+", "+-++-", "-++++", "+----", "-+--+", "++--+",  //
                            "--++-", "+-++-", "+----", "-++++", "-+--+", "--++-", "+----", "+----"});
    case 28:
      return of_circulants({"+------", "++----+", "+-+--+-", "+--++--", "--++++-", "+------", "-++--++", "+-+--+-",
                            "-+-++-+", "+--++--", "+------", "--++++-", "-++--++", "-+-++-+", "++----+", "+------"});
    default: return sylvester(m);
  }
}

/// The size that a power of two multiplies: 1, 12, 20, 28; 0 where n has no such form.
int64_t base_of(int64_t n) {
  for (const int64_t m : {1, 12, 20, 28})
    if (n > 0 && n % m == 0 && std::has_single_bit(static_cast<uint64_t>(n / m))) return m;
  return 0;
}

}  // namespace

Array hadamard_transform(const Array& a, std::optional<double> scale) {
  const auto reject = [](std::string got) {
    throw ArgumentError({.op = "hadamard_transform",
                         .got = std::move(got),
                         .accepts = "a last axis of m 2**k elements, m being 1, 12, 20 or 28"});
  };
  const Array x = converted(a, at_least_float(a.dtype()));
  if (x.rank() == 0) return scale ? multiply(x, Array(Scalar(*scale), x.dtype())) : x;
  const int64_t n = x.shape()[x.rank() - 1].value(), m = base_of(n);
  if (m == 0) reject("an axis of " + std::to_string(n) + " elements");

  // H of n is that of m and those of powers of two, one inside the other: a product along an axis of each. The scale goes
  // where numbers are smallest, so that 16-bit floats do not overflow on the way.
  constexpr int64_t kMost = 32;
  const double factor = scale.value_or(1 / std::sqrt(static_cast<double>(n)));
  Array y = multiply(x, Array(Scalar(factor), x.dtype()));
  Dim rows(1);
  for (int i = 0; i + 1 < x.rank(); ++i) rows = rows * x.shape()[i];
  int64_t before = 1, left = n;
  for (int64_t f = m == 1 ? std::min(n, kMost) : m; left > 1; f = std::min(left, kMost)) {
    left /= f;
    y = reshape(y, Shape{rows * Dim(before), Dim(f), Dim(left)});
    y = matmul(converted(Array::from<float>(matrix_of(f), Shape{f, f}), y.dtype()), y);
    before *= f;
  }
  return reshape(y, x.shape());
}

void register_hadamard_transform(OpRegistry& ops) {
  ops.function("hadamard_transform")
      .signature("(a: array, scale: float | None = None, stream: StreamOrDevice = None) -> array")
      .summary("Product of a Hadamard matrix, whose rows of signs are orthogonal, with the last axis.")
      .details(
          "The axis has m 2**k elements, m being 1, 12, 20 or 28: Sylvester's matrix of 2**k, inside Paley's of 12 or Williamson's of 20 or 28. scale: a factor of the result, 1 / sqrt(n) by default, which makes the transform orthogonal. Dtype: float32 for integers and bool. Errors: ValueError for other sizes.")
      .oracle("oracle.hadamard_transform(a, scale)")
      .sample("(2, 8)")
      .sample("(3, 12)", "scale=1.0")
      .sample("(40,)")
      .sample("(2, 2, 28)")
      .sample("(1,)")
      .sample("(2, 64)")
      .sample("(0, 4)")
      .rejects("(11,)", "", "ValueError")
      .rejects("(2, 0)", "", "ValueError");
}

}  // namespace plait
