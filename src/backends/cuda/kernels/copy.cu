#include "backends/cuda/kernels/copy.h"
#include "backends/cuda/kernels/tables.h"
#include "backends/strided.h"

namespace plait::cuda {
namespace {

constexpr int kMostAxes = 6;
constexpr int kTile = 32;

using Axis = CopyAxis;
struct Plan {
  int rank = 0;
  Axis axes[kMostAxes];  // outermost first
  int64_t count = 1;
};

template <class T, class Index>
__global__ void __launch_bounds__(kThreads) copy_elements(T* to, const T* from, Plan plan, DeviceOffsets offsets) {
  if (offsets.to) to += *offsets.to;
  if (offsets.from) from += *offsets.from;
  const auto count = static_cast<Index>(plan.count);
  for (Index i = blockIdx.x * Index{kThreads} + threadIdx.x; i < count; i += gridDim.x * Index{kThreads}) {
    Index rest = i;
    int64_t t = 0, f = 0;
#pragma unroll
    for (int a = kMostAxes - 1; a >= 0; --a) {
      if (a >= plan.rank) continue;
      const auto extent = static_cast<Index>(plan.axes[a].extent);
      const Index next = a == 0 ? 0 : rest / extent, k = rest - next * extent;
      rest = next;
      t += static_cast<int64_t>(k) * plan.axes[a].to;
      f += static_cast<int64_t>(k) * plan.axes[a].from;
    }
    to[t] = from[f];
  }
}

// The last two axes have their unit strides on different sides: squares through shared memory.
template <class T>
__global__ void __launch_bounds__(kThreads)
    copy_turned(T* to, const T* from, Plan plan, int64_t tiles_row, int64_t tiles_column, DeviceOffsets offsets) {
  __shared__ T square[kTile][kTile + 1];
  if (offsets.to) to += *offsets.to;
  if (offsets.from) from += *offsets.from;
  const Axis row = plan.axes[plan.rank - 2], column = plan.axes[plan.rank - 1];  // column.to and row.from are 1
  int64_t tiles = tiles_row * tiles_column;
  for (int a = 0; a + 2 < plan.rank; ++a) tiles *= plan.axes[a].extent;
  const int x = threadIdx.x % kTile, y = threadIdx.x / kTile;
  for (int64_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    int64_t rest = tile / (tiles_row * tiles_column), t = 0, f = 0;
    for (int a = plan.rank - 3; a >= 0; --a) {
      const int64_t k = rest % plan.axes[a].extent;
      rest /= plan.axes[a].extent;
      t += k * plan.axes[a].to;
      f += k * plan.axes[a].from;
    }
    const int64_t r0 = tile / tiles_column % tiles_row * kTile, c0 = tile % tiles_column * kTile;
    for (int k = y; k < kTile; k += kThreads / kTile)
      if (c0 + k < column.extent && r0 + x < row.extent) square[k][x] = from[f + r0 + x + (c0 + k) * column.from];
    __syncthreads();
    for (int k = y; k < kTile; k += kThreads / kTile)
      if (r0 + k < row.extent && c0 + x < column.extent) to[t + (r0 + k) * row.to + c0 + x] = square[x][k];
    __syncthreads();
  }
}

// The number of elements that can be moved as one: a power of two up to 16 bytes.
int unit_of(const void* to, const void* from, std::span<const Axis> axes, int width, bool moved) {
  const Axis& last = axes.back();
  if (last.to != 1 || last.from != 1 || moved) return 1;
  int unit = 16 / width;
  const auto fits = [&](int64_t v) { return v % unit == 0; };
  for (; unit > 1; unit /= 2) {
    bool all = fits(last.extent) && reinterpret_cast<uintptr_t>(to) % static_cast<uintptr_t>(unit * width) == 0 &&
               reinterpret_cast<uintptr_t>(from) % static_cast<uintptr_t>(unit * width) == 0;
    for (const Axis& a : axes.first(axes.size() - 1)) all = all && fits(a.to) && fits(a.from);
    if (all) break;
  }
  return unit;
}

template <class T>
void launch(const Work& work, void* to, const void* from, const Plan& plan, DeviceOffsets offsets) {
  dispatch_index(plan.count + int64_t{kThreads} * blocks_for(plan.count), [&]<class Index>() {
    copy_elements<T, Index><<<blocks_for(plan.count), kThreads, 0, work.stream()>>>(
        static_cast<T*>(to), static_cast<const T*>(from), plan, offsets);
  });
  work.launched("copy of elements");
}

bool turned(const Plan& plan) {
  if (plan.rank < 2) return false;
  const Axis &row = plan.axes[plan.rank - 2], &column = plan.axes[plan.rank - 1];
  return row.from == 1 && column.to == 1 && column.from != 0 && row.extent >= 8 && column.extent >= 8;
}

void copy_plan(const Work& work, void* to, const void* from, std::span<const Axis> axes, int width,
               DeviceOffsets offsets) {
  Plan plan;
  plan.rank = static_cast<int>(axes.size());
  std::copy(axes.begin(), axes.end(), plan.axes);
  const bool moved = offsets.to || offsets.from;
  if (turned(plan)) {
    const Axis &row = plan.axes[plan.rank - 2], &column = plan.axes[plan.rank - 1];
    const int64_t tiles_row = (row.extent + kTile - 1) / kTile, tiles_column = (column.extent + kTile - 1) / kTile;
    int64_t tiles = tiles_row * tiles_column;
    for (int a = 0; a + 2 < plan.rank; ++a) tiles *= plan.axes[a].extent;
    dispatch_width(width, [&]<class T>() {
      copy_turned<T><<<blocks_for(tiles, 1), kThreads, 0, work.stream()>>>(
          static_cast<T*>(to), static_cast<const T*>(from), plan, tiles_row, tiles_column, offsets);
    });
    work.launched("copy of a transposed array");
    return;
  }
  const int unit = unit_of(to, from, axes, width, moved);
  if (unit > 1) {
    for (int a = 0; a < plan.rank; ++a) {
      const bool last = a == plan.rank - 1;
      if (last) plan.axes[a].extent /= unit;
      if (!last) plan.axes[a].to /= unit;
      if (!last) plan.axes[a].from /= unit;
    }
  }
  for (int a = 0; a < plan.rank; ++a) plan.count *= plan.axes[a].extent;
  if (width * unit == 16) return launch<uint4>(work, to, from, plan, offsets);
  dispatch_width(width * unit, [&]<class T>() { launch<T>(work, to, from, plan, offsets); });
}

}  // namespace

void copy_strided(const Work& work, void* to, std::span<const int64_t> to_strides, const void* from,
                  std::span<const int64_t> from_strides, std::span<const int64_t> shape, int width,
                  DeviceOffsets offsets) {
  const SmallVector<Axis, 6> axes = joined_axes(to_strides, from_strides, shape);
  if (axes.empty()) return;
  // More axes than a plan holds: the outer ones are walked here.
  const size_t outer = axes.size() > kMostAxes ? axes.size() - kMostAxes : 0;
  int64_t copies = 1;
  for (size_t i = 0; i < outer; ++i) copies *= axes[i].extent;
  for (int64_t c = 0; c < copies; ++c) {
    int64_t rest = c, t = 0, f = 0;
    for (size_t i = outer; i-- > 0;) {
      t += rest % axes[i].extent * axes[i].to;
      f += rest % axes[i].extent * axes[i].from;
      rest /= axes[i].extent;
    }
    copy_plan(work, static_cast<char*>(to) + t * width, static_cast<const char*>(from) + f * width,
              std::span<const Axis>(axes.begin(), axes.end()).subspan(outer), width, offsets);
  }
}

void copy_strided(const Work& work, void* to, std::span<const int64_t> to_strides, const void* from,
                  std::span<const int64_t> from_strides, std::span<const int64_t> shape, int width) {
  copy_strided(work, to, to_strides, from, from_strides, shape, width, {});
}

namespace {

void concatenate(const KernelArgs& args) {
  const Work work(args);
  const auto axis = static_cast<size_t>(args.attrs.get<int64_t>("axis"));
  const TensorView& out = args.outputs[0];
  const int width = size_of(out.dtype);
  int64_t offset = 0;
  for (const TensorView& in : args.inputs) {
    copy_strided(work, out.as<char>() + offset * width, out.strides, in.data, in.strides, in.shape, width);
    offset += in.shape[axis] * out.strides[axis];
  }
}

// Output 0 holds a copy of input 0 already; the slice of it is overwritten.
void slice_update_static(const KernelArgs& args) {
  const TensorView& update = args.inputs[1];
  if (update.count() == 0) return;
  const Work work(args);
  const TensorView slice = updated_slice(args);
  copy_strided(work, slice.data, slice.strides, update.data, update.strides, update.shape, size_of(update.dtype));
}

}  // namespace

void add_copy_kernels(Table& table) {
  table.push_back({"concatenate", {.run = concatenate, .contiguous_inputs = false}});
  table.push_back(
      {"slice_update_static", {.run = slice_update_static, .contiguous_inputs = false, .output_aliases_input0 = true}});
}

}  // namespace plait::cuda
