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

struct ChangeAttrs {
  bool defined = false;  // whether every part of the change has to have a value
};

// How the root R of a symmetric C moves with it: d with R d + d R = change. It is linear in the change, and its own adjoint. Where C is
// singular the part of d within its null space stays undetermined: it is 0, as for changes that keep the null space. These
// say nothing about the second derivative there, which is NaN (`defined`).
Array root_change(const Array& cov, const Array& change, bool defined) {
  static const OpHandle op("covariance_root_change");
  return op(ChangeAttrs{defined}, {cov, change});
}

Avals infer_root_change(const ChangeAttrs&, std::span<const Aval> in) { return {in[1]}; }

const char* check_root_change(const ChangeAttrs&, std::span<const Aval> in) {
  if (const char* accepts = check_covariance_root(NoAttrs{}, in)) return accepts;
  return in[0].shape == in[1].shape && in[0].dtype == in[1].dtype ? nullptr : "a change of the shape and dtype of cov";
}

Grads vjp_covariance_root(const NoAttrs&, const VjpArgs& at) {
  return {root_change(at.input(0), at.cotangent(), false)};
}
Arrays jvp_covariance_root(const NoAttrs&, const JvpArgs& at) {
  return {root_change(at.input(0), at.tangent(0), false)};
}

// Where R moves by r, R d + d R = change makes d move by what belongs to the change -(r d + d r).
Array second_change(const Array& cov, const Array& r, const Array& d) {
  return negative(root_change(cov, add(matmul(r, d), matmul(d, r)), true));
}

Grads vjp_root_change(const ChangeAttrs& attrs, const VjpArgs& at) {
  Grads grads(2);
  const Array h = root_change(at.input(0), at.cotangent(), attrs.defined);
  if (at.needed[0]) grads[0] = second_change(at.input(0), h, at.output());
  if (at.needed[1]) grads[1] = h;
  return grads;
}

Arrays jvp_root_change(const ChangeAttrs& attrs, const JvpArgs& at) {
  Array total;
  if (at.tangent(1).defined()) total = root_change(at.input(0), at.tangent(1), attrs.defined);
  if (at.tangent(0).defined()) {
    const Array r = root_change(at.input(0), at.tangent(0), attrs.defined);
    const Array part = second_change(at.input(0), r, at.output());
    total = total.defined() ? add(total, part) : part;
  }
  return {total};
}

VmapResult vmap_root_change(const ChangeAttrs& attrs, const VmapArgs& at) {
  return {{root_change(batch_first_broadcast(at, 0), batch_first_broadcast(at, 1), attrs.defined)}, {0}};
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
  const DTypes floats = dtype_bit(DType::float32) | dtype_bit(DType::float64);
  ops.opaque("covariance_root")
      .summary("U sqrt(S) V^T of square matrices U S V^T: the symmetric root of a covariance.")
      .input("cov", floats, "shape (..., n, n)")
      .infer(infer_covariance_root)
      .check(check_covariance_root)
      .vjp(vjp_covariance_root)
      .jvp(jvp_covariance_root)
      .vmap(vmap_covariance_root);
  ops.opaque<ChangeAttrs>("covariance_root_change")
      .summary(
          "How the root of a symmetric matrix moves with it: d with root d + d root = the change's symmetric part.")
      .input("cov", floats, "shape (..., n, n)")
      .input("change", floats, "shape and dtype of cov")
      .attr("defined", &ChangeAttrs::defined, "NaN where cov is singular, in place of 0 within its null space")
      .infer(infer_root_change)
      .check(check_root_change)
      .vjp(vjp_root_change)
      .jvp(jvp_root_change)
      .vmap(vmap_root_change);
  ops.function("multivariate_normal")
      .module("core.random")
      .signature(
          "(mean: array, cov: array, shape: Sequence[int] = [], dtype: Dtype | None = float32, key: array | None = None, stream: "
          "StreamOrDevice = None) -> array")
      .summary("Vectors of the normal distribution with a mean and a covariance.")
      .details(
          "mean (..., n), cov (..., n, n) -> (shape..., n), where shape broadcasts with the leading axes of mean and cov; cov has to be symmetric and positive semidefinite, which is not checked. dtype: float32. Gradients: for mean and cov; where cov is singular, for changes that keep its null space, and no second ones. Errors: ValueError for another dtype, shapes, keys.")
      .not_differentiable("random, though smooth in the mean and cov")
      .sample("(2,), [[2.0, 0.5], [0.5, 1.0]], key(1)", "shape=(3,), dtype=float32")
      .sample("(3, 2), [[[2.0, 0.5], [0.5, 1.0]]], key(2)", "shape=(3,), dtype=float32")
      .rejects("(2,), (3, 3)", "", "ShapeError")
      .rejects("(), (3, 3)", "", "ShapeError")
      .rejects("(3,), (3, 3)", "dtype=float16", "DTypeError");
}

}  // namespace plait
