#include "backends/cuda/kernels/prepare.h"

#include <functional>

#include "backends/cuda/libraries/background.h"

namespace plait::cuda {
namespace {

constexpr int kPieces = 4;

void run_later(std::function<void()> job) {
  static const std::atomic<int> asked{0};  // what is asked for goes first
  run_in_background(
      [job = std::move(job)] {
        try {
          job();
        } catch (const std::exception&) {
          return;  // the first that needs it says so
        }
        end_background_before_others();
      },
      asked);
}

}  // namespace

Trial::Trial(int device) : scope_(device) {
  check_cuda(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "a stream");
  void* data = nullptr;
  cudaError_t error = cudaMallocAsync(&data, kPieces * kBytes, stream_);
  if (error == cudaSuccess) error = cudaMemsetAsync(data, 0, kPieces * kBytes, stream_);
  data_ = static_cast<char*>(data);
  if (error == cudaSuccess) return;
  if (data_) cudaFreeAsync(data_, stream_);
  cudaStreamDestroy(stream_);
  check_cuda(error, "memory for a first call of a library");
}
Trial::~Trial() {
  cudaFreeAsync(data_, stream_);
  cudaStreamDestroy(stream_);
}
void Trial::finish() const { check_cuda(cudaStreamSynchronize(stream_), "a first call of a library"); }

void prepare_libraries(int device) {
  for (const DType dtype : {DType::float32, DType::bfloat16, DType::float16, DType::float64, DType::complex64})
    run_later([=] { prepare_product(device, dtype); });
  for (const ConvKind kind : {ConvKind::forward, ConvKind::input, ConvKind::weight})
    run_later([=] { prepare_convolution(device, kind); });
}

}  // namespace plait::cuda
