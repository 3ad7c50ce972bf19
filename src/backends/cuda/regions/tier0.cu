#include <algorithm>

#include "backends/cuda/regions/device/memory.cuh"
#include "backends/cuda/regions/device/reduce.cuh"
#include "backends/cuda/regions/tier0.h"
#include "graph/ir.h"

namespace plait::cuda {
namespace {

using ir::Op;

/// One thread's place in the work.
struct Machine {
  u64* file;   // this thread's first slot
  int stride;  // from slot to slot
  const MachineArguments* arguments;
  i64 row;        // of the space
  i64 batch_row;  // of the batch
  i64 at;         // first element
  int valid;      // elements from there
  int h;          // which lanes accumulate

  PLAIT_D u64& slot(int k) { return file[static_cast<i64>(k) * stride]; }
};

template <class F>
PLAIT_D void with_type(int type, F&& f) {
  switch (static_cast<DType>(type)) {
    case DType::bool_: f(bool{}); break;
    case DType::uint8: f(u8{}); break;
    case DType::uint16: f(u16{}); break;
    case DType::uint32: f(u32{}); break;
    case DType::uint64: f(u64{}); break;
    case DType::int8: f(i8{}); break;
    case DType::int16: f(i16{}); break;
    case DType::int32: f(i32{}); break;
    case DType::int64: f(i64{}); break;
    case DType::float32: f(float{}); break;
    case DType::float64: f(double{}); break;
    case DType::complex64: f(Complex{}); break;
    default: break;
  }
}
template <class F>
PLAIT_D void with_memory_type(int type, F&& f) {
  if (static_cast<DType>(type) == DType::float16)
    f(Half{});
  else if (static_cast<DType>(type) == DType::bfloat16)
    f(Brain{});
  else
    with_type(type, f);
}

template <class F>
__device__ __noinline__ void unary(Machine& m, const Step& s, F f) {
  with_type(s.from, [&](auto type) {
    using T = decltype(type);
    if constexpr (requires(T x) { f(x); }) {
#pragma unroll 1
      for (int e = 0; e < s.count; ++e)
        m.slot(s.dst + e) = to_bits(f(from_bits<T>(m.slot(s.a + (s.advance & 1 ? e : 0)))));
    }
  });
}
template <class F>
__device__ __noinline__ void binary(Machine& m, const Step& s, F f) {
  with_type(s.from, [&](auto type) {
    using T = decltype(type);
    if constexpr (requires(T x) { f(x, x); }) {
#pragma unroll 1
      for (int e = 0; e < s.count; ++e)
        m.slot(s.dst + e) = to_bits(f(from_bits<T>(m.slot(s.a + (s.advance & 1 ? e : 0))),
                                      from_bits<T>(m.slot(s.b + (s.advance & 2 ? e : 0)))));
    }
  });
}

#define PLAIT_OP(name)                               \
  struct name##_op {                                 \
    template <class... T>                            \
      requires requires(T... x) { op_##name(x...); } \
    PLAIT_D auto operator()(T... x) const {          \
      return op_##name(x...);                        \
    }                                                \
  };
#define PLAIT_UNARY_OPS(each)                                                                                        \
  each(round_f16) each(round_bf16) each(neg) each(abs) each(sign) each(floor) each(ceil) each(trunc) each(rint)      \
      each(sqrt) each(rsqrt) each(exp) each(exp2) each(expm1) each(log) each(log2) each(log10) each(log1p) each(sin) \
          each(cos) each(tan) each(asin) each(acos) each(atan) each(sinh) each(cosh) each(tanh) each(asinh)          \
              each(acosh) each(atanh) each(erf) each(erfinv) each(bit_not) each(is_nan) each(is_inf) each(is_finite) \
                  each(real) each(imag) each(conj)
#define PLAIT_BINARY_OPS(each)                                                                                  \
  each(add) each(sub) each(mul) each(div) each(floor_div) each(rem) each(pow) each(max) each(min) each(atan2)   \
      each(bit_and) each(bit_or) each(bit_xor) each(shl) each(shr) each(eq) each(ne) each(lt) each(le) each(gt) \
          each(ge) each(complex)
PLAIT_UNARY_OPS(PLAIT_OP)
PLAIT_BINARY_OPS(PLAIT_OP)
#undef PLAIT_OP

__device__ __noinline__ void convert(Machine& m, const Step& s) {
  with_type(s.from, [&](auto from) {
    using From = decltype(from);
    with_type(s.to, [&](auto to) {
      using To = decltype(to);
#pragma unroll 1
      for (int e = 0; e < s.count; ++e)
        m.slot(s.dst + e) = to_bits(op_convert<To>(from_bits<From>(m.slot(s.a + (s.advance & 1 ? e : 0)))));
    });
  });
}
__device__ __noinline__ void load_input(Machine& m, const Step& s) {
  const MachineArguments& a = *m.arguments;
  with_memory_type(s.from, [&](auto type) {
    using T = decltype(type);
    if (s.count == 1) {
      const char* const p = a.operands[s.index].data;
      const bool scalar = s.b == 1;
      m.slot(s.dst) =
          to_bits(widened(*reinterpret_cast<const T*>(scalar ? p : reinterpret_cast<const char*>(m.slot(s.a)))));
      return;
    }
    const char* const p = reinterpret_cast<const char*>(m.slot(s.a));
#pragma unroll 1
    for (int e = 0; e < kStepLanes; ++e) {
      const T x =
          e < m.valid ? *reinterpret_cast<const T*>(p + element_offset(a.space, a.operands[s.index], m.at + e)) : T{};
      m.slot(s.dst + e) = to_bits(widened(x));
    }
  });
}
__device__ __noinline__ void store_output(Machine& m, const Step& s) {
  const MachineArguments& a = *m.arguments;
  char* const p = reinterpret_cast<char*>(m.slot(s.b));
  with_memory_type(s.to, [&](auto type) {
    using T = decltype(type);
    using Value = decltype(widened(type));
#pragma unroll 1
    for (int e = 0; e < s.count && e < m.valid; ++e) {
      const Value x = from_bits<Value>(m.slot(s.a + (s.advance & 1 ? e : 0)));
      *reinterpret_cast<T*>(p + element_offset(a.space, a.operands[s.index], m.at + e)) = narrowed<T>(x);
    }
  });
}
/// Calls `f` with the reduction and a value of its type.
template <class F>
PLAIT_D void with_reduction(int op, int type, F&& f) {
  with_type(type, [&](auto x) {
    switch (static_cast<Op>(op)) {
      case Op::reduce_sum: f(reduce_sum{}, x); break;
      case Op::reduce_prod: f(reduce_prod{}, x); break;
      case Op::reduce_max: f(reduce_max{}, x); break;
      default: f(reduce_min{}, x); break;
    }
  });
}
__device__ __noinline__ void accumulate(Machine& m, const Step& s) {
  with_reduction(s.index, s.from, [&](auto reduction, auto type) {
    using R = decltype(reduction);
    using T = decltype(type);
#pragma unroll 1
    for (int e = 0; e < kStepLanes && e < m.valid; ++e) {
      u64& lane = m.slot(s.dst + m.h * kStepLanes + e);
      lane = to_bits(R::combine(from_bits<T>(lane), from_bits<T>(m.slot(s.a + (s.advance & 1 ? e : 0)))));
    }
  });
}

__device__ __noinline__ void run_steps(Machine& m, const Step* steps, int count) {
  const MachineArguments& a = *m.arguments;
#pragma unroll 1
  for (int i = 0; i < count; ++i) {
    const Step s = steps[i];
    switch (s.op) {
      case kStepBase:
        m.slot(s.dst) =
            reinterpret_cast<u64>(a.operands[s.index].data + row_offset(a.space, a.operands[s.index], m.row));
        break;
      case kStepResult: m.slot(s.dst) = a.batch.results[s.index * a.batch.count + m.batch_row]; break;
      case kStepStore: store_output(m, s); break;
      case kStepAccumulate: accumulate(m, s); break;
      case kStepExpNarrow:
        for (int e = 0; e < s.count; ++e)
          m.slot(s.dst + e) = to_bits(op_exp_narrow(from_bits<float>(m.slot(s.a + (s.advance & 1 ? e : 0)))));
        break;
      case static_cast<int>(Op::input): load_input(m, s); break;
      case static_cast<int>(Op::scalar):
        with_memory_type(s.from, [&](auto type) {
          m.slot(s.dst) = to_bits(widened(from_bits<decltype(type)>(a.scalars[s.index])));
        });
        break;
      case static_cast<int>(Op::constant): m.slot(s.dst) = a.constants[s.index]; break;
      case static_cast<int>(Op::convert): convert(m, s); break;
      case static_cast<int>(Op::bitcast):
        for (int e = 0; e < s.count; ++e) m.slot(s.dst + e) = m.slot(s.a + (s.advance & 1 ? e : 0));
        break;
      case static_cast<int>(Op::select):
        for (int e = 0; e < s.count; ++e)
          m.slot(s.dst + e) = from_bits<bool>(m.slot(s.a + (s.advance & 1 ? e : 0)))
                                  ? m.slot(s.b + (s.advance & 2 ? e : 0))
                                  : m.slot(s.c + (s.advance & 4 ? e : 0));
        break;
      case static_cast<int>(Op::fma):
        with_type(s.from, [&](auto type) {
          using T = decltype(type);
#pragma unroll 1
          for (int e = 0; e < s.count; ++e)
            m.slot(s.dst + e) = to_bits(op_fma(from_bits<T>(m.slot(s.a + (s.advance & 1 ? e : 0))),
                                               from_bits<T>(m.slot(s.b + (s.advance & 2 ? e : 0))),
                                               from_bits<T>(m.slot(s.c + (s.advance & 4 ? e : 0)))));
        });
        break;
#define PLAIT_CASE(name) \
  case static_cast<int>(Op::name): unary(m, s, name##_op{}); break;
        PLAIT_UNARY_OPS(PLAIT_CASE)
#undef PLAIT_CASE
#define PLAIT_CASE(name) \
  case static_cast<int>(Op::name): binary(m, s, name##_op{}); break;
        PLAIT_BINARY_OPS(PLAIT_CASE)
#undef PLAIT_CASE
      default: break;
    }
  }
}

PLAIT_D Machine machine_of(const MachineArguments& a, u64* shared) {
  Machine m{};
  m.file = (a.memory ? a.memory + static_cast<i64>(blockIdx.x) * a.slots * kMachineThreads : shared) + threadIdx.x;
  m.stride = kMachineThreads;
  m.arguments = &a;
  m.valid = kStepLanes;
  run_steps(m, a.steps, a.once);
  return m;
}

__global__ void __launch_bounds__(kMachineThreads) machine_vectors(const __grid_constant__ MachineArguments a) {
  extern __shared__ u64 shared[];
  Machine m = machine_of(a, shared);
  const i64 vectors = (a.space.length + kStepLanes - 1) / kStepLanes, units = a.space.rows * vectors;
  for (i64 unit = blockIdx.x * i64{kMachineThreads} + threadIdx.x; unit < units;
       unit += gridDim.x * i64{kMachineThreads}) {
    m.row = unit / vectors;
    m.at = (unit - m.row * vectors) * kStepLanes;
    m.valid = valid_of(a.space.length, m.at, kStepLanes);
    run_steps(m, a.steps + a.once, a.row);
    run_steps(m, a.steps + a.once + a.row, a.elements);
  }
}

__global__ void __launch_bounds__(kMachineThreads) machine_rows(const __grid_constant__ MachineArguments a) {
  constexpr int kH = kLanesOfChunk / 32 / kStepLanes, kSteps = kChunk / kLanesOfChunk;
  extern __shared__ u64 shared[];
  Machine m = machine_of(a, shared);
  const int lane = threadIdx.x % 32;
  const i64 units = a.batch.count * a.batch.chunks;
  for (i64 unit = blockIdx.x * i64{kMachineThreads / 32} + threadIdx.x / 32; unit < units;
       unit += gridDim.x * i64{kMachineThreads / 32}) {
    m.batch_row = unit / a.batch.chunks;
    m.row = a.batch.first + m.batch_row;
    const i64 chunk = unit - m.batch_row * a.batch.chunks;
    run_steps(m, a.steps + a.once, a.row);
    for (int r = 0; r < a.reduction_count; ++r) {
      const StepReduction reduction = a.reductions[r];
      with_reduction(reduction.op, reduction.type, [&](auto op, auto type) {
        for (int i = 0; i < kH * kStepLanes; ++i)
          m.slot(reduction.lanes + i) = to_bits(decltype(op)::template identity<decltype(type)>());
      });
    }
    for (int k = 0; k < kSteps * kH; ++k) {
      m.at = chunk * kChunk + (k * 32 + lane) * kStepLanes;
      m.h = k % kH;
      m.valid = valid_of(a.space.length, m.at, kStepLanes);
      if (m.valid > 0) run_steps(m, a.steps + a.once + a.row, a.elements);
    }
    __syncwarp();
    for (int r = 0; r < a.reduction_count; ++r) {
      const StepReduction reduction = a.reductions[r];
      with_reduction(reduction.op, reduction.type, [&](auto op, auto type) {
        using T = decltype(type);
        T at[kH][kStepLanes];
        for (int i = 0; i < kH * kStepLanes; ++i)
          at[i / kStepLanes][i % kStepLanes] = from_bits<T>(m.slot(reduction.lanes + i));
        const u64 bits = to_bits(chunk_tree<decltype(op)>(at, 32));
        if (lane == 0)
          a.batch.partials[(reduction.place * a.batch.count + m.batch_row) * a.batch.chunks + chunk] = bits;
      });
    }
  }
}

__global__ void __launch_bounds__(kMachineThreads) machine_outer(const __grid_constant__ MachineArguments a) {
  extern __shared__ u64 shared[];
  Machine m = machine_of(a, shared);
  m.valid = 1;
  m.at = 0;
  for (m.batch_row = blockIdx.x * i64{kMachineThreads} + threadIdx.x; m.batch_row < a.batch.count;
       m.batch_row += gridDim.x * i64{kMachineThreads}) {
    m.row = a.batch.first + m.batch_row;
    run_steps(m, a.steps + a.once, a.row);
    run_steps(m, a.steps + a.once + a.row, a.elements);
  }
}

__global__ void __launch_bounds__(256) combine(int op, int type, const u64* from, u64* to, i64 rows, i64 count) {
  constexpr int kV = kLanesOfChunk / 32, kSteps = kChunk / kLanesOfChunk;
  const i64 chunks = (count + kChunk - 1) / kChunk, units = rows * chunks;
  const int lane = threadIdx.x % 32;
  with_reduction(op, type, [&](auto reduction, auto value) {
    using R = decltype(reduction);
    using T = decltype(value);
    for (i64 unit = blockIdx.x * i64{8} + threadIdx.x / 32; unit < units; unit += gridDim.x * i64{8}) {
      const i64 row = unit / chunks, chunk = unit - row * chunks;
      T at[1][kV];
      for (int j = 0; j < kV; ++j) at[0][j] = R::template identity<T>();
      for (int step = 0; step < kSteps; ++step) {
        for (int j = 0; j < kV; ++j) {
          const i64 i = chunk * kChunk + step * kLanesOfChunk + lane * kV + j;
          if (i < count) at[0][j] = R::combine(at[0][j], from_bits<T>(from[row * count + i]));
        }
      }
      const u64 bits = to_bits(chunk_tree<R>(at, 32));
      if (lane == 0) to[row * chunks + chunk] = bits;
    }
  });
}

constexpr int kSharedBytes = 96 << 10;  // for registers
constexpr int kBlocks = 132 * 8, kBlocksOfMemory = 132;

int64_t bytes_of_registers(int slots) { return int64_t{8} * std::max(slots, 1) * kMachineThreads; }

}  // namespace

int64_t machine_memory(const StepProgram& program) {
  const int64_t bytes = bytes_of_registers(program.slots);
  return bytes > kSharedBytes ? bytes * kBlocksOfMemory : 0;
}

cudaError_t load_machine() {
  cudaFuncAttributes attributes;  // asking for them loads a kernel
  cudaError_t error = cudaFuncGetAttributes(&attributes, combine);
  for (const auto kernel : {machine_vectors, machine_rows, machine_outer}) {
    if (error == cudaSuccess) error = cudaFuncGetAttributes(&attributes, kernel);
    if (error == cudaSuccess)
      error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kSharedBytes);
  }
  return error;
}

cudaError_t launch_machine(MachineForm form, const MachineArguments& arguments, cudaStream_t stream) {
  const auto kernel = form == MachineForm::vectors ? machine_vectors
                      : form == MachineForm::rows  ? machine_rows
                                                   : machine_outer;
  const i64 threads = form == MachineForm::vectors
                          ? arguments.space.rows * ((arguments.space.length + kStepLanes - 1) / kStepLanes)
                      : form == MachineForm::rows ? arguments.batch.count * arguments.batch.chunks * 32
                                                  : arguments.batch.count;
  const i64 most = arguments.memory ? kBlocksOfMemory : kBlocks;
  const auto blocks = static_cast<unsigned>(std::min(most, (threads + kMachineThreads - 1) / kMachineThreads));
  if (blocks == 0) return cudaSuccess;
  const int64_t shared = arguments.memory ? 0 : bytes_of_registers(arguments.slots);
  kernel<<<blocks, kMachineThreads, static_cast<size_t>(shared), stream>>>(arguments);
  return cudaGetLastError();
}

cudaError_t launch_combine(ir::Op op, DType type, const unsigned long long* from, unsigned long long* to,
                           long long rows, long long count, cudaStream_t stream) {
  const i64 units = rows * ((count + kChunk - 1) / kChunk);
  if (units == 0) return cudaSuccess;
  combine<<<static_cast<unsigned>(std::min<i64>(kBlocks * 4, (units + 7) / 8)), 256, 0, stream>>>(
      static_cast<int>(op), static_cast<int>(type), from, to, rows, count);
  return cudaGetLastError();
}

}  // namespace plait::cuda
