#include "backends/packed_products.h"

#include "backends/positions.h"

namespace plait::packed {

Products::Products(const KernelArgs& args, Of which)
    : format(format_of(args.attrs)),
      transpose(args.attrs.get<bool>("transpose")),
      count(1),
      parts(args.inputs.subspan(1, format.affine() ? 3 : 2)),
      x_(args.inputs[0]),
      packed_rows_(parts[0].shape[parts[0].shape.size() - 2]),
      which_(which) {
  const auto& out = args.outputs[0].shape;
  rows = out[out.size() - 2];
  columns = out.back();
  depth = x_.shape.back();
  for (size_t axis = 0; axis + 2 < out.size(); ++axis) count *= out[axis];
  if (which == Of::all) return;
  lhs_ = checked_positions(args.op, args.inputs[args.inputs.size() - 2], x_.shape[0]);
  rhs_ = checked_positions(args.op, args.inputs.back(), parts[0].shape[0]);
}

Products::Begin Products::begin(int64_t product) const {
  if (which_ == Of::picked) {
    const auto i = static_cast<size_t>(product);
    return {lhs_[i] * x_.strides[0], rhs_[i] * packed_rows_};
  }
  int64_t at = 0, index = product;
  for (size_t axis = x_.shape.size() - 2; axis-- > 0;) {
    at += index % x_.shape[axis] * x_.strides[axis];
    index /= x_.shape[axis];
  }
  return {at, product * packed_rows_};
}

}  // namespace plait::packed
