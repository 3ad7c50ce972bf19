#include "ops/create/iota.h"
#include "ops/index/scatter.h"
#include "ops/prelude.h"
#include "ops/view/slice.h"

namespace plait {
namespace {

// A slice whose start is read while evaluating: start[i] is the first element along axes[i].
struct DynamicAttrs {
  std::vector<int> axes;
  Shape size;  // of the whole slice, all axes
};

struct DynamicUpdateAttrs {
  std::vector<int> axes;
};

Avals infer_slice(const DynamicAttrs& attrs, std::span<const Aval> in) { return {{attrs.size, in[0].dtype}}; }
Avals infer_update(const DynamicUpdateAttrs&, std::span<const Aval> in) { return {in[0]}; }

// A start for each of the axes, and a part that fits into the whole.
const char* check_window(const std::vector<int>& axes, const Shape& whole, const Shape& part, const Shape& start) {
  std::vector<int> sorted = axes;
  std::sort(sorted.begin(), sorted.end());
  if (!are_sorted_axes(sorted, whole.rank())) return "axes of the array, each once";
  if (start.rank() != 1 || !(start[0] == static_cast<int64_t>(axes.size()))) return "one start for each axis";
  if (part.rank() != whole.rank() || !all_at_least(part, 0)) return "an extent of at least 0 for each axis";
  for (int i = 0; i < whole.rank(); ++i)
    if (part[i] > whole[i]) return "extents that fit into the array";
  return nullptr;
}
const char* check_slice(const DynamicAttrs& attrs, std::span<const Aval> in) {
  return check_window(attrs.axes, in[0].shape, attrs.size, in[1].shape);
}
const char* check_update(const DynamicUpdateAttrs& attrs, std::span<const Aval> in) {
  if (in[0].dtype != in[1].dtype) return "an update of the array's dtype";
  return check_window(attrs.axes, in[0].shape, in[1].shape, in[2].shape);
}

Array read(const Array& a, const Array& start, const std::vector<int>& axes, const Shape& size) {
  static const OpHandle op("slice_dynamic");
  return op(DynamicAttrs{axes, size}, {a, start});
}
Array written(const Array& a, const Array& update, const Array& start, const std::vector<int>& axes) {
  static const OpHandle op("slice_update_dynamic");
  return op(DynamicUpdateAttrs{axes}, {a, update, start});
}

Grads vjp_slice(const DynamicAttrs& attrs, const VjpArgs& at) {
  Grads grads(2);
  if (at.needed[0])
    grads[0] = written(zeros(at.input_shape(0), at.cotangent().dtype()), at.cotangent(), at.input(1), attrs.axes);
  return grads;
}
Arrays jvp_slice(const DynamicAttrs& attrs, const JvpArgs& at) {
  return {at.tangent(0).defined() ? read(at.tangent(0), at.input(1), attrs.axes, attrs.size) : Array()};
}

Grads vjp_update(const DynamicUpdateAttrs& attrs, const VjpArgs& at) {
  Grads grads(3);
  const Array& g = at.cotangent();
  if (at.needed[0]) grads[0] = written(g, zeros(at.input_shape(1), g.dtype()), at.input(2), attrs.axes);
  if (at.needed[1]) grads[1] = read(g, at.input(2), attrs.axes, at.input_shape(1));
  return grads;
}
Arrays jvp_update(const DynamicUpdateAttrs& attrs, const JvpArgs& at) {
  const Array whole = at.tangent(0).defined() ? at.tangent(0) : zeros_like(at.input(0));
  const Array part = at.tangent(1).defined() ? at.tangent(1) : zeros_like(at.input(1));
  return {written(whole, part, at.input(2), attrs.axes)};
}

std::vector<int> behind(const std::vector<int>& axes) {
  std::vector<int> out;
  for (int axis : axes) out.push_back(behind_batch(axis));
  return out;
}

// With a start for each example the slices are no longer alike in memory: rows of elements are picked, or written, by position.
// Behind the batch axis the sliced axes come first, as one, then the others.
struct Rows {
  std::vector<int> order;  // the batch axis, the sliced axes, the others
  Shape moved;  // the whole's extents in this order
  Array at;  // (batch, elements of the slice along its axes)
};

Rows rows_of(const std::vector<int>& axes, const Shape& whole, const Shape& part, const Array& starts) {
  Rows rows{{0}, {}, {}};
  for (const int axis : axes) rows.order.push_back(behind_batch(axis));
  for (int i = 1; i < whole.rank(); ++i)
    if (std::find(axes.begin(), axes.end(), i - 1) == axes.end()) rows.order.push_back(i);
  for (const int axis : rows.order) rows.moved.push_back(whole[axis]);
  const auto number = [](Dim d) { return extent(d, DType::int64); };
  const Dim batch = starts.shape()[0];
  Array at = zeros({batch, 1}, DType::int64);
  Dim elements = 1, below = 1;
  Array inside = ones({batch, 1}, DType::bool_);
  for (size_t k = 0; k < axes.size(); ++k) {
    const Dim n = whole[behind_batch(axes[k])], size = part[behind_batch(axes[k])];
    const Array given = slice_axis(converted(starts, DType::int64), 1, static_cast<int64_t>(k), 1);
    const Array start = where(less(given, number(0)), add(given, number(n)), given);
    inside = logical_and(inside, logical_and(greater_equal(start, number(0)), less_equal(start, number(n - size))));
    const Array along = add(start, expand_dims(iota(size, DType::int64), 0));  // (batch, size)
    at = reshape(add(multiply(expand_dims(at, 2), number(n)), expand_dims(along, 1)), {batch, elements * size});
    elements *= size;
    below *= n;
  }
  rows.at = where(inside, at, number(below));  // one behind the last: an IndexError while evaluating
  return rows;
}

Array as_rows(const Rows& rows, size_t axes, const Array& a) {
  const Array moved = transpose(a, rows.order);
  Shape shape{moved.shape()[0], 1};
  for (size_t i = 1; i < moved.shape().size(); ++i) {
    if (i <= axes) {
      shape[1] *= moved.shape()[i];
    } else {
      shape.push_back(moved.shape()[i]);
    }
  }
  return reshape(moved, shape);
}

Array from_rows(const Rows& rows, const Array& a, const Shape& moved) {
  std::vector<int> back(rows.order.size());
  for (size_t i = 0; i < back.size(); ++i) back[static_cast<size_t>(rows.order[i])] = static_cast<int>(i);
  return transpose(reshape(a, moved), back);
}

VmapResult vmap_slice(const DynamicAttrs& attrs, const VmapArgs& at) {
  Shape size{at.size};
  for (const Dim& d : attrs.size) size.push_back(d);
  const Array a = batch_first_broadcast(at, 0);
  if (at.axes[1] == kUnbatched) return {{read(a, at.inputs[1], behind(attrs.axes), size)}, {0}};
  const Rows rows = rows_of(attrs.axes, a.shape(), size, batch_first(at, 1));
  Shape moved;
  for (const int axis : rows.order) moved.push_back(size[axis]);
  return {{from_rows(rows, take_batched(as_rows(rows, attrs.axes.size(), a), rows.at, 1), moved)}, {0}};
}

VmapResult vmap_update(const DynamicUpdateAttrs& attrs, const VmapArgs& at) {
  const Array a = batch_first_broadcast(at, 0), update = batch_first_broadcast(at, 1);
  if (at.axes[2] == kUnbatched) return {{written(a, update, at.inputs[2], behind(attrs.axes))}, {0}};
  const Rows rows = rows_of(attrs.axes, a.shape(), update.shape(), batch_first(at, 2));
  const size_t n = attrs.axes.size();
  const Array to = scatter_rows_batched(as_rows(rows, n, a), rows.at, as_rows(rows, n, update), ScatterMode::set, 1);
  return {{from_rows(rows, to, rows.moved)}, {0}};
}

// The start as a vector, one position for each axis. Errors: DTypeError, ShapeError, AxisError.
Array checked_start(const char* op, const Array& a, const Array& start, const Axes& axes, std::vector<int>& out) {
  if (!is_integer(start.dtype()))
    throw DTypeError(
        {.op = op, .got = "a start of " + std::string(name_of(start.dtype())), .accepts = "integers", .where = here()});
  for (int axis : axes.value_or(std::vector<int>())) out.push_back(checked_axis(op, axis, a.rank()));
  const Array flat = reshape(start, {start.shape().count()});
  std::vector<int> sorted = out;
  std::sort(sorted.begin(), sorted.end());
  const bool twice = std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end();
  if (twice || !(flat.shape()[0] == static_cast<int64_t>(out.size())))
    throw ShapeError(
        {.op = op,
         .got = "a start of shape " + to_string(start.shape()) + " for " + std::to_string(out.size()) + " axes",
         .accepts = "one position for each axis, each axis once",
         .where = here()});
  return flat;
}

}  // namespace

Array slice(const Array& a, const Array& start_indices, const Axes& axes, const IntList& slice_size) {
  std::vector<int> at;
  const Array start = checked_start("slice", a, start_indices, axes, at);
  Shape size;
  if (static_cast<int>(slice_size.size()) != a.rank())
    throw ShapeError(
        {.op = "slice",
         .got = std::to_string(slice_size.size()) + " extents for an array of shape " + to_string(a.shape()),
         .accepts = "one for each axis",
         .where = here()});
  for (int i = 0; i < a.rank(); ++i) {
    const Dim n = slice_size[static_cast<size_t>(i)];
    if (n < 0 || n > a.shape()[i])
      throw ShapeError({.op = "slice",
                        .got = "extent " + std::to_string(n.value()) + " along axis " + std::to_string(i) + " of " +
                               to_string(a.shape()),
                        .accepts = "0 to the axis's extent",
                        .where = here()});
    size.push_back(n);
  }
  return read(a, start, at, size);
}

Array slice_update(const Array& a, const Array& update, const Array& start_indices, const Axes& axes) {
  std::vector<int> at;
  const Array start = checked_start("slice_update", a, start_indices, axes, at);
  Shape shape;  // of the update: missing axes in front have extent 1
  for (int i = 0; i < a.rank(); ++i) {
    const int from = i - (a.rank() - update.rank());
    shape.push_back(from >= 0 ? update.shape()[from] : Dim(1));
  }
  bool fits = update.rank() <= a.rank();
  for (int i = 0; fits && i < a.rank(); ++i) fits = shape[i] <= a.shape()[i];
  if (!fits)
    throw ShapeError(
        {.op = "slice_update",
         .got = "an update of shape " + to_string(update.shape()) + " for an array of shape " + to_string(a.shape()),
         .accepts = "extents that fit into the array",
         .where = here()});
  return written(a, reshape(converted(update, a.dtype()), shape), start, at);
}

void register_slice_dynamic(OpRegistry& ops) {
  ops.opaque<DynamicAttrs>("slice_dynamic")
      .summary("A slice whose start is read while evaluating.")
      .input("a")
      .input("start", dtypes::integer, "a position for each of the axes")
      .attr("axes", &DynamicAttrs::axes, "axes that the start is for; the others start at 0")
      .attr("size", &DynamicAttrs::size, "extents of the slice")
      .infer(infer_slice)
      .check(check_slice)
      .vjp(vjp_slice)
      .jvp(jvp_slice)
      .vmap(vmap_slice);
  ops.opaque<DynamicUpdateAttrs>("slice_update_dynamic")
      .summary("A copy with a slice replaced whose start is read while evaluating.")
      .input("a")
      .input("update", dtypes::any, "dtype of a")
      .input("start", dtypes::integer, "a position for each of the axes")
      .attr("axes", &DynamicUpdateAttrs::axes, "axes that the start is for; the others start at 0")
      .infer(infer_update)
      .check(check_update)
      .vjp(vjp_update)
      .jvp(jvp_update)
      .vmap(vmap_update);
  ops.function("slice")
      .signature(
          "(a: array, start_indices: array, axes: Sequence[int], slice_size: Sequence[int], *, stream: StreamOrDevice = None) -> array")
      .summary("A slice whose start is an array: a new position is no new program.")
      .details(
          "start_indices: a position for each of axes; the other axes start at 0. slice_size: an extent for each axis of a. Errors: ValueError; IndexError while evaluating when the slice does not lie inside.")
      .oracle("a[oracle.window(slice_size, start_indices, axes)]")
      .sample("(4, 5), [1, 2]", "axes=(0, 1), slice_size=(2, 3)")
      .sample("(4, 5), [3]", "axes=(1,), slice_size=(4, 2)")
      .rejects("(4, 5), [1]", "axes=(0, 1), slice_size=(2, 3)", "ValueError");
  ops.function("slice_update")
      .signature(
          "(a: array, update: array, start_indices: array, axes: Sequence[int], *, stream: StreamOrDevice = None) -> array")
      .summary("A copy with a slice replaced whose start is an array: a new position is no new program.")
      .details(
          "start_indices: a position for each of axes; the other axes start at 0. Errors: ValueError; IndexError while evaluating when the update does not lie inside.")
      .oracle(
          "oracle.replaced(a, oracle.window((1,) * (a.ndim - update.ndim) + update.shape, start_indices, axes), update)")
      .sample("(4, 5), (2, 3), [1, 2]", "axes=(0, 1)")
      .sample("(4, 5), (5,), [3]", "axes=(0,)")
      .rejects("(4, 5), (5, 5), [0]", "axes=(0,)", "ValueError");
}

}  // namespace plait
