// Both tiers on a GPU: against plain loops, and against each other bit for bit.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <functional>
#include <thread>

#include "backends/cuda/regions/cases.h"
#include "backends/cuda/regions/region.h"
#include "backends/cuda/runtime/cuda.h"
#include "backends/cuda/runtime/cuda_backend.h"

namespace plait::cuda {
namespace {

using namespace region_cases;

#define PLAIT_NEEDS_GPU()                                   \
  if (std::string why_not; !CudaBackend::instance(why_not)) \
  GTEST_SKIP() << "NO DEVICE, REGIONS WERE NOT RUN: " << why_not

memory::Queue queue() {
  static const memory::Queue opened = cuda_memory().open_queue(0);
  return opened;
}

/// The bytes of a host block on the GPU.
class OnDevice {
 public:
  explicit OnDevice(const Memory& host)
      : bytes_(host.count * size_of(host.dtype)),
        data_(static_cast<char*>(cuda_memory().allocate(queue(), bytes_ + 16))) {
    cuda_memory().upload(queue(), data_, host.bytes.get(), bytes_);
  }
  ~OnDevice() { cuda_memory().release(queue(), data_); }
  OnDevice(const OnDevice&) = delete;
  RegionBinding::Operand operand(const Memory& host) const {
    return {data_ + host.origin * size_of(host.dtype), host.strides};
  }
  void read(const Memory& host) const {
    cuda_memory().download(cuda_memory().mark(queue()), host.bytes.get(), data_, bytes_);
  }

 private:
  int64_t bytes_;
  char* data_;
};

void run_on_gpu(const Case& test, const CompiledRegion& region, std::vector<Memory>& results) {
  RegionBinding binding;
  binding.queue = queue();
  binding.extents = test.extents;
  binding.scalars = test.scalars;
  std::vector<std::unique_ptr<OnDevice>> inputs, outputs;
  for (const Memory& m : test.inputs) {
    inputs.push_back(std::make_unique<OnDevice>(m));
    binding.inputs.push_back(inputs.back()->operand(m));
  }
  for (size_t k = 0; k < test.outputs.size(); ++k) {
    const int in = test.in_place.empty() ? -1 : test.in_place[k];
    outputs.push_back(in < 0 ? std::make_unique<OnDevice>(test.outputs[k]) : nullptr);
    binding.outputs.push_back(in < 0 ? outputs.back()->operand(test.outputs[k])
                                     : inputs[static_cast<size_t>(in)]->operand(test.inputs[static_cast<size_t>(in)]));
  }
  region.run(binding);
  results.clear();
  for (size_t k = 0; k < test.outputs.size(); ++k) {
    const int in = test.in_place.empty() ? -1 : test.in_place[k];
    results.push_back(copy_of(test.outputs[k]));
    (in < 0 ? *outputs[k] : *inputs[static_cast<size_t>(in)]).read(results.back());
  }
}

/// The same bits; of NaN, any.
::testing::AssertionResult same_bits(const Memory& a, const Memory& b) {
  const int64_t width = size_of(a.dtype);
  if (std::memcmp(a.bytes.get(), b.bytes.get(), static_cast<size_t>(a.count * width)) == 0)
    return ::testing::AssertionSuccess();
  for (int64_t i = 0; i < a.count; ++i) {
    if (std::memcmp(a.bytes.get() + i * width, b.bytes.get() + i * width, static_cast<size_t>(width)) == 0) continue;
    const auto is_nan = [&](const Memory& m) {
      const char* p = m.bytes.get() + i * width;
      float f[2];
      double d;
      uint16_t h;
      switch (m.dtype) {
        case DType::float32: std::memcpy(f, p, 4); return std::isnan(f[0]);
        case DType::float64: std::memcpy(&d, p, 8); return std::isnan(d);
        case DType::complex64: std::memcpy(f, p, 8); return std::isnan(f[0]) || std::isnan(f[1]);
        case DType::float16: std::memcpy(&h, p, 2); return (h & 0x7fff) > 0x7c00;
        case DType::bfloat16: std::memcpy(&h, p, 2); return (h & 0x7fff) > 0x7f80;
        default: return false;
      }
    };
    if (is_nan(a) && is_nan(b)) continue;
    uint64_t x = 0, y = 0;
    std::memcpy(&x, a.bytes.get() + i * width, static_cast<size_t>(width));
    std::memcpy(&y, b.bytes.get() + i * width, static_cast<size_t>(width));
    char text[120];
    std::snprintf(text, sizeof text, "element %lld of %lld: bits %llx and %llx", static_cast<long long>(i),
                  static_cast<long long>(a.count), static_cast<unsigned long long>(x),
                  static_cast<unsigned long long>(y));
    return ::testing::AssertionFailure() << text;
  }
  return ::testing::AssertionSuccess();
}

/// A region in each way of running it.
struct Tiers {
  explicit Tiers(const RegionProgram& program)
      : zero(program), one(program), split(program), block(program), reference(compile_region_reference(program)) {
    zero.tier = Tier::zero;
    one.tier = split.tier = block.tier = Tier::one;
    split.rows_as = RowsAs::longest;
    block.rows_as = RowsAs::long_and_many;
  }
  CudaRegion zero, one, split, block;
  std::unique_ptr<CompiledRegion> reference;

