#include "ops/prelude.h"
#include "ops/random/draw.h"

namespace plait {
namespace {

Avals infer_covariance_root(const NoAttrs&, std::span<const Aval> in) { return {in[0]}; }

const char* check_covariance_root(const NoAttrs&, std::span<const Aval> in) {
  const Shape& cov = in[0].shape;
  return cov.rank() >= 2 && cov[cov.rank() - 1] == cov[cov.rank() - 2] ? nullptr : "square matrices";
}

Array covariance_root(const Array& cov) {
  static const OpHandle op("covariance_root");
  return op(NoAttrs{}, {cov});
}

VmapResult vmap_covariance_root(const NoAttrs&, const VmapArgs& at) {
  return {{covariance_root(batch_first(at, 0))}, {0}};
}

Shape leading(const Shape& shape, int without) { return Shape(shape.begin(), shape.end() - without); }

}  // namespace

namespace random {

Array multivariate_normal(const Array& mean, const Array& cov, const Shape& shape, std::optional<DType> dtype,
                          const std::optional<Array>& key) {
  const char* const op = "random.multivariate_normal";
  if (dtype.value_or(DType::float32) != DType::float32)
    throw DTypeError({.op = op, .got = std::string(name_of(*dtype)), .accepts = "float32", .where = here()});
  if (mean.rank() < 1 || cov.rank() < 2 || !(cov.dim(-1) == cov.dim(-2)) || !(cov.dim(-1) == mean.dim(-1)))
    throw ShapeError({.op = op,
                      .got = "mean of shape " + to_string(mean.shape()) + ", cov of shape " + to_string(cov.shape()),
                      .accepts = "mean (..., n) and cov (..., n, n)",
                      .where = here()});
  Shape to = broadcast_shapes(op, leading(mean.shape(), 1), leading(cov.shape(), 2));
  to = broadcast_shapes(op, shape, to);
  to.push_back(mean.dim(-1));
  const DType working = cov.dtype() == DType::float64 ? DType::float64 : DType::float32;
  const Array z = converted(normal(to, DType::float32, std::nullopt, std::nullopt, key), working);
  const Array root = covariance_root(converted(cov, working));
  const Array moved = cov.rank() == 2 ? matmul(z, root) : squeeze(matmul(expand_dims(z, -2), root), -2);
  return add(moved, mean);
}

}  // namespace random

void register_multivariate_normal(OpRegistry& ops) {
  ops.opaque("covariance_root")
      .summary("U sqrt(S) V^T of square matrices U S V^T: the symmetric root of a covariance.")
      .input("cov", dtype_bit(DType::float32) | dtype_bit(DType::float64), "shape (..., n, n)")
      .infer(infer_covariance_root)
      .check(check_covariance_root)
      .vmap(vmap_covariance_root);
  ops.function("multivariate_normal")
      .module("core.random")
      .signature(
          "(mean: array, cov: array, shape: Sequence[int] = [], dtype: Dtype | None = float32, key: array | None = None, stream: "
          "StreamOrDevice = None) -> array")
      .summary("Vectors of the normal distribution with a mean and a covariance.")
      .details(
          "mean (..., n), cov (..., n, n) -> (shape..., n), where shape broadcasts with the leading axes of mean and cov; cov has to be symmetric and positive semidefinite, which is not checked. dtype: float32. Gradients: for mean. Errors: ValueError for another dtype, shapes, keys.")
      .not_differentiable("random, though smooth in the mean")
      .rejects("(2,), (3, 3)", "", "ShapeError")
      .rejects("(), (3, 3)", "", "ShapeError")
      .rejects("(3,), (3, 3)", "dtype=float16", "DTypeError");
}

}  // namespace plait
