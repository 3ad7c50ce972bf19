// Regions with memory for their operands, for the tests of every tier that runs regions.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <complex>
#include <random>

#include "backends/region.h"
#include "base/dispatch.h"

namespace plait::region_cases {

using ir::Builder;
using ir::Level;
using ir::Op;
using ir::Val;
using Random = std::mt19937;

inline int pick(Random& random, int count) { return static_cast<int>(random() % static_cast<unsigned>(count)); }

/// An operand in memory of its own, exactly as large as it must be, so that a sanitizer sees every step too far.
struct Memory {
  DType dtype = DType::float32;
  std::unique_ptr<char[]> bytes = {};
  int64_t count = 0;
  int64_t origin = 0;  // element that index 0 of every axis lies at
  SmallVector<int64_t, 6> strides = {};

  char* data() const { return bytes.get() + origin * size_of(dtype); }
  RegionBinding::Operand operand() const { return {data(), strides}; }
};

/// How an operand lies in memory.
enum class Lay { contiguous, permuted, reversed, padded };

/// `varies[axis]` false: stride 0.
inline Memory make_memory(Random& random, DType dtype, const SmallVector<int64_t, 6>& extents,
                          const std::vector<bool>& varies, Lay lay) {
  const int rank = static_cast<int>(extents.size());
  std::vector<int> order(rank);
  for (int i = 0; i < rank; ++i) order[i] = i;
  if (lay == Lay::permuted) std::shuffle(order.begin(), order.end(), random);
  Memory memory{.dtype = dtype};
  memory.strides.resize(rank, 0);
  int64_t step = lay == Lay::padded ? 3 : 1, last = 0;
  for (int i = rank; i-- > 0;) {
    const int axis = order[i];
    if (!varies[axis]) continue;
    const bool reverse = lay == Lay::reversed && pick(random, 2) == 0;
    memory.strides[axis] = reverse ? -step : step;
    if (extents[axis] > 0) {
      if (reverse) memory.origin += step * (extents[axis] - 1);
      last += step * (extents[axis] - 1);
    }
    step *= extents[axis] + (lay == Lay::padded ? 1 : 0);
  }
  memory.count = last + 1;
  for (int axis = 0; axis < rank; ++axis)
    if (varies[axis] && extents[axis] == 0) memory.count = 0;
  memory.bytes = std::make_unique<char[]>(static_cast<size_t>(memory.count) * size_of(dtype) + 1);
  return memory;
}

/// Small whole numbers, whose sums and products are exact, or numbers of every kind.
enum class Fill { exact, wild };

inline void fill(Random& random, const Memory& memory, Fill kind) {
  dispatch(memory.dtype, [&]<class T>() {
    T* to = reinterpret_cast<T*>(memory.bytes.get());
    for (int64_t i = 0; i < memory.count; ++i) {
      double x = pick(random, 9) - 4;
      if (kind == Fill::wild) {
        x = std::normal_distribution<double>(0, 2)(random);
        static const double special[] = {0.0,       -0.0, 1,     -1,     0.5,       HUGE_VAL,
                                         -HUGE_VAL, NAN,  1e-30, 300.25, -70000.75, 5e9};
        if (pick(random, 8) == 0) x = special[pick(random, 12)];
      }
      if constexpr (std::is_same_v<T, bool>)
        to[i] = random() & 1;
      else if constexpr (std::is_integral_v<T>)
        to[i] = kind == Fill::wild && pick(random, 4) == 0 ? static_cast<T>(random() * 0x9e3779b97f4a7c15u)
                                                           : static_cast<T>(static_cast<int64_t>(pick(random, 9) - 4));
      else if constexpr (std::is_same_v<T, float16_t> || std::is_same_v<T, bfloat16_t>)
        to[i] = T::from(static_cast<float>(x));
      else if constexpr (std::is_same_v<T, std::complex<float>>)
        to[i] = {static_cast<float>(std::isfinite(x) ? x : 1), static_cast<float>(pick(random, 9) - 4)};
      else
        to[i] = static_cast<T>(x);
    }
  });
}

inline Memory copy_of(const Memory& from) {
  Memory to{.dtype = from.dtype, .count = from.count, .origin = from.origin, .strides = from.strides};
  to.bytes = std::make_unique<char[]>(static_cast<size_t>(from.count) * size_of(from.dtype) + 1);
  std::copy_n(from.bytes.get(), from.count * size_of(from.dtype), to.bytes.get());
  return to;
}

/// Equal as values: NaN equals NaN. `tolerance` is relative, to 1 at least.
inline ::testing::AssertionResult same(const Memory& a, const Memory& b, double tolerance) {
  ::testing::AssertionResult result = ::testing::AssertionSuccess();
  dispatch(a.dtype, [&]<class T>() {
    const T* x = reinterpret_cast<const T*>(a.bytes.get());
    const T* y = reinterpret_cast<const T*>(b.bytes.get());
    const auto close = [&](double p, double q) {
      return (std::isnan(p) && std::isnan(q)) || p == q ||
             std::fabs(p - q) <= tolerance * std::max({1.0, std::fabs(p), std::fabs(q)});
    };
    for (int64_t i = 0; i < a.count; ++i) {
      bool equal;
      if constexpr (std::is_same_v<T, std::complex<float>>) {
        equal = close(x[i].real(), y[i].real()) && close(x[i].imag(), y[i].imag());
      } else if constexpr (std::is_integral_v<T>) {
        equal = x[i] == y[i];
      } else {
        equal = close(static_cast<double>(static_cast<float>(x[i])), static_cast<double>(static_cast<float>(y[i])));
        if constexpr (std::is_same_v<T, double>) equal = close(x[i], y[i]);
      }
      if (!equal) {
        std::string text;
        const auto print = [&](T v) {
          if constexpr (std::is_same_v<T, std::complex<float>>)
            text += std::to_string(v.real()) + "," + std::to_string(v.imag());
          else if constexpr (std::is_same_v<T, float16_t> || std::is_same_v<T, bfloat16_t>)
            text += std::to_string(static_cast<float>(v));
          else
            text += std::to_string(v);
        };
        print(x[i]);
        text += " instead of ";
        print(y[i]);
        result = ::testing::AssertionFailure() << "element " << i << " of " << a.count << " is " << text;
        return;
      }
    }
  });
  return result;
}

/// A region with memory for its operands.
struct Case {
  RegionProgram program;
  SmallVector<int64_t, 6> extents;
  std::vector<Memory> inputs, outputs;
  std::vector<ScalarBits> scalars;
  std::vector<int> in_place;  // per output: the input it takes the memory of, or -1

