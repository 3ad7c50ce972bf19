#include "backends/kernel.h"
#include "backends/strided.h"

namespace plait {
namespace {

// Output 0 holds a copy of input 0 already; the slice of it is overwritten.
void run(const KernelArgs& args) {
  const TensorView& update = args.inputs[1];
  if (update.count() == 0) return;
  const TensorView slice = updated_slice(args);
  copy_strided(slice.data, slice.strides, update.data, update.strides, update.shape, size_of(update.dtype));
}

}  // namespace

void register_reference_kernels_slice_update(KernelTable& table) {
  table.add("slice_update_static", Backend::reference,
            {.run = run, .contiguous_inputs = false, .output_aliases_input0 = true});
}

}  // namespace plait
