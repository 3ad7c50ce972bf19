// Prints how fast regions move memory on a GPU, beside a copy of as many bytes: for each, the bandwidth over all bytes read and
// written, and its share of the
// copy's; then what the first run took, which builds the code. Arguments: parts of the names of what is wanted.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <vector>

#include "backends/cuda/regions/cases.h"
#include "backends/cuda/regions/region.h"
#include "backends/cuda/runtime/cuda.h"
#include "backends/cuda/runtime/cuda_backend.h"

namespace plait::cuda {
namespace {

using namespace region_cases;

/// Seconds: the median of some runs.
double time_of(cudaStream_t stream, const std::function<void()>& work) {
  cudaEvent_t before, after;
  check_cuda(cudaEventCreate(&before), "event");
  check_cuda(cudaEventCreate(&after), "event");
  std::vector<float> times;
  for (int i = 0; i < 13; ++i) {
    check_cuda(cudaEventRecord(before, stream), "event");
    work();
    check_cuda(cudaEventRecord(after, stream), "event");
    check_cuda(cudaEventSynchronize(after), "event");
    float milliseconds = 0;
    check_cuda(cudaEventElapsedTime(&milliseconds, before, after), "event");
    if (i >= 3) times.push_back(milliseconds);
  }
  std::sort(times.begin(), times.end());
  return times[times.size() / 2] * 1e-3;
}

struct Benchmark {
  memory::Queue queue = cuda_memory().open_queue(0);
  cudaStream_t stream = stream_of(queue);
  static constexpr int64_t kBytes = int64_t{2} << 30;
  char* a = static_cast<char*>(cuda_memory().allocate(queue, kBytes));
  char* b = static_cast<char*>(cuda_memory().allocate(queue, kBytes));

