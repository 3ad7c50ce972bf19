#include "ops/nn/convolution.h"

#include "ops/prelude.h"

namespace plait {
namespace {

using Attrs = ConvolutionAttrs;

Shape spatial(const Shape& shape) { return Shape(shape.begin() + 1, shape.end() - 1); }

Shape between(Dim first, const Shape& middle, Dim last) {
  Shape out{first};
  for (const Dim& d : middle) out.push_back(d);
  out.push_back(last);
  return out;
}

Avals infer_forward(const Attrs& attrs, std::span<const Aval> in) {
  return {{between(in[0].shape[0], attrs.extents, in[1].shape[0]), in[0].dtype}};
}
Avals infer_input(const Attrs& attrs, std::span<const Aval> in) {
  return {{between(in[0].shape[0], attrs.extents, *(in[1].shape.end() - 1) * attrs.groups), in[0].dtype}};
}
Avals infer_weight(const Attrs& attrs, std::span<const Aval> in) {
  return {{between(*(in[1].shape.end() - 1), attrs.extents, *(in[0].shape.end() - 1) / attrs.groups), in[0].dtype}};
}

// Whether x (n, in..., groups c), w (groups o, kernel..., c) and y (n, out..., groups o) go together.
const char* check_convolution(const Attrs& attrs, const Aval& x, const Aval& w, const Aval& y) {
  const auto rank = attrs.stride.size();
  if (rank < 1 || rank > 3 || attrs.dilation.size() != rank || attrs.padding.size() != rank)
    return "one to three spatial axes, each with a stride, a dilation and a padding";
  const auto axes = rank + 2;
  if (x.shape.size() != axes || w.shape.size() != axes || y.shape.size() != axes)
    return "arrays with a batch, the spatial axes and channels";
  if (x.dtype != w.dtype || w.dtype != y.dtype) return "operands of one dtype";
  // Bounded, so that positions stay far from what 64 bits hold.
  constexpr int64_t kFar = int64_t{1} << 31;
  for (size_t i = 0; i < rank; ++i) {
    if (attrs.stride[i] < 1 || attrs.stride[i] > kFar || attrs.dilation[i] < 1 || attrs.dilation[i] > kFar)
      return "strides and dilations from 1 to 2^31";
    if (attrs.padding[i] < -kFar || attrs.padding[i] > kFar) return "paddings of at most 2^31";
    for (const Aval* a : {&x, &w, &y})
      if (a->shape[i + 1] < 0 || a->shape[i + 1] > kFar) return "extents from 0 to 2^31";
  }
  if (attrs.groups < 1 || !(x.shape.back() == w.shape.back() * attrs.groups) || !(w.shape[0] % attrs.groups == 0) ||
      !(y.shape.back() == w.shape[0]) || !(x.shape[0] == y.shape[0]))
    return "channels that the groups divide, as many as the other operand has";
  return nullptr;
}

// The extents of the result, with what both operands say about its batch and channels.
const char* check_forward(const Attrs& attrs, std::span<const Aval> in) {
  if (in[0].shape.empty() || in[1].shape.empty()) return "arrays with a batch, spatial axes and channels";
  return check_convolution(attrs, in[0], in[1], infer_forward(attrs, in)[0]);
}
const char* check_input(const Attrs& attrs, std::span<const Aval> in) {
  if (in[0].shape.empty() || in[1].shape.empty()) return "arrays with a batch, spatial axes and channels";
  return check_convolution(attrs, infer_input(attrs, in)[0], in[1], in[0]);
}
const char* check_weight(const Attrs& attrs, std::span<const Aval> in) {
  if (in[0].shape.empty() || in[1].shape.empty() || attrs.groups < 1)
    return "arrays with a batch, spatial axes and channels";
  return check_convolution(attrs, in[0], infer_weight(attrs, in)[0], in[1]);
}

using Make = Array (*)(const Array&, const Array&, Attrs);

// The result is linear in each input; the gradient by one pairs the cotangent with the other.
Array like(Make make, const Array& a, const Array& b, Attrs attrs, const Shape& wanted) {
  attrs.extents = spatial(wanted);
  return make(a, b, std::move(attrs));
}

Grads vjp_forward(const Attrs& attrs, const VjpArgs& at) {
  Grads grads(2);
  const Array& y = at.cotangent();
  if (at.needed[0]) grads[0] = like(convolution_input, y, at.input(1), attrs, at.input_shape(0));
  if (at.needed[1]) grads[1] = like(convolution_weight, at.input(0), y, attrs, at.input_shape(1));
  return grads;
}
Grads vjp_input(const Attrs& attrs, const VjpArgs& at) {
  Grads grads(2);
  const Array& x = at.cotangent();
  if (at.needed[0]) grads[0] = like(convolution, x, at.input(1), attrs, at.input_shape(0));
  if (at.needed[1]) grads[1] = like(convolution_weight, x, at.input(0), attrs, at.input_shape(1));
  return grads;
}
Grads vjp_weight(const Attrs& attrs, const VjpArgs& at) {
  Grads grads(2);
  const Array& w = at.cotangent();
  if (at.needed[0]) grads[0] = like(convolution_input, at.input(1), w, attrs, at.input_shape(0));
  if (at.needed[1]) grads[1] = like(convolution, at.input(0), w, attrs, at.input_shape(1));
  return grads;
}

template <Make make>
Arrays jvp_bilinear(const Attrs& attrs, const JvpArgs& at) {
  Array out;
  if (at.tangent(0).defined()) out = make(at.tangent(0), at.input(1), attrs);
  if (at.tangent(1).defined()) {
    const Array second = make(at.input(0), at.tangent(1), attrs);
    out = out.defined() ? out + second : second;
  }
  return {out};
}

Shape joined(Dim first, const Shape& rest) {
  Shape out{first};
  for (const Dim& d : rest) out.push_back(d);
  return out;
}

/// (batch, n, ...) to (batch n, ...)
Array folded(const Array& a) {
  const Shape& s = a.shape();
  return reshape(a, joined(s[0] * s[1], Shape(s.begin() + 2, s.end())));
}
/// (batch n, ...) to (batch, n, ...)
Array unfolded(const Array& a, Dim batch) {
  const Shape& s = a.shape();
  return reshape(a, joined(batch, joined(s[0] / batch, Shape(s.begin() + 1, s.end()))));
}
/// (batch, n, ..., channels) to (n, ..., batch channels)
Array in_channels(const Array& a) {
  std::vector<int> axes;
  for (int i = 1; i + 1 < a.rank(); ++i) axes.push_back(i);
  axes.push_back(0);
  axes.push_back(a.rank() - 1);
  const Shape& s = a.shape();
  return reshape(transpose(a, axes), between(s[1], Shape(s.begin() + 2, s.end() - 1), s[0] * *(s.end() - 1)));
}
/// (n, ..., batch channels) to (n, ..., batch, channels)
Array out_of_channels(const Array& a, Dim batch) {
  Shape s = a.shape();
  const Dim channels = *(s.end() - 1) / batch;
  s[s.size() - 1] = batch;
  s.push_back(channels);
  return reshape(a, s);
}

Attrs grouped(Attrs attrs, Dim batch) {
  attrs.groups = attrs.groups * batch;
  return attrs;
}

VmapResult vmap_forward(const Attrs& attrs, const VmapArgs& at) {
  const bool x_batched = at.axes[0] != kUnbatched, w_batched = at.axes[1] != kUnbatched;
  const int channel_axis = (x_batched ? at.inputs[0].rank() - 1 : at.inputs[0].rank()) - 1;
  if (!w_batched) return {{unfolded(convolution(folded(batch_first(at, 0)), at.inputs[1], attrs), at.size)}, {0}};
  if (x_batched) {
    const Array y = convolution(in_channels(batch_first(at, 0)), folded(batch_first(at, 1)), grouped(attrs, at.size));
    return {{out_of_channels(y, at.size)}, {channel_axis}};
  }
  // One input, many weights: more outputs of each group.
  const Array w = batch_first(at, 1);
  const Shape& s = w.shape();
  const Dim o = s[1] / attrs.groups;
  const Shape rest(s.begin() + 2, s.end());
  const Array split = reshape(w, joined(at.size, joined(attrs.groups, joined(o, rest))));
  std::vector<int> axes{1, 0};
  for (int i = 2; i < split.rank(); ++i) axes.push_back(i);
  const Array y = convolution(at.inputs[0], reshape(transpose(split, axes), joined(s[0] * s[1], rest)), attrs);
  Shape parts(y.shape().begin(), y.shape().end() - 1);
  for (const Dim d : {attrs.groups, at.size, o}) parts.push_back(d);
  const Array cut = reshape(y, parts);
  const int group_axis = cut.rank() - 3;
  std::vector<int> order;
  for (int i = 0; i < group_axis; ++i) order.push_back(i);
  for (const int i : {group_axis + 1, group_axis, group_axis + 2}) order.push_back(i);
  Shape whole(y.shape().begin(), y.shape().end() - 1);
  whole.push_back(at.size);
  whole.push_back(attrs.groups * o);
  return {{reshape(transpose(cut, order), whole)}, {group_axis}};
}

VmapResult vmap_input(const Attrs& attrs, const VmapArgs& at) {
  if (at.axes[1] == kUnbatched)
    return {{unfolded(convolution_input(folded(batch_first(at, 0)), at.inputs[1], attrs), at.size)}, {0}};
  const Array y = batch_first_broadcast(at, 0);
  const Array x = convolution_input(in_channels(y), folded(batch_first(at, 1)), grouped(attrs, at.size));
  return {{out_of_channels(x, at.size)}, {y.rank() - 2}};
}

VmapResult vmap_weight(const Attrs& attrs, const VmapArgs& at) {
  const Array w = convolution_weight(in_channels(batch_first_broadcast(at, 0)),
                                     in_channels(batch_first_broadcast(at, 1)), grouped(attrs, at.size));
  return {{unfolded(w, at.size)}, {0}};
}

}  // namespace

Array convolution(const Array& x, const Array& w, Attrs attrs) {
  static const OpHandle op("convolution");
  return op(std::move(attrs), {x, w});
}
Array convolution_input(const Array& y, const Array& w, Attrs attrs) {
  static const OpHandle op("convolution_input");
  return op(std::move(attrs), {y, w});
}
Array convolution_weight(const Array& x, const Array& y, Attrs attrs) {
  static const OpHandle op("convolution_weight");
  return op(std::move(attrs), {x, y});
}

void register_convolution(OpRegistry& ops) {
  const auto describe = [](OpBuilder<Attrs> builder) {
    return builder.attr("stride", &Attrs::stride, "steps of the output in the input")
        .attr("dilation", &Attrs::dilation, "steps of the kernel in the input")
        .attr("padding", &Attrs::padding, "zeros before the input; may be negative")
        .attr("extents", &Attrs::extents, "spatial extents of the result")
        .attr("groups", &Attrs::groups, "groups of channels that do not see each other");
  };
  describe(ops.opaque<Attrs>("convolution")
               .summary("Convolution of x (n, in..., c) with w (o, kernel..., c / groups), not flipped.")
               .input("x", dtypes::floating)
               .input("w", dtypes::floating))
      .infer(infer_forward)
      .check(check_forward)
      .vjp(vjp_forward)
      .jvp(jvp_bilinear<convolution>)
      .vmap(vmap_forward);
  describe(ops.opaque<Attrs>("convolution_input")
               .summary("Gradient of a convolution by its input.")
               .input("y", dtypes::floating)
               .input("w", dtypes::floating))
      .infer(infer_input)
      .check(check_input)
      .vjp(vjp_input)
      .jvp(jvp_bilinear<convolution_input>)
      .vmap(vmap_input);
  describe(ops.opaque<Attrs>("convolution_weight")
               .summary("Gradient of a convolution by its weight.")
               .input("x", dtypes::floating)
               .input("y", dtypes::floating))
      .infer(infer_weight)
      .check(check_weight)
      .vjp(vjp_weight)
      .jvp(jvp_bilinear<convolution_weight>)
      .vmap(vmap_weight);
}

}  // namespace plait
