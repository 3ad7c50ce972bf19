// Assembled steps against interpreted ones: the same bits (of NaN, some NaN).
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>

#include "backends/cpu/interpreter.h"
#include "backends/cpu/jit/assemble.h"

namespace plait::cpu {
namespace {

using ir::Builder;
using ir::Level;
using ir::Op;
using ir::Val;
using Random = std::mt19937;

struct Result {
  std::vector<std::vector<char>> bytes;
};

struct Example {
  RegionProgram program;
  SmallVector<int64_t, 6> extents;
  std::vector<std::vector<char>> inputs;
  std::vector<ScalarBits> scalars;
  bool in_place = false;  // output 0 is the memory of input 0

  Result run(Assembling assembling) const {
    CpuRegion region(program);
    region.assembling = assembling;
    RegionBinding binding;
    binding.extents = extents;
    binding.scalars = scalars;
    std::vector<std::vector<char>> in = inputs;
    for (size_t k = 0; k < in.size(); ++k) binding.inputs.push_back({in[k].data(), strides(program.inputs[k].level)});
    Result result;
    for (const auto& out : program.outputs) {
      int64_t count = 1;
      for (size_t axis = 0; axis < extents.size(); ++axis)
        if (varies(out.level, static_cast<int>(axis))) count *= extents[axis];
      result.bytes.emplace_back(static_cast<size_t>(count) * size_of(out.dtype));
    }
    for (size_t k = 0; k < program.outputs.size(); ++k)
      binding.outputs.push_back({in_place && k == 0 ? static_cast<void*>(in[0].data()) : result.bytes[k].data(),
                                 strides(program.outputs[k].level)});
    region.run(binding);
    if (in_place) result.bytes[0] = in[0];
    return result;
  }

  void check() const {
    const Result expected = run(Assembling::never), got = run(Assembling::always);
    for (size_t k = 0; k < expected.bytes.size(); ++k) {
      if (expected.bytes[k] == got.bytes[k]) continue;
      const DType dtype = program.outputs[k].dtype;
      const size_t width = size_of(dtype);
      for (size_t at = 0; at < got.bytes[k].size(); at += width) {
        uint32_t x = 0, y = 0;
        std::memcpy(&x, &expected.bytes[k][at], width);
        std::memcpy(&y, &got.bytes[k][at], width);
        if (x == y || (is_nan(dtype, x) && is_nan(dtype, y))) continue;
        FAIL() << "output " << k << " element " << at / width << ": bits " << std::hex << y << " instead of " << x
               << "\n"
               << to_string(program);
      }
    }
  }

 private:
  /// Which of two NaNs an addition gives is up to the order of its operands, which compilers choose freely.
  static bool is_nan(DType dtype, uint32_t bits) {
    switch (dtype) {
      case DType::float32: return (bits & 0x7fffffff) > 0x7f800000;
      case DType::float16: return (bits & 0x7fff) > 0x7c00;
      case DType::bfloat16: return (bits & 0x7fff) > 0x7f80;
      default: return false;
    }
  }
  bool varies(Level level, int axis) const {
    return level == Level::row || (level == Level::outer && axis < program.rank - program.row_rank);
  }
  SmallVector<int64_t, 6> strides(Level level) const {
    SmallVector<int64_t, 6> s;
    s.resize(extents.size(), 0);
    int64_t step = 1;
    for (int axis = static_cast<int>(extents.size()); axis-- > 0;) {
      if (!varies(level, axis)) continue;
      s[static_cast<size_t>(axis)] = step;
      step *= extents[static_cast<size_t>(axis)];
    }
    return s;
  }
};

std::vector<char> random_bytes(Random& random, DType dtype, int64_t count) {
  std::vector<char> bytes(static_cast<size_t>(count) * size_of(dtype));
  static const float special[] = {0.0f, -0.0f, 1, -1, 0.5f, HUGE_VALF, -HUGE_VALF, NAN, 1e-40f, 88.5f, -104.2f, 3e38f};
  for (int64_t i = 0; i < count; ++i) {
    float x = std::normal_distribution<float>(0, 3)(random);
    if (random() % 8 == 0) x = special[random() % 12];
    char* const to = &bytes[static_cast<size_t>(i) * size_of(dtype)];
    if (dtype == DType::bool_)
      *to = random() & 1;
    else if (dtype == DType::float16) {
      const auto h = float16_t::from(x);
      std::memcpy(to, &h, 2);
    } else if (dtype == DType::bfloat16) {
      const auto h = bfloat16_t::from(x);
      std::memcpy(to, &h, 2);
    } else {
      std::memcpy(to, &x, 4);
    }
  }
  return bytes;
}

class Jit : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!jit::available()) GTEST_SKIP() << "no JIT: not built, or this machine has no AVX-512";
  }
};

