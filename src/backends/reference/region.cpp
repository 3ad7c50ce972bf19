#include "backends/region.h"

#include <algorithm>

#include "backends/reference/scalar_ops.h"
#include "base/dispatch.h"
#include "plait/error.h"

namespace plait {
namespace {

using ir::Inst;
using ir::Level;
using ir::Op;

/// dispatch() over the types that values have: no 16-bit floats.
template <class F>
uint64_t typed(ir::Type type, F&& f) {
  return dispatch(type, [&]<class T>() -> uint64_t {
    if constexpr (std::is_same_v<T, float16_t> || std::is_same_v<T, bfloat16_t>)
      throw InternalError("kernel IR: a value of a 16-bit float type");
    else
      return f.template operator()<T>();
  });
}

/// One element of memory as the bits of a value, and back.
uint64_t load(const void* data, int64_t index, DType dtype) {
  return dispatch(dtype, [&]<class T>() -> uint64_t {
    const T x = static_cast<const T*>(data)[index];
    if constexpr (std::is_same_v<T, float16_t> || std::is_same_v<T, bfloat16_t>)
      return reference::to_bits(static_cast<float>(x));
    else
      return reference::to_bits(x);
  });
}
void store(void* data, int64_t index, DType dtype, uint64_t bits) {
  dispatch(dtype, [&]<class T>() {
    T& to = static_cast<T*>(data)[index];
    if constexpr (std::is_same_v<T, float16_t> || std::is_same_v<T, bfloat16_t>)
      to = T::from(reference::from_bits<float>(bits));
    else
      to = reference::from_bits<T>(bits);
  });
}

/// The value of one elementwise instruction from its operands' bits.
uint64_t evaluate(const ir::Program& code, const Inst& inst, uint64_t a, uint64_t b, uint64_t c) {
  using reference::from_bits;
  using reference::to_bits;
  const ir::Type from = code[inst.a].type;
  switch (inst.op) {
    case Op::convert:
      return typed(from, [&]<class T>() {
        return typed(inst.type, [&]<class To>() { return to_bits(reference::convert<To>(from_bits<T>(a))); });
      });
    case Op::round_f16: return to_bits(static_cast<float>(float16_t::from(from_bits<float>(a))));
    case Op::round_bf16: return to_bits(static_cast<float>(bfloat16_t::from(from_bits<float>(a))));
    case Op::is_nan:
    case Op::is_inf:
    case Op::is_finite:
      return typed(from, [&]<class T>() { return to_bits(reference::test(inst.op, from_bits<T>(a))); });
    case Op::bitcast: return a;
    case Op::real: return to_bits(from_bits<reference::Complex>(a).real());
    case Op::imag: return to_bits(from_bits<reference::Complex>(a).imag());
    case Op::complex: return to_bits(reference::Complex(from_bits<float>(a), from_bits<float>(b)));
    case Op::select: return from_bits<bool>(a) ? b : c;
    case Op::fma:
      return typed(
          from, [&]<class T>() { return to_bits(reference::fma(from_bits<T>(a), from_bits<T>(b), from_bits<T>(c))); });
    default: break;
  }
  if (inst.op == Op::abs && from == DType::complex64) return to_bits(std::abs(from_bits<reference::Complex>(a)));
  return typed(from, [&]<class T>() -> uint64_t {
    if (ir::operand_count(inst.op) == 1) return to_bits(reference::unary(inst.op, from_bits<T>(a)));
    if (ir::is_comparison(inst.op)) return to_bits(reference::compare(inst.op, from_bits<T>(a), from_bits<T>(b)));
    return to_bits(reference::binary(inst.op, from_bits<T>(a), from_bits<T>(b)));
  });
}

/// Sums of floats in double, so that they are good to judge others by.
uint64_t reduce(Op op, ir::Type type, const std::vector<uint64_t>& row) {
  using reference::from_bits;
  return typed(type, [&]<class T>() {
    using Wide = std::conditional_t<std::floating_point<T>, double, T>;
    Wide result = static_cast<Wide>(reference::identity<T>(op));
    for (uint64_t bits : row)
      result = reference::binary<Wide>(reference::combiner(op), result, static_cast<Wide>(from_bits<T>(bits)));
    return reference::to_bits(static_cast<T>(result));
  });
}

class ReferenceRegion final : public CompiledRegion {
 public:
  explicit ReferenceRegion(RegionProgram program) : program_(std::move(program)) {}

