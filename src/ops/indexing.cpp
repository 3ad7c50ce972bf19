#include "ops/indexing.h"

#include <algorithm>
#include <string>

#include "ops/create/iota.h"
#include "ops/index/scatter.h"
#include "ops/nonzero.h"
#include "ops/prelude.h"
#include "ops/view/slice.h"
#include "plait/more_ops.h"

namespace plait {
namespace {

/// An index list worked out against one shape. `part` is the slice of the array in which arrays (and integers beside
/// them) then pick; without arrays, integers are slices of extent 1 whose axes are dropped.
struct Selection {
  SliceAttrs part;
  bool whole = true;            // the slice is the array itself
  std::vector<int> dropped;     // axes of the part that integers leave behind
  std::vector<int> picked;      // axes of the part in which arrays pick
  Arrays picks;                 // one per picked axis
  Shape pick_shape;             // what the picks broadcast to
  int pick_position = 0;        // where their axes go among the axes of the result, before new axes
  std::vector<int> new_axes;    // of the result

  bool picking() const { return !picked.empty(); }
};

[[noreturn]] void throw_index(std::string got, std::string accepts, std::string hint = "") {
  throw IndexError({.op = "indexing",
                    .got = std::move(got),
                    .accepts = std::move(accepts),
                    .hint = std::move(hint),
                    .where = here()});
}

void check_pick(const Array& values) {
  if (!is_integer(values.dtype()))
    throw_index("an array of " + std::string(name_of(values.dtype())), "arrays of integers", "astype(int32) converts");
}

Dim clamp(Dim value, Dim low, Dim high) {
  if (value < low) return low;
  return value > high ? high : value;
}

void add_slice(SliceAttrs& part, const Index& index, Dim extent) {
  const Dim step = index.step;
  if (index.step == 0) throw_index("a slice with step 0", "a step that is not 0");
  const bool forward = index.step > 0;
  const auto bound = [&](std::optional<int64_t> given, Dim otherwise) {
    if (!given) return otherwise;
    const Dim value = *given < 0 ? Dim(*given) + extent : Dim(*given);
    return forward ? clamp(value, 0, extent) : clamp(value, -1, extent - 1);
  };
  const Dim start = bound(index.start, forward ? Dim(0) : extent - 1);
  const Dim stop = bound(index.stop, forward ? extent : Dim(-1));
  Dim size = 0;
  if (forward && start < stop) size = (stop - start + step - 1) / step;
  if (!forward && stop < start) size = (start - stop - step - 1) / Dim(-index.step);
  part.start.push_back(size == 0 ? Dim(0) : start);
  part.size.push_back(size);
  part.step.push_back(step);
}

Dim checked_position(const Index& index, Dim extent, int axis) {
  const Dim at = index.at < 0 ? Dim(index.at) + extent : Dim(index.at);
  if (at < 0 || !(at < extent)) {
    const std::string n = std::to_string(extent.value());
    throw_index(
        "index " + std::to_string(index.at) + " of axis " + std::to_string(axis) + ", which has extent " + n,
        extent.value() == 0 ? "no index: the axis is empty" : "-" + n + " to " + std::to_string(extent.value() - 1));
  }
  return at;
}

Selection select(const Array& a, std::span<const Index> indices) {
  using Kind = Index::Kind;
  const Shape& shape = a.shape();
  const int rank = shape.rank();
  int used = 0;
  int ellipses = 0;
  bool arrays = false;
  for (const Index& index : indices) {
    if (index.kind == Kind::array) check_pick(index.values);
    used += index.kind == Kind::integer || index.kind == Kind::slice || index.kind == Kind::array;
    ellipses += index.kind == Kind::ellipsis;
    arrays |= index.kind == Kind::array;
  }
  if (ellipses > 1) throw_index("more than one ellipsis", "at most one");
  if (used > rank)
    throw_index(std::to_string(used) + " indices for shape " + to_string(shape), "at most " + std::to_string(rank));

  Selection s;
  int axis = 0;           // of the array and of the part
  int kept = 0;           // axes of the result so far that come from slices
  int group_at = -1;      // `kept` and new axes where the first pick stood
  int last_pick_slot = -2;
  int slot = 0;           // counts entries that separate picks
  bool split = false;
  std::vector<int> new_at;       // for each new axis, the number of kept axes before it
  std::vector<bool> new_after;   // and whether the group of picks comes before it

  const auto keep_whole = [&] {
    s.part.start.push_back(0);
    s.part.size.push_back(shape[static_cast<size_t>(axis)]);
    s.part.step.push_back(1);
    ++axis;
    ++kept;
    ++slot;
  };
  const auto pick = [&](Array values) {
    if (group_at < 0) {
      group_at = kept;
    } else if (slot != last_pick_slot) {
      split = true;
    }
    last_pick_slot = slot;
    s.part.start.push_back(0);
    s.part.size.push_back(shape[static_cast<size_t>(axis)]);
    s.part.step.push_back(1);
    s.picked.push_back(axis++);
    s.picks.push_back(std::move(values));
  };

  const auto take_entry = [&](const Index& index) {
    switch (index.kind) {
      case Kind::integer: {
        const Dim at = checked_position(index, shape[static_cast<size_t>(axis)], axis);
        if (arrays) {
          pick(extent(at, DType::int32));
          break;
        }
        s.part.start.push_back(at);
        s.part.size.push_back(1);
        s.part.step.push_back(1);
        s.dropped.push_back(axis++);
        s.whole = false;
        break;
      }
      case Kind::slice: {
        add_slice(s.part, index, shape[static_cast<size_t>(axis)]);
        const bool all = index.step == 1 && !index.start && !index.stop;
        s.whole &= all;
        ++axis;
        ++kept;
        ++slot;
        break;
      }
      case Kind::new_axis:
        new_at.push_back(kept);
        new_after.push_back(group_at >= 0);
        ++slot;
        break;
      case Kind::ellipsis:
        ++slot;
        for (int i = rank - used; i > 0; --i) keep_whole();
        break;
      case Kind::array: pick(index.values); break;
    }
  };
  for (const Index& index : indices) take_entry(index);
  while (axis < rank) keep_whole();

  for (const Array& p : s.picks) s.pick_shape = broadcast_shapes("indexing", s.pick_shape, p.shape());
  const int picks_rank = s.pick_shape.rank();
  s.pick_position = split ? 0 : std::max(group_at, 0);
  for (size_t i = 0; i < new_at.size(); ++i) {
    // Kept axes before it, new axes before it, and the picks' axes where they come first.
    const bool behind_picks = s.picking() && (split || new_after[i]);
    s.new_axes.push_back(new_at[i] + static_cast<int>(i) + (behind_picks ? picks_rank : 0));
  }
  return s;
}

/// Axes of the part with the picked ones in front.
std::vector<int> picked_first(const Selection& s, int rank) {
  std::vector<int> order = s.picked;
  for (int i = 0; i < rank; ++i)
    if (std::find(s.picked.begin(), s.picked.end(), i) == s.picked.end()) order.push_back(i);
  return order;
}

std::vector<int> inverse(const std::vector<int>& order) {
  std::vector<int> back(order.size());
  for (size_t i = 0; i < order.size(); ++i) back[static_cast<size_t>(order[i])] = static_cast<int>(i);
  return back;
}

bool in_order(const std::vector<int>& order) { return std::is_sorted(order.begin(), order.end()); }

Array transposed(const Array& a, const std::vector<int>& order) {
  return in_order(order) ? a : transpose(a, Axes(order));
}

/// One index into the picked axes taken as a single one: negative positions wrapped, axes combined row-major. Where a position lies
/// outside of its axis it is one behind the last, an IndexError while evaluating.
Array combined_picks(const Selection& s) {
  Dim total = 1;
  for (const int axis : s.picked) total *= s.part.size[static_cast<size_t>(axis)];
  const DType dtype = total > Dim(INT32_MAX) ? DType::int64 : DType::int32;
  Array combined, inside;
  for (size_t i = 0; i < s.picks.size(); ++i) {
    const Dim size = s.part.size[static_cast<size_t>(s.picked[i])];
    const DType given = s.picks[i].dtype();
    const bool wide = is_in(given, dtypes::unsigned_integer) || size_of(given) == 8;
    Array at = astype(s.picks[i], wide ? DType::int64 : dtype);
    const Array n = extent(size, at.dtype()), zero(Scalar(0), at.dtype());
    at = where(less(at, zero), add(at, n), at);
    const Array fits = logical_and(greater_equal(at, zero), less(at, n));
    inside = inside.defined() ? logical_and(inside, fits) : fits;
    at = astype(at, dtype);
    combined = combined.defined() ? add(multiply(combined, extent(size, dtype)), at) : at;
  }
  if (s.picks.size() > 1) combined = where(inside, combined, extent(total, dtype));
  return combined.shape() == s.pick_shape ? combined : broadcast_to(combined, s.pick_shape);
}

Array part_of(const Array& a, const Selection& s) { return s.whole ? a : slice_static(a, s.part); }

/// Axes of the picks' result moved from the front to where they belong.
std::vector<int> placing(const Selection& s, int rank) {
  const int picks_rank = s.pick_shape.rank();
  std::vector<int> order;
  for (int i = 0; i < s.pick_position; ++i) order.push_back(picks_rank + i);
  for (int i = 0; i < picks_rank; ++i) order.push_back(i);
  for (int i = picks_rank + s.pick_position; i < rank; ++i) order.push_back(i);
  return order;
}

/// The part with the picked axes merged into one in front.
Array rows_of(const Array& part, const Selection& s) {
  const std::vector<int> order = picked_first(s, part.rank());
  const Array front = transposed(part, order);
  if (s.picked.size() == 1) return front;
  Shape merged{1};
  for (size_t i = 0; i < order.size(); ++i) {
    if (i < s.picked.size()) {
      merged[0] *= front.shape()[i];
    } else {
      merged.push_back(front.shape()[i]);
    }
  }
  return reshape(front, merged);
}

Array pick_from(const Array& part, const Selection& s) {
  if (s.picked.size() == 1) return take(part, s.picks[0], s.picked[0]);  // its axes land where the picked axis was
  const Array taken = take(rows_of(part, s), combined_picks(s), 0);
  return transposed(taken, placing(s, taken.rank()));
}

/// The value as the update of a selection: converted, leading axes of extent 1 dropped, broadcast.
Array fitted(const Array& value, DType dtype, const Shape& shape) {
  Array v = value.dtype() == dtype ? value : astype(value, dtype);
  if (v.rank() > shape.rank()) {
    std::vector<int> extra;
    for (int i = 0; i < v.rank() - shape.rank(); ++i) {
      if (!(v.shape()[static_cast<size_t>(i)] == 1)) break;
      extra.push_back(i);
    }
    if (!extra.empty()) v = squeeze(v, Axes(extra));
  }
  if (v.shape() == shape) return v;
  bool fits = v.rank() <= shape.rank();
  const int offset = shape.rank() - v.rank();
  for (int i = 0; fits && i < v.rank(); ++i) {
    const Dim have = v.shape()[static_cast<size_t>(i)];
    fits = have == 1 || have == shape[static_cast<size_t>(i + offset)];
  }
  if (!fits)
    throw ShapeError(
        {.op = "indexing",
         .got = "a value of shape " + to_string(value.shape()) + " for a selection of shape " + to_string(shape),
         .accepts = "shapes that broadcast to the selection",
         .where = here()});
  return broadcast_to(v, shape);
}

Shape selected_shape(const Selection& s) {
  Shape out;
  const int rank = s.part.size.rank();
  std::vector<Dim> kept;
  for (int i = 0; i < rank; ++i) {
    const bool gone = std::find(s.dropped.begin(), s.dropped.end(), i) != s.dropped.end() ||
                      std::find(s.picked.begin(), s.picked.end(), i) != s.picked.end();
    if (!gone) kept.push_back(s.part.size[static_cast<size_t>(i)]);
  }
  for (size_t i = 0; i <= kept.size(); ++i) {
    if (s.picking() && static_cast<int>(i) == s.pick_position)
      for (const Dim& d : s.pick_shape) out.push_back(d);
    if (i < kept.size()) out.push_back(kept[i]);
  }
  for (const int axis : s.new_axes) out.insert(out.begin() + axis, Dim(1));
  return out;
}

Array combine(const Array& old, const Array& value, ScatterMode mode) {
  switch (mode) {
    case ScatterMode::set: return value;
    case ScatterMode::add: return add(old, value);
    case ScatterMode::multiply: return multiply(old, value);
    case ScatterMode::maximum: return maximum(old, value);
    case ScatterMode::minimum: return minimum(old, value);
  }
  return value;
}

Array write(const Array& a, const Selection& s, const Array& value, ScatterMode mode) {
  Array update = fitted(value, a.dtype(), selected_shape(s));
  if (!s.new_axes.empty()) update = squeeze(update, Axes(s.new_axes));
  const Array part = part_of(a, s);
  if (!s.picking()) {
    if (!s.dropped.empty()) update = expand_dims(update, Axes(s.dropped));
    update = combine(part, update, mode);
    return s.whole ? update : slice_update_static(a, update, s.part);
  }
  // Picks go to the front of the update, the picked axes to the front of the part; rows are written; then all back.
  update = transposed(update, inverse(placing(s, update.rank())));
  const Array rows = rows_of(part, s);
  Shape flat{1};
  for (const Dim& d : s.pick_shape) flat[0] *= d;
  const Array at = reshape(combined_picks(s), flat);
  for (int i = 1; i < rows.rank(); ++i) flat.push_back(rows.shape()[static_cast<size_t>(i)]);
  const Array written = scatter_rows(rows, at, reshape(update, flat), mode);
  const std::vector<int> order = picked_first(s, part.rank());
  Shape front;
  for (const int axis : order) front.push_back(part.shape()[static_cast<size_t>(axis)]);
  const Array back = transposed(s.picked.size() == 1 ? written : reshape(written, front), inverse(order));
  return s.whole ? back : slice_update_static(a, back, s.part);
}

/// Masks replaced by the positions where they are true, one array for each axis that they cover.
std::vector<Index> without_masks(const Array& a, std::span<const Index> indices) {
  const auto is_mask = [](const Index& i) { return i.kind == Index::Kind::array && i.values.dtype() == DType::bool_; };
  if (std::none_of(indices.begin(), indices.end(), is_mask)) return {indices.begin(), indices.end()};
  const auto axes_of = [&](const Index& i) {
    if (i.kind == Index::Kind::new_axis || i.kind == Index::Kind::ellipsis) return 0;
    return is_mask(i) ? i.values.rank() : 1;
  };
  int used = 0;
  for (const Index& i : indices) used += axes_of(i);
  std::vector<Index> out;
  int axis = 0;
  for (const Index& i : indices) {
    if (i.kind == Index::Kind::ellipsis) axis += std::max(0, a.rank() - used);
    if (!is_mask(i)) {
      out.push_back(i);
      axis += axes_of(i);
      continue;
    }
    const Shape& covers = i.values.shape();
    bool fits = covers.rank() > 0 && axis + covers.rank() <= a.rank();
    for (int k = 0; fits && k < covers.rank(); ++k)
      fits = covers[static_cast<size_t>(k)] == a.shape()[static_cast<size_t>(axis + k)];
    if (!fits)
      throw_index("a mask of shape " + to_string(covers) + " from axis " + std::to_string(axis) + " of shape " +
                      to_string(a.shape()),
                  "a mask whose shape is that of the axes it covers");
    for (const Array& positions : nonzero(i.values)) out.push_back(Index::array(positions));
    axis += covers.rank();
  }
  return out;
}

const Array* only_mask(std::span<const Index> indices) {
  if (indices.size() != 1 || indices[0].kind != Index::Kind::array) return nullptr;
  return indices[0].values.dtype() == DType::bool_ ? &indices[0].values : nullptr;
}

bool begins_with(const Shape& shape, const Shape& first) {
  if (first.rank() > shape.rank()) return false;
  for (size_t i = 0; i < static_cast<size_t>(first.rank()); ++i)
    if (shape[i] != first[i]) return false;
  return true;
}

/// The array with its first axes as one.
Array rows_of(const Array& a, int axes) {
  Shape shape{1};
  for (int i = 0; i < a.rank(); ++i) {
    const Dim extent = a.shape()[static_cast<size_t>(i)];
    if (i < axes)
      shape[0] = shape[0] * extent;
    else
      shape.push_back(extent);
  }
  return reshape(a, shape);
}

Array write_masked(const Array& a, const Array& mask, const Array& value) {
  const Shape& shape = a.shape();
  if (!begins_with(shape, mask.shape()))
    throw_index("a mask of shape " + to_string(mask.shape()) + " for shape " + to_string(shape),
                "a mask whose shape begins the array's");
  Array v = value.dtype() == a.dtype() ? value : astype(value, a.dtype());
  const int rest = shape.rank() - mask.rank();
  if (v.rank() > rest + 1)
    throw ShapeError(
        {.op = "indexing",
         .got = "a value of shape " + to_string(value.shape()) + " for a mask of shape " + to_string(mask.shape()),
         .accepts = "a value that broadcasts to (selected, " + std::to_string(rest) + " more axes)",
         .where = here()});
  Array wide = mask;
  if (rest > 0) {
    Shape ones = mask.shape();
    for (int i = 0; i < rest; ++i) ones.push_back(1);
    wide = reshape(mask, ones);
  }
  // One value for every selected row: no need to know how many there are.
  if (v.rank() <= rest || v.shape()[0] == 1) {
    if (v.rank() > rest) v = squeeze(v, Axes(0));
    Shape row;
    for (int i = mask.rank(); i < shape.rank(); ++i) row.push_back(shape[static_cast<size_t>(i)]);
    return where(wide, fitted(v, a.dtype(), row), a);
  }
  // Else it has to be known which.
  const Array rows = rows_of(a, mask.rank()), at = true_positions(mask);
  Shape selected = rows.shape();
  selected[0] = at.size();
  return reshape(scatter_rows(rows, at, fitted(v, a.dtype(), selected), ScatterMode::set), shape);
}

}  // namespace

Array get_index(const Array& a, std::span<const Index> indices) {
  if (const Array* mask = only_mask(indices); mask && mask->rank() > 0 && begins_with(a.shape(), mask->shape()))
    return take(rows_of(a, mask->rank()), true_positions(*mask), 0);
  const Selection s = select(a, without_masks(a, indices));
  Array out = part_of(a, s);
  if (s.picking()) out = pick_from(out, s);
  if (!s.dropped.empty()) out = squeeze(out, Axes(s.dropped));
  if (!s.new_axes.empty()) out = expand_dims(out, Axes(s.new_axes));
  return out;
}

Array set_index(const Array& a, std::span<const Index> indices, const Array& value) {
  if (const Array* mask = only_mask(indices)) return write_masked(a, *mask, value);
  return write(a, select(a, without_masks(a, indices)), value, ScatterMode::set);
}

Array update_index(const Array& a, std::span<const Index> indices, const Array& value, ScatterMode mode) {
  if (const Array* mask = only_mask(indices); mask && mode == ScatterMode::set) return write_masked(a, *mask, value);
  return write(a, select(a, without_masks(a, indices)), value, mode);
}

}  // namespace plait