TEST_F(Jit, EachOpHasTheBitsOfTheInterpreter) {
  Random random(1);
  for (int op = static_cast<int>(Op::neg); op < static_cast<int>(Op::reduce_sum); ++op) {
    const Op code = static_cast<Op>(op);
    if (code == Op::bitcast || code == Op::real || code == Op::imag || code == Op::conj || code == Op::complex ||
        code == Op::shl || code == Op::shr || code == Op::bit_and || code == Op::bit_or || code == Op::bit_xor ||
        code == Op::bit_not)
      continue;
    for (const int64_t n : {1, 15, 64, 1000, 4096}) {
      Example e;
      Builder b;
      e.program.rank = 1;
      e.program.inputs = {{DType::float32}, {DType::float32}, {DType::float32}};
      const Val x = b.input(0, DType::float32, Level::row), y = b.input(1, DType::float32, Level::row);
      const Val z = b.input(2, DType::float32, Level::row);
      Val v = x;
      switch (ir::operand_count(code)) {
        case 1: v = b.unary(code, x + 0.0); break;
        case 2: v = b.binary(code, x + 0.0, y); break;
        default: v = code == Op::fma ? fma(x, y, z) : select(x < y, y, z);
      }
      if (v.type() == DType::bool_) v = select(v, x, z);
      const Val w = v * 1.0;
      e.program.outputs = {{w.id, DType::float32}, {(x < y).id, DType::bool_}};
      e.program.code = b.take();
      e.extents = {n};
      for (int k = 0; k < 3; ++k) e.inputs.push_back(random_bytes(random, DType::float32, n));
      SCOPED_TRACE(std::string(ir::name_of(code)) + " n=" + std::to_string(n));
      e.check();
      if (HasFatalFailure()) return;
    }
  }
}

