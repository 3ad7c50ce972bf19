#include "ops/prelude.h"

namespace plait {
namespace {

Array joined(const Array& re, const Array& im) {
  static const OpHandle op("make_complex");
  return elementwise(*op, {re, im});
}

}  // namespace

Array real(const Array& a) {
  static const OpHandle op("real_part");
  return a.dtype() == DType::complex64 ? elementwise(*op, {a}) : a;
}

Array imag(const Array& a) {
  static const OpHandle op("imag_part");
  return a.dtype() == DType::complex64 ? elementwise(*op, {a}) : zeros_like(a);
}

void register_real(OpRegistry& ops) {
  // Cotangents of complex values are transposed without conjugation, as multiply's are: to (g, 0) and (0, -g).
  // A tangent is complex where the input is, so each rule looks at what it is given.
  ops.elementwise("real_part")
      .summary("Real part of a complex number.")
      .input("a", dtypes::complex)
      .result(DType::float32)
      .lower([](Val a) { return a.builder->unary_to(ir::Op::real, a, ir::Type(DType::float32)); })
      .pieces({[](const Array& g, std::span<const Array>, const Array&) {
        return g.dtype() == DType::complex64 ? real(g) : joined(g, zeros_like(g));
      }})
      .internal();
  ops.elementwise("imag_part")
      .summary("Imaginary part of a complex number.")
      .input("a", dtypes::complex)
      .result(DType::float32)
      .lower([](Val a) { return a.builder->unary_to(ir::Op::imag, a, ir::Type(DType::float32)); })
      .pieces({[](const Array& g, std::span<const Array>, const Array&) {
        return g.dtype() == DType::complex64 ? imag(g) : joined(zeros_like(g), negative(g));
      }})
      .internal();
  ops.elementwise("make_complex")
      .summary("A complex number from its two parts.")
      .input("re", dtype_bit(DType::float32))
      .input("im", dtype_bit(DType::float32))
      .result(DType::complex64)
      .lower([](Val re, Val im) { return re.builder->binary(ir::Op::complex, re, im); })
      .pieces({[](const Array& g, std::span<const Array>, const Array&) {
                 return g.dtype() == DType::complex64 ? real(g) : joined(g, zeros_like(g));
               },
               [](const Array& g, std::span<const Array>, const Array&) {
                 return g.dtype() == DType::complex64 ? negative(imag(g)) : joined(zeros_like(g), g);
               }})
      .internal();
  ops.function("real")
      .signature("(a: array, /, *, stream: StreamOrDevice = None) -> array")
      .summary("Real part; a real array itself.")
      .details(
          "Shape: that of a. Dtype: float32 for complex64, else that of a. Errors: TypeError for what is no array.")
      .oracle("np.real(a)")
      .sample("(2, 3)")
      .sample("()");
  ops.function("imag")
      .signature("(a: array, /, *, stream: StreamOrDevice = None) -> array")
      .summary("Imaginary part; zeros for a real array.")
      .details(
          "Shape: that of a. Dtype: float32 for complex64, else that of a. Errors: TypeError for what is no array.")
      .oracle("np.imag(a)")
      .sample("(2, 3)")
      .sample("()");
}

}  // namespace plait
