#include "ops/view/slice.h"

#include "ops/prelude.h"

namespace plait {
namespace {

// Whether the elements that the slice names lie inside of an array of this shape.
const char* check_inside(const SliceAttrs& attrs, const Shape& shape) {
  const int rank = shape.rank();
  if (attrs.start.rank() != rank || attrs.size.rank() != rank || attrs.step.rank() != rank)
    return "a start, size and step for each axis";
  if (!all_at_least(attrs.size, 0)) return "sizes of 0 and more";
  for (int i = 0; i < rank; ++i) {
    if (attrs.step[i] == 0) return "steps other than 0";
    if (attrs.size[i] == 0) continue;
    const Dim last = attrs.start[i] + (attrs.size[i] - 1) * attrs.step[i];
    if (attrs.start[i] < 0 || attrs.start[i] >= shape[i] || last < 0 || last >= shape[i])
      return "elements that lie inside of the array";
  }
  return nullptr;
}

const char* check_slice(const SliceAttrs& attrs, std::span<const Aval> in) { return check_inside(attrs, in[0].shape); }

const char* check_slice_update(const SliceAttrs& attrs, std::span<const Aval> in) {
  if (in[0].dtype != in[1].dtype) return "an update of the array's dtype";
  if (!(in[1].shape == attrs.size)) return "an update of the slice's shape";
  return check_inside(attrs, in[0].shape);
}

Avals infer_slice(const SliceAttrs& attrs, std::span<const Aval> in) { return {{attrs.size, in[0].dtype}}; }

bool view_slice(const SliceAttrs& attrs, const Aval& in, const Strides& strides, const Aval&, ViewLayout& to) {
  for (int i = 0; i < in.shape.rank(); ++i) {
    if (attrs.size[i].value() > 0) to.offset += attrs.start[i].value() * strides[i];
    to.strides.push_back(attrs.size[i].value() > 1 ? strides[i] * attrs.step[i].value() : strides[i]);
  }
  return true;
}

// Whether all elements are taken, along some axes in opposite order.
bool turns(const SliceAttrs& attrs, const Shape& from) {
  bool any = false;
  for (const Dim& step : attrs.step) {
    if (step.expr() != 0 || (step.value() != 1 && step.value() != -1)) return false;
    any |= step.value() == -1;
  }
  return any && attrs.size == from;
}

Grads vjp_slice(const SliceAttrs& attrs, const VjpArgs& at) {
  if (turns(attrs, at.input_shape(0))) return {slice_static(at.cotangent(), attrs)};  // turning back
  return {slice_update_static(zeros(at.input_shape(0), at.cotangent().dtype()), at.cotangent(), attrs)};
}

Arrays jvp_slice(const SliceAttrs& attrs, const JvpArgs& at) { return {slice_static(at.tangent(0), attrs)}; }

SliceAttrs with_batch(const SliceAttrs& attrs, Dim size) {
  SliceAttrs out{{0}, {size}, {1}};
  for (int i = 0; i < attrs.size.rank(); ++i) {
    out.start.push_back(attrs.start[i]);
    out.size.push_back(attrs.size[i]);
    out.step.push_back(attrs.step[i]);
  }
  return out;
}

VmapResult vmap_slice(const SliceAttrs& attrs, const VmapArgs& at) {
  return {{slice_static(batch_first(at, 0), with_batch(attrs, at.size))}, {0}};
}

Avals infer_slice_update(const SliceAttrs&, std::span<const Aval> in) { return {in[0]}; }

Grads vjp_slice_update(const SliceAttrs& attrs, const VjpArgs& at) {
  Grads grads(2);
  const Array& g = at.cotangent();
  if (at.needed[0]) grads[0] = slice_update_static(g, zeros(at.input_shape(1), g.dtype()), attrs);
  if (at.needed[1]) grads[1] = slice_static(g, attrs);
  return grads;
}

Arrays jvp_slice_update(const SliceAttrs& attrs, const JvpArgs& at) {
  const Array whole = at.tangent(0).defined() ? at.tangent(0) : zeros(at.input(0).shape(), at.input(0).dtype());
  const Array part = at.tangent(1).defined() ? at.tangent(1) : zeros(at.input(1).shape(), at.input(1).dtype());
  return {slice_update_static(whole, part, attrs)};
}

VmapResult vmap_slice_update(const SliceAttrs& attrs, const VmapArgs& at) {
  return {{slice_update_static(batch_first_broadcast(at, 0), batch_first_broadcast(at, 1), with_batch(attrs, at.size))},
          {0}};
}

}  // namespace

Array slice_static(const Array& a, const SliceAttrs& attrs) {
  static const OpHandle op("slice_static");
  return op(attrs, {a});
}

Array slice_update_static(const Array& a, const Array& update, const SliceAttrs& attrs) {
  static const OpHandle op("slice_update_static");
  return op(attrs, {a, broadcast_to(converted(update, a.dtype()), attrs.size)});
}

Array slice_axis(const Array& a, int axis, Dim start, Dim size, Dim step) {
  SliceAttrs attrs;
  for (int i = 0; i < a.rank(); ++i) {
    attrs.start.push_back(i == axis ? start : Dim(0));
    attrs.size.push_back(i == axis ? size : a.shape()[i]);
    attrs.step.push_back(i == axis ? step : Dim(1));
  }
  return slice_static(a, attrs);
}

void register_slice(OpRegistry& ops) {
  const auto describe = [](auto& builder) {
    builder.attr("start", &SliceAttrs::start, "first element of each axis")
        .attr("size", &SliceAttrs::size, "elements of each axis")
        .attr("step", &SliceAttrs::step, "distance between elements; may be negative");
  };
  auto view = ops.view<SliceAttrs>("slice_static");
  view.summary("Every step-th element of each axis, from start on.")
      .input("a")
      .infer(infer_slice)
      .check(check_slice)
      .view(view_slice)
      .vjp(vjp_slice)
      .jvp(jvp_slice)
      .vmap(vmap_slice);
  describe(view);
  auto update = ops.opaque<SliceAttrs>("slice_update_static");
  update.summary("A copy with a slice replaced.")
      .input("a")
      .input("update")
      .infer(infer_slice_update)
      .check(check_slice_update)
      .vjp(vjp_slice_update)
      .jvp(jvp_slice_update)
      .vmap(vmap_slice_update);
  describe(update);
}

}  // namespace plait
