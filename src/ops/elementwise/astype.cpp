#include "ops/prelude.h"

namespace plait {
namespace {

struct AstypeAttrs {
  DType dtype = DType::float32;
};

Avals infer_astype(const AstypeAttrs& attrs, std::span<const Aval> in) { return {{in[0].shape, attrs.dtype}}; }

Val lower_astype(const AstypeAttrs&, std::span<const Val> in, DType out) {
  return in[0].builder->convert(in[0], ir::compute_type(out));
}

Grads vjp_astype(const AstypeAttrs&, const VjpArgs& at) { return {astype(at.cotangent(), at.input_dtype(0))}; }

Arrays jvp_astype(const AstypeAttrs& attrs, const JvpArgs& at) { return {astype(at.tangent(0), attrs.dtype)}; }

VmapResult vmap_astype(const AstypeAttrs& attrs, const VmapArgs& at) {
  return {{astype(batch_first(at, 0), attrs.dtype)}, {0}};
}

}  // namespace

Array astype(const Array& a, DType dtype) { return converted(a, dtype); }

void register_astype(OpRegistry& ops) {
  ops.elementwise_with<AstypeAttrs>("astype")
      .summary("Conversion to another dtype.")
      .input("a")
      .attr("dtype", &AstypeAttrs::dtype, "dtype of the result")
      .infer(infer_astype)
      .lower(lower_astype)
      .vjp(vjp_astype)
      .jvp(jvp_astype)
      .vmap(vmap_astype);
  ops.function("astype")
      .signature("(a: array, dtype: Dtype, /, *, stream: StreamOrDevice = None) -> array")
      .method("(dtype: Dtype, stream: StreamOrDevice = None) -> array")
      .summary("The array converted to a dtype.")
      .details("Floats to integers truncate and wrap; anything to bool is != 0; complex to real takes the real part.")
      .sample("(2, 3)", "dtype=float64")
      .sample("()", "dtype=float64");
}

}  // namespace plait
