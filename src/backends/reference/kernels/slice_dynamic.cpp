#include <vector>

#include "backends/kernel.h"
#include "backends/strided.h"
#include "base/dispatch.h"

namespace plait {
namespace {

// Offset of the slice in elements. Negative positions count from the end. Errors: IndexError where it does not lie inside.
int64_t offset_of(const KernelArgs& args, const TensorView& start, const TensorView& whole, const TensorView& part) {
  const auto axes = args.attrs.get<std::vector<int64_t>>("axes");
  int64_t offset = 0;
  dispatch(start.dtype, [&]<class T>() {
    if constexpr (std::is_integral_v<T>) {
      for (size_t i = 0; i < axes.size(); ++i) {
        const auto axis = static_cast<size_t>(axes[i]);
        const int64_t n = whole.shape[axis], room = n - part.shape[axis];
        const auto given = static_cast<int64_t>(start.as<T>()[i]);
        const int64_t at = given < 0 ? given + n : given;
        if (at < 0 || at > room) throw memory::PositionError(args.op, given, n, room);
        offset += at * whole.strides[axis];
      }
    }
  });
  return offset;
}

void run_slice(const KernelArgs& args) {
  const TensorView &a = args.inputs[0], &out = args.outputs[0];
  const int width = size_of(a.dtype);
  const int64_t offset = offset_of(args, args.inputs[1], a, out);
  copy_strided(out.data, out.strides, a.as<char>() + offset * width, a.strides, out.shape, width);
}

void run_update(const KernelArgs& args) {
  const TensorView &update = args.inputs[1], &out = args.outputs[0];
  const int width = size_of(out.dtype);
  const int64_t offset = offset_of(args, args.inputs[2], out, update);
  copy_strided(out.as<char>() + offset * width, out.strides, update.data, update.strides, update.shape, width);
}

}  // namespace

void register_reference_kernels_slice_dynamic(KernelTable& table) {
  table.add("slice_dynamic", Backend::reference, {.run = run_slice, .checks_positions = true});
  table.add("slice_update_dynamic", Backend::reference,
            {.run = run_update, .output_aliases_input0 = true, .checks_positions = true});
}

}  // namespace plait
