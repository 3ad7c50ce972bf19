#include "backends/cuda/kernels/copy.h"

namespace plait::cuda {
namespace {

constexpr int kMostPieces = 128;  // parameters of a kernel have 4 KB
constexpr int64_t kBytesOfBlock = int64_t{1} << 15;
constexpr int64_t kMostBlocks = 1024;  // of a piece

struct Pieces {
  DeviceBackend::Piece of[kMostPieces];
};

template <class T>
__device__ void copy_words(char* to, const char* from, int64_t count, int64_t first, int64_t step) {
  for (int64_t i = first; i < count; i += step) reinterpret_cast<T*>(to)[i] = reinterpret_cast<const T*>(from)[i];
}

__global__ void __launch_bounds__(kThreads) copy_pieces_kernel(const __grid_constant__ Pieces pieces) {
  const auto [target, source, bytes] = pieces.of[blockIdx.x];
  char* const to = static_cast<char*>(target);
  const char* const from = static_cast<const char*>(source);
  const int64_t first = blockIdx.y * int64_t{kThreads} + threadIdx.x, step = gridDim.y * int64_t{kThreads};
  const auto odd = (reinterpret_cast<uintptr_t>(to) | reinterpret_cast<uintptr_t>(from)) % sizeof(uint4);
  if (odd % 4) return copy_words<char>(to, from, bytes, first, step);
  const int64_t width = odd ? 4 : 16, whole = bytes / width * width;
  if (odd)
    copy_words<uint32_t>(to, from, bytes / width, first, step);
  else
    copy_words<uint4>(to, from, bytes / width, first, step);
  copy_words<char>(to + whole, from + whole, bytes - whole, first, step);
}

}  // namespace

void copy_pieces(memory::Queue queue, std::span<const DeviceBackend::Piece> pieces) {
  for (size_t at = 0; at < pieces.size(); at += kMostPieces) {
    const auto group = pieces.subspan(at, std::min<size_t>(kMostPieces, pieces.size() - at));
    Pieces some{};
    std::copy(group.begin(), group.end(), some.of);
    int64_t most = 1;
    for (const auto& piece : group) most = std::max(most, piece.bytes);
    const int64_t blocks = std::min((most + kBytesOfBlock - 1) / kBytesOfBlock, kMostBlocks);
    copy_pieces_kernel<<<dim3(static_cast<unsigned>(group.size()), static_cast<unsigned>(blocks)), kThreads, 0,
                         stream_of(queue)>>>(some);
    check_cuda(cudaGetLastError(), "copies on the device");
  }
}

}  // namespace plait::cuda
