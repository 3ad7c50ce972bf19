// The tile interpreter against plain loops.
#include <gtest/gtest.h>

#include "backends/region_cases.h"
#include "base/parallel.h"

namespace plait {
namespace {

using namespace region_cases;

void check(const Case& test, double tolerance) { test.check(*compile_region_cpu(test.program), tolerance); }

class EachOp : public ::testing::TestWithParam<Op> {};

TEST_P(EachOp, EqualsPlainLoops) {
  const Op op = GetParam();
  Random random(1);
  const SmallVector<int64_t, 6> shapes[] = {{},     {1},      {7},      {64},       {1100},     {0},
                                            {3, 5}, {130, 3}, {5, 300}, {4, 3, 70}, {2, 1, 129}};
  for (const DType type : kTypes) {
    if (!defined(op, type)) continue;
    for (const DType to : kTypes) {
      if (op != Op::convert && to != DType::bool_) break;
      if (op == Op::convert && to == type) continue;
      for (const Lay lay : {Lay::contiguous, Lay::permuted, Lay::reversed, Lay::padded}) {
        for (const auto& shape : shapes) {
          const bool wild = type != DType::complex64 && op != Op::fma;
          const Case test = one_op(random, op, type,
                                   op == Op::bitcast ? (type == DType::bool_ ? DType::bool_
                                                        : size_of(type) == 4 ? DType::uint32
                                                                             : type)
                                                     : to,
                                   lay, shape, wild ? Fill::wild : Fill::exact);
          check(test, tolerance_of(op, type));
          if (HasFatalFailure()) return;
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Interpreter, EachOp, ::testing::ValuesIn(elementwise_ops()),
                         [](const auto& info) { return std::string(ir::name_of(info.param)); });

TEST(Interpreter, StoresAndLoads16BitFloatsExactly) {
  for (const DType half : {DType::float16, DType::bfloat16}) {
    // All 65,536 values in, and floats around each of them out.
    Builder builder;
    const Val x = builder.input(0, half, Level::row), y = builder.input(1, DType::float32, Level::row);
    Case test;
    test.program.rank = 1;
    test.program.inputs = {{half}, {DType::float32}};
    test.program.outputs = {{x.id, DType::float32, Level::row},
                            {y.id, half, Level::row},
                            {builder.rounded(y, half).id, DType::float32, Level::row}};
    test.program.code = builder.take();
    test.extents = {65536};
    Random random(2);
    for (const auto& in : test.program.inputs)
      test.inputs.push_back(make_memory(random, in.dtype, test.extents, {true}, Lay::contiguous));
    for (const auto& out : test.program.outputs)
      test.outputs.push_back(make_memory(random, out.dtype, test.extents, {true}, Lay::contiguous));
    for (int i = 0; i < 65536; ++i) {
      reinterpret_cast<uint16_t*>(test.inputs[0].bytes.get())[i] = static_cast<uint16_t>(i);
      const uint32_t bits = static_cast<uint32_t>(i) << 16 | (random() & 0xffff);
      const float nearby = std::bit_cast<float>(bits);
      const float from_half = static_cast<float>(float16_t{static_cast<uint16_t>(i)});
      reinterpret_cast<float*>(test.inputs[1].bytes.get())[i] =
          i & 1 ? nearby : std::nextafter(from_half, i & 2 ? 1e9f : -1e9f);
    }
    check(test, 0);
  }
}

TEST(Interpreter, RandomProgramsEqualPlainLoops) {
  for (unsigned seed = 0; seed < 1500; ++seed) {
    Random random(seed);
    const Case test = random_case(random);
    SCOPED_TRACE("seed " + std::to_string(seed));
    check(test, 0);
    if (HasFatalFailure()) return;
  }
}

TEST(Interpreter, SlowResultsBeyondTheCacheEqualPlainLoops) {
  // Large enough to be written past the caches; 16-bit so that the loops of the oracle stay short in time.
  Random random(5);
  for (const bool rows : {false, true}) {
    Builder builder;
    Case test;
    const Val x = builder.input(0, DType::float32, Level::row), y = builder.input(1, DType::float32, Level::row);
    Val z = max(x * 2.0 - y, y) + 1.0;
    if (rows) z = z - builder.reduce(Op::reduce_max, x);
    test.program.rank = 2;
    test.program.row_rank = rows;
    test.program.inputs = {{DType::float32}, {DType::float32}};
    test.program.outputs = {{z.id, DType::float32}, {builder.rounded(z, DType::bfloat16).id, DType::bfloat16}};
    test.program.code = builder.take();
    test.extents = {2100, 2731};
    for (int k = 0; k < 2; ++k) {
      test.inputs.push_back(make_memory(random, DType::float32, test.extents, {k == 0, true}, Lay::contiguous));
      fill(random, test.inputs.back(), Fill::exact);
    }
    for (const auto& out : test.program.outputs)
      test.outputs.push_back(make_memory(random, out.dtype, test.extents, {true, true}, Lay::contiguous));
    check(test, 0);
  }
}

TEST(Interpreter, ReductionsOfEveryTypeAndLength) {
  Random random(3);
  for (const DType type : kTypes) {
    for (const int64_t length : {0, 1, 2, 3, 15, 16, 17, 63, 64, 65, 511, 513, 1023, 1024, 1025, 5000}) {
      for (const int64_t rows : {1, 3, 70}) {
        Case test = reductions(type, 1, {rows, length});
        for (const Lay lay : {Lay::contiguous, Lay::permuted}) {
          test.inputs.clear();
          test.outputs.clear();
          test.inputs.push_back(make_memory(random, type, test.extents, {true, true}, lay));
          fill(random, test.inputs[0], Fill::exact);
          if (type == DType::complex64) {  // products of long rows: of 1, -1, i and -i only
            auto* x = reinterpret_cast<std::complex<float>*>(test.inputs[0].bytes.get());
            for (int64_t i = 0; i < test.inputs[0].count; ++i)
              x[i] = i % 3 ? std::complex<float>(0, 1) : std::complex<float>(-1, 0);
          } else if (is_floating(type) && length > 16) {
            for (int64_t i = 0; i < test.inputs[0].count; ++i) {
              if (type == DType::float32)
                reinterpret_cast<float*>(test.inputs[0].bytes.get())[i] = pick(random, 2) ? 1 : -1;
              else
                reinterpret_cast<double*>(test.inputs[0].bytes.get())[i] = pick(random, 2) ? 1 : -1;
            }
          }
          for (const auto& out : test.program.outputs)
            test.outputs.push_back(make_memory(random, out.dtype, test.extents, {true, false}, Lay::contiguous));
          SCOPED_TRACE(std::string(name_of(type)) + " length " + std::to_string(length) + " rows " +
                       std::to_string(rows));
          check(test, 0);
          if (HasFatalFailure()) return;
        }
      }
    }
  }
}

/// Bits of all reductions of random floats, one row each.
std::vector<char> bits_of(const Case& test) {
  std::vector<Memory> results;
  test.run(*compile_region_cpu(test.program), results);
  std::vector<char> bits;
  for (const Memory& m : results) bits.insert(bits.end(), m.bytes.get(), m.bytes.get() + m.count * size_of(m.dtype));
  return bits;
}

TEST(Interpreter, SumsDependOnTheRowOnly) {
  for (const int64_t length : {3, 40, 300, 1000, 1024, 5000, 70000, 300000}) {
    const int64_t rows = length > 1000 ? 18 : 70;
    Random random(4);
    const Memory source = make_memory(random, DType::float32, {rows, length}, {true, true}, Lay::contiguous);
    fill(random, source, Fill::exact);
    float* x = reinterpret_cast<float*>(source.bytes.get());
    for (int64_t i = 0; i < source.count; ++i) x[i] = std::normal_distribution<float>(0, 1)(random);

    std::vector<char> expected;
    for (const bool transposed : {false, true}) {
      for (const int64_t first_rows : {rows, int64_t{1}}) {
        Case test = reductions(DType::float32, 1, {first_rows, length});
        Memory in = copy_of(source);
        if (transposed) {
          float* to = reinterpret_cast<float*>(in.bytes.get());
          for (int64_t r = 0; r < rows; ++r)
            for (int64_t i = 0; i < length; ++i) to[i * rows + r] = x[r * length + i];
          in.strides = {1, rows};
        }
        test.inputs.push_back(std::move(in));
        for (const auto& out : test.program.outputs)
          test.outputs.push_back(make_memory(random, out.dtype, test.extents, {true, false}, Lay::contiguous));
        for (const int threads : {1, 2, 3}) {
          set_thread_count(threads);
          std::vector<char> bits = bits_of(test);
          std::vector<char> firsts;  // of row 0, each reduction
          for (size_t k = 0; k < 4; ++k)
            firsts.insert(firsts.end(), bits.begin() + k * bits.size() / 4, bits.begin() + k * bits.size() / 4 + 4);
          if (expected.empty()) expected = firsts;
          EXPECT_EQ(firsts, expected) << "length " << length << " transposed " << transposed << " rows " << first_rows
                                      << " threads " << threads;
        }
      }
    }
    set_thread_count(0);
  }
}

}  // namespace
}  // namespace plait
