#include "ops/prelude.h"

namespace plait {
namespace {

Arrays with_rank(const Arrays& arrays, Array (*one)(const Array&)) {
  Arrays out;
  for (const Array& a : arrays) out.push_back(one(a));
  return out;
}

}  // namespace

Arrays atleast_1d(const Arrays& arys) {
  return with_rank(arys, [](const Array& a) { return a.rank() == 0 ? expand_dims(a, 0) : a; });
}

Arrays atleast_2d(const Arrays& arys) {
  return with_rank(arys, [](const Array& a) {
    return a.rank() == 0 ? expand_dims(a, {0, 1}) : a.rank() == 1 ? expand_dims(a, 0) : a;
  });
}

Arrays atleast_3d(const Arrays& arys) {
  return with_rank(arys, [](const Array& a) {
    switch (a.rank()) {
      case 0: return expand_dims(a, {0, 1, 2});
      case 1: return expand_dims(a, {0, 2});
      case 2: return expand_dims(a, 2);
      default: return a;
    }
  });
}

Arrays broadcast_arrays(const Arrays& arrays) {
  Shape shape;
  for (const Array& a : arrays) shape = broadcast_shapes("broadcast_arrays", shape, a.shape());
  Arrays out;
  for (const Array& a : arrays) out.push_back(broadcast_to(a, shape));
  return out;
}

void register_atleast(OpRegistry& ops) {
  ops.function("atleast_1d")
      .signature("(*arys: array, stream: StreamOrDevice = None) -> array | list[array]")
      .summary("0-d arrays get one axis.")
      .details(
          "Shapes and dtypes stay otherwise. One array gives an array, several give a list. Errors: TypeError for what is no array.")
      .oracle("np.atleast_1d(*arys)")
      .sample("()")
      .sample("(2,), ()")
      .sample("(2, 3)");
  ops.function("atleast_2d")
      .signature("(*arys: array, stream: StreamOrDevice = None) -> array | list[array]")
      .summary("Arrays with fewer than two axes get axes of extent 1 in front.")
      .details(
          "Shapes and dtypes stay otherwise. One array gives an array, several give a list. Errors: TypeError for what is no array.")
      .oracle("np.atleast_2d(*arys)")
      .sample("()")
      .sample("(2,), (2, 3)");
  ops.function("atleast_3d")
      .signature("(*arys: array, stream: StreamOrDevice = None) -> array | list[array]")
      .summary(
          "Arrays with fewer than three axes get axes of extent 1: (n,) becomes (1, n, 1), (n, m) becomes (n, m, 1).")
      .details(
          "Shapes and dtypes stay otherwise. One array gives an array, several give a list. Errors: TypeError for what is no array.")
      .oracle("np.atleast_3d(*arys)")
      .sample("()")
      .sample("(2,), (2, 3)");
  ops.function("broadcast_arrays")
      .signature("(*arrays: array, stream: StreamOrDevice = None) -> list[array]")
      .summary("Arrays stretched to their common shape, without copying.")
      .details("Errors: ValueError for shapes that do not broadcast.")
      .oracle("list(np.broadcast_arrays(*arrays))")
      .sample("(2, 1), (3,)")
      .sample("(), (2,)")
      .rejects("(2,), (3,)", "", "ValueError");
}

}  // namespace plait
