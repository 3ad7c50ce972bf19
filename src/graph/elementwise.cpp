#include "graph/elementwise.h"

#include <algorithm>

#include "graph/core_attrs.h"
#include "graph/registry.h"

namespace plait {
namespace {

struct AstypeAttrs {
  DType dtype;
};

}  // namespace

Array converted(const Array& a, DType dtype) {
  if (a.dtype() == dtype) return a;
  static const OpHandle op("astype");
  Ref<AttrsBase> attrs = op->default_attrs();
  op->attrs[0]->set(attrs->mutable_data(), dtype);
  return make(*op, std::move(attrs), {a});
}

Shape broadcast_shapes(std::string_view op, const Shape& a, const Shape& b) {
  const Shape& longer = a.size() >= b.size() ? a : b;
  const Shape& shorter = a.size() >= b.size() ? b : a;
  Shape out = longer;
  const size_t offset = longer.size() - shorter.size();
  for (size_t i = 0; i < shorter.size(); ++i) {
    Dim& to = out[offset + i];
    const Dim other = shorter[i];
    if (to == other || other == 1) continue;
    if (!(to == 1))
      throw ShapeError({.op = std::string(op),
                        .got = "shapes " + to_string(a) + " and " + to_string(b) + " do not broadcast",
                        .accepts = "extents that are equal or 1, aligned at the last axis",
                        .where = describe_source(current_source())});
    to = other;
  }
  return out;
}

Array elementwise(const OpDef& op, SmallVector<Array, 2> operands) {
  if (!op.mixed) {
    DType common = operands[0].dtype();
    for (size_t i = 1; i < operands.size(); ++i) common = promote(common, operands[i].dtype());
    const DTypes accepted = op.inputs[0].dtypes;
    if (op.floats) common = at_least_float(common);
    if (!is_in(common, accepted)) {
      std::string names;
      for (int d = 0; d < kDTypeCount; ++d)
        if (is_in(static_cast<DType>(d), accepted))
          names += (names.empty() ? "" : ", ") + std::string(name_of(static_cast<DType>(d)));
      throw DTypeError({.op = op.name,
                        .got = "operands of dtype " + std::string(name_of(common)),
                        .accepts = names,
                        .hint = "astype converts",
                        .where = describe_source(current_source())});
    }
    for (Array& a : operands) a = converted(a, common);
  }
  return make(op, Ref<AttrsBase>(), std::move(operands));
}

Array sum_to_shape(const Array& g, const Shape& shape) {
  const Shape& from = g.shape();
  const int extra = from.rank() - shape.rank();
  ReduceAttrs attrs{.axes = {}, .keepdims = false};
  Shape kept;
  bool stretched = extra > 0;
  for (int i = 0; i < extra; ++i) attrs.axes.push_back(i);
  for (int i = 0; i < shape.rank(); ++i) {
    if (!(shape[i] == from[extra + i])) {
      attrs.axes.push_back(extra + i);
      stretched = true;
    }
  }
  if (!stretched) return g;
  static const OpHandle sum("sum");
  static const OpHandle reshape("reshape");
  const Array reduced = sum(attrs, {g});
  return reduced.rank() == shape.rank() ? reduced : reshape(ReshapeAttrs{shape}, {reduced});
}

Array batch_first(const VmapArgs& at, int i) {
  if (at.axes[i] <= 0) return at.inputs[i];
  static const OpHandle transpose("transpose");
  const int rank = at.inputs[i].rank();
  TransposeAttrs attrs;
  attrs.axes.push_back(at.axes[i]);
  for (int k = 0; k < rank; ++k)
    if (k != at.axes[i]) attrs.axes.push_back(k);
  return transpose(attrs, {at.inputs[i]});
}

Array batch_first_broadcast(const VmapArgs& at, int i) {
  if (at.axes[i] != kUnbatched) return batch_first(at, i);
  static const OpHandle broadcast("broadcast_to");
  Shape shape{at.size};
  for (const Dim& d : at.inputs[i].shape()) shape.push_back(d);
  return broadcast(BroadcastToAttrs{shape}, {at.inputs[i]});
}

VmapResult vmap_elementwise(const OpDef& op, Ref<AttrsBase> attrs, const VmapArgs& at) {
  static const OpHandle expand("expand_dims");
  int rank = 0;  // of one example's result
  for (size_t i = 0; i < at.inputs.size(); ++i) rank = std::max(rank, at.inputs[i].rank() - (at.axes[i] != kUnbatched));
  SmallVector<Array, 2> operands;
  for (int i = 0; i < static_cast<int>(at.inputs.size()); ++i) {
    Array a = batch_first(at, i);
    if (at.axes[i] != kUnbatched && a.rank() - 1 < rank) {  // keep the batch axis in front of where broadcasting aligns
      ExpandDimsAttrs ones;
      for (int k = 0; k < rank - (a.rank() - 1); ++k) ones.axes.push_back(1 + k);
      a = expand(ones, {a});
    }
    operands.push_back(std::move(a));
  }
  VmapResult result;
  result.outputs = make_all(op, std::move(attrs), std::move(operands));
  result.axes.assign(result.outputs.size(), 0);
  return result;
}

}  // namespace plait
