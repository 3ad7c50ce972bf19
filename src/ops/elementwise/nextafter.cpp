#include <cstdint>

#include "ops/prelude.h"

namespace plait {
namespace {

// The next value on the grid of the result's dtype, in formulas on its compute type. Bits of floats, taken as integers, are in
// the order of their magnitudes, so one more or less is the next; a 16-bit float held in a float32 has its own last place.
struct FloatGrid {
  DType bits;
  int64_t step;  // in the bits, of the last place
  double smallest;  // subnormal
  double smallest_normal;  // below it values are as far apart as `smallest`; 0 where the bits count there too
  double largest;  // before infinity
};

FloatGrid grid_of(DType d) {
  switch (d) {
    case DType::float16: return {DType::int32, 1 << 13, 0x1p-24, 0x1p-14, 65504};
    case DType::bfloat16: return {DType::int32, 1 << 16, 0x1p-133, 0, 0x1.fep127};
    case DType::float64: return {DType::int64, 1, 0x1p-1074, 0, 0x1.fffffffffffffp1023};
    default: return {DType::int32, 1, 0x1p-149, 0, 0x1.fffffep127};
  }
}

Avals infer_nextafter(const NoAttrs&, std::span<const Aval> in) {
  return {{broadcast_shapes("nextafter", in[0].shape, in[1].shape), in[0].dtype}};
}

const char* check_nextafter(const NoAttrs&, std::span<const Aval> in) {
  return in[0].dtype == in[1].dtype ? nullptr : "operands of one dtype";
}

Val lower_nextafter(const NoAttrs&, std::span<const Val> in, DType out) {
  const FloatGrid grid = grid_of(out);
  const Val x = in[0], towards = in[1], size = abs(x);
  ir::Builder& build = *x.builder;
  const auto number = [&](double v) { return build.constant(Scalar(v), x.type()); };
  const auto counted = [&](int64_t by) {
    return build.unary_to(ir::Op::bitcast, build.unary_to(ir::Op::bitcast, size, grid.bits) + Scalar(by), x.type());
  };
  Val more = counted(grid.step), less = counted(-grid.step);
  if (grid.smallest_normal > 0) {
    more = select(size < grid.smallest_normal, size + grid.smallest, more);
    less = select(size <= grid.smallest_normal, size - grid.smallest, less);
  }
  less = select(is_inf(size), number(grid.largest), less);
  more = select(size == 0.0, number(grid.smallest), more);
  // Away from zero where it goes the way of the sign; from zero, the other operand has the sign.
  const Val outwards = (x == 0.0) | ((towards > x) == (x > 0.0));
  const Val moved = select(outwards, more, less);
  const Val negative = select(x == 0.0, towards < 0.0, x < 0.0);
  const Val next = select(negative, -moved, moved);
  return select(x == towards, towards, select((x != x) | (towards != towards), x + towards, next));
}

VmapResult vmap_nextafter(const NoAttrs&, const VmapArgs& at) {
  static const OpHandle op("nextafter");
  return vmap_elementwise(*op, Ref<AttrsBase>(), at);
}

}  // namespace

Array nextafter(const Array& a, const Array& b) {
  static const OpHandle op("nextafter");
  const DType common = at_least_float(promote(a.dtype(), b.dtype()));
  return elementwise(*op, {converted(a, common), converted(b, common)});
}

void register_nextafter(OpRegistry& ops) {
  ops.elementwise_with<NoAttrs>("nextafter")
      .summary("The value of the dtype that comes after a on the way to b.")
      .input("a", dtypes::floating)
      .input("b", dtypes::floating, "dtype of a")
      .infer(infer_nextafter)
      .check(check_nextafter)
      .lower(lower_nextafter)
      .vmap(vmap_nextafter)
      .not_differentiable("it steps from one value to the next");
  ops.function("nextafter")
      .signature("(a: scalar | array, b: scalar | array, /, *, stream: StreamOrDevice = None) -> array")
      .summary("The value of the dtype that comes after a on the way to b; b itself where they are equal.")
      .details(
          "Shape: the arguments broadcast, the result has their common shape. Dtypes: floating ones; integers and bool are taken as float32. NaN where one is. Errors: ValueError for shapes that do not broadcast, and for complex64.")
      .oracle("np.nextafter(a, b)")
      .not_differentiable("it steps from one value to the next")
      .sample("(2, 3), (2, 3)")
      .sample("(2, 3), (3,)")
      .sample("[0.0, 0.0, 1.0, inf, nan], [1.0, -1.0, 1.0, inf, 1.0]")
      .sample("(), (2,)")
      .sample("(0, 3), (3,)");
}

}  // namespace plait
