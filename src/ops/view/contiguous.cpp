#include "ops/prelude.h"

namespace plait {
namespace {

struct ContiguousAttrs {};

Avals infer_contiguous(const ContiguousAttrs&, std::span<const Aval> in) { return {in[0]}; }

// Expressed by strides only when it is so already; the engine then copies.
bool view_contiguous(const ContiguousAttrs&, const Aval& in, const Strides& strides, const Aval&, ViewLayout& to) {
  to.strides = strides;
  return is_row_major(in.shape, strides);
}

Grads vjp_contiguous(const ContiguousAttrs&, const VjpArgs& at) { return {at.cotangent()}; }

Arrays jvp_contiguous(const ContiguousAttrs&, const JvpArgs& at) { return {at.tangent(0)}; }

VmapResult vmap_contiguous(const ContiguousAttrs&, const VmapArgs& at) {
  return {{contiguous(batch_first(at, 0), false)}, {0}};
}

}  // namespace

Array contiguous(const Array& a, bool) {
  static const OpHandle op("contiguous");
  return op({a});
}

void register_contiguous(OpRegistry& ops) {
  ops.view<ContiguousAttrs>("contiguous")
      .summary("The same elements in row-major memory.")
      .input("a")
      .infer(infer_contiguous)
      .check(nothing_to_check)
      .view(view_contiguous)
      .vjp(vjp_contiguous)
      .jvp(jvp_contiguous)
      .vmap(vmap_contiguous);
  ops.function("contiguous")
      .signature("(a: array, /, allow_col_major: bool = False, *, stream: StreamOrDevice = None) -> array")
      .summary("The same elements in row-major memory; copies only when they are not.")
      .details(
          "Shape and dtype: those of a. allow_col_major: memory in column-major order is left as well. Errors: TypeError for what is no array.")
      .oracle("np.ascontiguousarray(a)")
      .sample("(2, 3)");
}

}  // namespace plait
