// Opening NVIDIA's libraries ahead of their first use: it takes a tenth of a second each, and as much for each type.
#pragma once

#include "backends/cuda/kernels/convolution_plain.h"
#include "backends/cuda/runtime/recording.h"
#include "plait/dtype.h"

namespace plait::cuda {

/// Lets the background open the libraries and run a small product and convolution of each kind on the device. What fails here fails again,
/// and says so, where it is needed.
void prepare_libraries(int device);

/// A small one, waited for. Errors: DeviceError, OutOfMemory.
void prepare_product(int device, DType dtype);
void prepare_convolution(int device, ConvKind kind);

/// A stream with a little memory, for such a first call; outside of plait's statistics.
class Trial {
 public:
  explicit Trial(int device);
  ~Trial();
  Trial(const Trial&) = delete;
  Trial& operator=(const Trial&) = delete;

  static constexpr size_t kBytes = size_t{1} << 20;
  cudaStream_t stream() const { return stream_; }
  /// Zeros, four of these pieces.
  char* piece(int i) const { return data_ + static_cast<size_t>(i) * kBytes; }
  void finish() const;

 private:
  NoCaptures none_;  // first calls open parts of libraries
  DeviceScope scope_;
  cudaStream_t stream_ = nullptr;
  char* data_ = nullptr;
};

}  // namespace plait::cuda
