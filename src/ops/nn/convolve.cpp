#include "ops/nn/convolution.h"
#include "ops/prelude.h"

namespace plait {

Array convolve(const Array& a, const Array& v, std::string_view mode) {
  if (a.rank() != 1 || v.rank() != 1 || a.dim(0) == 0 || v.dim(0) == 0)
    throw ShapeError({.op = "convolve",
                      .got = "shapes " + to_string(a.shape()) + " and " + to_string(v.shape()),
                      .accepts = "two vectors that are not empty",
                      .where = here()});
  if (!is_floating(a.dtype()) || !is_floating(v.dtype()))
    throw DTypeError({.op = "convolve",
                      .got = "arrays of " + std::string(name_of(a.dtype())) + " and " + std::string(name_of(v.dtype())),
                      .accepts = "floating dtypes",
                      .hint = "astype(float32) converts",
                      .where = here()});
  const DType dtype = promote(a.dtype(), v.dtype());
  const bool swapped = a.dim(0) < v.dim(0);
  const Array& longer = swapped ? v : a;
  const Array& shorter = swapped ? a : v;
  const Dim all = shorter.dim(0) - 1;
  Dim before = 0, after = 0;
  if (mode == "full") {
    before = after = all;
  } else if (mode == "same") {
    after = all / 2;
    before = all - after;
  } else if (mode != "valid") {
    throw ArgumentError({.op = "convolve",
                         .got = "mode '" + std::string(mode) + "'",
                         .accepts = "'full', 'same' or 'valid'",
                         .where = here()});
  }
  const auto signal = [&](const Array& x) { return reshape(converted(x, dtype), {1, x.dim(0), 1}); };
  const Dim length = longer.dim(0) + before + after - all;
  return reshape(convolution(signal(longer), flip(signal(shorter), 1), {{1}, {1}, {before}, {length}, 1}), {length});
}

void register_convolve(OpRegistry& ops) {
  ops.function("convolve")
      .signature("(a: array, v: array, /, mode: str = 'full', *, stream: StreamOrDevice = None) -> array")
      .summary("Convolution of two vectors, as in signal processing: one of them is flipped.")
      .details(
          "mode: 'full' has every overlap, 'same' as many as the longer vector has elements, from the middle, 'valid' the whole overlaps. Floating dtypes, promoted. Errors: ValueError.")
      .oracle("np.convolve(a, v, mode)")
      .sample("(5,), (3,)", "mode='full'")
      .sample("(2,), (5,)", "mode='same'")
      .sample("(4,), (4,)", "mode='same'")
      .sample("(6,), (3,)", "mode='valid'")
      .rejects("(3,), (2,)", "mode='x'", "ArgumentError")
      .rejects("(0,), (2,)", "", "ShapeError")
      .rejects("(2, 2), (2,)", "", "ShapeError");
}

}  // namespace plait
