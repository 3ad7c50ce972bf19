// plait.core.fast: what the generator has no rule for.
#include "plait/fast.h"

#include <string>

#include "bind.h"
#include "custom_kernels.h"

namespace plait::python {
namespace {

fast::AttentionMask attention_mask(nb::handle given) {
  if (given.is_none()) return {};
  if (nb::isinstance<nb::str>(given)) return fast::AttentionMask(std::string_view(nb::cast<nb::str>(given).c_str()));
  Array array;
  if (!nb::try_cast(given, array))
    throw ArgumentTypeError({.op = "scaled_dot_product_attention",
                             .got = "a mask of type " + nb::cast<std::string>(nb::type_name(given.type())),
                             .accepts = "'causal', an array, or None"});
  return fast::AttentionMask(array);
}

}  // namespace

void bind_fast(nb::module_& core) {
  nb::module_ m = submodule(core, "core.fast");
  bind_custom_kernels(m);
  m.def(
      "scaled_dot_product_attention",
      [](const Array& q, const Array& k, const Array& v, double scale, nb::handle mask, std::optional<Array> sinks,
         bool force_fused, StreamArg stream) {
        const StreamGuard on(stream);
        return fast::scaled_dot_product_attention(q, k, v, scale, attention_mask(mask), sinks, force_fused);
      },
      nb::arg("q"), nb::arg("k"), nb::arg("v"), nb::kw_only(), nb::arg("scale"), nb::arg("mask").none() = nb::none(),
      nb::arg("sinks").none() = nb::none(), nb::arg("force_fused") = false, nb::arg("stream").none() = nb::none(),
      nb::sig(
          "def scaled_dot_product_attention(q: array, k: array, v: array, *, scale: float, mask: None | str | array "
          "= None, sinks: array | None = None, force_fused: bool = False, stream: StreamOrDevice = None) -> array"),
      "Attention: softmax(scale * q @ k.T + mask) @ v for each head.\n\n"
      "Shapes: q (N, heads, L, D), k (N, kv_heads, S, D), v (N, kv_heads, S, Dv) -> (N, heads, L, Dv); kv_heads divides heads.\n"
      "mask: 'causal', a boolean array that is true where a query attends, or one that is added to the scores.\n"
      "sinks: (heads,), a score for each head that takes its part of the softmax.\n\nErrors: ValueError.");
}

}  // namespace plait::python
