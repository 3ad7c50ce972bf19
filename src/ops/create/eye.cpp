#include "ops/create/iota.h"
#include "ops/prelude.h"

namespace plait {
namespace {

// Whether column j - row i is at most k: what a lower triangle keeps.
Array below_diagonal(Dim rows, Dim columns, int64_t k) {
  const Array i = expand_dims(iota(rows, DType::int32), 1);
  const Array j = expand_dims(iota(columns, DType::int32), 0);
  return less_equal(j, add(i, Array(Scalar(k), DType::int32)));
}

Array triangle(const char* op, const Array& x, int64_t k, bool lower) {
  if (x.rank() < 2)
    throw ShapeError({.op = op,
                      .got = "an array of shape " + to_string(x.shape()),
                      .accepts = "at least two axes",
                      .where = here()});
  const Array mask = below_diagonal(x.dim(-2), x.dim(-1), lower ? k : k - 1);
  return lower ? where(mask, x, zeros_like(x)) : where(mask, zeros_like(x), x);
}

}  // namespace

Array eye(int64_t n, std::optional<int64_t> m, int64_t k, std::optional<DType> dtype) {
  const int64_t columns = m.value_or(n);
  if (n < 0 || columns < 0)
    throw ShapeError({.op = "eye",
                      .got = std::to_string(n) + " rows and " + std::to_string(columns) + " columns",
                      .accepts = "extents of 0 and more",
                      .where = here()});
  const Array i = expand_dims(iota(n, DType::int32), 1);
  const Array j = expand_dims(iota(columns, DType::int32), 0);
  return converted(equal(j, add(i, Array(Scalar(k), DType::int32))), dtype.value_or(DType::float32));
}

Array identity(int64_t n, std::optional<DType> dtype) { return eye(n, std::nullopt, 0, dtype); }

Array tri(int64_t n, std::optional<int64_t> m, int64_t k, std::optional<DType> dtype) {
  const int64_t rows = std::max<int64_t>(n, 0), columns = std::max<int64_t>(m.value_or(n), 0);
  return converted(below_diagonal(rows, columns, k), dtype.value_or(DType::float32));
}

Array tril(const Array& x, int64_t k) { return triangle("tril", x, k, true); }

Array triu(const Array& x, int64_t k) { return triangle("triu", x, k, false); }

void register_eye(OpRegistry& ops) {
  ops.function("eye")
      .signature(
          "(n: int, m: int | None = None, k: int = 0, dtype: Dtype | None = float32, *, stream: StreamOrDevice = None) -> array")
      .summary("Ones on the k-th diagonal of an (n, m) matrix of zeros.")
      .details(
          "m: n when not given. k: above the main diagonal when positive. Errors: ValueError for a negative extent.")
      .oracle("np.eye(n, m, k, np.float32)")
      .not_differentiable("it has no array operand")
      .sample("", "n=3, m=None, k=0")
      .sample("", "n=2, m=4, k=1")
      .sample("", "n=3, m=2, k=-1")
      .sample("", "n=0, m=None, k=0")
      .rejects("", "n=-1", "ValueError");
  ops.function("identity")
      .signature("(n: int, dtype: Dtype | None = float32, *, stream: StreamOrDevice = None) -> array")
      .summary("The (n, n) identity matrix.")
      .details("Dtype: as given, float32 for None. Errors: ValueError for a negative n.")
      .oracle("np.identity(n, np.float32)")
      .not_differentiable("it has no array operand")
      .sample("", "n=3")
      .sample("", "n=0");
  ops.function("tri")
      .signature(
          "(n: int, m: int | None = None, k: int = 0, dtype: Dtype | None = None, *, stream: StreamOrDevice = None) -> array")
      .summary("Ones at and below the k-th diagonal of an (n, m) matrix of zeros.")
      .details(
          "m: n where it is None; negative extents count as 0. Dtype: as given, float32 for None. Errors: TypeError for other types.")
      .oracle("np.tri(n, m, k, np.float32)")
      .not_differentiable("it has no array operand")
      .sample("", "n=3, m=None, k=0")
      .sample("", "n=2, m=3, k=1")
      .sample("", "n=0, m=None, k=0");
  ops.function("tril")
      .signature("(x: array, k: int = 0, *, stream: StreamOrDevice = None) -> array")
      .summary("The last two axes with zeros above the k-th diagonal.")
      .details("Shapes: (..., n, m) -> (..., n, m). Errors: ValueError for fewer than two axes.")
      .oracle("np.tril(x, k)")
      .sample("(3, 4)", "k=0")
      .sample("(2, 3, 3)", "k=-1")
      .sample("(0, 3)", "k=1")
      .rejects("(3,)", "k=0", "ValueError");
  ops.function("triu")
      .signature("(x: array, k: int = 0, *, stream: StreamOrDevice = None) -> array")
      .summary("The last two axes with zeros below the k-th diagonal.")
      .details("Shapes: (..., n, m) -> (..., n, m). Errors: ValueError for fewer than two axes.")
      .oracle("np.triu(x, k)")
      .sample("(3, 4)", "k=0")
      .sample("(2, 3, 3)", "k=-1")
      .sample("(0, 3)", "k=1")
      .rejects("(3,)", "k=0", "ValueError");
}

}  // namespace plait
