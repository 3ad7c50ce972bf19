#include "backends/convolution.h"

namespace plait {

ConvGeometry ConvGeometry::of(const KernelArgs& args, const TensorView& x, const TensorView& w, const TensorView& y) {
  ConvGeometry g;
  const auto stride = args.attrs.get<std::vector<int64_t>>("stride");
  const auto dilation = args.attrs.get<std::vector<int64_t>>("dilation");
  const auto padding = args.attrs.get<std::vector<int64_t>>("padding");
  g.groups = args.attrs.get<int64_t>("groups");
  g.n = x.shape[0];
  g.c = w.shape.back();
  g.o = w.shape[0] / g.groups;
  const size_t rank = stride.size();
  for (size_t i = 0; i < rank; ++i) {
    const size_t to = 3 - rank + i;
    g.in[to] = x.shape[i + 1];
    g.kernel[to] = w.shape[i + 1];
    g.out[to] = y.shape[i + 1];
    g.stride[to] = stride[i];
    g.dilation[to] = dilation[i];
    g.padding[to] = padding[i];
  }
  return g;
}

}  // namespace plait
