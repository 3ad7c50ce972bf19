#pragma once

#include <vector>

#include "plait/array.h"

namespace plait {

/// What ties input x (n, in..., groups c), weight w (groups o, kernel..., c) and output y (n, out..., groups o) together:
/// y[p] sums x[p stride + k dilation - padding] w[k] over k, with zeros outside of x. Each of the three primitives makes
/// one of them from the other two, so that they are each other's gradients; `extents` are the spatial ones of the result.
struct ConvolutionAttrs {
  std::vector<int64_t> stride;
  std::vector<int64_t> dilation;
  Shape padding;  // before the first element of x; may be negative
  Shape extents;
  Dim groups = 1;
};

/// y from x and w.
Array convolution(const Array& x, const Array& w, ConvolutionAttrs attrs);
/// The x for which <x, x'> = <y, convolution(x', w)> for all x': the gradient by x, and a transposed convolution.
Array convolution_input(const Array& y, const Array& w, ConvolutionAttrs attrs);
/// The w for which <w, w'> = <y, convolution(x, w')> for all w'.
Array convolution_weight(const Array& x, const Array& y, ConvolutionAttrs attrs);

}  // namespace plait