  void run(const RegionBinding& at) const override {
    const int outer_rank = program_.rank - program_.row_rank;
    int64_t outer_count = 1, row_count = 1;
    for (int axis = 0; axis < program_.rank; ++axis) (axis < outer_rank ? outer_count : row_count) *= at.extents[axis];

    // values[i] holds one element, or a row of them for Level::row.
    std::vector<std::vector<uint64_t>> values(program_.code.size());
    for (int64_t outer = 0; outer < outer_count; ++outer) {
      for (size_t i = 0; i < program_.code.size(); ++i) {
        const Inst& inst = program_.code[i];
        if (inst.level == Level::scalar && outer > 0) continue;
        compute(at, outer, row_count, i, values);
      }
      // After all reads: an output may be the memory of an input. Without reductions rows are single elements.
      for (size_t k = 0; k < program_.outputs.size(); ++k) {
        const auto& out = program_.outputs[k];
        const auto& value = values[out.value];
        const int64_t count = out.level == Level::row ? row_count : 1;
        for (int64_t r = 0; r < count; ++r)
          store(at.outputs[k].data, offset(at, at.outputs[k], outer, r), out.dtype, value[value.size() == 1 ? 0 : r]);
      }
    }
  }

 private:
  /// Elements from the start of an operand to (outer, row position), both row-major.
  int64_t offset(const RegionBinding& at, const RegionBinding::Operand& operand, int64_t outer, int64_t row) const {
    int64_t sum = 0;
    const int outer_rank = program_.rank - program_.row_rank;
    for (int axis = program_.rank - 1; axis >= 0; --axis) {
      int64_t& index = axis < outer_rank ? outer : row;
      if (at.extents[axis] <= 1) continue;
      sum += index % at.extents[axis] * operand.strides[axis];
      index /= at.extents[axis];
    }
    return sum;
  }

  void compute(const RegionBinding& at, int64_t outer, int64_t row_count, size_t i,
               std::vector<std::vector<uint64_t>>& values) const {
    const Inst& inst = program_.code[i];
    auto& to = values[i];
    to.assign(inst.level == Level::row ? row_count : 1, 0);
    if (ir::is_reduction(inst.op)) {
      const auto& row = values[inst.a];
      if (program_.code[inst.a].level == Level::row) {
        to[0] = reduce(inst.op, inst.type, row);
      } else {
        to[0] = reduce(inst.op, inst.type, std::vector<uint64_t>(row_count, row[0]));
      }
      return;
    }
    for (int64_t r = 0; r < static_cast<int64_t>(to.size()); ++r) {
      const auto operand = [&](uint32_t id) { return values[id].size() == 1 ? values[id][0] : values[id][r]; };
      switch (inst.op) {
        case Op::input:
          to[r] = load(at.inputs[inst.index].data,
                       inst.level == Level::scalar ? 0 : offset(at, at.inputs[inst.index], outer, r),
                       program_.inputs[inst.index].dtype);
          break;
        case Op::scalar: to[r] = load(&at.scalars[inst.index].bits, 0, program_.scalars[inst.index]); break;
        case Op::constant: to[r] = inst.imm.bits; break;
        default: {
          const int count = ir::operand_count(inst.op);
          to[r] = evaluate(program_.code, inst, operand(inst.a), count > 1 ? operand(inst.b) : 0,
                           count > 2 ? operand(inst.c) : 0);
        }
      }
    }
  }

  RegionProgram program_;
};

}  // namespace

std::unique_ptr<CompiledRegion> compile_region_reference(RegionProgram region) {
  return std::make_unique<ReferenceRegion>(std::move(region));
}

}  // namespace plait
