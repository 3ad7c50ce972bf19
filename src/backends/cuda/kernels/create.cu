// Values that follow from attributes or keys alone.
#include "backends/cuda/kernels/create.h"
#include "backends/cuda/kernels/element.cuh"
#include "backends/cuda/kernels/launch.h"
#include "backends/cuda/kernels/tables.h"
#include "backends/threefry.h"
#include "plait/scalar.h"

namespace plait::cuda {
namespace {

struct Progression {
  u64 start = 0, step = 0;  // of integers, modulo 2^64
  double re = 0, re_step = 0, im = 0, im_step = 0;
};

template <class T>
__global__ void __launch_bounds__(kThreads) arange(T* to, Progression p, int64_t count) {
  for (int64_t i = blockIdx.x * int64_t{kThreads} + threadIdx.x; i < count; i += gridDim.x * int64_t{kThreads}) {
    if constexpr (std::is_same_v<T, Bool>) {
      to[i] = {static_cast<uint8_t>(p.start + static_cast<u64>(i) * p.step != 0)};
    } else if constexpr (std::is_integral_v<T>) {
      to[i] = static_cast<T>(p.start + static_cast<u64>(i) * p.step);
    } else {
      const double re = p.re + static_cast<double>(i) * p.re_step;
      if constexpr (std::is_same_v<T, Complex>)
        to[i] = {static_cast<float>(re), static_cast<float>(p.im + static_cast<double>(i) * p.im_step)};
      else
        to[i] = narrowed<T>(static_cast<Wide<T>>(re));
    }
  }
}

void run_arange(const KernelArgs& args) {
  const TensorView& out = args.outputs[0];
  const int64_t count = out.count();
  if (count == 0) return;
  const Work work(args);
  const auto start = args.attrs.get<Scalar>("start"), step = args.attrs.get<Scalar>("step");
  const Progression p{static_cast<u64>(start.i), static_cast<u64>(step.i), start.re, step.re, start.im, step.im};
  dispatch_arithmetic(out.dtype, [&]<class T>() {
    arange<T><<<blocks_for(count), kThreads, 0, work.stream()>>>(out.as<T>(), p, count);
  });
  work.launched("arange");
}

template <class T>
__global__ void __launch_bounds__(kThreads) fill_elements(T* to, T value, int64_t count) {
  for (int64_t i = blockIdx.x * int64_t{kThreads} + threadIdx.x; i < count; i += gridDim.x * int64_t{kThreads})
    to[i] = value;
}

template <class T>
__global__ void put_element(T* to, T value) {
  *to = value;
}

void run_extent(const KernelArgs& args) {
  const Work work(args);
  const TensorView& out = args.outputs[0];
  const ScalarBits value = ScalarBits::of(Scalar(args.attrs.get<int64_t>("value")), out.dtype);
  dispatch_width(size_of(out.dtype),
                 [&]<class T>() { put_element<<<1, 1, 0, work.stream()>>>(out.as<T>(), static_cast<T>(value.bits)); });
  work.launched("extent");
}

// As threefry() of backends/threefry.h, for device code.
__device__ uint2 threefry_words(uint2 key, uint32_t a, uint32_t b) {
  const uint32_t keys[3] = {key.x, key.y, 0x1BD11BDAu ^ key.x ^ key.y};
  a += keys[0];
  b += keys[1];
#pragma unroll
  for (uint32_t group = 0; group < 5; ++group) {
    const uint4 turns = group % 2 == 0 ? uint4{13, 15, 26, 6} : uint4{17, 29, 16, 24};
    const auto round = [&](uint32_t turn) {
      a += b;
      b = __funnelshift_l(b, b, turn) ^ a;
    };
    round(turns.x);
    round(turns.y);
    round(turns.z);
    round(turns.w);
    a += keys[(group + 1) % 3];
    b += keys[(group + 2) % 3] + group + 1;
  }
  return {a, b};
}

// Block i of a stream of n words gives word i and one of the upper half (backends/threefry.h).
__global__ void __launch_bounds__(kThreads) random_words(uint32_t* to, const uint2* keys, int64_t streams, int64_t n) {
  const int64_t half = n / 2, upper = n - half, count = streams * upper;
  for (int64_t at = blockIdx.x * int64_t{kThreads} + threadIdx.x; at < count; at += gridDim.x * int64_t{kThreads}) {
    const int64_t stream = upper == count ? 0 : at / upper, i = at - stream * upper;
    uint32_t* words = to + stream * n;
    const uint32_t second = i < half ? static_cast<uint32_t>(upper + i) : 0;
    const uint2 block = threefry_words(keys[stream], static_cast<uint32_t>(i), second);
    words[i] = block.x;
    if (i < half) words[upper + i] = block.y;
  }
}

void run_random_bits(const KernelArgs& args) {
  const int64_t streams = args.inputs[0].count() / 2, count = args.outputs[0].count();
  if (streams == 0 || count == 0) return;
  const int64_t n = count / streams;
  constexpr int64_t kMost = int64_t{1} << 33;  // past that, counters repeat
  if (n > kMost)
    throw ArgumentError({.op = "random",
                         .got = std::to_string(n) + " values from one key",
                         .accepts = "at most " + std::to_string(kMost),
                         .hint = "split the key"});
  const Work work(args);
  random_words<<<blocks_for(streams * (n - n / 2)), kThreads, 0, work.stream()>>>(
      args.outputs[0].as<uint32_t>(), args.inputs[0].as<const uint2>(), streams, n);
  work.launched("random_bits");
}

}  // namespace

void fill(const Work& work, const TensorView& out, const Scalar& value) {
  const int64_t count = out.count();
  if (count == 0) return;
  const uint64_t bits = ScalarBits::of(value, out.dtype).bits;
  dispatch_width(size_of(out.dtype), [&]<class T>() {
    fill_elements<T><<<blocks_for(count), kThreads, 0, work.stream()>>>(out.as<T>(), static_cast<T>(bits), count);
  });
  work.launched("fill");
}

void add_create_kernels(Table& table) {
  table.push_back({"arange", {.run = run_arange}});
  table.push_back({"extent", {.run = run_extent}});
  table.push_back({"random_bits", {.run = run_random_bits}});
}

}  // namespace plait::cuda
