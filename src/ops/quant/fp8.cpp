#include "ops/prelude.h"

namespace plait {
namespace {

struct FromFp8Attrs {
  DType dtype = DType::bfloat16;
};

Val number(Val like, uint32_t x) { return like.builder->constant(Scalar(static_cast<int64_t>(x)), DType::uint32); }
Val bits_of(Val x) { return x.builder->unary_to(ir::Op::bitcast, x, DType::uint32); }
Val with_bits(Val x) { return x.builder->unary_to(ir::Op::bitcast, x, DType::float32); }

Avals infer_from(const FromFp8Attrs& attrs, std::span<const Aval> in) { return {{in[0].shape, attrs.dtype}}; }

// E4M3: below 8 a code counts steps of 2^-9, else its bits are a float's but for the bias of the exponent, 7 and not 127.
Val lower_from(const FromFp8Attrs&, std::span<const Val> in, DType out) {
  ir::Builder& to = *in[0].builder;
  const Val code = to.convert(in[0], DType::uint32), magnitude = code & number(code, 0x7f);
  const Val small = bits_of(to.convert(magnitude, DType::float32) * 0x1p-9);
  const Val normal = shl(magnitude, number(code, 20)) + number(code, 120u << 23);
  const Val value = select(magnitude < number(code, 8), small,
                           select(magnitude == number(code, 0x7f), number(code, 0x7fc00000), normal));
  const Val sign = shl(code & number(code, 0x80), number(code, 24));
  return to.convert(with_bits(value | sign), ir::compute_type(out));
}

VmapResult vmap_from(const FromFp8Attrs& attrs, const VmapArgs& at) {
  return {{from_fp8(batch_first(at, 0), attrs.dtype)}, {0}};
}

// To nearest, of two the even one; what is too large becomes 448.
Val lower_to(Val a) {
  ir::Builder& to = *a.builder;
  const Val x = to.convert(a, DType::float32), size = min(abs(x), to.constant(Scalar(448.0), DType::float32));
  const Val bits = bits_of(size), twenty = number(a, 20);
  const Val rounded = bits + number(a, 0x7ffff) + (shr(bits, twenty) & number(a, 1));
  const Val normal = shr(rounded, twenty) - number(a, 120u << 3);
  const Val small = to.convert(rint(size * 512.0), DType::uint32);
  const Val magnitude = select(is_nan(x), number(a, 0x7f), select(size < 0x1p-6, small, normal));
  const Val sign = shr(bits_of(x), number(a, 24)) & number(a, 0x80);
  return to.convert(magnitude | sign, DType::uint8);
}

}  // namespace

Array from_fp8(const Array& x, DType dtype) {
  if (x.dtype() != DType::uint8)
    throw DTypeError({.op = "from_fp8",
                      .got = "dtype " + std::string(name_of(x.dtype())),
                      .accepts = "uint8",
                      .hint = "to_fp8 makes such codes",
                      .where = here()});
  if (!is_floating(dtype))
    throw DTypeError({.op = "from_fp8",
                      .got = "a result of dtype " + std::string(name_of(dtype)),
                      .accepts = "floats",
                      .where = here()});
  static const OpHandle op("from_fp8");
  return op(FromFp8Attrs{dtype}, {x});
}

void register_fp8(OpRegistry& ops) {
  ops.elementwise("to_fp8")
      .summary("Floats of 8 bits (E4M3) as uint8: the nearest, of two the even one; beyond 448 the largest.")
      .input("x", dtypes::floating)
      .result(DType::uint8)
      .lower(lower_to)
      .not_differentiable("codes are integers")
      .signature("(x: array, *, stream: StreamOrDevice = None) -> array")
      .details("Shapes: any. NaN stays NaN. Errors: ValueError for integers, bool and complex numbers.")
      .oracle("oracle.to_fp8(x)")
      .domain("(-3, 3)")
      .sample("(2, 3)")
      .sample("()")
      .sample("[0.0, 0.001, -0.0029296875, 17.0, 19.0, 460.0, -1000.0, inf]");
  ops.elementwise_with<FromFp8Attrs>("from_fp8")
      .summary("The float that a code of 8 bits stands for.")
      .input("x", dtype_bit(DType::uint8))
      .attr("dtype", &FromFp8Attrs::dtype, "dtype of the result")
      .infer(infer_from)
      .lower(lower_from)
      .vmap(vmap_from)
      .not_differentiable("codes are integers");
  ops.function("from_fp8")
      .signature("(x: array, dtype: Dtype = bfloat16, *, stream: StreamOrDevice = None) -> array")
      .summary("The numbers that floats of 8 bits (E4M3), held as uint8, stand for.")
      .details(
          "Shapes: any. dtype: of the result, which holds each of them exactly. Errors: ValueError for another dtype than uint8.")
      .oracle("oracle.from_fp8(x)")
      .not_differentiable("codes are integers")
      .sample("codes(2, 8)", "dtype=float32")
      .sample("codes(0, 3)")
      .rejects("(2, 3)", "", "DTypeError");
}

}  // namespace plait
