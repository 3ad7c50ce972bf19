#include "backends/kernel.h"
#include "backends/strided.h"

namespace plait {
namespace {

// Output 0 holds a copy of input 0 already; the slice of it is overwritten.
void run(const KernelArgs& args) {
  const TensorView& update = args.inputs[1];
  const TensorView& out = args.outputs[0];
  if (update.count() == 0) return;
  const auto start = args.attrs.get<std::vector<int64_t>>("start");
  const auto step = args.attrs.get<std::vector<int64_t>>("step");
  int64_t offset = 0;
  SmallVector<int64_t, 6> strides;
  for (size_t i = 0; i < out.shape.size(); ++i) {
    offset += start[i] * out.strides[i];
    strides.push_back(step[i] * out.strides[i]);
  }
  const int width = size_of(out.dtype);
  copy_strided(out.as<char>() + offset * width, strides, update.data, update.strides, update.shape, width);
}

}  // namespace

void register_reference_kernels_slice_update(KernelTable& table) {
  table.add("slice_update_static", Backend::reference,
            {.run = run, .contiguous_inputs = false, .output_aliases_input0 = true});
}

}  // namespace plait
