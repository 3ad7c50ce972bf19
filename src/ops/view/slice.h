#pragma once

#include "graph/core_attrs.h"
#include "plait/array.h"

namespace plait {

/// Elements start + k * step of each axis. The attributes are taken as they are: the caller has checked them.
Array slice_static(const Array& a, const SliceAttrs& attrs);

/// A copy of `a` with that slice replaced by `update`, which is converted and broadcast.
Array slice_update_static(const Array& a, const Array& update, const SliceAttrs& attrs);

/// Elements start + k * step, k below size, of one axis; all of the others. Taken as they are.
Array slice_axis(const Array& a, int axis, Dim start, Dim size, Dim step = 1);

}  // namespace plait
