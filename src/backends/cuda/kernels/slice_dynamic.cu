#include "backends/cuda/kernels/copy.h"
#include "backends/cuda/kernels/positions.cuh"
#include "backends/cuda/kernels/tables.h"

namespace plait::cuda {
namespace {

constexpr int kMostAxes = 32;

struct Axes {
  int count = 0;
  int64_t extent[kMostAxes], room[kMostAxes], stride[kMostAxes];
};

// Where the slice begins, in elements; a start that lies outside is noted and moved inside.
__global__ void find_offset(Positions start, Axes axes, int64_t* to) {
  int64_t offset = 0;
  for (int i = 0; i < axes.count; ++i) {
    const int64_t at = start(i, axes.extent[i], axes.room[i]);
    offset += (at < 0 ? 0 : at) * axes.stride[i];
  }
  *to = offset;
}

const int64_t* offset_of(Work& work, const KernelArgs& args, const TensorView& start, const TensorView& whole,
                         const TensorView& part) {
  Axes axes;
  for (int64_t a : args.attrs.get<std::vector<int64_t>>("axes")) {
    const auto axis = static_cast<size_t>(a);
    axes.extent[axes.count] = whole.shape[axis];
    axes.room[axes.count] = whole.shape[axis] - part.shape[axis];
    axes.stride[axes.count++] = whole.strides[axis];
  }
  auto* offset = work.scratch<int64_t>(1);
  find_offset<<<1, 1, 0, work.stream()>>>(Positions(args, start, 0), axes, offset);
  work.launched("start of a slice");
  return offset;
}

void slice(const KernelArgs& args) {
  Work work(args);
  const TensorView &a = args.inputs[0], &out = args.outputs[0];
  const int64_t* offset = offset_of(work, args, args.inputs[1], a, out);
  copy_strided(work, out.data, out.strides, a.data, a.strides, out.shape, size_of(a.dtype), {.from = offset});
}

void update(const KernelArgs& args) {
  Work work(args);
  const TensorView &update = args.inputs[1], &out = args.outputs[0];
  const int64_t* offset = offset_of(work, args, args.inputs[2], out, update);
  copy_strided(work, out.data, out.strides, update.data, update.strides, update.shape, size_of(out.dtype),
               {.to = offset});
}

bool takes(const KernelArgs& args) { return args.attrs.get<std::vector<int64_t>>("axes").size() <= kMostAxes; }

}  // namespace

void add_slice_dynamic_kernels(Table& table) {
  table.push_back({"slice_dynamic", {.run = slice, .checks_positions = true, .takes = takes}});
  table.push_back({"slice_update_dynamic",
                   {.run = update, .output_aliases_input0 = true, .checks_positions = true, .takes = takes}});
}

}  // namespace plait::cuda