  /// Tolerances per output, or one for all.
  void check(const Case& test, const std::vector<double>& tolerances) const {
    std::vector<Memory> expected, from_zero, from_one;
    test.run(*reference, expected);
    run_on_gpu(test, zero, from_zero);
    run_on_gpu(test, one, from_one);
    compare(test, expected, from_zero, from_one, tolerances, "tier 1");
    if (test.program.row_rank > 0) {
      run_on_gpu(test, split, from_one);
      compare(test, expected, from_zero, from_one, tolerances, "tier 1, split");
      run_on_gpu(test, block, from_one);
      compare(test, expected, from_zero, from_one, tolerances, "tier 1, a block a row");
    }
  }
  static void compare(const Case& test, const std::vector<Memory>& expected, const std::vector<Memory>& zero,
                      const std::vector<Memory>& one, const std::vector<double>& tolerances, const char* what) {
    for (size_t k = 0; k < expected.size(); ++k) {
      const double tolerance = tolerances.size() == 1 ? tolerances[0] : tolerances[k];
      const std::string where =
          "output " + std::to_string(k) + " (%" + std::to_string(test.program.outputs[k].value) + ")\n";
      EXPECT_TRUE(same(zero[k], expected[k], tolerance)) << "tier 0, " << where << test.describe();
      EXPECT_TRUE(same(one[k], expected[k], tolerance)) << what << ", " << where << test.describe();
      EXPECT_TRUE(same_bits(zero[k], one[k])) << what << " and tier 0, " << where << test.describe();
    }
  }
};

/// Memory for a program's operands.
Case case_of(Random& random, const RegionProgram& program, const SmallVector<int64_t, 6>& extents, Lay lay, Fill kind) {
  Case test;
  test.program = program;
  test.program.rank = static_cast<int>(extents.size());
  test.extents = extents;
  for (const auto& in : program.inputs) {
    test.inputs.push_back(make_memory(random, in.dtype, extents, varies_in(test.program, in.level), lay));
    fill(random, test.inputs.back(), kind);
  }
  for (const auto& out : program.outputs)
    test.outputs.push_back(make_memory(random, out.dtype, extents, varies_in(test.program, out.level),
                                       lay == Lay::permuted ? Lay::contiguous : lay));
  return test;
}

const SmallVector<int64_t, 6> kShapes[] = {
    {},       {1},        {7},         {1100}, {0},          {3, 5},          {130, 3},
    {5, 300}, {4, 3, 70}, {2, 1, 129}, {0, 4}, {2, 3, 2, 5}, {3, 2, 2, 3, 4}, {2, 2, 2, 3, 2, 9}};

class CudaEachType : public ::testing::TestWithParam<DType> {};

TEST_P(CudaEachType, AllOpsEqualPlainLoops) {
  PLAIT_NEEDS_GPU();
  std::vector<Op> ops;
  const RegionProgram program = all_ops_program(GetParam(), &ops);
  std::vector<double> tolerances;
  for (const Op op : ops) tolerances.push_back(std::max(tolerance_of(op, GetParam()), op == Op::fma ? 1e-6 : 0));
  Random random(1);
  for (const auto& shape : kShapes) {
    for (const Lay lay : {Lay::contiguous, Lay::permuted, Lay::reversed, Lay::padded}) {
      const Case test = case_of(random, program, shape, lay, GetParam() == DType::complex64 ? Fill::exact : Fill::wild);
      Tiers(test.program).check(test, tolerances);
      if (HasFailure()) {
        for (size_t k = 0; k < ops.size(); ++k)
          std::printf("output %zu is %s\n", k, std::string(ir::name_of(ops[k])).c_str());
        return;
      }
    }
  }
}

TEST_P(CudaEachType, ConversionsEqualPlainLoops) {
  PLAIT_NEEDS_GPU();
  const RegionProgram program = conversions_program(GetParam());
  Random random(2);
  for (const auto& shape : kShapes) {
    const Case test = case_of(random, program, shape, Lay::contiguous, Fill::wild);
    Tiers(test.program).check(test, {0});
    if (HasFailure()) return;
  }
}

TEST_P(CudaEachType, ReductionsOfEveryLength) {
  PLAIT_NEEDS_GPU();
  const DType type = GetParam();
  Random random(3);
  const RegionProgram program = reductions(type, 1, {1, 1}).program;
  const Tiers tiers(program);
  for (const int64_t length :
       {0, 1, 2, 3, 15, 16, 17, 63, 64, 65, 127, 129, 511, 1023, 1024, 1025, 5000, 9000, 32768, 32769, 100000}) {
    for (const int64_t rows : {1, 3, 70}) {
      if (length * rows > 200000) continue;
      for (const Lay lay : {Lay::contiguous, Lay::permuted, Lay::reversed}) {
        Case test = case_of(random, program, {rows, length}, lay, Fill::exact);
        if (type == DType::complex64) {  // products of long rows: of 1, -1, i and -i only
          auto* x = reinterpret_cast<std::complex<float>*>(test.inputs[0].bytes.get());
          for (int64_t i = 0; i < test.inputs[0].count; ++i)
            x[i] = i % 3 ? std::complex<float>(0, 1) : std::complex<float>(-1, 0);
        } else if (is_floating(type) && length > 16) {
          for (int64_t i = 0; i < test.inputs[0].count; ++i) {
            const int x = pick(random, 2) ? 1 : -1;
            if (type == DType::float32)
              reinterpret_cast<float*>(test.inputs[0].bytes.get())[i] = static_cast<float>(x);
            else
              reinterpret_cast<double*>(test.inputs[0].bytes.get())[i] = x;
          }
        }
        tiers.check(test, {0});
        if (HasFailure()) return;
      }
    }
  }
}
INSTANTIATE_TEST_SUITE_P(Gpu, CudaEachType, ::testing::ValuesIn(kTypes),
                         [](const auto& info) { return std::string(name_of(info.param)); });

class CudaRandomPrograms : public ::testing::TestWithParam<int> {};

TEST_P(CudaRandomPrograms, EqualPlainLoops) {
  PLAIT_NEEDS_GPU();
  constexpr int kSeeds = 6;
  for (int seed = GetParam() * kSeeds; seed < (GetParam() + 1) * kSeeds; ++seed) {
    Random random(static_cast<unsigned>(seed));
    const Case test = random_case(random);
    SCOPED_TRACE("seed " + std::to_string(seed));
    Tiers(test.program).check(test, {0});
    if (HasFailure()) return;
  }
}
INSTANTIATE_TEST_SUITE_P(Gpu, CudaRandomPrograms, ::testing::Range(0, 24));

TEST(CudaRegions, TierZeroRunsRandomPrograms) {
  PLAIT_NEEDS_GPU();
  for (unsigned seed = 1000; seed < 1800; ++seed) {
    Random random(seed);
    const Case test = random_case(random);
    CudaRegion region(test.program);
    region.tier = Tier::zero;
    std::vector<Memory> expected, got;
    test.run(*compile_region_reference(test.program), expected);
    run_on_gpu(test, region, got);
    for (size_t k = 0; k < expected.size(); ++k)
      ASSERT_TRUE(same(got[k], expected[k], 0)) << "seed " << seed << " output " << k << "\n" << test.describe();
  }
}

TEST(CudaRegions, SixteenBitFloatsAreExact) {
  PLAIT_NEEDS_GPU();
  for (const DType half : {DType::float16, DType::bfloat16}) {
    Builder builder;
    const Val x = builder.input(0, half, Level::row), y = builder.input(1, DType::float32, Level::row);
    RegionProgram program;
    program.inputs = {{half}, {DType::float32}};
    program.outputs = {{x.id, DType::float32, Level::row},
                       {y.id, half, Level::row},
                       {builder.rounded(y, half).id, DType::float32, Level::row}};
    program.code = builder.take();
    Random random(2);
    const Case test = case_of(random, program, {65536}, Lay::contiguous, Fill::exact);
    for (int i = 0; i < 65536; ++i) {
      reinterpret_cast<uint16_t*>(test.inputs[0].bytes.get())[i] = static_cast<uint16_t>(i);
      const uint32_t bits = static_cast<uint32_t>(i) << 16 | (random() & 0xffff);
      const float from_half = static_cast<float>(float16_t{static_cast<uint16_t>(i)});
      reinterpret_cast<float*>(test.inputs[1].bytes.get())[i] =
          i & 1 ? std::bit_cast<float>(bits) : std::nextafter(from_half, i & 2 ? 1e9f : -1e9f);
    }
    Tiers(test.program).check(test, {0});
  }
}

TEST(CudaRegions, SumsDependOnTheRowOnly) {
  PLAIT_NEEDS_GPU();
  const RegionProgram program = reductions(DType::float32, 1, {1, 1}).program;
  const Tiers tiers(program);
  for (const int64_t length :
       {1, 2, 3, 5, 12, 31, 32, 33, 40, 100, 255, 256, 300, 640, 1000, 1024, 5000, 20000, 70000, 1100000}) {
    // As columns a thread takes up to 32 elements; of 300 8 threads share a chunk, of the other lengths 32.
    const int64_t rows = length > 100000 ? 5 : length > 1000 ? 18 : length == 300 ? 17000 : 70;
    Random random(4);
    const Memory source = make_memory(random, DType::float32, {rows, length}, {true, true}, Lay::contiguous);
    float* x = reinterpret_cast<float*>(source.bytes.get());
    for (int64_t i = 0; i < source.count; ++i) x[i] = std::normal_distribution<float>(0, 1)(random);
    std::vector<uint32_t> expected;
    for (const bool transposed : {false, true}) {
      for (const int64_t first_rows : {rows, int64_t{1}}) {
        Case test;
        test.program = program;
        test.extents = {first_rows, length};
        Memory in = copy_of(source);
        if (transposed) {
          float* to = reinterpret_cast<float*>(in.bytes.get());
          for (int64_t r = 0; r < rows; ++r)
            for (int64_t i = 0; i < length; ++i) to[i * rows + r] = x[r * length + i];
          in.strides = {1, rows};
        }
        test.inputs.push_back(std::move(in));
        for (const auto& out : program.outputs)
          test.outputs.push_back(make_memory(random, out.dtype, test.extents, {true, false}, Lay::contiguous));
        for (const CudaRegion* region : {&tiers.zero, &tiers.one, &tiers.split, &tiers.block}) {
          std::vector<Memory> results;
          run_on_gpu(test, *region, results);
          std::vector<uint32_t> firsts;
          for (const Memory& m : results) firsts.push_back(*reinterpret_cast<const uint32_t*>(m.bytes.get()));
          if (expected.empty()) expected = firsts;
          EXPECT_EQ(firsts, expected) << "length " << length << " transposed " << transposed << " rows " << first_rows
                                      << " way "
                                      << (region == &tiers.zero    ? 0
                                          : region == &tiers.one   ? 1
                                          : region == &tiers.split ? 2
                                                                   : 3);
        }
      }
    }
    double sum = 0;
    for (int64_t i = 0; i < length; ++i) sum += x[i];
    EXPECT_NEAR(std::bit_cast<float>(expected[0]), sum,
                1e-6 * std::sqrt(static_cast<double>(length)) + 1e-6 * std::fabs(sum));
  }
}

TEST(CudaRegions, NormalizationsOfAllShapes) {
  PLAIT_NEEDS_GPU();
  for (const DType dtype : {DType::float32, DType::bfloat16, DType::float16}) {
    const RegionProgram softmax = softmax_program(dtype), layer_norm = layer_norm_program(dtype);
    const Tiers softmax_tiers(softmax), layer_norm_tiers(layer_norm);
    const double tolerance = dtype == DType::float32 ? 2e-6 : dtype == DType::bfloat16 ? 1.2e-2 : 1.5e-3;
    for (const auto& [rows, length] : std::vector<std::pair<int64_t, int64_t>>{{5, 1},
                                                                               {300, 3},
                                                                               {33, 31},
                                                                               {40, 128},
                                                                               {9, 129},
                                                                               {20, 500},
                                                                               {7, 1000},
                                                                               {3, 1025},
                                                                               {5, 4096},
                                                                               {2, 9001},
                                                                               {2, 40000}}) {
      for (const Lay lay : {Lay::contiguous, Lay::permuted, Lay::padded}) {
        Random random(static_cast<unsigned>(rows));
        Case test = case_of(random, softmax, {rows, length}, lay, Fill::exact);
        softmax_tiers.check(test, {tolerance});
        Case norm = case_of(random, layer_norm, {rows, length}, lay, Fill::exact);
        norm.scalars = {ScalarBits::of(1.0 / static_cast<double>(length), DType::float32)};
        layer_norm_tiers.check(norm, {dtype == DType::float32 ? 2e-5 : tolerance});
        if (HasFailure()) return;
      }
    }
  }
}

TEST(CudaRegions, RowsOfSeveralAxesBesideOneAnother) {
  PLAIT_NEEDS_GPU();
  for (const DType dtype : {DType::float32, DType::bfloat16}) {
    RegionProgram softmax = softmax_program(dtype);
    softmax.row_rank = 2;
    const Tiers tiers(softmax);
    for (const SmallVector<int64_t, 6>& extents : std::vector<SmallVector<int64_t, 6>>{
             {6, 2, 2}, {300, 2, 2}, {5, 40, 3, 3}, {2, 3, 70, 2, 5}, {64, 1, 7}, {64, 7, 1}, {9, 40, 60}, {0, 2, 2}}) {
      for (const Lay lay : {Lay::contiguous, Lay::permuted, Lay::reversed}) {
        Random random(7);
        tiers.check(case_of(random, softmax, extents, lay, Fill::exact), {dtype == DType::float32 ? 2e-6 : 1.2e-2});
        if (HasFailure()) return;
      }
    }
  }
}

/// A whole operand on the GPU, for sizes that the host should not go over.
TEST(CudaRegions, SizesPast2To31) {
  PLAIT_NEEDS_GPU();
  const int64_t count = (int64_t{1} << 31) + 1000;
  size_t free = 0, total = 0;
  ASSERT_EQ(cudaMemGetInfo(&free, &total), cudaSuccess);
  if (free < static_cast<size_t>(3 * count)) GTEST_SKIP() << "SKIPPED: " << free << " bytes are too little memory";
  auto* const in = static_cast<char*>(cuda_memory().allocate(queue(), count));
  auto* const out = static_cast<char*>(cuda_memory().allocate(queue(), count));
  ASSERT_EQ(cudaMemsetAsync(in, 3, static_cast<size_t>(count), stream_of(queue())), cudaSuccess);
  for (const Tier tier : {Tier::one, Tier::zero}) {
    Builder builder;
    const Val x = builder.input(0, DType::int8, Level::row);
    RegionProgram negate;
    negate.rank = 1;
    negate.inputs = {{DType::int8}};
    negate.outputs = {{(-x).id, DType::int8, Level::row}};
    negate.code = builder.take();
    for (const int64_t step : {1, -1}) {
      ASSERT_EQ(cudaMemsetAsync(out, 0, static_cast<size_t>(count), stream_of(queue())), cudaSuccess);
      CudaRegion region(negate);
      region.tier = tier;
      RegionBinding binding;
      binding.queue = queue();
      binding.extents = {count};
      binding.inputs.push_back({in, {1}});
      binding.outputs.push_back({step > 0 ? out : out + count - 1, {step}});
      region.run(binding);
      std::vector<int8_t> ends(2000);
      cuda_memory().download(cuda_memory().mark(queue()), ends.data(), out, 1000);
      cuda_memory().download(cuda_memory().mark(queue()), ends.data() + 1000, out + count - 1000, 1000);
      EXPECT_EQ(ends, std::vector<int8_t>(2000, -3)) << "tier " << static_cast<int>(tier) << " step " << step;
    }
    Builder sums;
    const Val y = sums.convert(sums.input(0, DType::int8, Level::row), DType::int64);
    RegionProgram sum;
    sum.rank = 2;
    sum.row_rank = 1;
    sum.inputs = {{DType::int8}};
    sum.outputs = {{sums.reduce(Op::reduce_sum, y).id, DType::int64, Level::outer}};
    sum.code = sums.take();
    CudaRegion region(sum);
    region.tier = tier;
    RegionBinding binding;
    binding.queue = queue();
    binding.extents = {1, count};
    binding.inputs.push_back({in, {count, 1}});
    binding.outputs.push_back({out, {1, 0}});
    region.run(binding);
    int64_t got = 0;
    cuda_memory().download(cuda_memory().mark(queue()), &got, out, 8);
    EXPECT_EQ(got, 3 * count) << "tier " << static_cast<int>(tier);
  }
  cuda_memory().release(queue(), in);
  cuda_memory().release(queue(), out);
}

// Nothing waits for a compiler: that it takes 20 ms at most is asked of a machine that does nothing else.
TEST(CudaRegions, FirstResultsComeAtOnceWhileCodeIsMade) {
  PLAIT_NEEDS_GPU();
  queue();
  const auto since = [](std::chrono::steady_clock::time_point start) {
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  };
  const auto begin = std::chrono::steady_clock::now();
  std::vector<double> ms;
  for (unsigned seed = 5000; seed < 5060; ++seed) {
    Random random(seed);
    const Case test = random_case(random);
    std::vector<Memory> expected, got;
    test.run(*compile_region_reference(test.program), expected);
    const auto start = std::chrono::steady_clock::now();
    CudaRegion region(test.program);
    region.tier = Tier::automatic;
    run_on_gpu(test, region, got);
    ms.push_back(since(start));
    if (ms.back() > 5) std::printf("number %zu after %.1f ms: %.1f ms\n", ms.size(), since(begin), ms.back());
    for (size_t k = 0; k < expected.size(); ++k) ASSERT_TRUE(same(got[k], expected[k], 0)) << seed << " " << k;
  }
  const double first = ms.front(), worst = *std::max_element(ms.begin(), ms.end());
  std::nth_element(ms.begin(), ms.begin() + 30, ms.end());
  std::printf("results of 60 new programs: the first after %.2f ms, the slowest %.2f ms, median %.2f ms\n", first,
              worst, ms[30]);
  EXPECT_LT(worst, 500);
}

TEST(CudaRegions, TierOneTakesOverInTheBackground) {
  PLAIT_NEEDS_GPU();
  Random random(9);
  Builder builder;
  const Val x = builder.input(0, DType::float32, Level::row);
  RegionProgram program;
  program.rank = 1;
  program.inputs = {{DType::float32}};
  program.outputs = {{(tanh(x) * 3.25 + sin(x)).id, DType::float32, Level::row}};
  program.code = builder.take();
  const Case test = case_of(random, program, {10000}, Lay::contiguous, Fill::wild);
  CudaRegion region(program);
  region.tier = Tier::automatic;
  queue();
  const auto start = std::chrono::steady_clock::now();
  const auto seconds = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(); };
  std::vector<Memory> first, later;
  run_on_gpu(test, region, first);
  std::printf("first result after %.1f ms\n", 1e3 * seconds());
  while (region.built(0) == 0 && seconds() < 30) {
    run_on_gpu(test, region, later);
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_GT(region.built(0), 0);
  std::printf("tier 1 after %.1f ms\n", 1e3 * seconds());
  run_on_gpu(test, region, later);
  EXPECT_TRUE(same_bits(first[0], later[0]));
}

TEST(CudaRegions, OtherShapesBuildNothingMore) {
  PLAIT_NEEDS_GPU();
  Random random(11);
  const RegionProgram program = softmax_program(DType::float32);
  CudaRegion region(program);
  region.tier = Tier::automatic;
  queue();
  const auto run = [&](int64_t rows, int64_t length) {
    const Case test = case_of(random, program, {rows, length}, Lay::contiguous, Fill::wild);
    std::vector<Memory> expected, got;
    CudaRegion zero(program);
    zero.tier = Tier::zero;
    run_on_gpu(test, zero, expected);
    run_on_gpu(test, region, got);
    EXPECT_TRUE(same_bits(expected[0], got[0])) << rows << " " << length;
  };
  for (int i = 0; region.built(0) < 1 && i < 3000; ++i) {
    run(8, 2048);
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  for (int i = 0; region.built(0) < 2 && i < 20; ++i) {
    run(8, 2048);
    run(5, 1001);
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
  ASSERT_EQ(region.built(0), 2) << "its own way and the general one";
  for (int64_t n = 1; n < 4000; n += 191) run(3 + n % 7, n);
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  run(4, 100);
  EXPECT_EQ(region.built(0), 2);
}

// --- accuracy ------------------------------------------------------------------------------------------------------------

template <class T>
using Wider = std::conditional_t<sizeof(T) == 4, double, long double>;

/// In units in the last place of T at `want`; infinite where zeros, infinities, NaNs or signs do not agree.
template <class T>
double error_in_ulp(T got, Wider<T> want) {
  constexpr double kWrong = std::numeric_limits<double>::infinity();
  if (std::isnan(want) || std::isnan(got)) return std::isnan(want) && std::isnan(got) ? 0 : kWrong;
  if (std::signbit(got) != std::signbit(want)) return kWrong;
  if (want == 0) return got == 0 ? 0 : kWrong;
  using Limits = std::numeric_limits<T>;
  if (std::fabs(want) >= std::ldexp(Wider<T>(1), Limits::max_exponent)) return std::isinf(got) ? 0 : kWrong;
  const int exponent = std::max(std::ilogb(want), Limits::min_exponent - 1);
  const Wider<T> reached =
      std::isinf(got) ? std::copysign(std::ldexp(Wider<T>(1), Limits::max_exponent), want) : Wider<T>(got);
  return static_cast<double>(std::fabs(reached - want) / std::ldexp(Wider<T>(1), exponent - Limits::digits + 1));
}

template <class T>
void functions_are_accurate() {
  using W = Wider<T>;
  struct Function {
    Op op;
    W (*oracle)(W, W);
  };
  const std::vector<Function> functions = {
      {Op::exp, [](W a, W) { return std::exp(a); }},      {Op::exp2, [](W a, W) { return std::exp2(a); }},
      {Op::expm1, [](W a, W) { return std::expm1(a); }},  {Op::log, [](W a, W) { return std::log(a); }},
      {Op::log2, [](W a, W) { return std::log2(a); }},    {Op::log10, [](W a, W) { return std::log10(a); }},
      {Op::log1p, [](W a, W) { return std::log1p(a); }},  {Op::sin, [](W a, W) { return std::sin(a); }},
      {Op::cos, [](W a, W) { return std::cos(a); }},      {Op::tan, [](W a, W) { return std::tan(a); }},
      {Op::asin, [](W a, W) { return std::asin(a); }},    {Op::acos, [](W a, W) { return std::acos(a); }},
      {Op::atan, [](W a, W) { return std::atan(a); }},    {Op::sinh, [](W a, W) { return std::sinh(a); }},
      {Op::cosh, [](W a, W) { return std::cosh(a); }},    {Op::tanh, [](W a, W) { return std::tanh(a); }},
      {Op::asinh, [](W a, W) { return std::asinh(a); }},  {Op::acosh, [](W a, W) { return std::acosh(a); }},
      {Op::atanh, [](W a, W) { return std::atanh(a); }},  {Op::erf, [](W a, W) { return std::erf(a); }},
      {Op::sqrt, [](W a, W) { return std::sqrt(a); }},    {Op::rsqrt, [](W a, W) { return 1 / std::sqrt(a); }},
      {Op::pow, [](W a, W b) { return std::pow(a, b); }}, {Op::atan2, [](W a, W b) { return std::atan2(a, b); }}};
  constexpr DType type = sizeof(T) == 4 ? DType::float32 : DType::float64;
  using Bits = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;
  std::vector<T> x, y;
  std::mt19937_64 random(7);
  std::uniform_real_distribution<double> unit(-1, 1);
  for (Bits high = 0; high < 1u << 16; ++high) {
    x.push_back(std::bit_cast<T>(static_cast<Bits>(high << (8 * sizeof(T) - 16))));
    x.push_back(
        std::bit_cast<T>(static_cast<Bits>(high << (8 * sizeof(T) - 16) | (random() >> (8 * (8 - sizeof(T)) + 16)))));
  }
  for (int i = 0; i < 40000; ++i) {
    x.push_back(static_cast<T>(unit(random)));
    x.push_back(static_cast<T>(20 * unit(random)));
    x.push_back(static_cast<T>(1 + unit(random) / 2));
    x.push_back(static_cast<T>((sizeof(T) == 4 ? 110 : 760) * unit(random)));
    x.push_back(static_cast<T>(1e5 * unit(random)));
    x.push_back(static_cast<T>(std::exp2(40 * unit(random))));
  }
  for (size_t i = 0; i < x.size(); ++i)
    y.push_back(i % 3 ? static_cast<T>(20 * unit(random)) : std::bit_cast<T>(static_cast<Bits>(random())));
  RegionProgram program;
  Builder builder;
  const Val a = builder.input(0, type, Level::row), b = builder.input(1, type, Level::row);
  program.inputs = {{type}, {type}};
  for (const Function& f : functions) {
    const Val v = ir::operand_count(f.op) == 1 ? builder.unary(f.op, a) : builder.binary(f.op, a, b);
    program.outputs.push_back({v.id, type, Level::row});
  }
  program.rank = 1;
  program.code = builder.take();
  Random fill_random(1);
  const Case test = case_of(fill_random, program, {static_cast<int64_t>(x.size())}, Lay::contiguous, Fill::exact);
  std::memcpy(test.inputs[0].bytes.get(), x.data(), x.size() * sizeof(T));
  std::memcpy(test.inputs[1].bytes.get(), y.data(), y.size() * sizeof(T));
  CudaRegion region(program);
  for (const Tier tier : {Tier::one, Tier::zero}) {
    region.tier = tier;
    std::vector<Memory> results;
    run_on_gpu(test, region, results);
    for (size_t k = 0; k < functions.size(); ++k) {
      const T* got = reinterpret_cast<const T*>(results[k].bytes.get());
      double worst = 0;
      size_t where = 0;
      for (size_t i = 0; i < x.size(); ++i) {
        const double error = error_in_ulp<T>(got[i], functions[k].oracle(x[i], y[i]));
        if (!(error <= worst)) worst = error, where = i;
      }
      if (tier == Tier::one)
        std::printf("%-6s float%d %.2f ULP\n", std::string(ir::name_of(functions[k].op)).c_str(),
                    static_cast<int>(8 * sizeof(T)), worst);
      EXPECT_LE(worst, 4) << ir::name_of(functions[k].op) << " of " << x[where] << ", " << y[where] << " is "
                          << got[where];
    }
  }
}

TEST(CudaAccuracy, FunctionsOfFloat32) {
  PLAIT_NEEDS_GPU();
  functions_are_accurate<float>();
}
TEST(CudaAccuracy, FunctionsOfFloat64) {
  PLAIT_NEEDS_GPU();
  functions_are_accurate<double>();
}

}  // namespace
}  // namespace plait::cuda
