#include "ops/prelude.h"

namespace plait {
namespace {

Avals infer_constant(const ConstantAttrs& attrs, std::span<const Aval>) { return {{{}, attrs.dtype}}; }

}  // namespace

Array full(const Shape& shape, const Array& vals, std::optional<DType> dtype) {
  for (const Dim& d : shape)
    if (d < 0)
      throw ShapeError({.op = "full",
                        .got = "a negative extent in " + to_string(shape),
                        .accepts = "extents of 0 and more",
                        .where = here()});
  return broadcast_to(dtype ? converted(vals, *dtype) : vals, shape);
}

Array zeros(const Shape& shape, std::optional<DType> dtype) {
  return full(shape, Array(Scalar(0), dtype.value_or(DType::float32)), std::nullopt);
}
Array ones(const Shape& shape, std::optional<DType> dtype) {
  return full(shape, Array(Scalar(1), dtype.value_or(DType::float32)), std::nullopt);
}
Array zeros_like(const Array& a, std::optional<DType> dtype) { return zeros(a.shape(), dtype.value_or(a.dtype())); }
Array ones_like(const Array& a, std::optional<DType> dtype) { return ones(a.shape(), dtype.value_or(a.dtype())); }
Array full_like(const Array& a, const Array& vals, std::optional<DType> dtype) {
  return full(a.shape(), vals, dtype.value_or(a.dtype()));
}

void register_constant(OpRegistry& ops) {
  ops.constant("constant")
      .summary("A 0-d number.")
      .attr("value", &ConstantAttrs::value, "the number; an operand of the plan")
      .attr("dtype", &ConstantAttrs::dtype, "dtype of the result")
      .infer(infer_constant);
  ops.function("full")
      .signature(
          "(shape: int | Sequence[int], vals: scalar | array, dtype: Dtype | None = None, *, stream: StreamOrDevice = None) -> array")
      .summary("An array of a shape with one value everywhere.")
      .details(
          "Shapes: vals broadcasts to shape. Dtype: as given, or that of vals. Errors: ValueError for negative extents and for values that do not broadcast.")
      .sample("", "shape=(2, 3), vals=2.5")
      .oracle("np.full(shape, vals, np.float32)");
  ops.function("zeros")
      .signature(
          "(shape: int | Sequence[int], dtype: Dtype | None = float32, *, stream: StreamOrDevice = None) -> array")
      .summary("An array of zeros.")
      .details(
          "shape: extents, or one. Dtype: as given, float32 for None. Errors: ValueError for negative extents; OutOfMemory while evaluating.")
      .sample("", "shape=(2, 3)")
      .oracle("np.zeros(shape, np.float32)");
  ops.function("ones")
      .signature(
          "(shape: int | Sequence[int], dtype: Dtype | None = float32, *, stream: StreamOrDevice = None) -> array")
      .summary("An array of ones.")
      .details(
          "shape: extents, or one. Dtype: as given, float32 for None. Errors: ValueError for negative extents; OutOfMemory while evaluating.")
      .sample("", "shape=(2, 3)")
      .oracle("np.ones(shape, np.float32)");
  ops.function("zeros_like")
      .signature("(a: array, /, dtype: Dtype | None = None, *, stream: StreamOrDevice = None) -> array")
      .summary("Zeros of the shape and dtype of a.")
      .details("Errors: TypeError for what is no array.")
      .sample("(2, 3)")
      .oracle("np.zeros_like(a)");
  ops.function("ones_like")
      .signature("(a: array, /, dtype: Dtype | None = None, *, stream: StreamOrDevice = None) -> array")
      .summary("Ones of the shape and dtype of a.")
      .details("Errors: TypeError for what is no array.")
      .sample("(2, 3)")
      .oracle("np.ones_like(a)");
  ops.function("full_like")
      .signature(
          "(a: array, vals: scalar | array, dtype: Dtype | None = None, *, stream: StreamOrDevice = None) -> array")
      .summary("One value everywhere, in the shape and dtype of a.")
      .details("Dtype: as given, or that of a. Errors: ValueError for values that do not broadcast to the shape of a.")
      .sample("(2, 3)", "vals=2.0")
      .oracle("np.full_like(a, vals)");
}

}  // namespace plait
