// The public convolutions: each is one primitive, or the gradient of one.
#include "ops/nn/convolution.h"
#include "ops/prelude.h"
#include "ops/view/slice.h"
#include "plait/more_ops.h"

namespace plait {
namespace {

using Ints = std::vector<int64_t>;

std::string text(const Ints& values) { return to_string(Shape(std::span<const int64_t>(values))); }

/// One number per spatial axis, none below `least`.
Ints per_axis(std::string_view op, const char* what, const IntList& given, int rank, int64_t least) {
  Ints out = given;
  if (out.size() == 1) out.assign(static_cast<size_t>(rank), out[0]);
  if (static_cast<int>(out.size()) != rank)
    throw ArgumentError(
        {.op = std::string(op),
         .got = std::string(what) + " " + text(given) + " for " + std::to_string(rank) + " spatial axes",
         .accepts = "one integer, or one per spatial axis",
         .where = here()});
  for (int64_t v : out)
    if (v < least)
      throw ArgumentError({.op = std::string(op),
                           .got = std::string(what) + " " + text(given),
                           .accepts = "integers of at least " + std::to_string(least),
                           .where = here()});
  return out;
}

[[noreturn]] void throw_shapes(std::string_view op, const Array& input, const Array& weight, std::string why,
                               std::string accepts) {
  throw ShapeError({.op = std::string(op),
                    .got = "an input of shape " + to_string(input.shape()) + " and a weight of shape " +
                           to_string(weight.shape()) + ": " + std::move(why),
                    .accepts = std::move(accepts),
                    .where = here()});
}

/// Ranks, channels and dtypes; returns the number of spatial axes.
int check(std::string_view op, const Array& input, const Array& weight, int64_t groups, int rank) {
  for (const Array* a : {&input, &weight})
    if (!is_floating(a->dtype()))
      throw DTypeError({.op = std::string(op),
                        .got = "an array of " + std::string(name_of(a->dtype())),
                        .accepts = "floating dtypes",
                        .hint = "astype(float32) converts",
                        .where = here()});
  const std::string axes = rank == 0 ? "3 to 5 axes" : std::to_string(rank + 2) + " axes";
  const int have = input.rank() - 2;
  if (rank == 0 ? have < 1 || have > 3 : have != rank)
    throw_shapes(op, input, weight, "the input has " + std::to_string(input.rank()) + " axes",
                 "an input (N, spatial..., C) with " + axes);
  if (weight.rank() != input.rank())
    throw_shapes(op, input, weight, "their ranks differ",
                 "a weight (C_out, kernel..., C / groups) with as many axes as the input");
  if (groups < 1)
    throw ArgumentError(
        {.op = std::string(op), .got = "groups " + std::to_string(groups), .accepts = "at least 1", .where = here()});
  if (!(input.dim(-1) == weight.dim(-1) * Dim(groups)))
    throw_shapes(op, input, weight, "the channels do not fit",
                 "as many input channels as the last axis of the weight times groups (" + std::to_string(groups) + ")");
  if (groups > 1 && !(weight.dim(0) % Dim(groups) == Dim(0)))
    throw_shapes(op, input, weight, "groups (" + std::to_string(groups) + ") do not divide the output channels",
                 "output channels that are a multiple of groups");
  for (int i = 1; i <= have; ++i)
    if (weight.dim(i) < Dim(1))
      throw_shapes(op, input, weight, "the kernel is empty", "a kernel of at least one element");
  return have;
}

struct Settings {
  Ints stride, kernel_dilation, input_dilation;
  Shape low, high;  // padding
  int64_t groups;
};

Dim dilated(Dim extent, int64_t dilation) { return (extent - Dim(1)) * Dim(dilation) + Dim(1); }

Shape output_extents(std::string_view op, const Array& input, const Array& weight, const Settings& s) {
  Shape out;
  for (size_t i = 0; i < s.stride.size(); ++i) {
    const int axis = static_cast<int>(i) + 1;
    const Dim room = dilated(input.dim(axis), s.input_dilation[i]) + s.low[i] + s.high[i] -
                     dilated(weight.dim(axis), s.kernel_dilation[i]);
    if (room < Dim(0))
      throw_shapes(op, input, weight, "the kernel is larger than the padded input along axis " + std::to_string(axis),
                   "an input that the kernel fits into");
    out.push_back(room / Dim(s.stride[i]) + Dim(1));
  }
  return out;
}

bool all_one(const Ints& values) {
  return std::all_of(values.begin(), values.end(), [](int64_t v) { return v == 1; });
}

Array reversed(const Array& w) {
  SliceAttrs attrs;
  for (int i = 0; i < w.rank(); ++i) {
    const bool turned = i > 0 && i + 1 < w.rank();
    attrs.start.push_back(turned ? w.dim(i) - Dim(1) : Dim(0));
    attrs.size.push_back(w.dim(i));
    attrs.step.push_back(turned ? -1 : 1);
  }
  return slice_static(w, attrs);
}

/// Zeros between the elements of each spatial axis.
Array spaced(const Array& x, const Ints& dilation) {
  SliceAttrs attrs{{0}, {x.dim(0)}, {1}};
  Shape shape{x.dim(0)};
  for (size_t i = 0; i < dilation.size(); ++i) {
    const Dim extent = x.dim(static_cast<int>(i) + 1);
    shape.push_back(dilated(extent, dilation[i]));
    attrs.start.push_back(0);
    attrs.size.push_back(extent);
    attrs.step.push_back(dilation[i]);
  }
  attrs.start.push_back(0);
  attrs.size.push_back(x.dim(-1));
  attrs.step.push_back(1);
  shape.push_back(x.dim(-1));
  return slice_update_static(zeros(shape, x.dtype()), x, attrs);
}

/// (groups o, kernel..., c) to (groups c, kernel..., o)
Array exchanged(const Array& w, int64_t groups) {
  std::vector<int> axes{0, w.rank()};
  for (int i = 2; i < w.rank(); ++i) axes.push_back(i);
  axes.push_back(1);
  const Dim o = w.dim(0) / Dim(groups);
  Shape split{groups, o}, whole{Dim(groups) * w.dim(-1)};
  for (int i = 1; i < w.rank(); ++i) split.push_back(w.dim(i));
  for (int i = 1; i + 1 < w.rank(); ++i) whole.push_back(w.dim(i));
  whole.push_back(o);
  return reshape(transpose(reshape(w, split), axes), whole);
}

Array convolved(std::string_view op, const Array& input, const Array& weight, Settings s, bool flip) {
  const DType dtype = promote(input.dtype(), weight.dtype());
  Array x = converted(input, dtype), w = converted(weight, dtype);
  const Shape extents = output_extents(op, input, weight, s);
  if (all_one(s.stride) && !all_one(s.input_dilation)) {  // a transposed convolution
    Shape padding;
    for (size_t i = 0; i < s.stride.size(); ++i)
      padding.push_back(dilated(w.dim(static_cast<int>(i) + 1), s.kernel_dilation[i]) - Dim(1) - s.low[i]);
    return convolution_input(x, exchanged(flip ? w : reversed(w), s.groups),
                             {s.input_dilation, s.kernel_dilation, padding, extents, Dim(s.groups)});
  }
  if (!all_one(s.input_dilation)) x = spaced(x, s.input_dilation);
  if (flip) w = reversed(w);
  return convolution(x, w, {s.stride, s.kernel_dilation, s.low, extents, Dim(s.groups)});
}

Shape dims(const Ints& values) { return Shape(std::span<const int64_t>(values)); }

Array forward(std::string_view op, int rank, const Array& input, const Array& weight, const IntList& stride,
              const IntList& padding, const IntList& dilation, int64_t groups) {
  check(op, input, weight, groups, rank);
  const Shape pads = dims(per_axis(op, "padding", padding, rank, INT64_MIN));
  return convolved(op, input, weight,
                   {per_axis(op, "stride", stride, rank, 1), per_axis(op, "dilation", dilation, rank, 1),
                    Ints(static_cast<size_t>(rank), 1), pads, pads, groups},
                   false);
}

Array transposed(std::string_view op, int rank, const Array& input, const Array& weight, const IntList& stride,
                 const IntList& padding, const IntList& dilation, const IntList& output_padding, int64_t groups) {
  check(op, input, weight, groups, rank);
  const Ints pads = per_axis(op, "padding", padding, rank, INT64_MIN),
             more = per_axis(op, "output_padding", output_padding, rank, 0);
  Settings s{Ints(static_cast<size_t>(rank), 1),
             per_axis(op, "dilation", dilation, rank, 1),
             per_axis(op, "stride", stride, rank, 1),
             {},
             {},
             groups};
  for (size_t i = 0; i < pads.size(); ++i) {
    const Dim low = dilated(weight.dim(static_cast<int>(i) + 1), s.kernel_dilation[i]) - Dim(1) - Dim(pads[i]);
    s.low.push_back(low);
    s.high.push_back(low + Dim(more[i]));
  }
  // Taken as the gradient of a convolution in any case, which needs no zeros between the elements.
  const DType dtype = promote(input.dtype(), weight.dtype());
  const Shape extents = output_extents(op, input, weight, s);
  return convolution_input(converted(input, dtype), exchanged(converted(weight, dtype), groups),
                           {s.input_dilation, s.kernel_dilation, dims(pads), extents, Dim(groups)});
}

}  // namespace

Array conv_general(const Array& input, const Array& weight, const IntList& stride, const IntList& padding_low,
                   const IntList& padding_high, const IntList& kernel_dilation, const IntList& input_dilation,
                   int64_t groups, bool flip) {
  const std::string_view op = "conv_general";
  const int rank = check(op, input, weight, groups, 0);
  return convolved(op, input, weight,
                   {per_axis(op, "stride", stride, rank, 1), per_axis(op, "kernel_dilation", kernel_dilation, rank, 1),
                    per_axis(op, "input_dilation", input_dilation, rank, 1),
                    dims(per_axis(op, "padding", padding_low, rank, INT64_MIN)),
                    dims(per_axis(op, "padding", padding_high, rank, INT64_MIN)), groups},
                   flip);
}

Array conv1d(const Array& input, const Array& weight, int64_t stride, int64_t padding, int64_t dilation,
             int64_t groups) {
  return forward("conv1d", 1, input, weight, stride, padding, dilation, groups);
}
Array conv2d(const Array& input, const Array& weight, const IntList& stride, const IntList& padding,
             const IntList& dilation, int64_t groups) {
  return forward("conv2d", 2, input, weight, stride, padding, dilation, groups);
}
Array conv3d(const Array& input, const Array& weight, const IntList& stride, const IntList& padding,
             const IntList& dilation, int64_t groups) {
  return forward("conv3d", 3, input, weight, stride, padding, dilation, groups);
}
Array conv_transpose1d(const Array& input, const Array& weight, int64_t stride, int64_t padding, int64_t dilation,
                       int64_t output_padding, int64_t groups) {
  return transposed("conv_transpose1d", 1, input, weight, stride, padding, dilation, output_padding, groups);
}
Array conv_transpose2d(const Array& input, const Array& weight, const IntList& stride, const IntList& padding,
                       const IntList& dilation, const IntList& output_padding, int64_t groups) {
  return transposed("conv_transpose2d", 2, input, weight, stride, padding, dilation, output_padding, groups);
}
Array conv_transpose3d(const Array& input, const Array& weight, const IntList& stride, const IntList& padding,
                       const IntList& dilation, const IntList& output_padding, int64_t groups) {
  return transposed("conv_transpose3d", 3, input, weight, stride, padding, dilation, output_padding, groups);
}

void register_conv(OpRegistry& ops) {
  ops.function("conv1d")
      .signature(
          "(input: array, weight: array, /, stride: int = 1, padding: int = 0, dilation: int = 1, groups: int = 1, *, stream: StreamOrDevice = None) -> array")
      .summary("Convolution over one axis, as machine learning has it: the kernel is not flipped.")
      .details(
          "input (N, L, C), weight (C_out, K, C / groups) -> (N, L', C_out) with L' = (L + 2 padding - dilation (K - 1) - 1) // stride + 1. Floating dtypes, promoted; 16-bit floats are summed in float32. Errors: ValueError for other dtypes, ranks and channels, and for a kernel larger than the padded input.")
      .oracle("oracle.conv(input, weight, stride, padding, dilation, groups=groups)")
      .sample("(2, 9, 4), (6, 3, 4)")
      .sample("(2, 9, 4), (6, 3, 2)", "stride=2, padding=1, dilation=2, groups=2")
      .rejects("(2, 9, 4), (6, 3, 3)", "", "ValueError")
      .rejects("(9, 4), (6, 3, 4)", "", "ValueError")
      .rejects("(2, 2, 4), (6, 3, 4)", "", "ValueError");
  ops.function("conv2d")
      .signature(
          "(input: array, weight: array, /, stride: int | tuple[int, int] = 1, padding: int | tuple[int, int] = 0, dilation: int | tuple[int, int] = 1, groups: int = 1, *, stream: StreamOrDevice = None) -> array")
      .summary("Convolution over two axes, as machine learning has it: the kernel is not flipped.")
      .details(
          "input (N, H, W, C), weight (C_out, K_h, K_w, C / groups) -> (N, H', W', C_out) with H' = (H + 2 padding - dilation (K_h - 1) - 1) // stride + 1, W' likewise. Floating dtypes, promoted; 16-bit floats are summed in float32. Errors: as conv1d.")
      .oracle("oracle.conv(input, weight, stride, padding, dilation, groups=groups)")
      .sample("(2, 6, 5, 3), (4, 3, 3, 3)", "padding=1")
      .sample("(2, 7, 6, 4), (4, 3, 2, 1)", "stride=(2, 1), padding=(1, 0), groups=4")
      .rejects("(2, 6, 5, 3), (4, 3, 3, 2)", "", "ValueError")
      .rejects("(5, 5), (3, 3)", "", "ValueError")
      .rejects("(1, 5, 5, 4), (4, 3, 3, 2)", "groups=3", "ValueError")
      .rejects("(1, 5, 5, 4), (4, 3, 3, 4)", "stride=0", "ValueError");
  ops.function("conv3d")
      .signature(
          "(input: array, weight: array, /, stride: int | tuple[int, int, int] = 1, padding: int | tuple[int, int, int] = 0, dilation: int | tuple[int, int, int] = 1, groups: int = 1, *, stream: StreamOrDevice = None) -> array")
      .summary("Convolution over three axes, as machine learning has it: the kernel is not flipped.")
      .details(
          "input (N, D, H, W, C), weight (C_out, K_d, K_h, K_w, C / groups) -> (N, D', H', W', C_out), extents as in conv2d. Errors: as conv1d.")
      .oracle("oracle.conv(input, weight, stride, padding, dilation, groups=groups)")
      .sample("(1, 4, 5, 3, 2), (3, 2, 3, 2, 2)", "padding=1")
      .sample("(1, 5, 5, 4, 4), (2, 2, 2, 2, 2)", "stride=(2, 1, 2), groups=2")
      .rejects("(1, 4, 5, 3, 2), (3, 2, 3, 2, 3)", "", "ValueError");
  ops.function("conv_general")
      .signature(
          "(input: array, weight: array, /, stride: int | Sequence[int] = 1, padding: int | Sequence[int] | tuple[Sequence[int], Sequence[int]] = 0, kernel_dilation: int | Sequence[int] = 1, input_dilation: int | Sequence[int] = 1, groups: int = 1, flip: bool = False, *, stream: StreamOrDevice = None) -> array")
      .summary("Convolution over one to three axes, with all settings.")
      .details(
          "input (N, spatial..., C), weight (C_out, kernel..., C / groups) -> (N, spatial'..., C_out). padding: one for both ends, or a pair (before, after); negative cuts off from the input, spread out. input_dilation: the input is spread out, with zeros between. flip: the kernel is reversed, as signal processing has it. Errors: as conv1d.")
      .oracle("oracle.conv(input, weight, stride, padding, kernel_dilation, input_dilation, groups, flip)")
      .sample("(2, 9, 4), (6, 3, 4)", "padding=([1], [2])")
      .sample("(1, 4, 5, 2), (3, 2, 3, 2)", "input_dilation=(2, 1), stride=(2, 1), flip=True")
      .rejects("(1, 5, 5, 2), (3, 3, 3, 2)", "stride=(1, 2, 3)", "ValueError")
      .rejects("(1, 2, 2, 2, 2, 2), (3, 1, 1, 1, 1, 2)", "", "ValueError");
  ops.function("conv_transpose1d")
      .signature(
          "(input: array, weight: array, /, stride: int = 1, padding: int = 0, dilation: int = 1, output_padding: int = 0, groups: int = 1, *, stream: StreamOrDevice = None) -> array")
      .summary(
          "Transposed convolution over one axis: every element of the input adds its multiple of the kernel to the output.")
      .details(
          "input (N, L, C), weight (C_out, K, C / groups) -> (N, L', C_out) with L' = (L - 1) stride - 2 padding + dilation (K - 1) + 1 + output_padding. Errors: as conv1d.")
      .oracle("oracle.conv_transpose(input, weight, stride, padding, dilation, output_padding, groups)")
      .sample("(2, 5, 4), (6, 3, 4)", "stride=2, padding=1, output_padding=1")
      .sample("(2, 5, 4), (6, 3, 2)", "dilation=2, groups=2")
      .rejects("(2, 5, 4), (6, 3, 3)", "", "ValueError");
  ops.function("conv_transpose2d")
      .signature(
          "(input: array, weight: array, /, stride: int | tuple[int, int] = 1, padding: int | tuple[int, int] = 0, dilation: int | tuple[int, int] = 1, output_padding: int | tuple[int, int] = 0, groups: int = 1, *, stream: StreamOrDevice = None) -> array")
      .summary(
          "Transposed convolution over two axes: every element of the input adds its multiple of the kernel to the output.")
      .details(
          "input (N, H, W, C), weight (C_out, K_h, K_w, C / groups) -> (N, H', W', C_out), extents as in conv_transpose1d. Errors: as conv1d.")
      .oracle("oracle.conv_transpose(input, weight, stride, padding, dilation, output_padding, groups)")
      .sample("(2, 3, 4, 4), (6, 3, 2, 4)", "stride=(2, 1), padding=1, output_padding=(1, 0)")
      .sample("(1, 3, 3, 4), (2, 3, 3, 2)", "stride=2, groups=2")
      .rejects("(2, 3, 3, 4), (6, 3, 3, 3)", "", "ValueError");
  ops.function("conv_transpose3d")
      .signature(
          "(input: array, weight: array, /, stride: int | tuple[int, int, int] = 1, padding: int | tuple[int, int, int] = 0, dilation: int | tuple[int, int, int] = 1, output_padding: int | tuple[int, int, int] = 0, groups: int = 1, *, stream: StreamOrDevice = None) -> array")
      .summary(
          "Transposed convolution over three axes: every element of the input adds its multiple of the kernel to the output.")
      .details(
          "input (N, D, H, W, C), weight (C_out, K_d, K_h, K_w, C / groups) -> (N, D', H', W', C_out), extents as in conv_transpose1d. Errors: as conv1d.")
      .oracle("oracle.conv_transpose(input, weight, stride, padding, dilation, output_padding, groups)")
      .sample("(1, 2, 3, 2, 2), (3, 2, 2, 2, 2)", "stride=2, padding=(1, 0, 0)")
      .rejects("(1, 2, 3, 2, 2), (3, 2, 2, 2, 3)", "", "ValueError");
}

}  // namespace plait