  /// Runs on copies of the inputs and leaves the results in `results`.
  void run(const CompiledRegion& region, std::vector<Memory>& results) const {
    RegionBinding binding;
    binding.extents = extents;
    binding.scalars = scalars;
    std::vector<Memory> copies;
    for (const Memory& m : inputs) copies.push_back(copy_of(m));
    for (const Memory& m : copies) binding.inputs.push_back(m.operand());
    results.clear();
    for (size_t k = 0; k < outputs.size(); ++k) {
      results.push_back(copy_of(outputs[k]));
      binding.outputs.push_back(in_place.empty() || in_place[k] < 0 ? results.back().operand()
                                                                    : copies[in_place[k]].operand());
    }
    region.run(binding);
    for (size_t k = 0; k < outputs.size(); ++k)
      if (!in_place.empty() && in_place[k] >= 0) results[k] = std::move(copies[in_place[k]]);
  }

  void check(const CompiledRegion& region, double tolerance) const {
    std::vector<Memory> expected, got;
    run(*compile_region_reference(program), expected);
    run(region, got);
    for (size_t k = 0; k < outputs.size(); ++k)
      ASSERT_TRUE(same(got[k], expected[k], tolerance)) << "output " << k << "\n" << describe();
  }

  std::string describe() const {
    std::string text = to_string(program) + "extents";
    for (int64_t e : extents) text += " " + std::to_string(e);
    for (const Memory& m : inputs) {
      text += "\ninput " + std::string(name_of(m.dtype)) + " strides";
      for (int64_t s : m.strides) text += " " + std::to_string(s);
    }
    return text;
  }
};

inline std::vector<bool> varies_in(const RegionProgram& program, Level level) {
  std::vector<bool> varies(program.rank);
  for (int axis = 0; axis < program.rank; ++axis)
    varies[axis] = level == Level::row || (level == Level::outer && axis < program.rank - program.row_rank);
  return varies;
}

inline Case one_op(Random& random, Op op, DType from, DType to, Lay lay, SmallVector<int64_t, 6> extents, Fill kind) {
  Case test;
  Builder builder;
  const int operands = ir::operand_count(op);
  std::vector<Val> values;
  for (int k = 0; k < operands; ++k) {
    const DType type = op == Op::select && k == 0 ? DType::bool_ : from;
    values.push_back(builder.input(k, type, Level::row));
    test.program.inputs.push_back({type});
  }
  Val result;
  if (op == Op::convert || op == Op::bitcast)
    result = builder.unary_to(op, values[0], to);
  else if (operands == 1)
    result = builder.unary(op, values[0]);
  else if (operands == 2)
    result = builder.binary(op, values[0], values[1]);
  else if (op == Op::select)
    result = builder.select(values[0], values[1], values[2]);
  else
    result = builder.fma(values[0], values[1], values[2]);
  test.program.rank = static_cast<int>(extents.size());
  test.program.outputs.push_back({result.id, result.type(), Level::row});
  test.program.code = builder.take();
  test.extents = extents;
  std::vector<bool> all(extents.size(), true);
  for (int k = 0; k < operands; ++k) {
    std::vector<bool> varies = all;
    if (lay == Lay::padded && k == 1 && !varies.empty()) varies[pick(random, static_cast<int>(varies.size()))] = false;
    test.inputs.push_back(make_memory(random, test.program.inputs[k].dtype, extents, varies, lay));
    fill(random, test.inputs.back(), kind);
  }
  test.outputs.push_back(
      make_memory(random, test.program.outputs[0].dtype, extents, all, lay == Lay::permuted ? Lay::contiguous : lay));
  return test;
}

inline constexpr DType kTypes[] = {DType::bool_,  DType::uint8,   DType::uint16,  DType::uint32,
                                   DType::uint64, DType::int8,    DType::int16,   DType::int32,
                                   DType::int64,  DType::float32, DType::float64, DType::complex64};

inline bool defined(Op op, DType type) {
  const bool b = type == DType::bool_, floats = is_floating(type), complex = type == DType::complex64;
  const bool integers = is_integer(type);
  switch (op) {
    case Op::round_f16:
    case Op::round_bf16:
    case Op::complex: return type == DType::float32;
    case Op::real:
    case Op::imag:
    case Op::conj: return complex;
    case Op::sqrt:
    case Op::rsqrt:
    case Op::div: return floats || complex;
    case Op::erf:
    case Op::erfinv:
    case Op::atan2: return floats;
    case Op::bit_not:
    case Op::bit_and:
    case Op::bit_or:
    case Op::bit_xor: return b || integers;
    case Op::shl:
    case Op::shr: return integers;
    case Op::floor_div:
    case Op::rem: return integers || floats;
    case Op::fma: return !b;
    case Op::convert:
    case Op::bitcast: return true;
    default: return op >= Op::exp && op <= Op::atanh ? floats || complex : true;
  }
}

inline double tolerance_of(Op op, DType type) {
  const bool exact = op < Op::exp || (op > Op::erfinv && op != Op::pow && op != Op::atan2);
  if (type == DType::complex64) return op == Op::add || op == Op::sub ? 0 : 2e-5;
  if (op == Op::rsqrt || op == Op::fma) return type == DType::float64 ? 1e-15 : 3e-7;
  if (exact) return 0;
  return type == DType::float64 ? 1e-13 : 2e-6;
}

inline std::vector<Op> elementwise_ops() {
  std::vector<Op> ops;
  for (int i = static_cast<int>(Op::convert); i < static_cast<int>(Op::reduce_sum); ++i)
    ops.push_back(static_cast<Op>(i));
  return ops;
}

/// A random program of ops that are exact on small whole numbers, with reductions when row_rank > 0.
inline Case random_case(Random& random) {
  Case test;
  Builder builder;
  const int rank = pick(random, 5), row_rank = pick(random, 3) == 0 ? 0 : std::min(rank, pick(random, 3));
  test.program.rank = rank;
  test.program.row_rank = row_rank;
  static const int64_t sizes[] = {1, 2, 3, 5, 16, 17, 40, 64, 130, 700, 1100, 3000, 5000};
  int64_t count = 1;
  for (int axis = 0; axis < rank; ++axis) {
    int64_t extent = pick(random, 25) == 0 ? 0 : sizes[pick(random, 13)];
    if (count * extent > 40000) extent = 1 + pick(random, 3);
    test.extents.push_back(extent);
    count *= std::max<int64_t>(extent, 1);
  }
  const auto level = [&] {
    return pick(random, 6) == 0 ? Level::scalar : row_rank > 0 && pick(random, 3) == 0 ? Level::outer : Level::row;
  };
  std::vector<Val> floats, integers, bools;
  static const DType types[] = {DType::float32, DType::float32, DType::float16, DType::bfloat16,
                                DType::int32,   DType::float64, DType::bool_};
  const auto add = [&](Val v) {
    if (v.type() == DType::float64) v = builder.convert(v, DType::float32);
    (v.type() == DType::float32 ? floats : v.type() == DType::int32 ? integers : bools).push_back(v);
  };
  const int inputs = 1 + pick(random, 4);
  for (int k = 0; k < inputs; ++k) {
    const DType type = k == 0 ? DType::float32 : types[pick(random, 7)];
    test.program.inputs.push_back({type, k == 0 ? Level::row : level()});
    add(builder.input(k, type, test.program.inputs[k].level));
  }
  test.program.scalars = {DType::float32, DType::bfloat16};
  test.scalars = {ScalarBits::of(2.0, DType::float32), ScalarBits::of(-1.0, DType::bfloat16)};
  for (int k = 0; k < 2; ++k) add(builder.scalar(k, test.program.scalars[k]));
  add(builder.constant(3.0, DType::float32));
  add(builder.constant(2, DType::int32));

  const auto any = [&](const std::vector<Val>& from) { return from[pick(random, static_cast<int>(from.size()))]; };
  const auto held = [&](Val x) {
    return max(min(x, builder.constant(9.0, DType::float32)), builder.constant(-9.0, DType::float32));
  };
  const auto held_int = [&](Val x) {
    return max(min(x, builder.constant(9, DType::int32)), builder.constant(-9, DType::int32));
  };
  const int length = 1 + pick(random, 25);
  for (int i = 0; i < length; ++i) {
    const Val x = any(floats), y = any(floats);
    switch (pick(random, row_rank > 0 ? 15 : 11)) {
      case 0: add(held(x + y)); break;
      case 1: add(held(x - y)); break;
      case 2: add(held(x * y)); break;
      case 3: add(max(x, y)); break;
      case 4: add(abs(x)); break;
      case 5: add(-x); break;
      case 6: add(x < y); break;
      case 7:
        if (!bools.empty()) add(select(any(bools), x, y));
        break;
      case 8: add(builder.convert(x, DType::int32)); break;
      case 9: add(held_int(any(integers) + any(integers))); break;
      case 10: add(builder.convert(any(integers), DType::float32)); break;
      case 11: add(held(builder.reduce(Op::reduce_sum, x))); break;
      case 12:
        add(builder.reduce(pick(random, 2) ? Op::reduce_max : Op::reduce_min, builder.convert(x, DType::int32)));
        integers.back() = held_int(integers.back());
        break;
      case 13: add(held(builder.reduce(pick(random, 2) ? Op::reduce_max : Op::reduce_min, x))); break;
      default:
        if (!bools.empty()) add(builder.reduce(pick(random, 2) ? Op::reduce_max : Op::reduce_min, any(bools)));
    }
  }
  const int outputs = 1 + pick(random, 3);
  for (int k = 0; k < outputs; ++k) {
    const int kind = pick(random, 4);
    const Val v = kind == 0 && !bools.empty() ? any(bools)
                  : kind == 1                 ? any(integers)
                  : k == 0                    ? floats.back()
                                              : any(floats);
    DType dtype = v.type();
    if (dtype == DType::float32 && pick(random, 3) == 0) dtype = pick(random, 2) ? DType::float16 : DType::bfloat16;
    const Level least = row_rank > 0 ? std::max(builder.at(v.id).level, Level::outer) : Level::row;
    test.program.outputs.push_back({v.id, dtype, pick(random, 3) ? least : Level::row});
  }
  test.program.code = builder.take();

  for (const auto& in : test.program.inputs) {
    std::vector<bool> varies = varies_in(test.program, in.level);
    if (pick(random, 3) == 0 && rank > 0) varies[pick(random, rank)] = false;
    test.inputs.push_back(make_memory(random, in.dtype, test.extents, varies, static_cast<Lay>(pick(random, 4))));
    fill(random, test.inputs.back(), Fill::exact);
  }
  test.in_place.assign(outputs, -1);
  std::vector<bool> taken(inputs, false);
  for (int k = 0; k < outputs; ++k) {
    const auto& out = test.program.outputs[k];
    test.outputs.push_back(make_memory(random, out.dtype, test.extents, varies_in(test.program, out.level),
                                       static_cast<Lay>(pick(random, 4))));
    if (pick(random, 2)) continue;
    for (int i = 0; i < inputs; ++i) {  // the same elements, each once
      const auto& in = test.program.inputs[i];
      bool fits = !taken[i] && size_of(in.dtype) == size_of(out.dtype) && in.level == out.level;
      for (int axis = 0; axis < rank; ++axis)
        fits &= test.inputs[i].strides[axis] != 0 || !varies_in(test.program, in.level)[axis];
      if (!fits) continue;
      taken[i] = true;
      test.in_place[k] = i;
      test.outputs[k] = copy_of(test.inputs[i]);
      test.outputs[k].dtype = out.dtype;
      break;
    }
  }
  return test;
}

/// sum, prod, max, min of one input over the row.
inline Case reductions(DType type, int outer_rank, SmallVector<int64_t, 6> extents) {
  Case test;
  Builder builder;
  const Val x = builder.input(0, type, Level::row);
  test.program.rank = static_cast<int>(extents.size());
  test.program.row_rank = test.program.rank - outer_rank;
  test.program.inputs = {{type, Level::row}};
  for (const Op op : {Op::reduce_sum, Op::reduce_prod, Op::reduce_max, Op::reduce_min})
    test.program.outputs.push_back({builder.reduce(op, x).id, x.type(), Level::outer});
  test.program.code = builder.take();
  test.extents = extents;
  return test;
}

}  // namespace plait::region_cases