  Benchmark() {
    std::vector<float> values(1 << 24);
    std::mt19937 random(1);
    for (float& v : values) v = std::normal_distribution<float>(0, 1)(random);
    for (int64_t at = 0; at < kBytes; at += static_cast<int64_t>(values.size() * 4)) {
      cuda_memory().upload(queue, a + at, values.data(), static_cast<int64_t>(values.size() * 4));
      cuda_memory().upload(queue, b + at, values.data(), static_cast<int64_t>(values.size() * 4));
    }
  }
  /// Makes `count` bfloat16 or float16 values of the floats in `b`, in `a`.
  void fill(DType dtype, int64_t count) {
    Builder builder;
    const Val x = builder.input(0, DType::float32, Level::row);
    RegionProgram program;
    program.rank = 1;
    program.inputs = {{DType::float32}};
    program.outputs = {{x.id, dtype, Level::row}};
    program.code = builder.take();
    run(program, {count}, {}, Tier::one, {{b, {1}}, {a, {1}}});
  }
  void run(const RegionProgram& program, SmallVector<int64_t, 6> extents, std::vector<ScalarBits> scalars, Tier tier,
           std::vector<RegionBinding::Operand> operands) {
    CudaRegion region(program);
    region.tier = tier;
    region.run(bind(program, extents, std::move(scalars), std::move(operands)));
  }
  RegionBinding bind(const RegionProgram& program, SmallVector<int64_t, 6> extents, std::vector<ScalarBits> scalars,
                     std::vector<RegionBinding::Operand> operands) const {
    RegionBinding binding;
    binding.queue = queue;
    binding.extents = extents;
    binding.scalars = std::move(scalars);
    for (size_t k = 0; k < operands.size(); ++k)
      (k < program.inputs.size() ? binding.inputs : binding.outputs).push_back(operands[k]);
    return binding;
  }
  double copy_bandwidth(int64_t bytes) {
    return 2.0 * static_cast<double>(bytes) / time_of(stream, [&] {
             check_cuda(cudaMemcpyAsync(b, a, static_cast<size_t>(bytes), cudaMemcpyDeviceToDevice, stream), "copy");
           });
  }
  std::vector<std::string> names;  // parts of the names of what is wanted; all without
  bool wanted(std::string_view name) const {
    return names.empty() || std::any_of(names.begin(), names.end(), [&](const std::string& part) {
             return name.find(part) != std::string_view::npos;
           });
  }
  void measure(const char* name, const RegionProgram& program, SmallVector<int64_t, 6> extents,
               std::vector<ScalarBits> scalars, std::vector<RegionBinding::Operand> operands, int64_t read,
               int64_t written, bool tier_zero = false) {
    if (!wanted(name)) return;
    CudaRegion region(program);
    region.tier = Tier::one;
    const RegionBinding binding = bind(program, extents, std::move(scalars), std::move(operands));
    const auto begin = std::chrono::steady_clock::now();
    region.run(binding);
    const std::chrono::duration<double, std::milli> first = std::chrono::steady_clock::now() - begin;
    const double one = time_of(stream, [&] { region.run(binding); });
    const double copy = copy_bandwidth((read + written) / 2), moved = static_cast<double>(read + written);
    std::printf("%-34s %8.1f us  %6.0f GB/s  %5.1f %% of copy (%.0f GB/s)  first run %4.0f ms", name, 1e6 * one,
                moved / one * 1e-9, 100 * moved / one / copy, copy * 1e-9, first.count());
    if (tier_zero) {
      region.tier = Tier::zero;
      std::printf("  tier 0 %8.1f us", 1e6 * time_of(stream, [&] { region.run(binding); }));
    }
    std::printf("\n");
    std::fflush(stdout);
  }
};

RegionProgram sum_program(DType dtype) {
  RegionProgram program;
  Builder builder;
  const Val s = builder.rounded(builder.reduce(Op::reduce_sum, builder.input(0, dtype, Level::row)), dtype);
  program.rank = 2;
  program.row_rank = 1;
  program.inputs = {{dtype}};
  program.outputs = {{s.id, dtype, Level::outer}};
  program.code = builder.take();
  return program;
}
/// Sums of x where y is positive, and what is summed.
RegionProgram masked_sum_program(DType dtype) {
  RegionProgram program;
  Builder builder;
  const Val x = builder.input(0, dtype, Level::row), y = builder.input(1, dtype, Level::row);
  const Val kept = select(y > builder.constant(0.0, y.type()), x, builder.constant(0.0, x.type()));
  const Val s = builder.rounded(builder.reduce(Op::reduce_sum, kept), dtype);
  program.rank = 2;
  program.row_rank = 1;
  program.inputs = {{dtype}, {dtype}};
  program.outputs = {{kept.id, dtype, Level::row}, {s.id, dtype, Level::outer}};
  program.code = builder.take();
  return program;
}
/// x / sqrt(mean of x^2) with a weight along the row, in float32; 1 / length is bound.
RegionProgram rms_norm_program(DType dtype) {
  RegionProgram program;
  Builder builder;
  const Val x = builder.input(0, dtype, Level::row), weight = builder.input(1, dtype, Level::row);
  const Val scale = rsqrt(builder.reduce(Op::reduce_sum, x * x) * builder.scalar(0, DType::float32) + 1e-5);
  program.rank = 2;
  program.row_rank = 1;
  program.inputs = {{dtype}, {dtype}};
  program.scalars = {DType::float32};
  program.outputs = {{builder.rounded(x * scale * weight, dtype).id, dtype, Level::row}};
  program.code = builder.take();
  return program;
}
RegionProgram log_sum_exp_program(DType dtype) {
  RegionProgram program;
  Builder builder;
  const auto r = [&](Val v) { return builder.rounded(v, dtype); };
  const Val x = builder.input(0, dtype, Level::row), most = builder.reduce(Op::reduce_max, x);
  const Val y = r(r(log(r(builder.reduce(Op::reduce_sum, r(exp(r(x - most))))))) + most);
  program.rank = 2;
  program.row_rank = 1;
  program.inputs = {{dtype}};
  program.outputs = {{y.id, dtype, Level::outer}};
  program.code = builder.take();
  return program;
}
RegionProgram add_program(DType dtype) {
  RegionProgram program;
  Builder builder;
  const Val s = builder.rounded(builder.input(0, dtype, Level::row) + builder.input(1, dtype, Level::row), dtype);
  program.rank = 2;
  program.inputs = {{dtype}, {dtype}};
  program.outputs = {{s.id, dtype, Level::row}};
  program.code = builder.take();
  return program;
}

void run(std::vector<std::string> names) {
  Benchmark m;
  m.names = std::move(names);
  std::string name;
  const auto named = [&](const char* what, DType dtype, int64_t rows, int64_t n) {
    name = std::string(what) + " " + std::string(name_of(dtype)) + " " + std::to_string(rows) + "x" + std::to_string(n);
    return name.c_str();
  };
  for (const DType dtype : {DType::float32, DType::bfloat16}) {
    const int64_t width = size_of(dtype), count = 256 << 20;
    if (dtype != DType::float32) m.fill(dtype, std::min(count, Benchmark::kBytes / 4));
    m.measure(named("chain", dtype, 1, count), chain_program(dtype), {count}, chain_scalars(dtype),
              {{m.a, {1}}, {m.b, {1}}}, width * count, width * count, true);
    m.measure(named("add, transposed", dtype, 8192, 8192), add_program(dtype), {8192, 8192}, {},
              {{m.a, {8192, 1}}, {m.a, {1, 8192}}, {m.b, {8192, 1}}}, 2 * width << 26, width << 26);
    m.measure(named("add, broadcast", dtype, 16384, 8192), add_program(dtype), {16384, 8192}, {},
              {{m.a, {8192, 1}}, {m.a, {0, 1}}, {m.b, {8192, 1}}}, width << 27, width << 27);
    const std::vector<std::pair<int64_t, int64_t>> shapes = {
        {4096, 4096},  {16384, 4096}, {32768, 4096}, {8192, 16384},  {4096, 32768}, {1 << 20, 64}, {1 << 18, 256},
        {65536, 1000}, {65536, 1024}, {16384, 4097}, {1024, 100000}, {4096, 50257}, {4096, 128256}};
    for (const auto& [rows, n] : shapes) {
      const int64_t bytes = width * rows * n;
      const auto over = ScalarBits::of(1.0 / static_cast<double>(n), DType::float32);
      const RegionBinding::Operand in{m.a, {n, 1}}, along{m.a, {0, 1}}, out{m.b, {n, 1}};
      m.measure(named("softmax", dtype, rows, n), softmax_program(dtype), {rows, n}, {}, {in, out}, bytes, bytes,
                rows == 16384 && n == 4096);
      m.measure(named("layer norm", dtype, rows, n), layer_norm_program(dtype), {rows, n}, {over},
                {in, along, along, out}, bytes, bytes);
      if (n != 4096 && n != 16384 && n < 50000) continue;
      m.measure(named("rms norm", dtype, rows, n), rms_norm_program(dtype), {rows, n}, {over}, {in, along, out}, bytes,
                bytes);
      m.measure(named("log sum exp", dtype, rows, n), log_sum_exp_program(dtype), {rows, n}, {}, {in, {m.b, {1, 0}}},
                bytes, 0);
    }
    m.measure(named("sum of rows", dtype, 16384, 8192), sum_program(dtype), {16384, 8192}, {},
              {{m.a, {8192, 1}}, {m.b, {1, 0}}}, width << 27, 0);
    m.measure(named("sum of all", dtype, 1, 1 << 27), sum_program(dtype), {1, 1 << 27}, {},
              {{m.a, {0, 1}}, {m.b, {1, 0}}}, width << 27, 0);
    m.measure(named("sum of columns", dtype, 16384, 8192), sum_program(dtype), {8192, 16384}, {},
              {{m.a, {1, 8192}}, {m.b, {1, 0}}}, width << 27, 0);
    m.measure(named("sum of columns", dtype, 1 << 20, 128), sum_program(dtype), {128, 1 << 20}, {},
              {{m.a, {1, 128}}, {m.b, {1, 0}}}, width << 27, 0);
    for (const int64_t rows : {256, 4096}) {  // gradients of a bias, alone and with what they are sums of
      m.measure(named("sum of columns", dtype, rows, 1024), sum_program(dtype), {1024, rows}, {},
                {{m.a, {1, 1024}}, {m.b, {1, 0}}}, width * rows * 1024, 0);
      m.measure(named("masked sum of columns", dtype, rows, 1024), masked_sum_program(dtype), {1024, rows}, {},
                {{m.a, {1, 1024}}, {m.a, {1, 1024}}, {m.b, {1, 1024}}, {m.b, {1, 0}}}, 2 * width * rows * 1024,
                width * rows * 1024);
    }
    m.measure(named("softmax of columns", dtype, 8192, 8192), softmax_program(dtype), {8192, 8192}, {},
              {{m.a, {1, 8192}}, {m.b, {1, 8192}}}, width << 26, width << 26);
  }
}

}  // namespace
}  // namespace plait::cuda

int main(int count, char** arguments) {
  std::string why_not;
  if (!plait::CudaBackend::instance(why_not)) {
    std::printf("NO DEVICE, NOT MEASURED: %s\n", why_not.c_str());
    return 0;
  }
  plait::cuda::run({arguments + 1, arguments + count});
}