/// Formulas of every kind over inputs of every dtype that is assembled, several results, with and without reductions.
Example random_example(Random& random, bool rows, int length) {
  static const DType types[] = {DType::float32, DType::float32, DType::float16, DType::bfloat16, DType::bool_};
  Example e;
  Builder b;
  e.program.rank = 2;
  e.program.row_rank = rows;
  std::vector<Val> floats, bools;
  const auto add = [&](Val v) { (v.type() == DType::bool_ ? bools : floats).push_back(v); };
  const auto any = [&] { return floats[random() % floats.size()]; };
  const int inputs = 1 + static_cast<int>(random() % 5);
  for (int k = 0; k < inputs; ++k) {
    const DType type = k == 0 ? DType::float32 : types[random() % 5];
    const Level level = k > 0 && random() % 4 == 0 ? (rows ? Level::outer : Level::scalar) : Level::row;
    e.program.inputs.push_back({type, level});
    add(b.input(k, type, level));
  }
  e.program.scalars = {DType::float32};
  e.scalars = {ScalarBits::of(1.25, DType::float32)};
  add(b.scalar(0, DType::float32));
  for (int i = 0; i < length; ++i) {
    const Val x = any(), y = any();
    switch (random() % (rows ? 19 : 16)) {
      case 0: add(x + y); break;
      case 1: add(x - y); break;
      case 2: add(x * y); break;
      case 3: add(x / y); break;
      case 4: add(max(x, y)); break;
      case 5: add(min(x, y)); break;
      case 6: add(exp(x)); break;
      case 7: add(tanh(x)); break;
      case 8: add(log(abs(x))); break;
      case 9: add(x < y); break;
      case 10:
        if (!bools.empty()) add(select(bools[random() % bools.size()], x, y));
        break;
      case 11: add(b.rounded(x, random() % 2 ? DType::float16 : DType::bfloat16)); break;
      case 12: add(sqrt(abs(x)) * 0.75); break;
      case 13:
        if (bools.size() > 1) add(bools[random() % bools.size()] & bools[random() % bools.size()]);
        break;
      case 14: add(sin(x)); break;  // has no recorded form: it parts two assembled steps
      case 15: add(b.convert(x, DType::bool_)); break;
      case 16: add(b.reduce(Op::reduce_sum, x)); break;
      case 17: add(b.reduce(random() % 2 ? Op::reduce_max : Op::reduce_min, x)); break;
      default: add(b.reduce(Op::reduce_prod, x * 0.5)); break;
    }
  }
  const int outputs = 1 + static_cast<int>(random() % 3);
  for (int k = 0; k < outputs; ++k) {
    const bool flag = !bools.empty() && random() % 4 == 0;
    const Val v = flag ? bools.back() : k == 0 ? floats.back() : any();
    DType dtype = v.type();
    if (!flag && random() % 3 == 0) dtype = random() % 2 ? DType::float16 : DType::bfloat16;
    e.program.outputs.push_back(
        {b.rounded(v, dtype).id, dtype, k == 0 ? Level::row : std::max(b.at(v.id).level, Level::outer)});
    if (!rows) e.program.outputs.back().level = Level::row;
  }
  e.program.code = b.take();
  static const int64_t sizes[] = {1, 7, 16, 33, 64, 200, 513, 1024, 1500, 4096};
  e.extents = {static_cast<int64_t>(1 + random() % 20), sizes[random() % 10]};
  for (const auto& in : e.program.inputs) {
    int64_t count = in.level == Level::scalar ? 1 : e.extents[0];
    if (in.level == Level::row) count *= e.extents[1];
    e.inputs.push_back(random_bytes(random, in.dtype, count));
  }
  e.in_place = e.program.outputs[0].dtype == DType::float32 && random() % 2;
  return e;
}

TEST_F(Jit, RandomProgramsHaveTheBitsOfTheInterpreter) {
  for (unsigned seed = 0; seed < 800; ++seed) {
    Random random(seed);
    SCOPED_TRACE("seed " + std::to_string(seed));
    random_example(random, seed % 2, 1 + static_cast<int>(random() % 30)).check();
    if (HasFatalFailure()) return;
  }
}

TEST_F(Jit, LongProgramsSpill) {
  for (unsigned seed = 0; seed < 12; ++seed) {
    Random random(seed);
    SCOPED_TRACE("seed " + std::to_string(seed));
    random_example(random, seed % 2, 600).check();
    if (HasFatalFailure()) return;
  }
}

TEST_F(Jit, LargeResultsPastTheCaches) {
  Random random(7);
  for (const bool rows : {false, true}) {
    for (const int64_t length : {4096, 2731}) {  // the second: rows do not begin at cache lines
      Example e;
      Builder b;
      e.program.rank = 2;
      e.program.row_rank = rows;
      e.program.inputs = {{DType::float32}, {DType::bfloat16}};
      const Val x = b.input(0, DType::float32, Level::row), y = b.input(1, DType::bfloat16, Level::row);
      Val z = tanh(x) * y + 1.0;
      if (rows) z = exp(z - b.reduce(Op::reduce_max, z)) / b.reduce(Op::reduce_sum, y);
      e.program.outputs = {{z.id, DType::float32}, {b.rounded(z, DType::bfloat16).id, DType::bfloat16}};
      e.program.code = b.take();
      e.extents = {(int64_t{11} << 20) / length, length};
      for (const auto& in : e.program.inputs)
        e.inputs.push_back(random_bytes(random, in.dtype, e.extents[0] * e.extents[1]));
      e.check();
      if (HasFatalFailure()) return;
    }
  }
}

}  // namespace
}  // namespace plait::cpu
